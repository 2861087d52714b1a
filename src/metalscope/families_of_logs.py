"""What was logged and traced, and how their sinks do, as values of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from metalscope import semconv
from metalscope.export_status import BreakerState
from metalscope.semconv import Metric
from metalscope.snapshot import MetalTelemetrySnapshot, SinkStatus

__all__ = ["LOG_VALUES"]

Values = Iterator[tuple[tuple[str, ...], float]]
Source = Callable[[MetalTelemetrySnapshot], Values]


def _records(snapshot: MetalTelemetrySnapshot) -> Values:
    for severity, count in sorted(snapshot.internals.log_records.items()):
        yield (severity,), count


def _spans(snapshot: MetalTelemetrySnapshot) -> Values:
    for decision, count in sorted(snapshot.internals.spans.items()):
        yield (decision,), count


def _each_sink(pick: Callable[[SinkStatus], float]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for one in snapshot.internals.sinks:
            yield (one.signal, one.name), pick(one)

    return values


def _by_reason(pick: Callable[[SinkStatus], Mapping[str, int]]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for one in snapshot.internals.sinks:
            for reason, count in sorted(pick(one).items()):
                yield (one.signal, one.name, reason), count

    return values


def _last_success(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.internals.sinks:
        if one.last_success is not None:
            yield (one.signal, one.name), one.last_success.timestamp()


def _state(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.internals.sinks:
        for state in BreakerState:
            yield (one.signal, one.name, one.type, state.value), int(one.state is state)


LOG_VALUES: Final[dict[Metric, Source]] = {
    semconv.LOG_RECORDS: _records,
    semconv.SPANS: _spans,
    semconv.SINK_DELIVERED: _each_sink(lambda one: one.delivered),
    semconv.SINK_DROPPED: _by_reason(lambda one: one.dropped),
    semconv.SINK_FAILURES: _by_reason(lambda one: one.failures),
    semconv.SINK_WAITING: _each_sink(lambda one: one.waiting),
    semconv.SINK_WAITING_BYTES: _each_sink(lambda one: one.waiting_bytes),
    semconv.SINK_LAST_SUCCESS: _last_success,
    semconv.SINK_STATE: _state,
}
