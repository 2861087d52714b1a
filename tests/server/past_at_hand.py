"""A past of a test's own: it answers with what the test says, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx

from health_source import Source
from metalscope.page.data import PageData
from metalscope.page.source import (
    Described,
    Durations,
    HostState,
    Line,
    Lines,
    OperationRow,
    Operations,
    PageSource,
    TimeRange,
    Wanted,
)
from metalscope.server.app import create_app

__all__ = ["BEGAN", "OwnPast", "asking", "page_of"]

BEGAN = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOSTILE = '</script>\udc80"\n'


class OwnPast:
    """A :class:`~metalscope.page.source.PageSource` of one line and one operation."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.error: Exception | None = None
        self.described = Described("history", first=BEGAN, last=BEGAN)
        self.values: list[float | None] = [1.0, None, 2.5]
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Semaphore(0)

    def _ask(self, *question: Any) -> None:
        self.asked.append(question[0] if len(question) == 1 else question)
        self.entered.release()
        self.go_on.wait()
        if self.error is not None:
            raise self.error

    def describe(self) -> Described:
        if self.error is not None:
            raise self.error
        return self.described

    def lines(self, wanted: Wanted, within: TimeRange) -> Lines:
        self._ask(wanted, within)
        line = Line(self.values, "execute", HOSTILE, "m1", unit="/s", ceiling=9.0)
        step = within.step.total_seconds()
        return Lines(within.since.timestamp(), step, (line,), omitted=3)

    def operations(self, since: datetime, until: datetime, *, host: str, limit: int) -> Operations:
        self._ask(since, until, host, limit)
        row = OperationRow("execute", "matmul", operations=4, errors=1, failures={"oom": 1.0})
        return Operations(OperationRow(operations=4), (row,), covered_seconds=60.0, omitted=0)

    def durations(self, wanted: Wanted, within: TimeRange) -> Durations:
        self._ask(wanted, within)
        cells = ((0, 1, 2.0), (2, 0, 1.0))
        return Durations(within.since.timestamp(), 60.0, 3, (1.0, 10.0), cells)

    def hosts(self) -> tuple[HostState, ...]:
        self._ask("hosts")
        return (HostState("m1:9464", operations=3.0, alerts=(("MetalHot", "high"),)),)

    def query(self, text: str, within: TimeRange, *, limit: int) -> Lines:
        self._ask(text, within, limit)
        raise ValueError("a history has no language of its own")


def page_of(past: PageSource | None = None, **more: Any) -> PageData:
    """What a page has that reads from this past."""
    return PageData(OwnPast() if past is None else past, **more)


@asynccontextmanager
async def asking(page: PageData | None, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Source(), page=page, **more)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http
    app.state.hub.close()
