"""Unix time in ns as RFC 3339 text, with the second before the point kept from the last time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

__all__ = ["micros_text", "millis_text"]

_LATEST: Final = 253_402_300_799  # 9999-12-31T23:59:59Z, the last that RFC 3339 has

_last: tuple[int, str] = (0, "1970-01-01T00:00:00")


def _second(second: int) -> str:
    global _last  # noqa: PLW0603 - one pair, replaced as a whole, so any thread may
    inside = min(max(second, 0), _LATEST)
    text = datetime.fromtimestamp(inside, UTC).isoformat()[:19]
    _last = (second, text)
    return text


def micros_text(ns: int) -> str:
    """Such as ``2026-11-28T12:00:00.123456Z``."""
    second = ns // 1_000_000_000
    known, text = _last
    if known != second:
        text = _second(second)
    return f"{text}.{ns // 1000 % 1_000_000:06d}Z"


def millis_text(ns: int) -> str:
    """Such as ``2026-11-28T12:00:00.123Z``."""
    second = ns // 1_000_000_000
    known, text = _last
    if known != second:
        text = _second(second)
    return f"{text}.{ns // 1_000_000 % 1000:03d}Z"
