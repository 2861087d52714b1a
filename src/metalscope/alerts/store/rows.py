"""Rows of the file of alerts, and what they say: each with a sum by which damage is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from math import isfinite, nan
from struct import pack
from typing import Any, TypeVar
from zlib import crc32

from metalscope.alert_report import Alert, Silence
from metalscope.alerts.notification import Notification
from metalscope.alerts.storing import SampleRow
from metalscope.moments import microseconds
from metalscope.snapshot_json_alerts import alert_from_dict, silence_from_dict

__all__ = [
    "UnreadableRowError",
    "alert_of",
    "alert_row",
    "document_of",
    "document_row",
    "message_of",
    "message_row",
    "sample_of",
    "sample_row",
    "silence_of",
    "silence_row",
    "storable",
]

T = TypeVar("T")
Row = tuple[Any, ...]


class UnreadableRowError(ValueError):
    """A row was damaged, or a newer version wrote it; it is left out."""


def storable(text: str) -> str:
    """The text; where it holds halves of a character, which UTF-8 cannot have, with their codes."""
    return text.encode("utf-8", "backslashreplace").decode()


def alert_row(alert: Alert) -> Row:
    """``id, fingerprint, rule, state, severity, fired_at, resolved_at, data, crc``."""
    return (
        storable(alert.id), storable(alert.fingerprint), storable(alert.rule),
        alert.state.value, alert.severity.value,
        _microseconds(alert.fired_at), _microseconds(alert.resolved_at),
        *_json(alert.to_dict()),
    )  # fmt: skip


def alert_of(data: object, crc: object) -> Alert:
    """The alert of a row.

    Raises:
        UnreadableRowError: it is none.
    """
    return _read("an alert", alert_from_dict, data, crc)


def silence_row(silence: Silence) -> Row:
    """``id, ends_at, data, crc``."""
    return storable(silence.id), microseconds(silence.ends_at), *_json(silence.to_dict())


def silence_of(data: object, crc: object) -> Silence:
    """The silence of a row.

    Raises:
        UnreadableRowError: it is none.
    """
    return _read("a silence", silence_from_dict, data, crc)


def message_row(message: Notification) -> Row:
    """``id, channel, data, crc``."""
    return storable(message.id), storable(message.channel), *_json(message.to_dict())


def message_of(data: object, crc: object) -> Notification:
    """The message of a row.

    Raises:
        UnreadableRowError: it is none.
    """
    return _read("a message", Notification.from_dict, data, crc)


def document_row(name: str, document: Any) -> Row:
    """``name, data, crc``."""
    # With its name, which is nowhere in its data.
    return storable(name), *_json({"name": name, "document": document})


def document_of(data: object, crc: object) -> tuple[str, Any]:
    """The name and the document of a row.

    Raises:
        UnreadableRowError: it is none.
    """
    return _read("a document", lambda one: (one["name"], one["document"]), data, crc)


def sample_row(series: int, sample: SampleRow) -> Row | None:
    """``at, series, value, crc``; ``None`` where it is of no moment."""
    key, at, value = sample
    if not isfinite(at):
        return None
    at, value = float(at), float(value)
    # SQLite has no NaN and stores NULL in its place.
    return at, series, None if value != value else value, _sample_crc(key, at, value)  # noqa: PLR0124


def sample_of(key: object, at: object, value: object, crc: object) -> SampleRow:
    """The sample of a row.

    Raises:
        UnreadableRowError: it is none.
    """
    found = nan if value is None else value
    if (
        isinstance(key, str)
        and isinstance(at, float)
        and isinstance(found, float)
        and _sample_crc(key, at, found) == crc
    ):
        return key, at, found
    raise UnreadableRowError("a sample is not what was written")


def _sample_crc(key: str, at: float, value: float) -> int:
    # Of one NaN, whatever its bits: NULL has none.
    packed = pack("<dd", at, nan if value != value else value)  # noqa: PLR0124 - NaN
    return crc32(packed, crc32(key.encode("utf-8", "backslashreplace")))


def _json(data: Any) -> tuple[str, int]:
    text = json.dumps(data, separators=(",", ":"))
    return text, crc32(text.encode("ascii"))


def _read(what: str, made_of: Callable[[Mapping[str, Any]], T], data: object, crc: object) -> T:
    if not isinstance(data, str) or crc32(data.encode("utf-8", "replace")) != crc:
        raise UnreadableRowError(f"{what} is not what was written")
    try:
        return made_of(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnreadableRowError(
            f"{what} cannot be read, perhaps of a newer version "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from error


def _microseconds(time_of: datetime | None) -> int | None:
    return None if time_of is None else microseconds(time_of)
