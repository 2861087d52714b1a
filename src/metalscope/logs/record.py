"""LogRecord: one thing that was said, by the data model of OpenTelemetry's logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

__all__ = ["LogRecord", "LoggedException", "Severity"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Severity(IntEnum):
    """How much it matters; the values are those of OpenTelemetry's ``SeverityNumber``."""

    DEBUG = 5
    INFO = 9
    WARNING = 13
    ERROR = 17
    CRITICAL = 21

    @property
    def text(self) -> str:
        """In lower case, as options and ECS's ``log.level`` have it."""
        return self.name.lower()

    @classmethod
    def of(cls, level: str) -> Severity:
        """That of an option's ``level``.

        Raises:
            KeyError: there is none of this name.
        """
        return cls[level.upper()]


@dataclass(frozen=True, slots=True)
class LoggedException:
    """An exception as text: its class with the module, what it said, and where, if that is kept."""

    type: str
    message: str
    stacktrace: str | None = None


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record. Attribute values are JSON's: text, numbers, truth values, lists, mappings.

    ``timestamp_ns`` is Unix time in ns. ``sequence`` counts the records of this process, so that
    those of one moment keep their order. ``event`` is the name of its event, empty for what an
    application said; ``body`` the sentence for a person. ``logger`` is who said it. ``trace_id``
    and ``span_id`` are W3C's, in hexadecimal digits. ``thread`` is the thread's name.
    """

    timestamp_ns: int
    sequence: int
    severity: Severity
    body: str
    event: str = ""
    logger: str = "metalscope"
    attributes: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    correlation_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    sampled: bool = False
    exception: LoggedException | None = None
    thread: str = ""
