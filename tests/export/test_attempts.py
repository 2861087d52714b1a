"""Calls of an exporter: the time each of them has."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from snapshots import full

from metalscope.export.attempts import AttemptThread
from metalscope.export.base import MetricsExporter
from metalscope.sending.http.deadline import remaining
from metalscope.sending.result import ExportResult
from metalscope.snapshot import MetalTelemetrySnapshot

SECONDS = 0.5


class Sync(MetricsExporter):
    def __init__(self) -> None:
        self.had: list[float | None] = []

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        self.had.append(remaining())
        return ExportResult.delivered()


class Async(Sync):
    async def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:  # type: ignore[override]
        return super().export(snapshot)


@pytest.mark.parametrize("exporter", [Sync(), Async()], ids=["sync", "async"])
def test_each_call_has_the_whole_timeout_whatever_became_of_the_time_of_the_first(
    exporter: Sync,
) -> None:
    raised: list[BaseException] = []
    attempts = AttemptThread(
        exporter,
        timeout=timedelta(seconds=SECONDS),
        on_error=lambda _, error: raised.append(error),
    )
    for _ in range(2):
        assert attempts.export(full()).result(30).ok
        time.sleep(SECONDS * 1.1)
    attempts.close(30)
    assert [pytest.approx(left, abs=SECONDS / 2) for left in exporter.had] == [SECONDS, SECONDS]
    assert raised == []
