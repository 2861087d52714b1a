"""Times of the week in which alerts tell nobody, by the clock on a wall somewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, Self

from metalscope.alert_report import Matcher

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from metalscope.alert_options import MaintenanceOptions

__all__ = ["MaintenanceWindow"]

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class MaintenanceWindow:
    """One time that comes again each day, or on some weekdays.

    It begins when the clock first shows ``start`` that day and ends when it last shows the end, so
    where the clock goes back an hour within it, it is an hour longer. A beginning that the clock
    skips is at the skip. An end that it skips is as much later as the clock is put forward.
    ``start`` and ``length`` are of clock time, after midnight.
    """

    name: str
    start: timedelta
    length: timedelta
    weekdays: frozenset[int]
    zone: ZoneInfo
    matchers: tuple[Matcher, ...] = ()

    @classmethod
    def of(cls, options: MaintenanceOptions) -> Self:
        """The window of checked options."""
        from zoneinfo import ZoneInfo  # noqa: PLC0415 - a megabyte, only where there is a window

        start, end = _clock_time(options.start), _clock_time(options.end)
        return cls(
            name=options.name,
            start=start,
            length=end - start if end > start else end - start + _DAY,
            weekdays=frozenset(map(WEEKDAYS.index, options.days or WEEKDAYS)),
            zone=ZoneInfo(options.timezone),
            matchers=tuple(map(Matcher.parse, options.matchers)),
        )

    def is_open(self, now: datetime) -> bool:
        """Whether it is that time."""
        today = now.astimezone(self.zone).date()
        # A beginning at 24:00 is the next day's midnight, and an end another day later.
        return any(self._is_open_of(today - days * _DAY, now) for days in range(3))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert of these labels is meant."""
        return all(one.matches(labels) for one in self.matchers)

    def _is_open_of(self, day: date, now: datetime) -> bool:
        if day.weekday() not in self.weekdays:
            return False
        begins = datetime.combine(day, time()) + self.start
        return _first(begins, self.zone) <= now < _last(begins + self.length, self.zone)


def _clock_time(text: str) -> timedelta:
    hours, minutes = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))


def _first(shown: datetime, zone: ZoneInfo) -> datetime:
    """The moment the clock first shows this time, or one later than it."""
    # In a time that is skipped, fold 1 reckons by the offset after the skip, so it is the earlier.
    earlier = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    later = shown.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if earlier >= later:
        return later
    offset = earlier.astimezone(zone).utcoffset()
    while later - earlier > _SECOND:
        middle = earlier + (later - earlier) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            earlier = middle
        else:
            later = middle
    return later.replace(microsecond=0)


def _last(shown: datetime, zone: ZoneInfo) -> datetime:
    """The moment the clock last shows this time; one it skips is reckoned by what was before."""
    return max(shown.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
