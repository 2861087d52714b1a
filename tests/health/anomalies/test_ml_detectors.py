"""The detectors that the extra `ml` brings, behind the interface of all detectors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from streams import GIB, HOUR, MIB, MINUTE, Program, Watch, Work, kinds, ordinary

from metalscope.errors import MissingExtraError
from metalscope.health.detector import AnomalyDetector
from metalscope.health.detectors import detectors_of
from metalscope.health_options import HealthMonitorOptions
from metalscope.health_report import AnomalyKind
from metalscope.operation import Component
from metalscope.readings import MemoryPressure, ResourceKind, ThermalState

pytest.importorskip("river")


def river() -> AnomalyDetector:
    return detectors_of(HealthMonitorOptions(anomaly_detectors=("river",)))[0]


def watched(program: Program, calm_seconds: float = HOUR) -> Watch:
    """A river detector that has seen the program calm."""
    watch = Watch(program, river())
    assert not watch.run(calm_seconds), "found something in a calm program"
    return watch


def test_without_river_the_extra_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river", None)
    with pytest.raises(MissingExtraError, match=r"metalscope\[ml\]") as raised:
        river()
    assert raised.value.extra == "ml"


def test_the_library_is_loaded_only_when_a_detector_is_made() -> None:
    code = (
        "import sys, metalscope.health.anomalies.river_detector\n"
        "assert 'river' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_hours_of_an_ordinary_program_are_quiet() -> None:
    program = ordinary(operations=2)
    program.read(ResourceKind.MEMORY, "mlx_active", 6 * GIB, limit=16 * GIB)
    assert not Watch(program, river()).run(2 * HOUR, tick=20.0)


def test_an_operation_that_becomes_slower_is_a_level_shift_of_that_operation_alone() -> None:
    watch = watched(ordinary())
    watch.program.operations["softmax"].ms *= 1.8
    (told,) = watch.run(10 * MINUTE)
    anomaly = told.anomaly
    assert anomaly.kind == AnomalyKind.LEVEL_SHIFT
    assert "softmax" in anomaly.subject
    assert anomaly.component is Component.KERNEL
    assert anomaly.detector == "river"
    assert told.first - HOUR <= MINUTE
    assert anomaly.value is not None
    assert anomaly.expected == pytest.approx(0.8, rel=0.15)
    assert "softmax" in anomaly.reason
    assert "times the median" in anomaly.reason


def test_a_shift_is_over_once_the_operation_is_as_fast_as_before() -> None:
    watch = watched(ordinary())
    watch.program.operations["softmax"].ms *= 1.8
    watch.run(10 * MINUTE)
    watch.program.operations["softmax"].ms /= 1.8
    watch.run(10 * MINUTE)
    assert watch.open == []


def test_a_shift_that_stays_becomes_usual_after_an_hour_and_the_next_is_found() -> None:
    watch = watched(ordinary(operations=1))
    watch.program.operations["matmul"].ms *= 1.7
    watch.run(2 * HOUR)
    assert watch.open == []
    watch.program.operations["matmul"].ms *= 1.7
    assert AnomalyKind.LEVEL_SHIFT in kinds(watch.run(10 * MINUTE))


def test_an_operation_that_becomes_faster_is_no_anomaly() -> None:
    watch = watched(ordinary(operations=1))
    watch.program.operations["matmul"].ms *= 0.4
    assert not watch.run(HOUR)


def test_two_minutes_at_six_times_the_duration_are_a_spike() -> None:
    watch = watched(ordinary(operations=1))
    watch.program.operations["matmul"].ms *= 6
    (told,) = watch.run(2 * MINUTE)
    watch.program.operations["matmul"].ms /= 6
    watch.run(8 * MINUTE)
    assert told.anomaly.kind == AnomalyKind.SPIKE
    assert watch.open == []


def test_one_bad_tick_is_not_told() -> None:
    watch = watched(ordinary(operations=1))
    watch.program.operations["matmul"].ms *= 6
    watch.look(10.0)
    watch.program.operations["matmul"].ms /= 6
    assert not watch.run(10 * MINUTE)
    assert not watch.told


def test_an_operation_that_slows_down_over_two_hours_is_told_by_its_end() -> None:
    watch = watched(ordinary(operations=2), 2 * HOUR)

    def slower(seconds: float) -> None:
        watch.program.operations["softmax"].ms = 0.8 * 2.2 ** (seconds / (2 * HOUR))

    found = watch.run(2 * HOUR, each=slower)
    assert {told.anomaly.kind for told in found} <= {AnomalyKind.DRIFT, AnomalyKind.LEVEL_SHIFT}
    assert found
    assert all("softmax" in told.anomaly.subject for told in found)


def test_a_share_of_failures_and_a_burst_of_them_are_found_with_the_error_named() -> None:
    for failing, seconds in ((0.1, 5 * MINUTE), (0.8, 10.0)):
        watch = watched(ordinary())
        watch.program.operations["matmul"].failing = failing
        (told,) = watch.run(seconds)
        assert told.anomaly.kind == AnomalyKind.ERROR_RATE
        assert told.anomaly.cause == "timeout"
        assert "matmul" in told.anomaly.reason


def test_failures_at_the_rate_there_always_was_are_usual() -> None:
    program = ordinary(operations=1)
    program.operations["matmul"].failing = 0.01
    assert not Watch(program, river()).run(3 * HOUR)


def test_memory_whose_floor_rises_is_a_leak_and_a_collectors_sawtooth_is_none() -> None:
    program = Program()

    def memory(of: Callable[[float], float]) -> Callable[[float], None]:
        return lambda seconds: program.read(
            ResourceKind.MEMORY, "mlx_active", of(seconds), limit=16 * GIB
        )

    watch = Watch(program, river())
    sawtooth = memory(lambda s: 4 * GIB + (s % 900.0) * 2 * MIB)
    assert not watch.run(4 * HOUR, each=sawtooth)
    leak = memory(lambda s: 4 * GIB + (s % 900.0) * 2 * MIB + s * MIB / 8)
    (told,) = watch.run(3 * HOUR, each=leak)
    assert told.anomaly.kind == AnomalyKind.LEAK
    assert told.anomaly.component is Component.MEMORY
    assert "mlx_active" in told.anomaly.reason


def test_memory_that_is_taken_in_one_go_is_no_leak() -> None:
    program = Program()
    watch = Watch(program, river())

    def memory(seconds: float) -> None:
        held = 4 * GIB if seconds < 2 * HOUR else 8 * GIB
        program.read(ResourceKind.MEMORY, "mlx_active", held, limit=16 * GIB)

    assert not watch.run(5 * HOUR, each=memory)


def test_full_memory_and_the_systems_word_for_it_are_pressure() -> None:
    program = Program()
    program.read(ResourceKind.MEMORY, "mlx_active", 15 * GIB, limit=16 * GIB)
    program.read(ResourceKind.MEMORY_PRESSURE, "system", MemoryPressure.HIGH)
    told = Watch(program, river()).run(5 * MINUTE)
    assert kinds(told) == ["pressure", "pressure"]
    assert any("pressure is high" in one.anomaly.reason for one in told)


def test_heat_and_a_clock_that_falls_under_load_are_throttling() -> None:
    program = ordinary(operations=1)
    program.read(ResourceKind.GPU_UTILIZATION, "active", 80.0, device="gpu:0")
    program.read(ResourceKind.FREQUENCY, "gpu", 1.3e9, device="gpu:0", limit=1.4e9)
    program.read(ResourceKind.THERMAL_STATE, "system", ThermalState.NOMINAL)
    watch = watched(program)
    program.read(ResourceKind.FREQUENCY, "gpu", 0.7e9, device="gpu:0", limit=1.4e9)
    (told,) = watch.run(MINUTE)
    assert told.anomaly.kind == AnomalyKind.THROTTLING
    assert "700 MHz" in told.anomaly.reason
    program.read(ResourceKind.THERMAL_STATE, "system", ThermalState.SERIOUS)
    (told,) = watch.run(MINUTE)
    assert told.anomaly.cause == "heat"


def test_a_clock_that_falls_for_want_of_work_is_not() -> None:
    program = ordinary(operations=1)
    program.read(ResourceKind.GPU_UTILIZATION, "active", 80.0, device="gpu:0")
    program.read(ResourceKind.FREQUENCY, "gpu", 1.3e9, device="gpu:0", limit=1.4e9)
    watch = watched(program)
    program.read(ResourceKind.GPU_UTILIZATION, "active", 3.0, device="gpu:0")
    program.read(ResourceKind.FREQUENCY, "gpu", 0.5e9, device="gpu:0", limit=1.4e9)
    assert not watch.run(10 * MINUTE)


def test_a_breaker_that_opens_again_and_again_is_told_and_one_opening_is_not() -> None:
    program = Program()
    program.breaker("kernel", is_open=False, opened=0)
    watch = watched(program, MINUTE)
    program.breaker("kernel", is_open=True, opened=1)
    assert not watch.run(2 * MINUTE)
    for opened in (2, 3):
        program.breaker("kernel", is_open=False, opened=opened - 1)
        watch.run(MINUTE)
        program.breaker("kernel", is_open=True, opened=opened)
        watch.run(MINUTE)
    assert kinds(watch.told) == ["breaker"]


def test_ticks_of_a_second_are_taken_together() -> None:
    program = ordinary(operations=1)
    watch = Watch(program, river())
    assert not watch.run(20 * MINUTE, tick=1.0)
    program.operations["matmul"].ms *= 2
    (told,) = watch.run(2 * MINUTE, tick=1.0)
    assert told.anomaly.kind == AnomalyKind.LEVEL_SHIFT


def test_ever_new_names_do_not_make_it_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    from metalscope.health.anomalies import river_detector

    monkeypatch.setattr(river_detector, "MOST_SERIES", 10)
    program = Program()
    detector = river_detector.RiverDetector(HealthMonitorOptions.defaults())
    watch = Watch(program, detector)
    for name in range(40):
        program.operations[f"kernel_{name}"] = Work()
        watch.look(10.0)
    assert len(detector._series) == 10
