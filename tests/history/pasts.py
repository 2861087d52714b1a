"""A program that runs on a clock set by hand, and what is to be read from its history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from metalscope.health_options import HistoryOptions
from metalscope.histogram import DurationHistogram
from metalscope.history import History
from metalscope.operation import OK, OperationKind
from metalscope.snapshot import (
    CustomMetric,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    ResourceMetrics,
)

START = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MS = 1_000_000

Name = tuple[str, str, str]


@dataclass
class Program:
    """Counts as the recorder does. ``elapsed`` is what a clock that only grows says."""

    now: datetime = START
    started_at: datetime = START
    elapsed: float = 1000.0
    outcomes: dict[Name, dict[str, OutcomeMetrics]] = field(default_factory=dict)
    retired: int = 0
    custom: tuple[CustomMetric, ...] = ()

    def ran(
        self,
        name: str,
        durations_ms: Iterable[float] = (),
        *,
        outcome: str = OK,
        kind: str = "execute",
        device: str = "m1",
        untimed: int = 0,
        nbytes: int = 0,
        gpu_ms: float = 0,
    ) -> None:
        known = self.outcomes.setdefault((kind, name, device), {})
        before = known.get(outcome, OutcomeMetrics(outcome, DurationHistogram()))
        durations = DurationHistogram.from_durations(round(ms * MS) for ms in durations_ms)
        known[outcome] = OutcomeMetrics(
            outcome,
            before.durations + durations,
            nbytes=before.nbytes + nbytes,
            untimed=before.untimed + untimed,
            gpu_ns=before.gpu_ns + round(gpu_ms * MS),
            gpu_count=before.gpu_count + (gpu_ms > 0),
        )

    def passes(self, by: timedelta) -> None:
        self.now += by
        self.elapsed += by.total_seconds()

    def snapshot(self, *resources: ResourceMetrics) -> MetalTelemetrySnapshot:
        return MetalTelemetrySnapshot(
            timestamp=self.now,
            started_at=self.started_at,
            operations=tuple(
                OperationMetrics(OperationKind(kind), name, device, tuple(outcomes.values()))
                for (kind, name, device), outcomes in self.outcomes.items()
            ),
            resources=resources,
            custom=self.custom,
            retired_operations=self.retired,
        )


@dataclass
class Said:
    """What a history told its ``on_error``."""

    errors: list[BaseException] = field(default_factory=list)

    def __call__(self, room: str, error: BaseException) -> None:
        assert room == "history"
        self.errors.append(error)

    @property
    def texts(self) -> list[str]:
        return [str(error) for error in self.errors]


def opened(path: Path, program: Program | None = None, **options: Any) -> History:
    """A history that must not be told of anything wrong."""

    def on_error(room: str, error: BaseException) -> None:
        raise AssertionError(f"{room}: {error}") from error

    return on_clock(path, program or Program(), on_error, **options)


def on_clock(path: Path, program: Program, on_error: Any, **options: Any) -> History:
    return History(
        HistoryOptions(path=path, **options),
        on_error=on_error,
        elapsed=lambda: program.elapsed,
        now=lambda: program.now,
    )


def keep(history: History, snapshot: MetalTelemetrySnapshot) -> None:
    history.append(snapshot)
    assert history.flush(30)


def asked(path: Path, question: str, *values: Any) -> list[tuple[Any, ...]]:
    """What SQLite itself finds in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question, values).fetchall()


def sums(path: Path, tier: str) -> Mapping[str, tuple[int, ...]]:
    """Operations, errors, timed, busy ns and bytes of each series in one tier, by SQLite."""
    rows = asked(
        path,
        "SELECT what || kind || name, SUM(operations), SUM(errors), SUM(timed), SUM(busy_ns), "
        f"SUM(nbytes) FROM operation_{tier} JOIN series ON series = id GROUP BY 1",
    )
    return {name: tuple(rest) for name, *rest in rows}


def size_of(path: Path) -> int:
    wal = path.with_name(path.name + "-wal")
    return path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
