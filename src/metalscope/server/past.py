"""The addresses of the past: lines, operations, durations and hosts of some time, and forecasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metalscope.history.answers import Reading
from metalscope.moments import rfc3339_or_none, utc_now
from metalscope.page.source import MEASURES, Described, Measure, SourceError, Wanted
from metalscope.server.asked import (
    check_names,
    limit_of,
    single,
    some_time,
    text_of,
    wrong,
)
from metalscope.server.forecasting import forecast_of, horizon_of
from metalscope.server.questions import OF_TIME, PastQuestions, check_points, range_of

if TYPE_CHECKING:
    from metalscope.page.data import PageData

__all__ = ["PastRoutes"]

MOST_LINES: Final = 200
MOST_ROWS: Final = 2000
USUAL_LINES: Final = 20
USUAL_ROWS: Final = 500

BY: Final = ("all", "operation", "host")
READINGS: Final = get_args(Reading)

_PATTERNS: Final = frozenset({"kind", "name", "device", "host"})


class PastRoutes:
    """``/api/v1/past`` and all below it.

    Args:
        questions: to the source of the past.
        tails: tells what there is of the log and of traces, as ``{"logs": ..., "traces": ...}``.
    """

    def __init__(self, questions: PastQuestions, tails: Callable[[], Mapping[str, Any]]) -> None:
        self._questions = questions
        self._tails = tails

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/api/v1/past", self._about),
            Route("/api/v1/past/lines", self._lines),
            Route("/api/v1/past/operations", self._operations),
            Route("/api/v1/past/durations", self._durations),
            Route("/api/v1/past/hosts", self._hosts),
            Route("/api/v1/past/forecast", self._forecast),
        ]

    async def _about(self, request: Request) -> Response:
        check_names(request.query_params, ())
        page = self._questions.page
        return await self._questions.tell(request, lambda: {**_about(page), **self._tails()})

    async def _lines(self, request: Request) -> Response:
        known = _PATTERNS | OF_TIME | {"measure", "by", "reading", "limit"}
        check_names(request.query_params, known)
        within = range_of(request)
        limit = limit_of(request, USUAL_LINES, MOST_LINES)
        check_points(within, limit)
        wanted = _wanted(
            request,
            measure=_measure(request),
            by=single(request, "by", BY) or "all",
            reading=single(request, "reading", READINGS) or "mean",
            limit=limit,
        )
        return await self._questions.ask(
            request, lambda source: source.lines(wanted, within).to_dict()
        )

    async def _operations(self, request: Request) -> Response:
        check_names(request.query_params, {"since", "until", "host", "limit"})
        since, until = some_time(request, utc_now())
        host, limit = text_of(request, "host", ""), limit_of(request, USUAL_ROWS, MOST_ROWS)
        return await self._questions.ask(
            request,
            lambda source: source.operations(since, until, host=host, limit=limit).to_dict(),
        )

    async def _durations(self, request: Request) -> Response:
        check_names(request.query_params, _PATTERNS | OF_TIME)
        within, wanted = range_of(request), _wanted(request, measure="duration_ms")
        return await self._questions.ask(
            request, lambda source: source.durations(wanted, within).to_dict()
        )

    async def _hosts(self, request: Request) -> Response:
        check_names(request.query_params, ())
        return await self._questions.ask(
            request, lambda source: {"hosts": [host.to_dict() for host in source.hosts()]}
        )

    async def _forecast(self, request: Request) -> Response:
        check_names(request.query_params, _PATTERNS | OF_TIME | {"measure", "horizon"})
        within = range_of(request)
        horizon = horizon_of(single(request, "horizon"), within.step)
        wanted = _wanted(request, measure=_measure(request), limit=1)
        forecaster = self._questions.page.forecaster
        return await self._questions.ask(
            request, lambda source: forecast_of(source, wanted, within, horizon, forecaster)
        )


def _about(page: PageData) -> dict[str, Any]:
    """What is known of the past. The page asks for it first, so that no error keeps it closed."""
    why, described = page.why, None
    if page.source is not None:
        try:
            described = page.source.describe()
        except SourceError as error:
            why, described = str(error), Described(page.kind)
    first = last = None
    if described is not None:
        first, last = rfc3339_or_none(described.first), rfc3339_or_none(described.last)
    return {
        "source": None if described is None else described.source,
        "why": why,
        "address": "" if described is None else described.address,
        "first": first,
        "last": last,
        "hosts": [] if described is None else list(described.hosts),
        "live": described is None or described.source != "prometheus",
        "pages": [{"id": one.id, "title": one.title} for one in page.descriptions],
        "now": time.time(),
    }


def _measure(request: Request) -> Measure:
    given = single(request, "measure", MEASURES)
    if given is None:
        raise wrong("measure", f"one of {', '.join(MEASURES)}", given)
    return cast("Measure", given)


def _wanted(request: Request, *, measure: Measure, **more: Any) -> Wanted:
    return Wanted(
        measure,
        kind=text_of(request, "kind", "*"),
        name=text_of(request, "name", "*"),
        device=text_of(request, "device", "*"),
        host=text_of(request, "host", ""),
        **more,
    )
