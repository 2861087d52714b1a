"""Which operations are watched: those that take most time, as many as memory is set aside for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from metalscope.health.anomalies.episode import Now
from metalscope.health.anomalies.latency import Latency
from metalscope.health.anomalies.signals import Signal
from metalscope.operation import Component

__all__ = ["MAX_OPERATIONS", "Watched"]

MAX_OPERATIONS: Final = 512
"""Operations watched. Each has a state of fixed size, some 10 KiB once an hour has passed."""

FORGOTTEN_AFTER: Final = 86_400.0
"""Seconds without a call after which an operation is not watched any more."""

EXCHANGED: Final = 8
"""Operations that may take the place of others in one bin."""

_BUSIER: Final = 2.0


class Watched:
    """At most :data:`MAX_OPERATIONS` operations; a newcomer must be twice as busy as another."""

    def __init__(self) -> None:
        self._by_subject: dict[str, Latency] = {}
        self._declined: dict[str, tuple[float, Component]] = {}

    def __iter__(self) -> Iterator[Latency]:
        return iter(self._by_subject.values())

    def __len__(self) -> int:
        return len(self._by_subject)

    def admit(self, subject: str, component: Component) -> Latency | None:
        """Its watch, a new one where there is room; ``None`` where there is none."""
        found = self._by_subject.get(subject)
        if found is None and len(self._by_subject) < MAX_OPERATIONS:
            found = self._by_subject[subject] = Latency(subject, component)
        return found

    def decline(self, signal: Signal) -> None:
        """Note how much time an operation took for which there is no room."""
        if len(self._declined) < MAX_OPERATIONS or signal.subject in self._declined:
            before, component = self._declined.get(signal.subject, (0.0, signal.component))
            self._declined[signal.subject] = before + signal.value * signal.weight, component

    def exchange(self, now: Now) -> list[str]:
        """Let go of what has not run for a day and of what is less busy than newcomers."""
        gone = [
            one.subject
            for one in self._by_subject.values()
            if now.elapsed - one.ran_at > FORGOTTEN_AFTER
        ]
        for subject in gone:
            del self._by_subject[subject]
        if not self._declined:
            return gone
        idlest = sorted(self._by_subject.values(), key=lambda one: one.busy)[:EXCHANGED]
        busiest = sorted(self._declined.items(), key=lambda one: -one[1][0])[:EXCHANGED]
        for idle, (subject, (spent, component)) in zip(idlest, busiest, strict=False):
            if spent > _BUSIER * idle.busy:
                del self._by_subject[idle.subject]
                self._by_subject[subject] = Latency(subject, component)
                gone.append(idle.subject)
        self._declined.clear()
        return gone
