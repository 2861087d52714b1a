"""Snapshots of every shape, and a small session that moves as a program's does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from metalscope.export_status import BreakerState, ExporterStatus
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, Component, MetalError, OperationKind
from metalscope.session import SessionHeader
from metalscope.session.format import SessionSource
from metalscope.snapshot import (
    ActivityPoint,
    ComponentHealth,
    CustomMetric,
    DeviceInfo,
    Exemplar,
    HealthReport,
    HealthStatus,
    InternalMetrics,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    RecentActivity,
    ResourceKind,
    ResourceMetrics,
    SystemInfo,
    TelemetryEvent,
)

BEGAN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
HEADER = SessionHeader(BEGAN, SessionSource.RUN, 1.0, host="box")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", 'a "quote"', "<", ">", "0", "NaN", "\u2028\x00"]
)
counts = st.integers(0, 2**62)
times = st.datetimes(
    datetime(1990, 1, 1),
    datetime(2090, 1, 1),
    timezones=st.just(UTC),
)
numbers = st.floats(allow_nan=False) | st.integers(-(2**70), 2**70)
histograms = st.lists(st.integers(0, 2**50), max_size=6).map(DurationHistogram.from_durations)
exemplars = st.builds(
    Exemplar,
    value_ms=st.floats(0, 1e9),
    timestamp=times,
    trace_id=st.just("0af7651916cd43dd8448eb211c80319c"),
    span_id=st.just("b7ad6b7169203331"),
)
outcomes = st.builds(
    OutcomeMetrics,
    outcome=st.sampled_from([OK, *MetalError]),
    durations=histograms,
    nbytes=counts,
    gpu_ns=counts,
    gpu_count=counts,
    untimed=counts,
    exemplars=st.lists(exemplars, max_size=2).map(tuple),
)
operations = st.builds(
    OperationMetrics,
    kind=st.sampled_from(OperationKind),
    name=texts,
    device=texts,
    outcomes=st.lists(outcomes, max_size=3, unique_by=lambda o: o.outcome).map(tuple),
    last_updated=st.none() | times,
)
resources = st.builds(
    ResourceMetrics,
    kind=st.sampled_from(ResourceKind),
    name=texts,
    device=texts,
    current=numbers,
    peak=st.none() | numbers,
    limit=st.none() | numbers,
)
labels = st.dictionaries(texts, texts, max_size=3).map(lambda d: tuple(sorted(d.items())))
customs = st.builds(
    CustomMetric,
    name=texts,
    kind=st.sampled_from(["counter", "gauge"]),
    labels=labels,
    value=numbers,
) | st.builds(
    CustomMetric,
    name=texts,
    kind=st.just("histogram"),
    labels=labels,
    value=numbers,
    count=counts,
    buckets=st.lists(st.tuples(numbers, counts), max_size=3).map(tuple),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
events = st.builds(
    TelemetryEvent,
    sequence=counts,
    timestamp=times,
    name=texts,
    properties=st.dictionaries(texts, values, max_size=3),
)
points = st.builds(ActivityPoint, times, numbers, numbers, st.none() | numbers)
devices = st.builds(
    DeviceInfo,
    name=texts,
    backend=texts,
    memory_bytes=st.none() | counts,
    max_threads_per_threadgroup=st.none() | counts,
    unified_memory=st.none() | st.booleans(),
    properties=st.dictionaries(texts, texts, max_size=3).map(lambda d: tuple(d.items())),
)
systems = st.builds(
    SystemInfo,
    host=texts,
    pid=counts,
    os=texts,
    os_version=texts,
    architecture=texts,
    processors=st.none() | counts,
    python=texts,
    metalscope=texts,
    memory_total_bytes=st.none() | counts,
    memory_available_bytes=st.none() | counts,
    devices=st.lists(devices, max_size=2).map(tuple),
)
rooms = st.dictionaries(texts, counts, max_size=3)
exporters = st.builds(
    ExporterStatus,
    name=texts,
    type=texts,
    state=st.sampled_from(BreakerState),
    queued=counts,
    delivered=counts,
    points=counts,
    rejected_points=counts,
    failures=rooms,
    dropped=rooms,
    waiting=counts,
    waiting_bytes=counts,
    seconds=st.floats(0, 1e9),
    last_success=st.none() | times,
    last_error=texts,
)
error_counts = st.dictionaries(st.sampled_from(MetalError), counts, max_size=3)
snapshots = st.builds(
    MetalTelemetrySnapshot,
    timestamp=times,
    started_at=times,
    operations=st.lists(operations, max_size=4).map(tuple),
    resources=st.lists(resources, max_size=4).map(tuple),
    health=st.builds(
        HealthReport,
        st.sampled_from(HealthStatus),
        st.lists(
            st.builds(
                ComponentHealth,
                st.sampled_from(Component),
                st.sampled_from(HealthStatus),
                st.lists(texts, max_size=2).map(tuple),
            ),
            max_size=3,
        ).map(tuple),
    ),
    recent=st.builds(
        RecentActivity,
        seconds=st.floats(0, 1e6),
        operations=counts,
        errors=error_counts,
        points=st.lists(points, max_size=4).map(tuple),
    ),
    custom=st.lists(customs, max_size=3).map(tuple),
    events=st.lists(events, max_size=3).map(tuple),
    system=st.none() | systems,
    internals=st.builds(
        InternalMetrics, rooms, counts, rooms, st.lists(exporters, max_size=2).map(tuple)
    ),
    retired_operations=counts,
    retired_errors=counts,
)


def sessions(most: int = 5) -> st.SearchStrategy[list[MetalTelemetrySnapshot]]:
    """Frames in the order of their time; one often shares parts with the one before."""

    def follow(pairs: list[tuple[MetalTelemetrySnapshot, bool]]) -> list[MetalTelemetrySnapshot]:
        frames: list[MetalTelemetrySnapshot] = []
        for at, (one, keeps) in enumerate(pairs):
            moved = replace(one, timestamp=BEGAN + timedelta(seconds=at))
            if keeps and frames:
                before = frames[-1]
                moved = replace(
                    moved,
                    operations=(*before.operations, *one.operations[:1]),
                    events=(*before.events, *one.events)[-3:],
                    custom=before.custom,
                    system=before.system,
                )
            frames.append(moved)
        return frames

    return st.lists(st.tuples(snapshots, st.booleans()), max_size=most).map(follow)


def a_session(frames: int) -> list[MetalTelemetrySnapshot]:
    """A few operations that move, one that begins later, a reading, a sliding window of points."""
    made = []
    for at in range(frames):
        now = BEGAN + timedelta(seconds=at)
        names = ["matmul", "softmax"] + (["late"] if at > frames // 2 else [])
        operations = tuple(
            OperationMetrics(
                OperationKind.EXECUTE,
                name,
                "m1",
                (
                    OutcomeMetrics(
                        OK,
                        DurationHistogram.from_durations(
                            [50_000 * (k % 7 + 1) for k in range(at + 1)]
                        ),
                        nbytes=at,
                    ),
                ),
                now,
            )
            for name in names
        )
        points = tuple(
            ActivityPoint(now - timedelta(seconds=back), 10.0 + at - back, 0.0, 0.25)
            for back in reversed(range(min(at + 1, 5)))
        )
        made.append(
            MetalTelemetrySnapshot(
                now,
                BEGAN,
                operations,
                (ResourceMetrics(ResourceKind.MEMORY, "active", "m1", 1024 * at),),
                recent=RecentActivity(5.0, at, {}, points),
                system=SystemInfo("box", 7, "macOS", "15", "arm64", 8, "3.12.1", "0.1.0"),
            )
        )
    return made
