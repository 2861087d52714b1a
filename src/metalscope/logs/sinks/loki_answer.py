"""What Loki's answers mean for each line of a request.

Loki checks line by line. It takes those that pass, and then answers 400 with words about those that
did not: "Request validation and rate limits" in its documentation lists the words, and
``pkg/validation/validate.go`` and ``pkg/ingester/stream.go`` have them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

__all__ = ["Line", "refused_lines"]

# Of the ingester: which lines of one stream it did not take, the first ten of them by their time.
_IGNORED: Final = re.compile(r"total ignored: ([0-9]+) out of ([0-9]+)(?: for stream: (\{.*?\}))?")
_IGNORED_AT: Final = re.compile(r"entry with timestamp (\S+ \S+ \S+) \S+ ignored, reason:")

# Of the distributor: what each kind of refusal says of the lines it is about.
_COUNTED: Final = re.compile(r"([0-9]+) errors? like: ")
_TOO_LONG: Final = re.compile(r"max entry size '?([0-9]+)'? bytes exceeded", re.I)
_TOO_OLD: Final = re.compile(r"has timestamp too old: .*?oldest acceptable timestamp is: (\S+)")
_ONE_LINE: Final = re.compile(
    r"has timestamp too new|includes structured metadata|structured metadata too large"
    r"|too many structured metadata labels"
)
_WHOLE_STREAM: Final = re.compile(
    r"error parsing labels|label pair is required per stream|label names; limit"
    r"|label name too long|label value too long|duplicate label name|missing required labels",
    re.I,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NANO: Final = 10**9


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a request: its place in the batch, its stream as Loki writes it, its time."""

    place: int
    stream: str
    time_ns: int
    bytes: int


def refused_lines(words: str, lines: Sequence[Line]) -> list[int] | None:
    """The places of the lines that an answer 400 says were not taken; the others were.

    Where the words tell how many, but not which, the oldest of the stream stand for them. ``None``
    where the words are none that Loki has for a part of a request: then nothing is known, and
    nothing may be counted as taken.
    """
    refused: set[int] = set()
    understood = False
    for read in (_by_ingester, _too_long, _too_old, _single, _whole_streams):
        found = read(words, lines)
        if found is not None:
            understood = True
            refused.update(found)
    if not understood:
        return None
    # "100 errors like: ..." counts what one example stands for.
    counted = sum(int(number) for number in _COUNTED.findall(words))
    _fill(refused, lines, min(counted, len(lines)))
    return sorted(refused) or None


def _by_ingester(words: str, lines: Sequence[Line]) -> set[int] | None:
    totals = list(_IGNORED.finditer(words))
    if not totals:
        return None
    times = {_nanoseconds(text) for text in _IGNORED_AT.findall(words)}
    refused: set[int] = set()
    for total in totals:
        own = [line for line in lines if total[3] is None or line.stream in total[3]] or lines
        named = {line.place for line in own if line.time_ns in times}
        _fill(named, own, min(int(total[1]), len(own)))
        refused |= named
    return refused


def _too_long(words: str, lines: Sequence[Line]) -> set[int] | None:
    return _by_limit(_TOO_LONG.findall(words), lines, lambda line, text: line.bytes > int(text))


def _too_old(words: str, lines: Sequence[Line]) -> set[int] | None:
    def is_older(line: Line, text: str) -> bool:
        oldest = _nanoseconds(text.rstrip(",;").replace("T", " ").replace("Z", " +0000"))
        return oldest is not None and line.time_ns < oldest

    return _by_limit(_TOO_OLD.findall(words), lines, is_older)


def _by_limit(
    limits: list[str], lines: Sequence[Line], is_past: Callable[[Line, str], bool]
) -> set[int] | None:
    if not limits:
        return None
    found = {line.place for line in lines for limit in limits if is_past(line, limit)}
    # It said so of one at least.
    return found or {lines[0].place}


def _single(words: str, lines: Sequence[Line]) -> set[int] | None:
    if not _ONE_LINE.search(words):
        return None
    own = [line for line in lines if line.stream in words] or lines
    # Too new is the newest; of the others any stands for it.
    return {max(own, key=lambda line: line.time_ns).place}


def _whole_streams(words: str, lines: Sequence[Line]) -> set[int] | None:
    if not _WHOLE_STREAM.search(words):
        return None
    return {line.place for line in lines if line.stream in words} or {line.place for line in lines}


def _fill(refused: set[int], lines: Iterable[Line], count: int) -> None:
    """Add the oldest until there are so many."""
    for line in sorted(lines, key=lambda line: line.time_ns):
        if len(refused) >= count:
            return
        refused.add(line.place)


def _nanoseconds(text: str) -> int | None:
    """A time as Go writes it: ``2021-11-07 13:16:59.995248574 +0000``."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,9}))? ([+-]\d{4})", text)
    if found is None:
        return None
    moment = datetime.strptime(f"{found[1]} {found[3]}", "%Y-%m-%d %H:%M:%S %z")
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * _NANO + int((found[2] or "0").ljust(9, "0"))
