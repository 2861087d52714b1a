"""The columns of the operations table: what each shows, how it sorts, which stay when narrow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from metalscope.operation import OperationKind
from metalscope.tui.text import (
    ABSENT,
    bytes_text,
    count_text,
    ms_text,
    percent_text,
    rate_text,
)
from metalscope.tui.track import Row

__all__ = ["COLUMNS", "Column", "Layout", "column_of", "lay_out", "sort_rows"]

SortValue = float | int | str | None

NARROWEST_NAME: Final = 16
WIDEST_NAME: Final = 60
GAP: Final = 1

_SHORT_KINDS: Final = {
    OperationKind.ALLOCATE: "alloc",
    OperationKind.COMPILE: "comp",
    OperationKind.EXECUTE: "exec",
    OperationKind.SYNCHRONIZE: "sync",
    OperationKind.TRANSFER: "xfer",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``value`` is what it sorts by, ``None`` where there is nothing to show."""

    key: str
    title: str
    meaning: str
    width: int
    value: Callable[[Row], SortValue]
    text: Callable[[Row], str]
    is_text: bool = False


Layout = tuple[tuple[Column, int], ...]
"""The columns that are shown, from the left, each with its width in cells."""


def _p50(row: Row) -> float | None:
    return row.operation.durations.quantile_ms(0.5)


def _p95(row: Row) -> float | None:
    return row.operation.durations.quantile_ms(0.95)


def _mean(row: Row) -> float | None:
    return row.operation.durations.average_ms


def _errors(row: Row) -> str:
    failed = row.operation.error_count
    # The mark says it where colours do not.
    return f"!{count_text(failed)}" if failed else "0"


def _share(row: Row) -> str:
    return percent_text(None if row.share is None else 100 * row.share)


COLUMNS: Final[tuple[Column, ...]] = (
    Column("process", "process", "the process", 14, lambda r: r.process, lambda r: r.process, True),
    Column(
        "kind", "kind", "what it did", 5,
        lambda r: r.operation.kind.value, lambda r: _SHORT_KINDS[r.operation.kind], True,
    ),
    Column(
        "name", "name", "the kernel or call", NARROWEST_NAME,
        lambda r: r.operation.name, lambda r: r.operation.name, True,
    ),
    Column(
        "device", "device", "where it ran", 8,
        lambda r: r.operation.device, lambda r: r.operation.device or ABSENT, True,
    ),
    Column(
        "calls", "calls", "how often since the start", 7,
        lambda r: r.operation.executions, lambda r: count_text(r.operation.executions),
    ),
    Column(
        "rate", "calls/s", "how often a second, over the last 10 s", 8,
        lambda r: r.calls_per_second, lambda r: rate_text(r.calls_per_second),
    ),
    Column("p50", "p50", "median duration since the start", 8, _p50, lambda r: ms_text(_p50(r))),
    Column("p95", "p95", "95 % are faster, since the start", 8, _p95, lambda r: ms_text(_p95(r))),
    Column("mean", "mean", "mean duration since the start", 8, _mean, lambda r: ms_text(_mean(r))),
    Column(
        "errors", "errors", "how many failed since the start", 7,
        lambda r: r.operation.error_count, _errors,
    ),
    Column(
        "bytes", "bytes/s", "bytes moved or allocated a second, over the last 10 s", 9,
        lambda r: r.bytes_per_second, lambda r: bytes_text(r.bytes_per_second),
    ),
    Column(
        "share", "share", "part of the time all operations took, over the last 10 s", 7,
        lambda r: r.share, _share,
    ),
)  # fmt: skip
"""Every column, from the left."""

_LEAST_NEEDED_FIRST: Final = (
    "device", "mean", "bytes", "p50", "process", "calls", "share", "kind", "p95", "errors",
)  # fmt: skip


def column_of(key: str) -> Column:
    """The column of a key."""
    return next(column for column in COLUMNS if column.key == key)


def lay_out(width: int, *, sorted_by: str, several_processes: bool) -> Layout:
    """The columns that fit into ``width`` cells; the one sorted by is always among them."""
    shown = [one for one in COLUMNS if several_processes or one.key != "process"]
    for key in _LEAST_NEEDED_FIRST:
        if _needed(shown) <= width:
            break
        if key != sorted_by:
            shown = [one for one in shown if one.key != key]
    spare = max(0, width - _needed(shown))
    name = min(NARROWEST_NAME + spare, WIDEST_NAME)
    spare -= name - NARROWEST_NAME
    device = 8 + min(spare, 12)
    widths = {"name": name, "device": device}
    return tuple((one, widths.get(one.key, one.width)) for one in shown)


def sort_rows(rows: Iterable[Row], *, by: Column, descending: bool) -> list[Row]:
    """Rows in order; those without a value come last whichever way it goes."""
    settled = sorted(
        rows, key=lambda r: (-r.operation.executions, r.operation.name, r.operation.device)
    )
    present: list[tuple[float | str, Row]] = []
    absent: list[Row] = []
    for row in settled:
        value = by.value(row)
        if value is None:
            absent.append(row)
        else:
            present.append((_comparable(value), row))
    present.sort(key=itemgetter(0), reverse=descending)
    return [row for _, row in present] + absent


def _comparable(value: float | str) -> float | str:
    return value.casefold() if isinstance(value, str) else value


def _needed(columns: Sequence[Column]) -> int:
    return sum(one.width for one in columns) + GAP * (len(columns) - 1)
