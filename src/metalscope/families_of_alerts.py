"""The alerts of a snapshot, and how their channels do, as values of metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from metalscope import semconv
from metalscope.export_status import BreakerState
from metalscope.semconv import Metric
from metalscope.snapshot import ChannelStatus, MetalTelemetrySnapshot

__all__ = ["ALERT_VALUES"]

Values = Iterator[tuple[tuple[str, ...], float]]
Source = Callable[[MetalTelemetrySnapshot], Values]


def _alerts(snapshot: MetalTelemetrySnapshot) -> Values:
    counts = Counter((one.rule, one.severity.value, one.state.value) for one in snapshot.alerts)
    yield from counts.items()


def _each_channel(pick: Callable[[ChannelStatus], float]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for one in snapshot.internals.channels:
            yield (one.name,), pick(one)

    return values


def _by_reason(pick: Callable[[ChannelStatus], Mapping[str, int]]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for one in snapshot.internals.channels:
            for reason, count in sorted(pick(one).items()):
                yield (one.name, reason), count

    return values


def _last_success(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.internals.channels:
        if one.last_success is not None:
            yield (one.name,), one.last_success.timestamp()


def _channel_state(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.internals.channels:
        for state in BreakerState:
            yield (one.name, one.type, state.value), int(one.state is state)


ALERT_VALUES: Final[dict[Metric, Source]] = {
    semconv.ALERTS: _alerts,
    semconv.NOTIFICATIONS_DELIVERED: _each_channel(lambda one: one.delivered),
    semconv.NOTIFICATIONS_DROPPED: _by_reason(lambda one: one.dropped),
    semconv.NOTIFICATION_FAILURES: _by_reason(lambda one: one.failures),
    semconv.NOTIFICATIONS_WAITING: _each_channel(lambda one: one.waiting),
    semconv.NOTIFICATION_LAST_SUCCESS: _last_success,
    semconv.CHANNEL_STATE: _channel_state,
}
