"""What keeping a history costs: the tick that appends, the thread that writes, and the disk.

python bench/history.py [--quick] [--rounds N] [--seconds S] [--output PATH]
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Condition
from time import perf_counter, process_time

from goals import Result, Row, at_most, exactly, parser, publish, rounds_of
from metalscope.health_options import HistoryOptions
from metalscope.histogram import DurationHistogram
from metalscope.history import History, SeriesKey
from metalscope.history.differences import State, difference
from metalscope.history.store import Store
from metalscope.operation import OK, OperationKind
from metalscope.snapshot import (
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    ResourceKind,
    ResourceMetrics,
)
from timing import Variant, compare

START = datetime(2026, 1, 1, tzinfo=UTC)
TICK = timedelta(seconds=1)
READINGS = 30
DEFAULTS = HistoryOptions()

APPEND = "append, on the tick's thread"
QUEUE = "floor: put into a queue under a lock"
WRITE = "write one tick"
ROWS = "floor: the same number of rows in a bare table, one transaction"


def program(operations: int) -> Iterator[MetalTelemetrySnapshot]:
    """Snapshots of a program in which every operation runs 20 times a tick, each a bit longer."""
    totals = [DurationHistogram() for _ in range(operations)]
    for tick in count(1):
        for number in range(operations):
            base = 200_000 * (number + 1)
            spread = (base + (tick * 7919 + run * 104_729) % base for run in range(20))
            totals[number] = totals[number] + DurationHistogram.from_durations(spread)
        yield MetalTelemetrySnapshot(
            timestamp=START + tick * TICK,
            started_at=START,
            operations=tuple(
                OperationMetrics(
                    OperationKind.EXECUTE,
                    f"kernel_{number:03}",
                    "Apple M3 Max",
                    (OutcomeMetrics(OK, durations, nbytes=4096 * tick),),
                )
                for number, durations in enumerate(totals)
            ),
            resources=tuple(
                ResourceMetrics(
                    ResourceKind.TEMPERATURE, f"sensor {number}", "Apple M3 Max", 40 + tick % 97 / 7
                )
                for number in range(READINGS)
            ),
        )


class Writing:
    """A store that is given one tick after the other; making the snapshots is not measured."""

    def __init__(self, directory: Path, operations: int) -> None:
        self.path = directory / f"{operations}.db"
        self._options = HistoryOptions(path=self.path)
        self.store = Store(self.path, self._options, elapsed=perf_counter)
        self._snapshots = program(operations)
        self._written: State | None = None
        self.ticks = 0

    def ready(self, ticks: int) -> list[MetalTelemetrySnapshot]:
        return [next(self._snapshots) for _ in range(ticks)]

    def write(self, snapshots: Sequence[MetalTelemetrySnapshot]) -> None:
        for snapshot in snapshots:
            now = State.of(snapshot)
            self.store.commit(difference(self._written, now, snapshot), run="1")
            self._written = now
            self.store.keep_limits(snapshot.timestamp)
        self.ticks += len(snapshots)


def bare(directory: Path, rows: int) -> Callable[[int], None]:
    connection = sqlite3.connect(directory / f"bare-{rows}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(
        "CREATE TABLE bare(at INTEGER, series INTEGER, a INTEGER, b INTEGER, c REAL, "
        "PRIMARY KEY(at, series)) WITHOUT ROWID"
    )
    moments = count()

    def write(ticks: int) -> None:
        for _ in range(ticks):
            at = next(moments)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO bare VALUES (?, ?, ?, ?, ?)",
                [(at, number, at, number, 1.5) for number in range(rows)],
            )
            connection.execute("COMMIT")

    return write


class NeverWritten(History):
    """One whose thread does nothing, so that the one that appends is measured alone."""

    def _run(self) -> None:
        pass


def appending(directory: Path, *, rounds: int, appends: int) -> list[Row]:
    options = HistoryOptions(path=directory / "append.db")
    history = NeverWritten(options, on_error=lambda _, error: print(error))
    snapshot = next(program(20))
    queue: deque[MetalTelemetrySnapshot] = deque(maxlen=8)
    lock = Condition()

    def append() -> None:
        for _ in range(appends):
            history.append(snapshot)

    def put() -> None:
        for _ in range(appends):
            with lock:
                queue.append(snapshot)

    found = compare({QUEUE: Variant(put), APPEND: Variant(append)}, rounds=rounds)
    history.close()
    scale = 1e9 / appends
    return [
        *(Row(name, found.spread(name).scaled(scale), "ns") for name in found.seconds),
        Row(f"{APPEND} / floor", found.ratio(APPEND, QUEUE), "x", at_most(5, "x")),
    ]


def writing(directory: Path, operations: int, *, rounds: int, ticks: int) -> list[Row]:
    ours = Writing(directory, operations)
    rows = operations + 1 + READINGS + 1
    theirs = bare(directory, rows)
    waiting: list[MetalTelemetrySnapshot] = []

    def write() -> None:
        ours.write(waiting)

    def floor() -> None:
        theirs(ticks)

    @contextmanager
    def ready() -> Iterator[None]:
        waiting[:] = ours.ready(ticks)
        yield
        waiting.clear()

    found = compare(
        {ROWS: Variant(floor), WRITE: Variant(write, around=ready)},
        rounds=rounds,
        clock=process_time,
    )
    of = f" ({operations} operations, {READINGS} readings)"
    result = [
        *(
            Row(name + of, found.spread(name).scaled(1e6 / ticks), "µs CPU")
            for name in found.seconds
        ),
        Row(f"{WRITE}{of} / floor", found.ratio(WRITE, ROWS), "x"),
        Row(
            f"{WRITE}{of}, share of one core at a tick a second",
            found.spread(WRITE).scaled(100 / ticks),
            "%",
            at_most(0.5, "%") if operations <= 20 else None,
        ),
    ]
    ours.store.close()
    return result


def room(directory: Path, operations: int, *, minutes: int) -> list[Row]:
    """How much a row of each tier takes, by files that hold one tier alone."""
    ours = Writing(directory / "room", operations)
    # So that the log holds all that was ever put into it.
    ours.store._connection.execute("PRAGMA wal_autocheckpoint = 0")
    for _ in range(minutes):
        ours.write(ours.ready(60))
    logged = ours.path.with_name(f"{ours.path.name}-wal").stat().st_size / ours.ticks
    ours.store.close()
    bytes_of = {}
    with closing(sqlite3.connect(ours.path, isolation_level=None)) as connection:
        for tier in ("ticks", "minutes"):
            alone = directory / f"{tier}.db"
            connection.execute("VACUUM INTO ?", (str(alone),))
            with closing(sqlite3.connect(alone, isolation_level=None)) as only:
                (kept,) = only.execute(f"SELECT COUNT(*) FROM covered_{tier}").fetchone()
                for what in ("covered", "operation", "reading"):
                    for other in {"ticks", "minutes", "hours"} - {tier}:
                        only.execute(f"DELETE FROM {what}_{other}")
                only.execute("VACUUM")
                (pages,) = only.execute("PRAGMA page_count").fetchone()
                (page,) = only.execute("PRAGMA page_size").fetchone()
            # A page for each table and index, the schema's and the map of pages.
            bytes_of[tier] = (pages - 18) * page / kept
    of = f" ({operations} operations, {READINGS} readings)"
    kept_rows = {
        "ticks": DEFAULTS.keep_ticks / TICK,
        "minutes": DEFAULTS.keep_minutes / timedelta(minutes=1),
        "hours": DEFAULTS.keep_hours / timedelta(hours=1),
    }
    rows = [exactly(f"one of {tier}{of}", bytes_of[tier], "bytes") for tier in ("ticks", "minutes")]
    # An hour's row is as long as a minute's, but for some more cells of its histogram.
    bytes_of["hours"] = bytes_of["minutes"]
    mib = {tier: bytes_of[tier] * kept_rows[tier] / 2**20 for tier in kept_rows}
    rows += [
        exactly(f"all ticks of {DEFAULTS.keep_ticks}{of}", mib["ticks"], "MiB"),
        exactly(
            f"a day of minutes and hours{of}",
            (1440 * bytes_of["minutes"] + 24 * bytes_of["hours"]) / 2**20,
            "MiB",
        ),
        exactly(f"put into the log in a day{of}", logged * 86_400 / 2**20, "MiB"),
        exactly(f"all of it by the defaults{of}", sum(mib.values()), "MiB", at_most(256, "MiB")),
    ]
    return rows


def reading(directory: Path, operations: int, *, rounds: int) -> list[Row]:
    path = directory / "room" / f"{operations}.db"
    reader = History.open_readonly(path)
    span = reader.span()
    assert span is not None
    key = SeriesKey("duration_ms", "execute", "kernel_000", "Apple M3 Max")
    minute = timedelta(minutes=1)
    found = compare(
        {
            "minutes": Variant(lambda: reader.series(key, *span, minute)),
            "ticks": Variant(lambda: reader.series(key, span[1] - 10 * minute, span[1], TICK)),
        },
        rounds=rounds,
    )
    hours = (span[1] - span[0]) / timedelta(hours=1)
    of = f" ({operations} operations, {READINGS} readings)"
    return [
        Row(
            f"read one series of {hours * 60:.0f} min by the minute{of}",
            found.spread("minutes").scaled(1e3),
            "ms",
        ),
        Row(f"read one series of 10 min by the tick{of}", found.spread("ticks").scaled(1e3), "ms"),
    ]


def measure(*, rounds: int, seconds: float) -> Result:
    rows = []
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        (directory / "room").mkdir()
        rows += appending(directory, rounds=rounds, appends=20_000)
        # A tick of 20 operations takes about a millisecond.
        ticks = max(60, int(seconds / rounds * 300))
        rows += writing(directory, 20, rounds=rounds, ticks=ticks)
        rows += writing(directory, 200, rounds=rounds, ticks=max(60, ticks // 4))
        rows += room(directory, 20, minutes=max(10, int(seconds)))
        rows += reading(directory, 20, rounds=rounds)
    return Result(
        "history", rows, facts={"rounds": rounds, "seconds": seconds, "readings": READINGS}
    )


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="history")
    arguments_parser.add_argument(
        "--seconds", type=float, help="about how long it runs (default: 40, quick: 5)"
    )
    arguments = arguments_parser.parse_args(argv)
    seconds = arguments.seconds or (5 if arguments.quick else 40)
    publish(measure(rounds=rounds_of(arguments), seconds=seconds), arguments.output)


if __name__ == "__main__":
    main()
