from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import exp, log

import pytest
from streams import GIB, START, Program, Work

from metalscope.health.anomalies.signals import ALL_OPERATIONS, Signal, SignalKind, Signals
from metalscope.health_report import HealthReport
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, Component, MetalError, OperationKind
from metalscope.readings import ResourceKind
from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics, OutcomeMetrics


def snapshot(seconds: float, *operations: OperationMetrics) -> MetalTelemetrySnapshot:
    return MetalTelemetrySnapshot(START + timedelta(seconds=seconds), START, operations)


def matmul(durations_ms: list[float], **failed: int) -> OperationMetrics:
    done = DurationHistogram.from_durations(round(1e6 * ms) for ms in durations_ms)
    broken = [
        OutcomeMetrics(error, DurationHistogram.from_durations([1_000_000] * count))
        for error, count in failed.items()
    ]
    return OperationMetrics(
        OperationKind.EXECUTE, "matmul", "gpu:0", (OutcomeMetrics(OK, done), *broken)
    )


def one(signals: Signals, kind: SignalKind) -> Signal:
    (found,) = [signal for signal in signals if signal.kind is kind]
    return found


def test_a_tick_tells_the_mean_of_what_ran_since_the_one_before():
    signals = Signals.of(
        snapshot(0, matmul([100.0] * 50)), snapshot(10, matmul([100.0] * 50 + [2.0, 4.0]))
    )
    duration = one(signals, SignalKind.DURATION)
    assert duration == Signal(
        SignalKind.DURATION,
        "execute matmul on gpu:0",
        Component.KERNEL,
        "ms",
        pytest.approx(3.0),
        2.0,
        "gpu:0",
    )
    assert one(signals, SignalKind.OPERATIONS).value == 2
    assert signals.seconds == 10


def test_the_typical_duration_is_the_geometric_mean_within_half_a_cell():
    durations = [1.0, 2.0, 3.5, 7.0, 11.0, 150.0]
    signals = Signals.of(snapshot(0), snapshot(10, matmul(durations)))
    exact = exp(sum(map(log, durations)) / len(durations))
    assert one(signals, SignalKind.TYPICAL_DURATION).value == pytest.approx(exact, rel=0.0443)


def test_one_slow_call_of_a_thousand_hardly_moves_the_typical_duration():
    before = snapshot(0, matmul([2.0] * 999))
    signals = Signals.of(before, snapshot(10, matmul([2.0] * 1998 + [2000.0])))
    assert one(signals, SignalKind.DURATION).value == pytest.approx(3.998)
    assert one(signals, SignalKind.TYPICAL_DURATION).value < 2.2


def test_failures_are_told_by_operation_by_error_and_in_total_and_have_no_duration():
    signals = Signals.of(
        snapshot(0, matmul([2.0])), snapshot(10, matmul([2.0], timeout=3, out_of_memory=1))
    )
    failures = one(signals, SignalKind.FAILURES)
    assert (failures.value, failures.weight, failures.detail) == (4, 4, "timeout")
    assert failures.component is MetalError.TIMEOUT.component
    errors = {s.subject: s.value for s in signals if s.kind is SignalKind.ERRORS}
    assert errors == {"timeout": 3, "out_of_memory": 1}
    total = one(signals, SignalKind.TOTAL_FAILURES)
    assert (total.subject, total.value, total.weight) == (ALL_OPERATIONS, 4, 4)
    assert not [s for s in signals if s.kind is SignalKind.DURATION]


def test_what_did_not_run_gives_no_signal():
    still = matmul([2.0])
    assert len(Signals.of(snapshot(0, still), snapshot(10, still))) == 0
    assert len(Signals.of(snapshot(0, matmul([2.0])), snapshot(10, matmul([2.0])))) == 0


def test_the_first_tick_tells_nothing_of_operations_whose_past_it_does_not_know():
    assert len(Signals.of(None, snapshot(10, matmul([2.0])))) == 0


def test_counts_that_went_back_began_again_at_zero():
    signals = Signals.of(
        snapshot(0, matmul([2.0] * 50, timeout=9)), snapshot(10, matmul([8.0] * 3, timeout=1))
    )
    assert one(signals, SignalKind.DURATION).value == pytest.approx(8.0)
    assert one(signals, SignalKind.OPERATIONS).value == 4
    assert one(signals, SignalKind.FAILURES).value == 1


def test_a_clock_that_goes_back_leaves_nothing_to_compare_with():
    signals = Signals.of(snapshot(50, matmul([2.0])), snapshot(10, matmul([2.0] * 5)))
    assert (signals.seconds, len(signals)) == (0.0, 0)


def test_readings_are_told_with_their_limit_and_those_that_are_no_number_are_not():
    program = Program()
    program.read(ResourceKind.MEMORY, "mlx_active", 2 * GIB, device="gpu:0", limit=16 * GIB)
    program.read(ResourceKind.TEMPERATURE, "gpu", float("nan"), device="gpu:0")
    (memory,) = Signals.of(None, program.after(10))
    assert memory.subject == "mlx_active memory of gpu:0"
    assert (memory.value, memory.limit, memory.unit) == (2 * GIB, 16 * GIB, "bytes")


def test_a_breaker_tells_how_often_it_opened_since_the_tick_before():
    program = Program()
    program.breaker("device", is_open=True, opened=2)
    before = program.after(10)
    program.breaker("device", is_open=True, opened=5)
    breaker = one(Signals.of(before, program.after(10)), SignalKind.BREAKER)
    assert (breaker.subject, breaker.value, breaker.weight) == ("device", 1.0, 3.0)
    closed = replace(before, health=HealthReport())
    assert not [s for s in Signals.of(before, closed) if s.kind is SignalKind.BREAKER]


@pytest.mark.parametrize(
    ("kind", "component"),
    [
        (OperationKind.EXECUTE, Component.KERNEL),
        (OperationKind.COMPILE, Component.COMPILER),
        (OperationKind.ALLOCATE, Component.MEMORY),
    ],
)
def test_the_kind_of_an_operation_says_whose_health_its_speed_speaks_of(
    kind: OperationKind, component: Component
):
    program = Program()
    program.operations["x"] = Work(kind=kind)
    before = program.after(10)
    assert one(Signals.of(before, program.after(10)), SignalKind.DURATION).component is component
