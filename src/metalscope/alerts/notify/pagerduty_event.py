"""A message as an event of PagerDuty's Events API v2, in the common event format (PD-CEF)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from metalscope.alerts.notification import NotificationKind
from metalscope.alerts.notify.answers import json_body
from metalscope.alerts.notify.buttons import buttons_of
from metalscope.alerts.notify.default_wording import over_phrase, why_phrase
from metalscope.alerts.notify.phrases import (
    evidence_phrases,
    facts_of,
    lines,
    one_line,
    shortened,
)
from metalscope.moments import rfc3339
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alert_report import Alert
    from metalscope.alerts.notification import Notification

__all__ = ["MAX_BYTES", "resolve_event", "trigger_event"]

MAX_BYTES: Final = 512_000
"""Of a whole event: PagerDuty takes 512 KB ("Events API v2 overview", "Size limits")."""

_SUMMARY: Final = 1024
_NAME: Final = 255
_TEXT: Final = 4000
_LINE: Final = 500
_LINKS: Final = 10
_URL: Final = 2000

_SEVERITIES: Final = {
    ErrorSeverity.CRITICAL: "critical",
    ErrorSeverity.HIGH: "error",
    ErrorSeverity.MEDIUM: "warning",
    ErrorSeverity.LOW: "info",
}


def trigger_event(notification: Notification, key: str, title: str, body: str | None) -> bytes:
    """What opens an incident, or is added to the one that is open.

    Where it would be too large the mildest alerts are left out of its details.

    Args:
        notification: what is said.
        key: the integration key.
        title: the summary.
        body: the text in place of the alerts' details, where a template made one.
    """
    number = len(notification.firing)
    while True:
        details = (
            _details(notification, number)
            if body is None
            else {"text": shortened(lines(body), _TEXT)}
        )
        made = json_body(_event(notification, key, title, details))
        if len(made) <= MAX_BYTES or number == 0:
            return made
        number //= 2


def resolve_event(notification: Notification, key: str) -> bytes:
    """What resolves the incident that is open; where none is, nothing happens."""
    return json_body(
        {
            "routing_key": key,
            "event_action": "resolve",
            "dedup_key": _dedup_key(notification),
        }
    )


def _dedup_key(notification: Notification) -> str:
    # A test must not touch an incident that goes on.
    test = notification.kind is NotificationKind.TEST
    return notification.incident + ("-test" if test else "")


def _event(
    notification: Notification, key: str, title: str, details: dict[str, Any]
) -> dict[str, Any]:
    gravest = next(iter(notification.firing or notification.resolved), None)
    group = ", ".join(f"{name}={value}" for name, value in notification.group)
    component = dict(notification.group).get("component", "")
    if not component and gravest is not None and gravest.component is not None:
        component = gravest.component.value
    test = notification.kind is NotificationKind.TEST
    payload = {
        "summary": shortened(one_line(title), _SUMMARY) or "metalscope",
        "source": _name(notification.source) or "metalscope",
        "severity": "info" if test else _SEVERITIES[notification.severity],
        "timestamp": rfc3339(notification.began_at),
        "component": _name(component),
        "group": _name(group),
        "class": _name(gravest.rule) if gravest is not None else "",
        "custom_details": details,
    }
    links = [
        {"href": url, "text": shortened(name, _NAME)}
        for name, url in buttons_of(notification, _URL)[:_LINKS]
    ]
    event: dict[str, Any] = {
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": _dedup_key(notification),
        "client": "metalscope",
        "payload": {name: value for name, value in payload.items() if value},
    }
    if links:
        event["links"] = links
    dashboard = dict(notification.links).get("dashboard")
    if any(link["href"] == dashboard for link in links):
        event["client_url"] = dashboard
    return event


def _details(notification: Notification, number: int) -> dict[str, Any]:
    details: dict[str, Any] = {
        "firing": [_alert(one, notification) for one in notification.firing[:number]]
    }
    why = why_phrase(notification)
    if why:
        details["why"] = why
    more = notification.omitted + len(notification.firing) - number
    if more:
        details["more that fire"] = more
    if notification.resolved:
        details["over"] = [_short(over_phrase(one)) for one in notification.resolved[:50]]
    return details


def _alert(alert: Alert, notification: Notification) -> dict[str, Any]:
    found: dict[str, Any] = {"alert": _short(one_line(alert.title) or alert.rule)}
    found |= {
        _name(name): _short(value) for name, value in facts_of(alert, notification.created_at)[:40]
    }
    said = {
        "description": shortened(lines(alert.description), _TEXT),
        "evidence": [_short(one) for one in evidence_phrases(alert)[:20]],
        "what to do": [_short(one_line(one)) for one in alert.actions[:20]],
    }
    return found | {name: value for name, value in said.items() if value}


def _short(text: str) -> str:
    return shortened(text, _LINE)


def _name(text: str) -> str:
    return shortened(one_line(text), _NAME)
