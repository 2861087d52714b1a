"""Which alerts there is room for, when there are more than may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metalscope.alert_report import Labels
from metalscope.alerts.engine.life import Track
from metalscope.alerts.engine.looking import Holding

if TYPE_CHECKING:
    from metalscope.alerts.rule import AlertRule

__all__ = ["Found", "make_room"]

Found = tuple["AlertRule", Holding]


def make_room(
    tracks: Sequence[Track], new: Sequence[Found], most: int
) -> tuple[Sequence[Found], list[Track], Sequence[Found]]:
    """Which of ``new`` are taken in, which of ``tracks`` go for them, and which are left out.

    The gravest new ones are taken first. Once it is full, each may take the place of one that is
    milder: of these the mildest go first, those that are pending before those that fire.
    """
    free = max(most - len(tracks), 0)
    if len(new) <= free:
        return new, [], ()
    ordered = sorted(new, key=_gravest_first)
    mildest = sorted(tracks, key=_mildest_first)
    gone = []
    for track, (_, holding) in zip(mildest, ordered[free:], strict=False):
        if track.alert.severity.rank >= holding.severity.rank:
            break
        gone.append(track)
    taken = free + len(gone)
    return ordered[:taken], gone, ordered[taken:]


def _gravest_first(found: Found) -> tuple[int, str, Labels]:
    rule, holding = found
    return -holding.severity.rank, rule.name, holding.labels


def _mildest_first(track: Track) -> tuple[int, bool, str]:
    return track.alert.severity.rank, track.is_firing, track.alert.fingerprint
