"""Notifiers and messages for tests of how messages get to their channels."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from alert_samples import FIRING, MESSAGE, NOW, RESOLVED
from metalscope.alert_options import ChannelOptions
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.base import Notifier
from metalscope.sending.http.transport import HttpTransport, judge
from metalscope.sending.result import ExportResult

FIRST, UPDATE, REPEAT, ESCALATION, END, TEST = NotificationKind

_numbers = iter(range(1_000_000))


def message(
    kind: NotificationKind = FIRST,
    incident: int = 0,
    *,
    channel: str = "ops",
    at: datetime = NOW,
    over: Sequence[str] = (),
) -> Notification:
    """A message of the incident of this number; ``over`` are ids of alerts that ended."""
    firing = () if kind is END else (FIRING,)
    ends = tuple(replace(RESOLVED, id=one) for one in over or (["end"] if kind is END else []))
    return replace(
        MESSAGE,
        id=f"m{next(_numbers)}",
        channel=channel,
        kind=kind,
        created_at=at,
        began_at=NOW + timedelta(seconds=incident),
        alerts=(*firing, *ends),
    )


class Time:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.at - 1000)


class Answers(Notifier):
    """Answers as it is told, at once, and keeps what it was asked to send."""

    def __init__(self, answer: ExportResult | None = None) -> None:
        self.answer: object = answer or ExportResult.delivered()
        self.asked: list[Notification] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.ended = 0

    def send(self, notification: Notification) -> ExportResult:
        self.asked.append(notification)
        self.meanwhile()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value] # as one that is written wrongly

    def shutdown(self) -> None:
        self.ended += 1


class Forwards(Answers):
    """The same, for a peer that groups and repeats itself."""

    forwards = True


class Posts(Notifier):
    """Posts messages as JSON over HTTP; ``results`` gets what became of each try."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        options = ChannelOptions.model_validate({"name": "ops", "target": url})
        self._http = HttpTransport.of(options, timeout=timedelta(seconds=timeout))
        self.results: queue.SimpleQueue[ExportResult] = queue.SimpleQueue()

    def send(self, notification: Notification) -> ExportResult:
        try:
            body = json.dumps(notification.to_dict()).encode()
            result = judge(self._http.send(body, content_type="application/json"))
        except Exception as error:
            self.results.put(ExportResult.retry(getattr(error, "reason"), str(error)))  # noqa: B009
            raise
        self.results.put(result)
        return result

    def shutdown(self) -> None:
        self._http.close()
