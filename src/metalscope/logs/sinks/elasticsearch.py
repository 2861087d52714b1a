"""Elasticsearch, by its official client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.logs.sinks.bulk import BulkSink
from metalscope.logs.sinks.bulk_answer import FILTER_PATH
from metalscope.logs.sinks.bulk_http import ClientHttp, NotTakenError, base_of
from metalscope.logs.sinks.bulk_settings import BulkSettings
from metalscope.logs.sinks.index_template import elasticsearch_template, may_be_put
from metalscope.logs.sinks.template_upkeep import Installation, TemplateUpkeep
from metalscope.sending.http.outcome import TransportError
from metalscope.sending.result import ExportResult, Reason

if TYPE_CHECKING:
    from metalscope.logs.sinks.base import SinkContext
    from metalscope.sending.http.transport import HttpAnswer

__all__ = ["ElasticsearchClient", "ElasticsearchSink"]

_AUTHS: Final = ("api_key", "bearer")


class ElasticsearchSink(BulkSink):
    """Sends to Elasticsearch 8 or 9, into a data stream or into indices by date.

    The key is sent as ``ApiKey``, or with ``settings.auth`` as ``Bearer``; with ``user``, as
    ``Basic``. The client is of a version no newer than the server: one of version 9 does not
    speak to a server of version 8.

    Raises:
        ConfigurationError: an option is not usable.
        MissingExtraError: the client is not installed.
    """

    def __init__(self, context: SinkContext) -> None:
        settings = BulkSettings.of(context.options, _AUTHS)
        if settings.retention and settings.stream is None:
            raise ConfigurationError(
                f"{context.options.who}: settings.retention is for a data stream; "
                "of indices by date a lifecycle policy takes care"
            )
        auth = "none" if settings.auth == "api_key" else "authorization"
        http = ClientHttp(
            context.open_http(base_of(context.options.endpoint), auth=auth),
            auth=settings.auth,
            compress=context.options.compress,
        )
        client = ElasticsearchClient(http, context.options.endpoint or "", settings.pipeline)
        template = elasticsearch_template(settings)
        name = settings.template_name

        def put() -> None:
            client.put_template(name, template)

        wanted = [Installation(f"index template {name}", put)] if settings.manage_template else []
        super().__init__(context, settings, client, TemplateUpkeep(context.options.who, wanted))


class ElasticsearchClient:
    """Calls of ``elasticsearch.Elasticsearch`` over our transport."""

    def __init__(self, http: ClientHttp, endpoint: str, pipeline: str | None = None) -> None:
        try:
            from elastic_transport import SerializationError  # noqa: PLC0415 - only if asked for
            from elasticsearch import UnsupportedProductError, __version__  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError("the Elasticsearch sink", "logs", cause=str(error)) from error
        self.http = http
        self._major = __version__[0]
        self._pipeline = pipeline
        self._unsupported: type[Exception] = UnsupportedProductError
        self._unreadable: type[Exception] = SerializationError
        self.client = _client_over(http, endpoint)

    def bulk(self, body: bytes) -> Any:
        """See :class:`~metalscope.logs.sinks.bulk.BulkClient`."""
        more = {"pipeline": self._pipeline} if self._pipeline else {}
        return self._call(
            lambda: self.client.bulk(operations=body, filter_path=FILTER_PATH, **more).body
        )

    def put_template(self, name: str, template: Mapping[str, Any]) -> None:
        """Put an index template, unless one is there that is newer or somebody else's.

        Raises:
            NotTakenError: the server refuses.
            TransportError: there was no answer, or none of its API.
        """
        indices = self.client.indices
        try:
            found = self._call(lambda: indices.get_index_template(name=name).body)
        except NotTakenError as refusal:
            if refusal.answer.status != 404:
                self._raise_known(refusal)
                raise
            found = {}
        if not may_be_put(found, template):
            return
        body = {name.lstrip("_"): part for name, part in template.items()}
        try:
            self._call(lambda: indices.put_index_template(name=name, **body))
        except NotTakenError as refusal:
            self._raise_known(refusal)
            raise

    def refusal(self, answer: HttpAnswer) -> ExportResult | None:
        """What a version says to one it does not speak to, and what is no Elasticsearch at all."""
        if answer.status == 406 and "x-elastic-product" not in answer.headers:
            return ExportResult.retry(Reason.CONFIGURATION, _not_it(answer.peer))
        if answer.status in {400, 406} and b"media_type_header_exception" in answer.body:
            what = f"does not speak to version {self._major} of the client"
            detail = f"{answer.peer} {what}; install elasticsearch<{self._major}"
            return ExportResult.retry(Reason.CONFIGURATION, detail)
        return None

    def _raise_known(self, refusal: NotTakenError) -> None:
        known = self.refusal(refusal.answer)
        if known is not None:
            raise TransportError(known.reason or Reason.CONFIGURATION, known.detail) from None

    def _call(self, call: Any) -> Any:
        try:
            return call()
        except self._unsupported:
            raise TransportError(Reason.CONFIGURATION, _not_it(self.http.peer)) from None
        except (self._unreadable, UnicodeDecodeError, RecursionError):
            raise self.http.unreadable("Elasticsearch") from None


def _not_it(peer: str) -> str:
    return f"{peer} is not Elasticsearch; for OpenSearch the type is opensearch"


def _client_over(http: ClientHttp, endpoint: str) -> Any:
    from elastic_transport import (  # noqa: PLC0415 - only if asked for
        ApiResponseMeta,
        BaseNode,
        HttpHeaders,
        NodeConfig,
        Transport,
        TransportApiResponse,
    )
    from elasticsearch import Elasticsearch  # noqa: PLC0415

    class Node(BaseNode):  # type: ignore[misc,unused-ignore]
        """Sends over our transport."""

        def perform_request(
            self,
            method: str,
            target: str,
            body: Any = None,
            headers: Any = None,
            request_timeout: Any = None,  # noqa: ARG002 - the transport has a deadline
        ) -> Any:
            answer = http.exchange(method, target, body, headers or {})
            # A warning of the server would be one of Python, which may be an error there.
            told = {name: text for name, text in answer.headers.items() if name != "warning"}
            meta = ApiResponseMeta(
                status=answer.status,
                http_version="1.1",
                headers=HttpHeaders(told),
                duration=0.0,
                node=self.config,
            )
            return TransportApiResponse(meta, answer.body)

    class Once(Transport):  # type: ignore[misc,unused-ignore]
        """Asks its one node once, and logs nothing: that might be sent, and logged again."""

        def perform_request(  # type: ignore[override,unused-ignore]
            self, method: str, target: str, *, body: Any = None, headers: Any = None, **_: Any
        ) -> Any:
            told = HttpHeaders(headers or {})
            content = None
            if body is not None:
                content = self.serializers.dumps(body, mimetype=told["content-type"])
            node: Any = self.node_pool.get()
            meta, answer = node.perform_request(method, target, body=content, headers=told)
            return TransportApiResponse(meta, self.serializers.loads(answer, meta.mimetype))

    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    # What the client shows of itself; where it sends to is the transport's.
    shown = NodeConfig(parts.scheme, parts.hostname or "", port)
    client = Elasticsearch(
        [shown],
        node_class=Node,
        transport_class=Once,
        max_retries=0,
        retry_on_timeout=False,
        meta_header=False,
    )
    # Else each request is a span of the host's tracer, where it has one; there is no public way.
    telemetry: Any = getattr(client, "_otel", None)
    if telemetry is not None:
        telemetry.enabled = False
    return client
