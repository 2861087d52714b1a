"""Questions to where the page's past comes from: asked once for all who ask, answered in JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from metalscope.moments import utc_now
from metalscope.page.source import PageSource, SourceError, TimeRange
from metalscope.server.asked import MOST_STEPS, check_steps, seconds_of, single, some_time
from metalscope.server.joined import JoinedAnswers, Refusal
from metalscope.server.pieces import json_in_pieces
from metalscope.server.writing import RefusedError

if TYPE_CHECKING:
    from metalscope.page.data import PageData
    from metalscope.server.source import Asker

__all__ = ["OF_TIME", "PastQuestions", "check_points", "range_of"]

MOST_POINTS: Final = 1_000_000
"""Lines times steps of one answer, which is made in the host program's memory."""

OF_TIME: Final = frozenset({"since", "until", "step"})
"""The parameters that :func:`range_of` reads."""

USUAL_STEPS: Final = 240
"""About as many as a chart shows well."""

OVERDUE: Final = "reading the past took too long; ask for less time, or for longer steps"


class PastQuestions:
    """Asks the source of a page's past.

    Args:
        page: has the source, or why there is none.
        asker: runs what blocks off the event loop; best one of its own, so that a slow source
            keeps nobody from the live figures.
    """

    def __init__(self, page: PageData, asker: Asker) -> None:
        self.page = page
        """What is asked of."""
        self._joined = JoinedAnswers(asker)

    async def ask(
        self, request: Request, question: Callable[[PageSource], Mapping[str, Any]]
    ) -> Response:
        """What the source answers.

        Args:
            request: the same address with the same query is the same question.
            question: asked on another thread.

        Raises:
            RefusedError: there is no past, it cannot be read, or the question makes no sense.
        """
        source = self.page.source
        if source is None:
            raise RefusedError(404, self.page.why)
        return await self.tell(request, lambda: question(source))

    async def tell(self, request: Request, question: Callable[[], Mapping[str, Any]]) -> Response:
        """The same of what needs no source."""
        name = f"{request.url.path}?{request.url.query}"
        try:
            body = await self._joined.ask(name, lambda: _answer(question))
        except TimeoutError:
            raise RefusedError(503, OVERDUE) from None
        return Response(body, 200, {"cache-control": "no-store"}, "application/json")


def _answer(question: Callable[[], Mapping[str, Any]]) -> bytes | Refusal:
    try:
        data = question()
    except SourceError as error:
        return Refusal(502, str(error))
    except ValueError as error:
        return Refusal(400, str(error))
    return json_in_pieces(data)


def range_of(request: Request, now: Callable[[], datetime] = utc_now) -> TimeRange:
    """What ``since``, ``until`` and ``step`` say: by themselves the last hour in 240 steps.

    Raises:
        RefusedError: 400, one of them is wrong, or there are too many steps.
    """
    since, until = some_time(request, now())
    given = single(request, "step")
    if given is None:
        return TimeRange(since, until, timedelta(seconds=_usual_step(until - since)))
    step = seconds_of("step", given)
    check_steps(since, until, step)
    return TimeRange(since, until, step)


def check_points(within: TimeRange, lines: int) -> None:
    """Refuse what would be too many values of so many lines.

    Raises:
        RefusedError: 400.
    """
    most = min(MOST_STEPS, MOST_POINTS // lines)
    check_steps(within.since, within.until, within.step, most, f" of {lines} lines")


def _usual_step(span: timedelta) -> int:
    return max(1, ceil(span.total_seconds() / USUAL_STEPS))
