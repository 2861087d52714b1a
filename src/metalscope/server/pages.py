"""The addresses of pages of one's own: what they look like, and the values of their panels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metalscope.server.asked import check_names, single, text_of, whole_of
from metalscope.server.questions import OF_TIME, PastQuestions, check_points, range_of
from metalscope.server.writing import RefusedError

if TYPE_CHECKING:
    from metalscope.page.descriptions import PageDescription
    from metalscope.page.panels import Panel
    from metalscope.page.source import PageSource, TimeRange

__all__ = ["PagesRoutes"]

OF_DURATIONS: Final = frozenset({"heatmap", "histogram"})
"""Types of panels whose values are durations."""


class PagesRoutes:
    """``/api/v1/pages`` and all below it.

    Args:
        questions: to the source of the past, and what has the pages.
    """

    def __init__(self, questions: PastQuestions) -> None:
        self._questions = questions
        self._pages = {one.id: one for one in questions.page.descriptions}

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/api/v1/pages", self._all),
            Route("/api/v1/pages/{id}", self._one),
            Route("/api/v1/pages/{id}/values", self._values),
        ]

    async def _all(self, request: Request) -> Response:
        check_names(request.query_params, ())
        return await self._questions.tell(
            request, lambda: {"pages": [one.to_dict() for one in self._pages.values()]}
        )

    async def _one(self, request: Request) -> Response:
        check_names(request.query_params, ())
        return await self._questions.tell(request, self._page(request).to_dict)

    async def _values(self, request: Request) -> Response:
        check_names(request.query_params, OF_TIME | {"panel", "host"})
        panels = self._page(request).panels
        number = single(request, "panel") or "0"
        panel = panels[whole_of("panel", number, 0, len(panels) - 1)]
        if panel.type == "text":
            raise RefusedError(400, f"panel {number} is text, which has no values")
        within, host = range_of(request), text_of(request, "host", "")
        check_points(within, panel.limit)
        return await self._questions.ask(
            request, lambda source: _values(panel, source, within, host)
        )

    def _page(self, request: Request) -> PageDescription:
        page = self._pages.get(request.path_params["id"])
        if page is None:
            raise RefusedError(404, "no page has this id; see /api/v1/pages")
        return page


def _values(panel: Panel, source: PageSource, within: TimeRange, host: str) -> Mapping[str, Any]:
    if panel.type in OF_DURATIONS:
        return panel.durations(source, within, host=host).to_dict()
    lines, labels = panel.lines(source, within, host=host)
    drawn = lines.to_dict()
    drawn["lines"] = [
        {**line, "label": label} for line, label in zip(drawn["lines"], labels, strict=True)
    ]
    return drawn
