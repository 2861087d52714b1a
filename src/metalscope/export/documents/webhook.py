"""Snapshots as JSON documents to any HTTP endpoint, signed where the options say so."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from metalscope.errors import ConfigurationError
from metalscope.export.base import MetricsExporter
from metalscope.export.batches import Batches
from metalscope.export.documents.json_document import Document, strict_json
from metalscope.sending.http.transport import TransportError, judge, result_of_error
from metalscope.sending.result import ExportResult
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalscope.export.base import ExporterContext
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["WebhookExporter"]

_MOST_POINTS: Final = 1_000_000
"""In one request; the peer's own limit, told by HTTP 413, halves it."""


class WebhookExporter(MetricsExporter):
    """Posts each snapshot as one document of ``metalscope.export/v1``.

    A document a peer finds too large (HTTP 413) is sent in parts, from then on. Each request has
    its ``document_id`` as ``Idempotency-Key``, and is the same to the byte when it is tried again.

    Settings:
        ``method``: ``POST`` or ``PUT``.
        ``compress``: whether the body is compressed by gzip.
        ``signature``: ``{"header": name}``: the key is not sent but signs each request. The header
        has ``sha256=`` and the HMAC-SHA256 (RFC 2104) of the body as it is sent, in hex.

    Raises:
        ConfigurationError: the endpoint is no HTTP URL, a setting is wrong, or there is to be a
            signature and no key is given.
    """

    def __init__(self, context: ExporterContext) -> None:
        options = context.options
        if options.endpoint is None or urlsplit(options.endpoint).scheme not in {"http", "https"}:
            raise ConfigurationError(
                f"exporter {context.name!r}: a webhook needs an endpoint such as "
                "'https://host/path'"
            )
        settings = Settings(context.options, {"method", "compress", "signature"})
        self._view = context.view
        self._method = settings.choice("method", ("POST", "PUT"))
        self._compress = settings.flag("compress")
        self._signed_in = _signature_header(settings)
        if self._signed_in and options.api_key is None and options.api_key_from is None:
            raise settings.wrong("signature", "needs the api_key to sign with")
        self._http = context.open_http(auth="none" if self._signed_in else "authorization")
        self._batches: Batches[int] = Batches(_MOST_POINTS)
        self._delivered: MetalTelemetrySnapshot | None = None

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """Send no event again that was in ``delivered``."""
        self._delivered = delivered

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        """Send the document, in as many parts as the peer makes necessary."""
        document = Document(snapshot, self._view, self._delivered)

        def send(part: Sequence[int]) -> ExportResult:
            return self._send(document.to_dict(part[0], len(part)), len(part))

        result = self._batches.send(snapshot, range(len(document.points)), send)
        if result.ok:
            self._delivered = snapshot
        return result

    def shutdown(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(self, document: dict[str, Any], points: int) -> ExportResult:
        headers = {"Idempotency-Key": document["document_id"]}
        body = strict_json(document).encode()
        if self._compress:
            # Here and not by the transport: what is signed is what is sent. Without a time in it,
            # a retry is the same to the byte.
            body = gzip.compress(body, mtime=0)
            headers["Content-Encoding"] = "gzip"
        try:
            if self._signed_in:
                headers[self._signed_in] = _signature(body, self._http.secret() or "")
            answer = self._http.send(
                body, content_type="application/json", method=self._method, headers=headers
            )
        except TransportError as error:
            return result_of_error(error)
        result = judge(answer)
        return ExportResult.delivered(points) if result.ok else result


def _signature_header(settings: Settings) -> str | None:
    given = settings.get("signature")
    if given is None:
        return None
    name = given.get("header") if isinstance(given, dict) and given.keys() == {"header"} else None
    # RFC 9110, 5.1: a token.
    if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise settings.wrong("signature", "must be {'header': 'X-Metalscope-Signature'} or so")
    return name


def _signature(body: bytes, key: str) -> str:
    return "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
