"""What is not yet in the file: of each thing the newest, so that it cannot grow for ever."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from metalscope.alert_report import Alert, AlertState, Silence
from metalscope.alerts.notification import Notification
from metalscope.alerts.storing import Change, SampleRow

__all__ = ["Waiting"]

MOST_SAMPLES: Final = 50_000
"""Samples that wait; the oldest go first. With 30 series each 15 s, that is seven hours."""
MOST_OF_A_KIND: Final = 10_000
"""Alerts, silences and messages that wait, and as many that are gone, each; the oldest go first,
and of alerts only those that are resolved: how many there may be else is the engine's to bound."""

T = TypeVar("T")


@dataclass(slots=True)
class Waiting:
    """Changes put together. What is gone goes before what is there is written.

    ``dropped`` is how many alerts, messages and samples there was no room for. Not safe under
    threads.
    """

    alerts: dict[str, Alert] = field(default_factory=dict)
    silences: dict[str, Silence] = field(default_factory=dict)
    messages: dict[str, Notification] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    samples: deque[tuple[SampleRow, ...]] = field(default_factory=deque)
    samples_from: float | None = None
    forgotten_before: datetime | None = None
    # Dictionaries, as they know which came first.
    gone_alerts: dict[str, None] = field(default_factory=dict)
    gone_silences: dict[str, None] = field(default_factory=dict)
    gone_messages: dict[str, None] = field(default_factory=dict)
    dropped: int = 0
    _sample_count: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (
            self.alerts or self.silences or self.messages or self.documents or self.samples
            or self.gone_alerts or self.gone_silences or self.gone_messages
            or self.samples_from is not None or self.forgotten_before is not None
        )  # fmt: skip

    def __len__(self) -> int:
        """How many alerts, silences, documents, messages and samples wait."""
        return (
            len(self.alerts) + len(self.silences) + len(self.messages) + len(self.documents)
            + self._sample_count
        )  # fmt: skip

    def add(self, change: Change) -> None:
        """Add a later change."""
        for alert in change.alerts:
            self.alerts.pop(alert.id, None)
            self.alerts[alert.id] = alert
        self.silences.update((one.id, one) for one in change.silences)
        _take_out(self.silences, self.gone_silences, change.without)
        self.documents.update(change.documents)
        self.messages.update((one.id, one) for one in change.messages)
        _take_out(self.messages, self.gone_messages, change.sent)
        if change.samples:
            self._add_samples(tuple(change.samples))
        if change.samples_from is not None:
            self.samples_from = change.samples_from
        self._keep_bounds()

    def forget(self, before: datetime) -> None:
        """Let go of alerts that were resolved before a moment, and of silences that ended."""
        over = [
            one.id
            for one in self.alerts.values()
            if one.resolved_at is not None and one.resolved_at < before
        ]
        _take_out(self.alerts, self.gone_alerts, over)
        ended = [one.id for one in self.silences.values() if one.ends_at < before]
        _take_out(self.silences, self.gone_silences, ended)
        if self.forgotten_before is None or self.forgotten_before < before:
            self.forgotten_before = before
        self._keep_bounds()

    def then(self, later: Waiting) -> Waiting:
        """Both together, as something new."""
        both = Waiting(
            dict(self.alerts), dict(self.silences), dict(self.messages), dict(self.documents),
            deque(self.samples), self.samples_from, self.forgotten_before,
            dict(self.gone_alerts), dict(self.gone_silences), dict(self.gone_messages),
            self.dropped + later.dropped, self._sample_count,
        )  # fmt: skip
        if later.forgotten_before is not None:
            both.forget(later.forgotten_before)
        _take_out(both.alerts, both.gone_alerts, later.gone_alerts)
        _take_out(both.silences, both.gone_silences, later.gone_silences)
        _take_out(both.messages, both.gone_messages, later.gone_messages)
        for alert_id, alert in later.alerts.items():
            both.alerts.pop(alert_id, None)
            both.alerts[alert_id] = alert
        both.silences.update(later.silences)
        both.messages.update(later.messages)
        both.documents.update(later.documents)
        for samples in later.samples:
            both._add_samples(samples)
        if later.samples_from is not None:
            both.samples_from = later.samples_from
        both._keep_bounds()
        return both

    def _add_samples(self, samples: tuple[SampleRow, ...]) -> None:
        self.samples.append(samples)
        self._sample_count += len(samples)
        # The latest are never cut: a store must hold at least what is sampled at once.
        while self._sample_count > MOST_SAMPLES and len(self.samples) > 1:
            gone = len(self.samples.popleft())
            self._sample_count -= gone
            self.dropped += gone

    def _keep_bounds(self) -> None:
        if len(self.alerts) > MOST_OF_A_KIND:
            over = [one.id for one in self.alerts.values() if one.state is AlertState.RESOLVED]
            for old in over[: len(self.alerts) - MOST_OF_A_KIND]:
                del self.alerts[old]
                # Better unknown than for ever firing.
                self.gone_alerts[old] = None
                self.dropped += 1
        for kind in (self.silences, self.messages):
            self.dropped += _shorten(kind)
        for gone in (self.gone_alerts, self.gone_silences, self.gone_messages):
            _shorten(gone)


def _take_out(there: dict[str, T], gone: dict[str, None], ids: Iterable[str]) -> None:
    for one in ids:
        there.pop(one, None)
        gone[one] = None


def _shorten(kind: dict[str, Any]) -> int:
    too_many = len(kind) - MOST_OF_A_KIND
    for _ in range(too_many):
        del kind[next(iter(kind))]
    return max(0, too_many)
