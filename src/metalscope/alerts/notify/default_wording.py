"""The words of a message where no template was written. Needs no extra."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from metalscope.alerts.notification import NotificationKind
from metalscope.alerts.notify.phrases import (
    duration_phrase,
    evidence_phrases,
    facts_of,
    lasted,
    lines,
    number_phrase,
    one_line,
    shortened,
    time_phrase,
)

if TYPE_CHECKING:
    from metalscope.alert_report import Alert
    from metalscope.alerts.notification import Notification

__all__ = ["DefaultWording", "over_phrase", "title_of", "why_phrase"]

_LONGEST_TITLE: Final = 200
"""Characters of the alert's own title in that of a message."""

_KINDS: Final = {
    NotificationKind.FIRING: "FIRING",
    NotificationKind.UPDATE: "FIRING",
    NotificationKind.REPEAT: "STILL FIRING",
    NotificationKind.ESCALATION: "NOT ACKNOWLEDGED",
    NotificationKind.RESOLVED: "RESOLVED",
    NotificationKind.TEST: "TEST",
}
_WHY: Final = {
    NotificationKind.UPDATE: "It got worse, or more came to it.",
    NotificationKind.REPEAT: "It still fires, and nobody has acknowledged it.",
    NotificationKind.ESCALATION: "Nobody has acknowledged it in time.",
    NotificationKind.TEST: "This is a test of the channel; nothing is wrong.",
}


class DefaultWording:
    """Says in plain English what is wrong, how bad, since when, why, and what to do."""

    def title(self, notification: Notification) -> str:
        """``[FIRING high] attention failed 7 times in 5m (mac-studio)``."""
        return title_of(notification)

    def body(self, notification: Notification) -> str:
        """Each alert with its facts, its evidence and what to do; what is over; links."""
        return lines("\n".join(_body(notification)))


def title_of(notification: Notification) -> str:
    """One line: what kind of message, what is wrong or was, and where."""
    kind = notification.kind
    firing, over = notification.firing, notification.resolved
    tag = _KINDS[kind]
    if kind not in {NotificationKind.RESOLVED, NotificationKind.TEST}:
        tag += f" {notification.severity.value}"
    told = firing or over
    count = len(told) + (notification.omitted if firing else 0)
    what = shortened(one_line(told[0].title) or told[0].rule, _LONGEST_TITLE) if told else ""
    if count > 1:
        what = f"{count} alerts: {what}"
    elif not told:
        what = "this channel can be reached" if kind is NotificationKind.TEST else "no alerts"
    source = shortened(one_line(notification.source), _LONGEST_TITLE)
    return f"[{tag}] {what}" + (f" ({source})" if source else "")


def why_phrase(notification: Notification) -> str:
    """Why a message is sent that is not the first of its incident; else empty."""
    return _WHY.get(notification.kind, "")


def over_phrase(alert: Alert) -> str:
    """What is over: from when until when, how long that was, and why."""
    began, ended = alert.fired_at or alert.active_since, alert.resolved_at or alert.last_seen
    title = one_line(alert.title) or alert.rule
    why = one_line(alert.resolution)
    return (
        f"{title} ({alert.severity.value}): {time_phrase(began)} to {time_phrase(ended)}, "
        f"lasted {duration_phrase(lasted(alert, ended))}" + (f"; {why}" if why else "")
    )


def _body(notification: Notification) -> Iterator[str]:
    why = why_phrase(notification)
    if why:
        yield why
        yield ""
    for alert in notification.firing:
        yield from _alert(alert, notification)
        yield ""
    if notification.omitted:
        yield f"{number_phrase(notification.omitted)} more that fire are not listed."
        yield ""
    if notification.resolved:
        yield "Over:"
        yield from (f"- {over_phrase(one)}" for one in notification.resolved)
        yield ""
    for name, url in notification.links:
        yield f"{one_line(name)}: {one_line(url)}"


def _alert(alert: Alert, notification: Notification) -> Iterator[str]:
    yield one_line(alert.title) or alert.rule
    if alert.description:
        yield lines(alert.description)
    yield from (f"{name}: {value}" for name, value in facts_of(alert, notification.created_at))
    yield from evidence_phrases(alert)
    if alert.actions:
        yield "What to do:"
        yield from (f"- {one_line(one)}" for one in alert.actions)
    if alert.runbook:
        yield f"Runbook: {one_line(alert.runbook)}"
    if alert.link:
        yield f"More: {one_line(alert.link)}"
