"""Ways of timing and counting one operation: ours, the least there is, and other libraries'.

Each is a function of one round: it takes the names of the operations in order, records each one,
and then reads all it recorded once, as an exporter would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, Self

BOUNDS_MS = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0,
    250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 30_000.0,
)  # fmt: skip
"""The bounds of metal_operation_duration_ms, so that all count into the same buckets."""

Round = Callable[[], object]


# -- the least there is --------------------------------------------------------------------------


def empty_loop(names: Sequence[str]) -> Round:
    def run() -> None:
        for _ in names:
            pass

    return run


def floor(names: Sequence[str]) -> Round:
    def run() -> None:
        taken: list[int] = []
        for _ in names:
            start = perf_counter_ns()
            taken.append(perf_counter_ns() - start)

    return run


class _Nothing:
    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


class _Timer:
    __slots__ = ("start", "taken")

    def __init__(self, taken: list[int]) -> None:
        self.taken = taken

    def __enter__(self) -> Self:
        self.start = perf_counter_ns()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.taken.append(perf_counter_ns() - self.start)


def empty_with(names: Sequence[str]) -> Round:
    def run() -> None:
        for _ in names:
            with _Nothing():
                pass

    return run


def plain_timer(names: Sequence[str]) -> Round:
    def run() -> None:
        taken: list[int] = []
        for _ in names:
            with _Timer(taken):
                pass

    return run


# -- ours ----------------------------------------------------------------------------------------


def operation(tel: Any, names: Sequence[str]) -> Round:
    def run() -> None:
        for name in names:
            with tel.operation("execute", name):
                pass
        tel.get_snapshot()

    return run


def operation_with_bytes(tel: Any, names: Sequence[str]) -> Round:
    def run() -> None:
        for name in names:
            with tel.operation("execute", name, nbytes=4096, device="gpu0"):
                pass
        tel.get_snapshot()

    return run


def with_alone(tel: Any, names: Sequence[str]) -> Round:
    """What the interpreter takes to enter and leave one operation, made beforehand."""

    def run() -> None:
        made = tel.operation("execute", "f")
        for _ in names:
            with made:
                pass

    return run


def record(tel: Any, names: Sequence[str]) -> Round:
    def run() -> None:
        for name in names:
            start = perf_counter_ns()
            tel.record("execute", name, duration_ns=perf_counter_ns() - start)
        tel.get_snapshot()

    return run


def record_known(tel: Any, names: Sequence[str]) -> Round:
    """As a caller does that did not read the clock itself."""

    def run() -> None:
        for name in names:
            tel.record("execute", name, duration_ns=1000)
        tel.get_snapshot()

    return run


def snapshot(tel: Any, names: Sequence[str]) -> Round:
    """One operation of each name, so that all have moved, and one snapshot."""
    distinct = sorted(set(names))

    def run() -> None:
        for name in distinct:
            tel.record("execute", name, duration_ns=1000)
        tel.get_snapshot()

    return run


# -- others' -------------------------------------------------------------------------------------

LABELS = ("kind", "name", "device", "outcome")


def prometheus(names: Sequence[str]) -> Mapping[str, Round]:
    from prometheus_client import CollectorRegistry, Counter, Histogram

    registry = CollectorRegistry()
    counter = Counter("operations", "Operations.", LABELS, registry=registry)
    histogram = Histogram("duration_ms", "Duration.", LABELS, buckets=BOUNDS_MS, registry=registry)
    # As where the code holds on to the children of the call site: no lookup in the loop.
    children = [
        (counter.labels("execute", name, "", "ok"), histogram.labels("execute", name, "", "ok"))
        for name in names
    ]

    def cached() -> None:
        for count, duration in children:
            start = perf_counter_ns()
            took = perf_counter_ns() - start
            count.inc()
            duration.observe(took / 1e6)
        list(registry.collect())

    def looked_up() -> None:
        for name in names:
            start = perf_counter_ns()
            took = perf_counter_ns() - start
            counter.labels("execute", name, "", "ok").inc()
            histogram.labels("execute", name, "", "ok").observe(took / 1e6)
        list(registry.collect())

    return {"prometheus_client, cached children": cached, "prometheus_client, labels()": looked_up}


def opentelemetry(names: Sequence[str]) -> Mapping[str, Round]:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
    from opentelemetry.sdk.trace import TracerProvider

    reader = InMemoryMetricReader()
    buckets = View(
        instrument_name="duration",
        aggregation=ExplicitBucketHistogramAggregation(boundaries=BOUNDS_MS),
    )
    provider = MeterProvider([reader], views=[buckets], shutdown_on_exit=False)
    meter = provider.get_meter("bench")
    counter = meter.create_counter("operations")
    histogram = meter.create_histogram("duration", unit="ms")
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("bench")

    def metrics() -> None:
        for name in names:
            start = perf_counter_ns()
            took = perf_counter_ns() - start
            attributes = {"kind": "execute", "name": name, "device": "", "outcome": "ok"}
            counter.add(1, attributes)
            histogram.record(took / 1e6, attributes)
        reader.get_metrics_data()

    def spans() -> None:
        for name in names:
            attributes = {"kind": "execute", "device": "", "outcome": "ok"}
            with tracer.start_as_current_span(name, attributes=attributes):
                pass

    return {
        "OpenTelemetry SDK, counter + histogram": metrics,
        "OpenTelemetry SDK, span, no processor": spans,
    }
