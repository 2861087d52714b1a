"""Numbers, times and texts of alerts as a person reads them, whatever channel they go by."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Final

from metalscope.amounts import ABSENT, amount
from metalscope.durations import format_duration

if TYPE_CHECKING:
    from metalscope.alert_report import Alert, Figure

__all__ = [
    "duration_phrase",
    "evidence_phrases",
    "facts_of",
    "figure_phrase",
    "is_web_link",
    "lasted",
    "lines",
    "number_phrase",
    "one_line",
    "shortened",
    "time_phrase",
    "utf16",
]

_UNITS: Final = {
    "ms": " ms",
    "milliseconds": " ms",
    "percent": " %",
    "celsius": " °C",
    "watts": " W",
    "joules": " J",
    "rpm": " rpm",
    "ratio": "",
    "count": "",
}
_SIZES: Final = (
    timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1),
)  # fmt: skip
# Control characters, lone surrogates, and what is no character in XML (XML 1.0, 2.2).
_NO_CHARACTER: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_LINK: Final = re.compile(r"https?://[^\s<>\"|\\^`{}\x00-\x20]+", re.IGNORECASE)


def one_line(text: str) -> str:
    """The text on one line, without control characters and halves of characters."""
    return " ".join(_printable(text).split())


def lines(text: str) -> str:
    """The text with its lines, none of which ends in blanks, and no more than one is empty."""
    kept = "\n".join(line.rstrip() for line in _printable(text).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", kept).strip("\n")


def _printable(text: str) -> str:
    """What JSON, XML and UTF-8 can all hold; other breaks of lines become plain ones."""
    text = re.sub(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n", text).expandtabs(4)
    return _NO_CHARACTER.sub("\ufffd", text)


def utf16(text: str) -> int:
    """Its length in UTF-16 units, the larger of the two ways in which platforms count."""
    return len(text) + sum(one > "\uffff" for one in text)


def shortened(text: str, most: int, size: Callable[[str], int] = utf16) -> str:
    """As much of the beginning as has ``size`` of ``most`` at most, with an ellipsis where cut.

    ``size`` must not be smaller for a longer text, nor less than the number of its characters.
    """
    if len(text) <= most and size(text) <= most:
        return text
    low, high = 0, min(len(text), most)
    while low < high:
        middle = (low + high + 1) // 2
        if size(text[:middle] + "…") <= most:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"


def is_web_link(url: str) -> bool:
    """Whether it can stand behind a button: an http or https URL without blanks."""
    return _LINK.fullmatch(url) is not None


def time_phrase(moment: datetime | None) -> str:
    """A time in UTC to the second: ``2026-01-01 12:00:00 UTC``."""
    return ABSENT if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def duration_phrase(duration: timedelta | None) -> str:
    """Its two largest units: ``2d3h``, ``1h1m``, ``45s``; less than a second in ms."""
    if duration is None:
        return ABSENT
    if duration < timedelta():
        return "0s"
    for larger, smaller in zip(_SIZES, (*_SIZES[1:], timedelta(milliseconds=1)), strict=True):
        if duration >= larger:
            # Seconds stand alone: nobody needs the milliseconds beside them.
            step = larger if larger == _SIZES[-1] else smaller
            return format_duration(duration // step * step)
    return format_duration(duration // timedelta(milliseconds=1) * timedelta(milliseconds=1))


def number_phrase(value: float | None, unit: str = "") -> str:
    """A number with its unit, in six digits at most: ``12.5 ms``, ``1.5 GiB``, ``3m20s``."""
    if value is None:
        return ABSENT
    if not isfinite(value):
        return f"{value:g}"
    match unit:
        case "bytes" | "bytes_per_second" | "hertz":
            return amount(value, unit)  # type: ignore[arg-type,unused-ignore]
        case "s" | "seconds" if 60 <= value < 1e9:
            return duration_phrase(timedelta(seconds=value))
        case "s" | "seconds":
            return f"{value:.6g} s"
    shown = f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"
    return shown + _UNITS.get(unit, f" {unit}" if unit else "")


def figure_phrase(figure: Figure) -> str:
    """A figure's value with its unit."""
    return number_phrase(figure.value, figure.unit)


def lasted(alert: Alert, now: datetime) -> timedelta:
    """How long the alert has fired at ``now``, or had when it was over."""
    began = alert.fired_at or alert.active_since
    return max((alert.resolved_at or now) - began, timedelta())


def facts_of(alert: Alert, now: datetime) -> list[tuple[str, str]]:
    """What is known of an alert that fires, as names and values of one line each."""
    began = alert.fired_at or alert.active_since
    facts = [
        ("Severity", alert.severity.value),
        ("Since", f"{time_phrase(began)} ({duration_phrase(lasted(alert, now))})"),
    ]
    if alert.value is not None:
        facts.append(("Value", number_phrase(alert.value)))
    facts += [(one_line(name), one_line(value)) for name, value in alert.labels]
    facts += [(one_line(one.name), figure_phrase(one)) for one in alert.evidence.figures]
    facts.append(("Rule", alert.rule))
    if alert.flapping:
        facts.append(("Flapping", "it fired and was over again and again"))
    if alert.acknowledged:
        by, comment = one_line(alert.acknowledged.by), one_line(alert.acknowledged.comment)
        facts.append(("Acknowledged", f"by {by}" + (f": {comment}" if comment else "")))
    return [(name or "?", value or ABSENT) for name, value in facts]


def evidence_phrases(alert: Alert) -> list[str]:
    """The operations concerned and where else to look, a line each."""
    evidence = alert.evidence
    found = [one_line(one) for one in evidence.operations]
    for name, ids in (("traces", evidence.trace_ids), ("in the log", evidence.correlation_ids)):
        if ids:
            found.append(f"{name}: {', '.join(map(one_line, ids))}")
    return [one for one in found if one]
