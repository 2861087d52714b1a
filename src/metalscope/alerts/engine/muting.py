"""What keeps an alert quiet: silences, maintenance windows, and alerts that explain it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from metalscope.alerts.engine.inhibiting import Inhibition, inhibited
from metalscope.alerts.engine.life import Track
from metalscope.alerts.engine.maintenance import MaintenanceWindow
from metalscope.alerts.engine.silencing import Silences

__all__ = ["Muting"]


class Muting:
    """Says on alerts what keeps them quiet. They live on; only nobody is told."""

    def __init__(
        self,
        silences: Silences,
        windows: Iterable[MaintenanceWindow],
        inhibitions: Iterable[Inhibition],
    ) -> None:
        self._silences = silences
        self._windows = tuple(windows)
        self._inhibitions = tuple(inhibitions)

    def mute(self, tracks: Sequence[Track], now: datetime) -> None:
        """Bring what keeps each quiet up to ``now``."""
        if not tracks:
            return
        silences = self._silences.holding(now)
        windows = [one for one in self._windows if one.is_open(now)]
        explained = inhibited([one.alert for one in tracks], self._inhibitions)
        for track in tracks:
            alert = track.alert
            silenced: tuple[str, ...] = ()
            if silences or windows:
                labels = alert.all_labels
                silenced = (
                    *sorted(one.id for one in silences if one.matches(labels)),
                    *(one.name for one in windows if one.matches(labels)),
                )
            inhibitors = explained.get(alert.fingerprint, ())
            if silenced != alert.silenced_by or inhibitors != alert.inhibited_by:
                track.alter(silenced_by=silenced, inhibited_by=inhibitors)
