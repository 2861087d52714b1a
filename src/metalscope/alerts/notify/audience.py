"""Which alerts one channel is to be told of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from metalscope.alert_report import Alert, AlertState, Matcher

if TYPE_CHECKING:
    from metalscope.alert_options import ChannelOptions

__all__ = ["Audience"]


class Audience:
    """What a channel wants to hear of, by its options.

    Args:
        options: the channel's.
        escalates: whether ``escalate_after`` is heeded.
    """

    def __init__(self, options: ChannelOptions, *, escalates: bool = True) -> None:
        self._least = options.min_severity.rank
        self._matchers = tuple(map(Matcher.parse, options.matchers))
        self._after = options.escalate_after if escalates else timedelta()

    @property
    def is_escalated_to(self) -> bool:
        """Whether it is told only of what nobody acknowledged in time."""
        return bool(self._after)

    def hears_of(self, alert: Alert, labels: Mapping[str, str], now: datetime) -> bool:
        """Whether it is to be told of an alert of these ``all_labels``, as it is now."""
        if alert.state is not AlertState.FIRING or alert.is_muted:
            return False
        if alert.severity.rank < self._least:
            return False
        if self._after:
            fired_at = alert.fired_at or alert.active_since
            if alert.acknowledged is not None or now - fired_at < self._after:
                return False
        return all(one.matches(labels) for one in self._matchers)
