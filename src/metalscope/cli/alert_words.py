"""Alerts and silences as text for a terminal; what comes from the program is one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from metalscope.alert_report import Alert, AlertState, Silence
from metalscope.alerts.notify.phrases import (
    duration_phrase,
    figure_phrase,
    lasted,
    number_phrase,
    one_line,
    time_phrase,
)
from metalscope.cli.output import Style, printable
from metalscope.operation import ErrorSeverity

__all__ = ["alert_in_full", "alerts_in_lines", "silence_in_line", "silences_in_lines"]

SHORT: Final = 8
"""Characters of an id that are shown in a list."""

_GRAVE: Final = frozenset({ErrorSeverity.HIGH, ErrorSeverity.CRITICAL})


def alerts_in_lines(alerts: Sequence[Alert], now: datetime, style: Style, *, past: bool) -> str:
    """A line of columns an alert, with its title and its marks below; ``past``: when it was."""
    rows = [(one, _row(one, now, past=past)) for one in alerts]
    head = ("ID", "SEVERITY", "STATE", "FIRED" if past else "FOR", "ALERT")
    widths = [max(map(len, column)) for column in zip(head, *(row for _, row in rows), strict=True)]
    lines = [style.bold(_columns(head, widths))]
    indent = " " * (widths[0] + 2)
    for alert, row in rows:
        line = _columns(row, widths)
        lines.append(_coloured(line, row[1], style) if _is_loud(alert) else line)
        lines.append(f"{indent}{_one(alert.title)}")
        marks = _marks(alert, past=past, now=now)
        if marks:
            lines.append(indent + style.dim("; ".join(marks)))
    return "\n".join(lines)


def alert_in_full(alert: Alert, now: datetime, style: Style) -> str:
    """All that is known of one."""
    lines = [style.bold(_one(alert.title))]
    if alert.description:
        lines.append(_one(alert.description))
    facts = [(_one(name), _one(value)) for name, value in _facts(alert, now) if value]
    width = max(len(name) for name, _ in facts)
    lines += ["", *(f"{name:<{width}}  {value}" for name, value in facts)]
    for title, texts in (
        ("What to do", alert.actions),
        ("Operations concerned", alert.evidence.operations),
        ("Traces", alert.evidence.trace_ids),
        ("Correlation ids", alert.evidence.correlation_ids),
    ):
        if texts:
            lines += ["", style.bold(title), *(f"  {_one(text)}" for text in texts)]
    return "\n".join(lines)


def silences_in_lines(silences: Sequence[Silence], now: datetime, style: Style) -> str:
    """A line of columns a silence, with its comment below."""
    head = ("ID", "STATE", "UNTIL", "BY", "MATCHERS")
    rows = [
        (
            _short(one.id),
            _state(one, now),
            time_phrase(one.ends_at),
            _one(one.created_by),
            _matchers(one),
        )
        for one in silences
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [style.bold(_columns(head, widths))]
    for silence, row in zip(silences, rows, strict=True):
        lines.append(_columns(row, widths))
        if silence.comment:
            lines.append(" " * (widths[0] + 2) + style.dim(_one(silence.comment)))
    return "\n".join(lines)


def silence_in_line(silence: Silence, verb: str) -> str:
    """What became of one."""
    return (
        f"silence {_short(silence.id)} {verb} {time_phrase(silence.ends_at)}: {_matchers(silence)}"
    )


def _one(text: str) -> str:
    """One line, which a terminal shows as it is."""
    return printable(one_line(text))


def _row(alert: Alert, now: datetime, *, past: bool) -> tuple[str, ...]:
    labels = " ".join(_one(f"{name}={value}") for name, value in alert.labels)
    when = time_phrase(alert.fired_at) if past else duration_phrase(lasted(alert, now))
    return (
        _short(alert.id),
        alert.severity.value,
        alert.state.value,
        when,
        f"{_one(alert.rule)}  {labels}".rstrip(),
    )


def _columns(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _coloured(line: str, severity: str, style: Style) -> str:
    before, word, after = line.partition(severity)
    return before + style.alarm(word) + after


def _is_loud(alert: Alert) -> bool:
    return alert.severity in _GRAVE and alert.state is AlertState.FIRING and not alert.is_muted


def _marks(alert: Alert, *, past: bool, now: datetime) -> list[str]:
    marks = []
    if past and alert.resolved_at is not None:
        marks.append(f"over after {duration_phrase(lasted(alert, now))}")
    if alert.acknowledged is not None:
        marks.append(f"acknowledged by {_one(alert.acknowledged.by)}")
    if alert.silenced_by:
        marks.append(f"silenced by {', '.join(map(_one, alert.silenced_by))}")
    if alert.inhibited_by:
        marks.append("explained by another alert")
    if alert.flapping:
        marks.append("flapping")
    return marks


def _facts(alert: Alert, now: datetime) -> Iterator[tuple[str, str]]:
    yield "id", alert.id
    yield "rule", alert.rule
    yield "severity", alert.severity.value
    yield "state", f"{alert.state.value} for {duration_phrase(lasted(alert, now))}"
    yield "component", alert.component.value if alert.component else ""
    yield "labels", " ".join(f"{name}={value}" for name, value in alert.labels)
    yield "value", "" if alert.value is None else number_phrase(alert.value)
    yield "began", time_phrase(alert.active_since)
    yield "fired", time_phrase(alert.fired_at) if alert.fired_at else ""
    if alert.resolved_at:
        yield "over", f"{time_phrase(alert.resolved_at)}: {alert.resolution or 'resolved'}"
    for figure in alert.evidence.figures:
        yield figure.name, figure_phrase(figure)
    if alert.acknowledged:
        who = f"by {alert.acknowledged.by} at {time_phrase(alert.acknowledged.at)}"
        yield "acknowledged", ": ".join(filter(None, (who, alert.acknowledged.comment)))
    yield "silenced by", ", ".join(alert.silenced_by)
    yield "explained by", ", ".join(alert.inhibited_by)
    yield "flapping", "yes" if alert.flapping else ""
    yield "runbook", alert.runbook
    yield "link", alert.link


def _state(silence: Silence, now: datetime) -> str:
    # A program's clock is its tick's, which may be a second behind.
    if silence.ends_at <= now:
        return "ended"
    return "active" if silence.starts_at <= now + timedelta(seconds=5) else "to come"


def _matchers(silence: Silence) -> str:
    return ", ".join(_one(str(one)) for one in silence.matchers)


def _short(identity: str) -> str:
    return _one(identity)[:SHORT]
