"""Moments as text and as numbers, exact to the microsecond that a datetime has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["EPOCH", "microseconds", "moment", "rfc3339", "rfc3339_or_none", "utc_now"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def utc_now() -> datetime:
    """What the clock on the wall says."""
    return datetime.now(UTC)


def rfc3339(time_of: datetime) -> str:
    """A time in UTC with a Z (RFC 3339, 5.6), which every JSON reader's date parser takes."""
    return time_of.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def rfc3339_or_none(time_of: datetime | None) -> str | None:
    """The same of what may be absent."""
    return None if time_of is None else rfc3339(time_of)


def microseconds(time_of: datetime) -> int:
    """Whole microseconds since 1970-01-01 UTC."""
    return (time_of - EPOCH) // _MICROSECOND


def moment(since_epoch: int) -> datetime:
    """The time so many microseconds after 1970-01-01 UTC."""
    return EPOCH + timedelta(microseconds=since_epoch)
