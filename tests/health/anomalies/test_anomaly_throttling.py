from __future__ import annotations

from dataclasses import dataclass
from math import pi, sin

import pytest
from streams import DAY, HOUR, MINUTE, Watch, kinds, ordinary

from metalscope.operation import Component
from metalscope.readings import ResourceKind, ThermalState

WARM = 0.5 * HOUR


@dataclass
class Gpu:
    """What the sensors of a GPU say; ``share`` of its clock slows the operations as well."""

    watch: Watch
    share: float = 1.0
    celsius: float = 70.0
    state: ThermalState = ThermalState.NOMINAL
    saving: bool = False
    watts: float | None = None
    busy: float = 92.0
    tells_clock: bool = True

    def __post_init__(self) -> None:
        operations = self.watch.program.operations
        self.usual = {name: work.ms for name, work in operations.items()}

    def __call__(self, _: float) -> None:
        program = self.watch.program
        noise = program.random.gauss
        for name, work in program.operations.items():
            work.ms = self.usual[name] / self.share
        read, device = program.read, "gpu:0"
        read(ResourceKind.GPU_UTILIZATION, "active", self.busy + noise(0, 2), device=device)
        if self.tells_clock:
            clock = 1.3e9 * self.share * (1 + noise(0, 0.02))
            read(ResourceKind.FREQUENCY, "gpu", clock, device=device, limit=1.4e9)
        read(ResourceKind.TEMPERATURE, "gpu", self.celsius + noise(0, 1), device=device)
        read(ResourceKind.THERMAL_STATE, "system", self.state)
        read(ResourceKind.LOW_POWER_MODE, "system", int(self.saving))
        if self.watts is not None:
            read(ResourceKind.POWER, "gpu", self.watts, device=device)


def warm(**said: object) -> tuple[Watch, Gpu]:
    watch = Watch(ordinary(1, 3))
    gpu = Gpu(watch, **said)  # type: ignore[arg-type]
    watch.run(WARM, each=gpu)
    assert watch.told == []
    return watch, gpu


def test_a_hot_gpu_whose_clock_falls_is_one_anomaly_that_names_heat():
    watch, gpu = warm()
    gpu.share, gpu.celsius, gpu.state = 0.65, 95.0, ThermalState.SERIOUS
    watch.run(10 * MINUTE, each=gpu)
    (told,) = watch.told
    assert told.first <= WARM + MINUTE
    anomaly = told.latest
    assert anomaly is not None
    assert (anomaly.kind, anomaly.subject, anomaly.cause) == ("throttling", "gpu:0", "heat")
    assert anomaly.component is Component.DEVICE
    assert "65 % of its usual 1.3 GHz" in anomaly.reason
    assert "slower: execute" in anomaly.reason


def test_the_low_power_mode_is_named():
    watch, gpu = warm()
    gpu.share, gpu.saving = 0.6, True
    watch.run(10 * MINUTE, each=gpu)
    assert [(one.anomaly.kind, one.anomaly.cause) for one in watch.told] == [
        ("throttling", "low power mode")
    ]


def test_a_clock_that_falls_at_full_power_is_held_by_a_limit_of_power():
    watch, gpu = warm(watts=20.0)
    gpu.share = 0.7
    watch.run(10 * MINUTE, each=gpu)
    assert [one.anomaly.cause for one in watch.told] == ["power limit"]


def test_a_clock_that_falls_for_no_reason_seen_has_no_cause_made_up_for_it():
    watch, gpu = warm(watts=20.0)
    gpu.share, gpu.watts = 0.7, 11.0
    watch.run(10 * MINUTE, each=gpu)
    (told,) = watch.told
    assert told.anomaly.cause == "unknown"
    assert "cause unknown" in told.anomaly.reason


def test_without_a_clock_heat_and_slower_work_are_signs_enough():
    watch, gpu = warm(tells_clock=False)
    gpu.share, gpu.celsius, gpu.state = 0.6, 95.0, ThermalState.SERIOUS
    watch.run(10 * MINUTE, each=gpu)
    assert [(one.anomaly.kind, one.anomaly.cause) for one in watch.told] == [("throttling", "heat")]


def test_it_ends_with_the_heat_and_leaves_no_slow_operation_behind():
    watch, gpu = warm()
    gpu.share, gpu.celsius, gpu.state = 0.65, 95.0, ThermalState.SERIOUS
    watch.run(10 * MINUTE, each=gpu)
    gpu.share, gpu.celsius, gpu.state = 1.0, 75.0, ThermalState.NOMINAL
    watch.run(15 * MINUTE, each=gpu)
    assert kinds(watch.told) == ["throttling"]
    assert watch.told[0].over


def test_an_operation_slowed_by_far_more_than_the_clock_explains_is_told_of_besides():
    watch, gpu = warm()
    gpu.share, gpu.celsius, gpu.state = 0.7, 95.0, ThermalState.SERIOUS
    gpu.usual["matmul"] *= 6
    watch.run(10 * MINUTE, each=gpu)
    others = [one for one in watch.told if one.anomaly.kind != "throttling"]
    assert {one.anomaly.subject for one in others} == {"execute matmul"}


def test_an_operation_that_was_slow_before_the_clock_fell_gets_its_cause():
    watch, gpu = warm()
    gpu.usual["matmul"] *= 1.5
    watch.run(5 * MINUTE, each=gpu)
    assert [one.cause for one in watch.open] == [""]
    gpu.share, gpu.celsius, gpu.state = 0.7, 95.0, ThermalState.SERIOUS
    gpu.usual["matmul"] /= 1.5
    watch.run(5 * MINUTE, each=gpu)
    assert {one.kind: one.cause for one in watch.open} == {
        "level_shift": "throttling",
        "throttling": "heat",
    }


def test_a_clock_that_follows_the_load_is_not_throttled():
    watch = Watch(ordinary(1, 1))
    gpu = Gpu(watch)

    def each(at: float) -> None:
        load = 1 + 0.8 * sin(8 * pi * at / DAY)
        gpu.share, gpu.busy, gpu.celsius = 0.8 + 0.1 * load, 30 + 30 * load, 50 + 15 * load
        gpu(at)

    watch.run(DAY, 120.0, each=each)
    assert watch.told == []


@pytest.mark.parametrize("state", [ThermalState.FAIR, ThermalState.SERIOUS])
def test_heat_that_slows_nothing_is_none(state: ThermalState):
    watch, gpu = warm()
    gpu.celsius, gpu.state = 95.0, state
    watch.run(20 * MINUTE, each=gpu)
    assert watch.told == []


def test_a_gpu_that_is_idle_is_not_throttled_when_its_clock_is_low():
    watch, gpu = warm()
    gpu.busy = 5.0
    watch.run(
        20 * MINUTE,
        each=lambda at: (
            gpu(at),
            watch.program.read(ResourceKind.FREQUENCY, "gpu", 4e8, device="gpu:0"),
        ),
    )
    assert watch.told == []
