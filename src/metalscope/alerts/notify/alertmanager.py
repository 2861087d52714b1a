"""Prometheus's Alertmanager: alerts are handed on, and it groups, repeats, silences and tells.

After Alertmanager's API v2 (``api/v2/openapi.yaml``), and Prometheus's own ``notifier``.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit, urlunsplit

from metalscope.alert_report import Alert, AlertState
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.phrases import evidence_phrases, figure_phrase, is_web_link
from metalscope.errors import ConfigurationError
from metalscope.moments import rfc3339
from metalscope.sending.http.transport import judge
from metalscope.sending.result import ExportResult

if TYPE_CHECKING:
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.base import NotifierContext

__all__ = ["AlertmanagerNotifier"]

_PATH: Final = "/api/v2/alerts"

_VALID_FOR: Final = timedelta(minutes=4)
"""How long an alert counts as firing that is not sent again. Prometheus, ``rules/alerting.go``:
four times the time until it is sent again, which here is a minute."""

_MOST_REMEMBERED: Final = 2000
"""Alerts whose labels are remembered; as many may be graver than they were at a time."""


class AlertmanagerNotifier(Notifier):
    """Puts alerts to an Alertmanager, as a Prometheus does.

    Raises:
        ConfigurationError: the target is no URL of an Alertmanager.
        MissingExtraError: the key is in the keyring, and the library for it is not installed.
    """

    forwards: ClassVar[bool] = True

    def __init__(self, context: NotifierContext) -> None:
        target = context.options.endpoint or ""
        self._http = context.open_http(_url(target, context.options.who))
        # By the alert's id: the labels it was last sent with.
        self._sent: OrderedDict[str, dict[str, str]] = OrderedDict()

    def send(self, notification: Notification) -> ExportResult:
        """Put all alerts of a message."""
        now = notification.created_at
        told = [one for one in notification.alerts if one.state is not AlertState.PENDING]
        alerts = [made for one in told for made in self._alerts(one, notification.source, now)]
        if not alerts:
            return ExportResult.delivered()
        body = json.dumps(alerts, separators=(",", ":")).encode()
        result = judge(self._http.send(body, content_type="application/json"))
        if not result.ok:
            return result
        for one in told:
            self._remember(one, _labels(one, notification.source))
        return ExportResult.delivered(len(alerts))

    def shutdown(self) -> None:
        """Close the connections."""
        self._http.close()

    def _alerts(self, alert: Alert, source: str, now: datetime) -> Iterator[dict[str, Any]]:
        labels = _labels(alert, source)
        before = self._sent.get(alert.id, labels)
        if before != labels:
            # To Alertmanager an alert of another severity is another alert: this one is over.
            yield _alert(alert, before, ends_at=now)
        over = alert.state is AlertState.RESOLVED
        yield _alert(alert, labels, ends_at=alert.resolved_at or now if over else now + _VALID_FOR)

    def _remember(self, alert: Alert, labels: dict[str, str]) -> None:
        self._sent.pop(alert.id, None)
        if alert.state is AlertState.FIRING:
            self._sent[alert.id] = labels
            if len(self._sent) > _MOST_REMEMBERED:
                self._sent.popitem(last=False)


def _url(target: str, who: str) -> str:
    """Where alerts are put: the target, with the path of the API where it has none."""
    url = re.sub(r"^alertmanager\+", "", target, flags=re.IGNORECASE)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(
            f"{who}: target must be Alertmanager's URL, such as 'http://alertmanager:9093', or "
            "with alertmanager+ before it"
        )
    path = parts.path.rstrip("/")
    if not path.endswith(_PATH):
        path += _PATH
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _labels(alert: Alert, source: str) -> dict[str, str]:
    """Names as Prometheus has them, which each Alertmanager takes; no empty values: they are as
    good as none, and it refuses an alert that has none but those."""
    labels = {"instance": source} | alert.all_labels
    named = {re.sub(r"[^a-zA-Z0-9_]|^(?=[0-9])", "_", name): v for name, v in labels.items()}
    return {name: _text(value) for name, value in named.items() if name and value}


def _alert(alert: Alert, labels: dict[str, str], *, ends_at: datetime) -> dict[str, Any]:
    annotations = {
        "summary": alert.title,
        "description": alert.description,
        "evidence": "\n".join(
            [
                *(f"{one.name}: {figure_phrase(one)}" for one in alert.evidence.figures),
                *evidence_phrases(alert),
            ]
        ),
        "actions": "\n".join(alert.actions),
        "runbook_url": alert.runbook,
        "resolution": alert.resolution,
    }
    starts_at = alert.fired_at or alert.active_since
    made: dict[str, Any] = {
        "labels": labels,
        "annotations": {name: _text(text) for name, text in annotations.items() if text},
        "startsAt": rfc3339(starts_at),
        # An end before the start is refused.
        "endsAt": rfc3339(max(ends_at, starts_at)),
    }
    # It refuses what is no URI.
    if _is_uri(alert.link):
        made["generatorURL"] = alert.link
    return made


def _is_uri(link: str) -> bool:
    # A % must begin an escape (RFC 3986, 2.1).
    if not is_web_link(link) or re.search(r"%(?![0-9A-Fa-f]{2})", link):
        return False
    try:
        return bool(urlsplit(link).hostname)
    except ValueError:
        return False


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
