"""The alerts that are pending or firing, by rule and labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from metalscope.alert_report import Alert, AlertState, Labels
from metalscope.alerts.engine.clock import microseconds_of
from metalscope.alerts.engine.life import Track

__all__ = ["Book", "gravest_first_key"]

REFRESH: Final = microseconds_of(600)
"""How old the count and value may be that are kept of an alert which merely goes on."""

_NONE: Mapping[Labels, Track] = MappingProxyType({})


class Book:
    """Knows the alerts that are active."""

    def __init__(self) -> None:
        self._tracks: dict[str, dict[Labels, Track]] = {}

    def __iter__(self) -> Iterator[Track]:
        for tracks in self._tracks.values():
            yield from tracks.values()

    def __len__(self) -> int:
        return sum(map(len, self._tracks.values()))

    def of(self, rule: str) -> Mapping[Labels, Track]:
        """Those of a rule, by labels."""
        return self._tracks.get(rule, _NONE)

    def find(self, alert_id: str) -> Track:
        """That of an id.

        Raises:
            KeyError: there is none.
        """
        for track in self:
            if track.alert.id == alert_id:
                return track
        raise KeyError(alert_id)

    def add(self, track: Track) -> None:
        """Take one in."""
        alert = track.alert
        self._tracks.setdefault(alert.rule, {})[alert.labels] = track

    def remove(self, track: Track) -> None:
        """Let go of one."""
        alert = track.alert
        del self._tracks[alert.rule][alert.labels]

    def gravest_first(self) -> tuple[Alert, ...]:
        """The alerts, and of the same severity those that fire, and that began first, first."""
        return tuple(sorted((track.alert for track in self), key=gravest_first_key))

    def changed(self, time: int) -> tuple[Alert, ...]:
        """Those that fire and must be kept anew at ``time``, in microseconds of the clock."""
        found = []
        for track in self:
            if track.is_firing and (track.altered or time - track.told >= REFRESH):
                track.altered, track.told = False, time
                found.append(track.alert)
        return tuple(sorted(found, key=gravest_first_key))


def gravest_first_key(alert: Alert) -> tuple[int, bool, datetime, str]:
    """Sorts the gravest first, then those that fire, then those that began first."""
    return (
        -alert.severity.rank,
        alert.state is not AlertState.FIRING,
        alert.active_since,
        alert.fingerprint,
    )
