"""OTLP over HTTP, in protobuf or JSON: one request, and what its answer means."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from metalscope.sending.http.transport import HttpTransport, TransportError, judge, result_of_error
from metalscope.sending.otlp import messages
from metalscope.sending.otlp.address import path_after
from metalscope.sending.result import ExportResult, Reason

if TYPE_CHECKING:
    from metalscope.sending.otlp.service import OtlpService

__all__ = ["HttpSender"]


class HttpSender:
    """Sends to one endpoint by OTLP/HTTP.

    Args:
        service: what is sent.
        http: to where.
        as_json: in JSON, not protobuf.
        path: what is put after the endpoint, where that does not end with it.
        compress: with gzip.
    """

    def __init__(
        self, service: OtlpService, http: HttpTransport, *, as_json: bool, path: str, compress: bool
    ) -> None:
        self._service = service
        self._http = http
        self._json = as_json
        self._path = path_after(http.url, path)
        self._compress = compress

    def send(
        self,
        request: bytes,
        count: int,
        seconds: float,  # noqa: ARG002 - the transport keeps its own time
    ) -> ExportResult:
        """Send a request, serialized, that holds so many points, spans or records."""
        content_type = messages.JSON if self._json else messages.PROTOBUF
        if self._json:
            request = messages.json_of(self._service.request.FromString(request))
        try:
            answer = self._http.send(
                request, content_type=content_type, path=self._path, compress=self._compress
            )
        except TransportError as error:
            return result_of_error(error)
        result = judge(answer)
        answered = answer.headers.get("content-type", content_type)
        if not result.ok:
            says = self._refusal(answer.body, answered)
            if says:
                detail = f"{answer.peer} answered {answer.status}: {says}"
                result = replace(result, detail=detail)
            return result
        try:
            response: Any = messages.response_from(self._service, answer.body, answered)
        except messages.GarbageError:
            return ExportResult.retry(
                Reason.GARBAGE, f"{answer.peer} answered {answer.status} with what is no OTLP"
            )
        says = self._http.shown(response.partial_success.error_message)
        return messages.result_of(self._service, response, count, says)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _refusal(self, body: bytes, content_type: str) -> str:
        # OTLP specification, "Failures": a google.rpc.Status. In JSON its words are legible as is.
        if content_type.partition(";")[0].strip().lower() != messages.PROTOBUF:
            return ""
        return self._http.shown(messages.status_from(body).message)
