"""What is kept of one series in one stretch of time, and how two stretches become one."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final, Self

from metalscope.sqlite_file.opening import DamagedFileError

__all__ = [
    "DamagedRowError",
    "OperationFigures",
    "ReadingFigures",
    "add_packed",
    "pack_cells",
    "unpack_cells",
]

_LARGEST: Final = 2**63 - 1  # what an INTEGER of SQLite holds
_TOO_LARGE: Final = 2**64
_MOST_CELLS: Final = 4096  # far more than the histogram has


class DamagedRowError(DamagedFileError, ValueError):
    """A row holds what is never written."""


@dataclass(slots=True)
class OperationFigures:
    """Operations of one kind, name and device. ``ok_cells`` are of the timed ones that went well.

    The other parts are as in :class:`~metalscope.history.facts.OperationTotals`.
    """

    operations: int = 0
    errors: int = 0
    timed: int = 0
    busy_ns: int = 0
    at_least_ns: int | None = None
    at_most_ns: int | None = None
    nbytes: int = 0
    gpu_ns: int = 0
    gpu_count: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    ok_cells: dict[int, int] = field(default_factory=dict)

    def add(self, other: OperationFigures) -> None:
        """Be both stretches together."""
        self.operations += other.operations
        self.errors += other.errors
        self.timed += other.timed
        self.busy_ns += other.busy_ns
        self.bound(other.at_least_ns, other.at_most_ns)
        self.nbytes += other.nbytes
        self.gpu_ns += other.gpu_ns
        self.gpu_count += other.gpu_count
        for error, count in other.failures.items():
            self.failures[error] = self.failures.get(error, 0) + count
        for cell, count in other.ok_cells.items():
            self.ok_cells[cell] = self.ok_cells.get(cell, 0) + count

    def bound(self, at_least_ns: int | None, at_most_ns: int | None) -> None:
        """Hold durations from ``at_least_ns`` to ``at_most_ns`` too."""
        if at_least_ns is not None:
            low = self.at_least_ns
            self.at_least_ns = at_least_ns if low is None else min(low, at_least_ns)
        if at_most_ns is not None:
            high = self.at_most_ns
            self.at_most_ns = at_most_ns if high is None else max(high, at_most_ns)

    def row(self) -> tuple[Any, ...]:
        """Its columns."""
        low, high = self.at_least_ns, self.at_most_ns
        return (
            min(self.operations, _LARGEST),
            min(self.errors, _LARGEST),
            min(self.timed, _LARGEST),
            min(self.busy_ns, _LARGEST),
            None if low is None else min(low, _LARGEST),
            None if high is None else min(high, _LARGEST),
            min(self.nbytes, _LARGEST),
            min(self.gpu_ns, _LARGEST),
            min(self.gpu_count, _LARGEST),
            json.dumps(self.failures, separators=(",", ":")) if self.failures else None,
            pack_cells(self.ok_cells) if self.ok_cells else None,
        )

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Self:
        """What :meth:`row` was made of.

        Raises:
            DamagedRowError: it was not made so.
        """
        *numbers, failures, cells = row
        operations, errors, timed, busy, low, high, nbytes, gpu_ns, gpu_count = numbers
        for value in (operations, errors, timed, busy, nbytes, gpu_ns, gpu_count):
            if type(value) is not int:
                raise DamagedRowError(f"{value!r} is no count")
        for value in (low, high):
            if value is not None and type(value) is not int:
                raise DamagedRowError(f"{value!r} is no duration")
        return cls(
            operations, errors, timed, busy, low, high, nbytes, gpu_ns, gpu_count,
            {} if failures is None else _failures(failures),
            {} if cells is None else unpack_cells(cells),
        )  # fmt: skip


@dataclass(slots=True)
class ReadingFigures:
    """Readings of one sensor, in the unit of their kind."""

    samples: int
    total: float
    low: float
    high: float
    last: float

    @classmethod
    def of_one(cls, value: Any) -> Self:
        """A single reading.

        Raises:
            DamagedRowError: it is no number.
        """
        return cls.of((1, value, value, value, value))

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Self:
        """What :meth:`row` was made of.

        Raises:
            DamagedRowError: it was not made so.
        """
        samples, *values = row
        if type(samples) is not int or any(type(value) not in {int, float} for value in values):
            raise DamagedRowError(f"{row!r} are no readings")
        return cls(samples, *values)

    def add(self, other: ReadingFigures) -> None:
        """Be both stretches together, ``other`` after this one."""
        self.samples += other.samples
        self.total += other.total
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.last = other.last

    def row(self) -> tuple[Any, ...]:
        """Its columns."""
        return min(self.samples, _LARGEST), self.total, self.low, self.high, self.last


def pack_cells(cells: dict[int, int]) -> bytes:
    """Cells of a histogram, ascending: each as its distance from the one before and its count,
    both as unsigned LEB128 (the varint of Protocol Buffers, "Encoding", Base 128 Varints).
    """
    packed = bytearray()
    before = 0
    for cell in sorted(cells):
        for number in (cell - before, cells[cell]):
            rest = number
            while rest > 0x7F:
                packed.append(rest & 0x7F | 0x80)
                rest >>= 7
            packed.append(rest)
        before = cell
    return bytes(packed)


def unpack_cells(packed: Any) -> dict[int, int]:
    """What :func:`pack_cells` was given.

    Raises:
        DamagedRowError: it was not made so.
    """
    cells: dict[int, int] = defaultdict(int)
    add_packed(packed, cells)
    cell = max(cells, default=0)
    if cell >= _MOST_CELLS:
        raise DamagedRowError(f"there is no cell {cell}")
    return dict(cells)


def add_packed(packed: Any, cells: dict[int, int]) -> None:
    """Add what :func:`pack_cells` was given to ``cells``, which has a 0 for what it lacks. Whether
    there are such cells is for the caller to see.

    Raises:
        DamagedRowError: it was not made so.
    """
    if type(packed) is not bytes:
        raise DamagedRowError("cells are no bytes")
    # Nearly always only the first distance takes a second byte: the rest is then a byte a number.
    if len(packed) > 1:
        if packed[0] < 0x80:
            cell, rest = packed[0], packed[1:]
        else:
            cell, rest = packed[0] & 0x7F | packed[1] << 7, packed[2:]
        if rest.isascii() and len(rest) % 2 and cell < _MOST_CELLS:
            numbers = iter(rest)
            cells[cell] += next(numbers)
            for distance in numbers:
                cell += distance
                cells[cell] += next(numbers)
            return
    pairs = _unpacked(packed)
    cell = 0
    for distance, count in zip(pairs[::2], pairs[1::2], strict=True):
        cell += distance
        cells[cell] += count


def _unpacked(packed: bytes) -> list[int]:
    """The LEB128 numbers, of which there are two for each cell."""
    numbers: list[int] = []
    number = shift = 0
    for byte in packed:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if number >= _TOO_LARGE:
                raise DamagedRowError("a number in the cells is too large")
            numbers.append(number)
            number = shift = 0
        elif shift > 63:
            raise DamagedRowError("a number in the cells has no end")
    if shift or len(numbers) % 2:
        raise DamagedRowError("cells end too early")
    return numbers


def _failures(text: Any) -> dict[str, int]:
    try:
        failures = json.loads(text)
        valid = all(type(count) is int for count in failures.values())
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedRowError("failures are not what was written") from error
    if not valid:
        raise DamagedRowError("failures are no counts")
    return dict(failures)
