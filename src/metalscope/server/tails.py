"""The addresses of the tails: the latest log records, and the latest traces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metalscope.export_options import Audience
from metalscope.logs.record import Severity
from metalscope.server.asked import check_names, limit_of, single, text_of, whole_of, wrong
from metalscope.server.door import decision_of
from metalscope.server.joined import JoinedAnswers, Refusal
from metalscope.server.pieces import json_in_pieces
from metalscope.server.tails_json import record_dict, trace_dict, trace_summary_dict
from metalscope.server.writing import RefusedError
from metalscope.tails import described

if TYPE_CHECKING:
    from metalscope.server.source import Asker, TelemetrySource
    from metalscope.tails import Tails

__all__ = ["MOST_RECORDS", "MOST_TRACES", "TailRoutes"]

MOST_RECORDS: Final = 1000
USUAL_RECORDS: Final = 200
MOST_TRACES: Final = 500
USUAL_TRACES: Final = 50
"""What one answer has at most, and where no limit is given."""

LARGEST: Final = 2**53 - 1
"""The largest whole number that every reader of JSON takes exactly (RFC 8259, 6)."""

CATCH_UP_SECONDS: Final = 0.25
"""How long is waited for records that are in the log's buffer yet."""

_SEVERITIES: Final = tuple(one.text for one in Severity)
_TRACE_ID: Final = re.compile(r"[0-9a-fA-F]{32}")
_MILLISECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


class TailRoutes:
    """``/api/v1/logs`` and ``/api/v1/traces`` of one source.

    Args:
        telemetry: what has the tails, as its ``tails``, or has none.
        asker: runs what may block off the event loop.
    """

    def __init__(self, telemetry: TelemetrySource, asker: Asker) -> None:
        self._telemetry = telemetry
        self._joined = JoinedAnswers(asker)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/api/v1/logs", self._logs),
            Route("/api/v1/traces", self._traces),
            Route("/api/v1/traces/{id}", self._trace),
        ]

    def describe(self) -> dict[str, dict[str, Any]]:
        """Which of the two there are, and why not."""
        return described(self._tails)

    @property
    def _tails(self) -> Tails | None:
        return getattr(self._telemetry, "tails", None)

    async def _logs(self, request: Request) -> Response:
        known = {"severity", "correlation_id", "trace_id", "contains", "after", "limit"}
        check_names(request.query_params, known)
        audience = _audience(request)
        severity = single(request, "severity", _SEVERITIES) or Severity.DEBUG.text
        after = single(request, "after")
        wanted: dict[str, Any] = {
            "severity": Severity.of(severity),
            "correlation_id": text_of(request, "correlation_id", "") or None,
            "trace_id": _trace_id(single(request, "trace_id")),
            "contains": text_of(request, "contains", ""),
            "after": 0 if after is None else whole_of("after", after, 0, LARGEST),
            "limit": limit_of(request, USUAL_RECORDS, MOST_RECORDS),
            "audience": audience,
        }

        def answer() -> Mapping[str, Any]:
            said = self.describe()["logs"]
            tails = self._tails
            if tails is None or tails.records is None:
                return {**said, "records": [], "last": 0, "forgotten": 0}
            tails.records.catch_up(CATCH_UP_SECONDS)
            found = tails.records.select(**wanted)
            return {
                **said,
                "records": [record_dict(number, record) for number, record in found.records],
                "last": found.last,
                "forgotten": found.forgotten,
            }

        return await self._tell(request, audience, answer)

    async def _traces(self, request: Request) -> Response:
        check_names(request.query_params, {"correlation_id", "name", "failed", "min_ms", "limit"})
        audience = _audience(request)
        failed = single(request, "failed", ("true", "false"))
        wanted: dict[str, Any] = {
            "correlation_id": text_of(request, "correlation_id", "") or None,
            "name": text_of(request, "name", ""),
            "failed": None if failed is None else failed == "true",
            "min_ms": _milliseconds("min_ms", single(request, "min_ms")),
            "limit": limit_of(request, USUAL_TRACES, MOST_TRACES),
            "audience": audience,
        }

        def answer() -> Mapping[str, Any]:
            said = self.describe()["traces"]
            tails = self._tails
            if tails is None or tails.spans is None:
                return {**said, "traces": [], "forgotten": 0}
            found = [trace_summary_dict(one) for one in tails.spans.traces(**wanted)]
            return {**said, "traces": found, "forgotten": tails.spans.forgotten}

        return await self._tell(request, audience, answer)

    async def _trace(self, request: Request) -> Response:
        check_names(request.query_params, ())
        audience, wanted = _audience(request), request.path_params["id"]

        def answer() -> Mapping[str, Any] | Refusal:
            tails = self._tails
            if tails is None or tails.spans is None:
                return Refusal(404, self.describe()["traces"]["why"])
            known = _TRACE_ID.fullmatch(wanted)
            found = tails.spans.trace(int(wanted, 16), audience) if known else ()
            if not found:
                return Refusal(404, "no trace has this id, or it is gone; see /api/v1/traces")
            return trace_dict(found)

        return await self._tell(request, audience, answer)

    async def _tell(
        self,
        request: Request,
        audience: Audience,
        answer: Callable[[], Mapping[str, Any] | Refusal],
    ) -> Response:
        def body() -> bytes | Refusal:
            data = answer()
            return data if isinstance(data, Refusal) else json_in_pieces(data)

        # What one audience is told is not for the other.
        name = f"{audience.value} {request.url.path}?{request.url.query}"
        try:
            told = await self._joined.ask(name, body)
        except TimeoutError:
            raise RefusedError(503, "this took too long; ask again") from None
        return Response(told, 200, {"cache-control": "no-store"}, "application/json")


def _audience(request: Request) -> Audience:
    decision = decision_of(request)
    return Audience.INTERNAL if decision is None else decision.audience


def _trace_id(text: str | None) -> str | None:
    if not text:
        return None
    if not _TRACE_ID.fullmatch(text):
        raise wrong("trace_id", "32 hexadecimal digits", text)
    return text.lower()


def _milliseconds(name: str, text: str | None) -> float:
    if text is None:
        return 0.0
    if not _MILLISECONDS.fullmatch(text):
        raise wrong(name, "a number of ms such as 0.5 or 250", text)
    return float(text)
