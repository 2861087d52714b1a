"""The life of one alert: pending, firing, resolved, and what keeps it from flickering.

All times are whole microseconds of the engine's clock (:mod:`~metalscope.alerts.engine.clock`);
only what people read is by the clock on the wall.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING

from metalscope.alert_report import Alert, AlertState
from metalscope.alerts.engine.clock import microseconds_of
from metalscope.alerts.engine.looking import Holding, fingerprint_of, finite
from metalscope.alerts.engine.text import filled, one_line
from metalscope.durations import format_duration
from metalscope.moments import rfc3339
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alerts.rule import AlertRule

__all__ = ["Track", "Turn", "begun", "held_again", "is_over", "resolved", "reworded"]


@dataclass(slots=True)
class Track:
    """One alert, and what its next state depends on.

    ``since`` is from when on each severity held without a break; empty while none does. ``quiet``
    is when it was first seen that nothing raises or keeps it, ``None`` while something does.
    ``told`` is when the alert was last handed out to be kept, ``altered`` whether it must be again.
    """

    alert: Alert
    since: dict[ErrorSeverity, int] = field(default_factory=dict)
    quiet: int | None = None
    told: int = 0
    altered: bool = True

    @property
    def is_firing(self) -> bool:
        """Whether it fires; else it is pending."""
        return self.alert.state is AlertState.FIRING

    def alter(self, **what: object) -> None:
        """Change the alert in something that must be kept."""
        self.alert = replace(self.alert, **what)  # type: ignore[arg-type]
        self.altered = True


def begun(rule: AlertRule, found: Holding, now: datetime) -> Track:
    """A new alert, which holds for the first time."""
    fingerprint = fingerprint_of(rule.name, found.labels)
    named = f"{fingerprint} {rfc3339(now)}".encode()
    alert = Alert(
        # By when it began, so that it has the same one wherever it is reckoned out.
        id=sha256(named).hexdigest()[:16],
        fingerprint=fingerprint,
        rule=rule.name,
        labels=found.labels,
        severity=found.severity,
        state=AlertState.PENDING,
        title="",
        active_since=now,
        last_seen=now,
        count=0,
        component=rule.component,
        actions=rule.actions,
        runbook=filled(rule.runbook, dict(found.labels), found.value),
    )
    return Track(alert)


class Turn(Enum):
    """What became of an alert whose condition holds."""

    GOES_ON = 0
    FIRES = 1
    """It was pending."""
    GRAVER = 2
    """It fired, and was milder."""


def held_again(track: Track, rule: AlertRule, found: Holding, *, now: datetime, time: int) -> Turn:
    """Take in that it holds at ``now``, and see what becomes of it.

    A pending alert is as grave as the gravest that holds. One that fires is as grave as the
    gravest that ever held for as long as the rule asks.
    """
    track.quiet = None
    track.since = {one: track.since.get(one, time) for one in found.severities}
    alert = track.alert
    alert = reworded(
        replace(
            alert,
            value=finite(found.value),
            last_seen=max(now, alert.last_seen),
            count=alert.count + 1,
        ),
        rule,
    )
    hold = microseconds_of(rule.hold)
    lasted = [one for one, since in track.since.items() if time - since >= hold]
    reached = max(lasted, key=lambda one: one.rank, default=None)
    if alert.state is AlertState.PENDING:
        track.alert = replace(alert, severity=reached or found.severity)
        if reached is None:
            return Turn.GOES_ON
        track.alter(state=AlertState.FIRING, fired_at=track.alert.last_seen)
        return Turn.FIRES
    track.alert = alert
    if reached is None or reached.rank <= alert.severity.rank:
        return Turn.GOES_ON
    # Who looked after it did so while it was milder.
    track.alter(severity=reached, acknowledged=None)
    return Turn.GRAVER


def reworded(alert: Alert, rule: AlertRule) -> Alert:
    """An alert with the title and the description that its value now asks for."""
    labels = dict(alert.labels)
    return replace(
        alert,
        title=one_line(filled(rule.title, labels, alert.value)) or rule.name,
        description=filled(rule.description, labels, alert.value),
    )


def resolved(alert: Alert, now: datetime, why: str) -> Alert:
    """An alert that is over."""
    # The clock may have gone back; nothing ends before it began.
    at = max(now, alert.last_seen, alert.fired_at or now)
    return replace(alert, state=AlertState.RESOLVED, resolved_at=at, resolution=why)


def is_over(track: Track, rule: AlertRule, *, time: int, flaps_for: int) -> str:
    """Why an alert that fires, and that nothing raises or keeps now, is over; empty if it is not.

    ``flaps_for`` is how long one that flaps must be quiet. As in Prometheus, a time of quiet begins
    with the first evaluation that sees it.
    """
    track.since = {}
    if track.quiet is None:
        track.quiet = time
    keep, quiet = microseconds_of(rule.keep_for), time - track.quiet
    if track.alert.flapping and flaps_for > keep:
        if quiet < flaps_for:
            return ""
        return f"it came and went, and has been quiet for {_length(quiet)}"
    if quiet < keep:
        return ""
    if keep:
        return f"the condition has not held for {_length(quiet)}"
    return "the condition no longer holds"


def _length(time: int) -> str:
    return format_duration(timedelta(seconds=round(time / 1e6)))
