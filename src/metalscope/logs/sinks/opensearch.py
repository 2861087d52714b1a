"""OpenSearch, by its official client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from metalscope.errors import MissingExtraError
from metalscope.logs.sinks.bulk import BulkSink
from metalscope.logs.sinks.bulk_answer import FILTER_PATH
from metalscope.logs.sinks.bulk_http import ClientHttp, NotTakenError, base_of
from metalscope.logs.sinks.bulk_settings import BulkSettings
from metalscope.logs.sinks.index_template import ism_policy, may_be_put, opensearch_template
from metalscope.logs.sinks.template_upkeep import Installation, TemplateUpkeep

if TYPE_CHECKING:
    from metalscope.logs.sinks.base import SinkContext
    from metalscope.sending.http.transport import HttpAnswer
    from metalscope.sending.result import ExportResult

__all__ = ["OpenSearchClient", "OpenSearchSink"]

_AUTHS: Final = ("bearer", "api_key")
_NDJSON: Final = {"content-type": "application/x-ndjson"}


class OpenSearchSink(BulkSink):
    """Sends to OpenSearch 2 or 3, into a data stream or into indices by date.

    With ``user`` the key is its password (``Basic``); without, it is sent as ``Bearer``.

    Raises:
        ConfigurationError: an option is not usable.
        MissingExtraError: the client is not installed.
    """

    def __init__(self, context: SinkContext) -> None:
        settings = BulkSettings.of(context.options, _AUTHS)
        auth = "none" if settings.auth == "api_key" else "authorization"
        http = ClientHttp(
            context.open_http(base_of(context.options.endpoint), auth=auth),
            auth=settings.auth,
            compress=context.options.compress,
        )
        client = OpenSearchClient(http, context.options.endpoint or "", settings.pipeline)
        name = settings.template_name
        wanted = []
        if settings.manage_template:
            template = opensearch_template(settings)
            wanted.append(
                Installation(f"index template {name}", lambda: client.put_template(name, template))
            )
        if settings.manage_template and settings.retention:
            policy = ism_policy(settings)
            wanted.append(Installation(f"policy {name}", lambda: client.put_policy(name, policy)))
        super().__init__(context, settings, client, TemplateUpkeep(context.options.who, wanted))


class OpenSearchClient:
    """Calls of ``opensearchpy.OpenSearch`` over our transport."""

    def __init__(self, http: ClientHttp, endpoint: str, pipeline: str | None = None) -> None:
        try:
            from opensearchpy.exceptions import SerializationError  # noqa: PLC0415 - only if asked
        except ImportError as error:
            raise MissingExtraError("the OpenSearch sink", "logs", cause=str(error)) from error
        self.http = http
        self._params = {"filter_path": FILTER_PATH} | ({"pipeline": pipeline} if pipeline else {})
        self._unreadable: type[Exception] = SerializationError
        self.client = _client_over(http, endpoint)

    def bulk(self, body: bytes) -> Any:
        """See :class:`~metalscope.logs.sinks.bulk.BulkClient`."""
        # Copies, as the client takes things out of them.
        return self._call(
            lambda: self.client.bulk(body=body, params={**self._params}, headers={**_NDJSON})
        )

    def put_template(self, name: str, template: Mapping[str, Any]) -> None:
        """Put an index template, unless one is there that is newer or somebody else's.

        Raises:
            NotTakenError: the server refuses.
            TransportError: there was no answer, or none of its API.
        """
        indices = self.client.indices
        try:
            found = self._call(lambda: indices.get_index_template(name=name))
        except NotTakenError as refusal:
            if refusal.answer.status != 404:
                raise
            found = {}
        if may_be_put(found, template):
            self._call(lambda: indices.put_index_template(name=name, body=dict(template)))

    def put_policy(self, name: str, policy: Mapping[str, Any]) -> None:
        """Put a policy of index state management, unless there is one of that name.

        Raises:
            NotTakenError: the server refuses.
            TransportError: there was no answer, or none of its API.
        """
        plugin = self.client.plugins.index_management
        try:
            self._call(lambda: plugin.put_policy(name, body=dict(policy)))
        except NotTakenError as refusal:
            if refusal.answer.status != 409:
                raise

    def refusal(self, answer: HttpAnswer) -> ExportResult | None:  # noqa: ARG002 - as of the other
        """Nothing that another server does not say."""
        return None

    def _call(self, call: Any) -> Any:
        try:
            return call()
        except (self._unreadable, UnicodeDecodeError, RecursionError):
            raise self.http.unreadable("OpenSearch") from None


def _client_over(http: ClientHttp, endpoint: str) -> Any:
    from opensearchpy import Connection, OpenSearch  # noqa: PLC0415 - only if asked for

    class OurConnection(Connection):  # type: ignore[misc,unused-ignore]
        """Sends over our transport, and logs nothing: that might be sent, and logged again."""

        def perform_request(  # noqa: PLR0917 - the client's
            self,
            method: str,
            url: str,
            params: Any = None,
            body: Any = None,
            timeout: Any = None,  # noqa: ARG002 - the transport has a deadline
            ignore: Any = (),  # noqa: ARG002 - what is refused is told apart elsewhere
            headers: Any = None,
        ) -> Any:
            target = f"{url}?{urlencode(params)}" if params else url
            content = body.encode() if isinstance(body, str) else body
            answer = http.exchange(method, target, content, {**self.headers, **(headers or {})})
            return answer.status, dict(answer.headers), answer.body.decode()

        def close(self) -> None:
            http.close()

    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    # What the client shows of itself; where it sends to is the transport's.
    shown = {"host": parts.hostname or "", "port": port, "use_ssl": parts.scheme == "https"}
    return OpenSearch(
        [shown],
        connection_class=OurConnection,
        max_retries=0,
        retry_on_timeout=False,
        sniff_on_start=False,
        sniff_on_connection_fail=False,
    )
