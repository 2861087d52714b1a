from __future__ import annotations

import pickle
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from streams import START, Program, Watch, Work

from metalscope.export_status import BreakerState
from metalscope.health.anomalies.robust import RobustDetector
from metalscope.health.anomalies.watched import MAX_OPERATIONS
from metalscope.health.detectors import detectors_of
from metalscope.health_options import HealthMonitorOptions
from metalscope.health_report import BreakerStatus, HealthReport
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, MetalError, OperationKind
from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics, OutcomeMetrics


def size(detector: RobustDetector) -> int:
    previous, detector._previous = detector._previous, None
    data = len(pickle.dumps(detector))
    detector._previous = previous
    return data


def test_it_is_the_detector_that_the_options_name():
    (detector,) = detectors_of(HealthMonitorOptions.defaults())
    assert isinstance(detector, RobustDetector)


def test_the_state_of_one_operation_does_not_grow_with_time():
    watch = Watch(Program(1))
    watch.program.operations["matmul"] = Work(per_second=0.5)
    assert isinstance(watch.detector, RobustDetector)
    watch.run(25 * 3600, 120.0)
    day = size(watch.detector)
    watch.run(25 * 3600, 120.0)
    assert size(watch.detector) < 1.02 * day
    assert day < 40_000


def test_the_busiest_operations_are_watched_and_no_more():
    program = Program(1)
    watch = Watch(program)
    detector = watch.detector
    assert isinstance(detector, RobustDetector)
    for index in range(MAX_OPERATIONS + 40):
        program.operations[f"idle{index}"] = Work(0.2, 0.1)
    watch.run(40)
    full = size(detector)
    program.operations["busy"] = Work(30.0, 10.0)
    watch.run(40)
    watched = {latency.subject for latency in detector._watched}
    assert len(watched) == MAX_OPERATIONS
    assert "execute busy" in watched
    assert size(detector) < 1.3 * full


def test_names_that_come_and_go_for_ever_do_not_fill_the_memory():
    program = Program(1)
    watch = Watch(program)
    assert isinstance(watch.detector, RobustDetector)
    sizes = []
    for round_ in range(7):
        for index in range(150):
            work = program.operations[f"name{round_}.{index}"] = Work(1 + round_, 0.3)
            work.failing, work.error = 0.3, list(MetalError)[index % 9]
        watch.run(30)
        program.operations.clear()
        sizes.append(size(watch.detector))
    assert sizes[-1] < 1.2 * sizes[3]


_COUNTS = st.integers(0, 50)
_OUTCOMES = st.sampled_from([OK, *MetalError])
_NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def _operations(draw: st.DrawFn) -> OperationMetrics:
    outcomes = draw(st.lists(_OUTCOMES, max_size=3, unique=True))
    return OperationMetrics(
        draw(st.sampled_from(OperationKind)),
        draw(st.sampled_from(["a", "b", ""])),
        draw(st.sampled_from(["", "gpu:0"])),
        tuple(
            OutcomeMetrics(
                outcome,
                DurationHistogram.from_durations(
                    draw(st.lists(st.integers(0, 10**13), max_size=4))
                ),
                untimed=draw(_COUNTS),
            )
            for outcome in outcomes
        ),
    )


_SNAPSHOTS = st.builds(
    MetalTelemetrySnapshot,
    st.integers(-600, 90_000).map(lambda seconds: START + timedelta(seconds=seconds)),
    st.just(START),
    st.lists(_operations(), max_size=4, unique_by=lambda one: (one.kind, one.name, one.device)).map(
        tuple
    ),
    st.lists(
        st.builds(
            ResourceMetrics,
            st.sampled_from(ResourceKind),
            st.sampled_from(["x", "system"]),
            st.sampled_from(["", "gpu:0"]),
            _NUMBERS,
            limit=st.none() | _NUMBERS,
        ),
        max_size=6,
    ).map(tuple),
    st.builds(
        HealthReport,
        breakers=st.lists(
            st.builds(
                BreakerStatus,
                st.sampled_from(["m", "n"]),
                st.sampled_from(BreakerState),
                opened=_COUNTS,
            ),
            max_size=2,
        ).map(tuple),
    ),
)


@given(st.lists(_SNAPSHOTS, max_size=8), st.integers(1, 8))
@settings(max_examples=40)
def test_nothing_raises_whatever_the_snapshots_say(
    snapshots: list[MetalTelemetrySnapshot], times: int
):
    detector = RobustDetector(HealthMonitorOptions.defaults())
    for snapshot in snapshots * times:
        for anomaly in detector.observe(snapshot):
            assert anomaly.to_dict()["detector"] == "robust"
