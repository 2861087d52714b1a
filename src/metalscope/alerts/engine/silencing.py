"""Silences: who wanted which alerts to tell nobody, from when, and until when."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from metalscope.alert_report import Matcher, Silence

__all__ = ["MOST_SILENCES", "Silences"]

MOST_SILENCES: Final = 1000
"""Those that ended and are kept are counted too; they go first."""


class Silences:
    """All silences that hold, will hold, or ended within the retention."""

    def __init__(self, retention: timedelta) -> None:
        self._retention = retention
        self._silences: dict[str, Silence] = {}

    @property
    def all(self) -> tuple[Silence, ...]:
        """By when they begin."""
        return tuple(sorted(self._silences.values(), key=lambda one: (one.starts_at, one.id)))

    def add(
        self,
        matchers: Iterable[Matcher | str],
        *,
        starts_at: datetime,
        ends_at: datetime,
        created_by: str,
        comment: str,
    ) -> Silence:
        """A new one.

        Raises:
            ValueError: it has no matcher, or only such as fit what has no labels; it ends before
                it begins, a time has no zone, or there are too many.
        """
        parsed = tuple(Matcher.parse(one) if isinstance(one, str) else one for one in matchers)
        # As Alertmanager: who silences everything is to say so, with alertname=~".+".
        if all(one.matches({}) for one in parsed):
            raise ValueError(
                "matchers: must have one that does not fit an empty label; "
                'for all alerts write alertname=~".+"'
            )
        for name, moment in (("starts_at", starts_at), ("ends_at", ends_at)):
            if moment.tzinfo is None:
                raise ValueError(f"{name}: must have a time zone, which {moment!r} has not")
        if ends_at <= starts_at:
            raise ValueError(f"ends_at: must be after starts_at, which is {starts_at.isoformat()}")
        self._make_room(starts_at)
        silence = Silence(secrets.token_hex(8), parsed, starts_at, ends_at, created_by, comment)
        self._silences[silence.id] = silence
        return silence

    def expire(self, silence_id: str, now: datetime) -> Silence:
        """End one now; one that has not begun never will. One that ended stays as it is.

        Raises:
            KeyError: there is none of this id.
        """
        silence = self._silences[silence_id]
        if now < silence.ends_at:
            silence = replace(silence, starts_at=min(silence.starts_at, now), ends_at=now)
            self._silences[silence_id] = silence
        return silence

    def restore(self, kept: Iterable[Silence]) -> None:
        """Take those that were kept."""
        self._silences.update((one.id, one) for one in kept)

    def forget(self, now: datetime) -> None:
        """Let go of those that ended longer ago than the retention."""
        before = now - self._retention
        for one in [one for one in self._silences.values() if one.ends_at < before]:
            del self._silences[one.id]

    def holding(self, now: datetime) -> tuple[Silence, ...]:
        """Those that hold at a moment."""
        return tuple(one for one in self._silences.values() if one.is_active(now))

    def matching(self, labels: Mapping[str, str], now: datetime) -> tuple[str, ...]:
        """The ids of those that keep an alert of these labels quiet."""
        return tuple(sorted(one.id for one in self.holding(now) if one.matches(labels)))

    def _make_room(self, now: datetime) -> None:
        if len(self._silences) < MOST_SILENCES:
            return
        ended = [one for one in self._silences.values() if one.ends_at <= now]
        if not ended:
            raise ValueError(f"there are {MOST_SILENCES} silences already, and none has ended")
        del self._silences[min(ended, key=lambda one: one.ends_at).id]
