from __future__ import annotations

from math import exp

import pytest
from streams import HOUR, MINUTE, Told, Watch, Work, kinds, ordinary

from metalscope.operation import Component, ErrorSeverity, OperationKind

WARM = 0.5 * HOUR


def warm(seed: int = 1, operations: int = 2, tick: float = 10.0, seconds: float = WARM) -> Watch:
    watch = Watch(ordinary(seed, operations))
    watch.run(seconds, tick)
    assert watch.told == []
    return watch


def slowed(watch: Watch, ratio: float, seconds: float, tick: float = 10.0) -> list[Told]:
    watch.program.operations["matmul"].ms *= ratio
    told = watch.run(seconds, tick)
    watch.program.operations["matmul"].ms /= ratio
    return told


@pytest.mark.parametrize("ratio", [1.4, 2.0, 2.6])
def test_an_operation_that_takes_longer_is_told_of_within_two_minutes(ratio: float):
    watch = warm()
    (told,) = slowed(watch, ratio, 5 * MINUTE)
    assert told.first <= WARM + 2 * MINUTE
    assert told.anomaly.kind == "level_shift"
    assert told.anomaly.subject == "execute matmul"
    assert told.anomaly.component is Component.KERNEL
    assert told.latest is not None
    assert told.latest.value == pytest.approx(4.6 * ratio, rel=0.1)
    assert told.latest.expected == pytest.approx(4.6, rel=0.1)


def test_the_reason_says_it_in_words_and_numbers():
    watch = warm()
    slowed(watch, 2.0, 5 * MINUTE)
    (anomaly,) = watch.open
    assert anomaly.reason.startswith("execute matmul takes 9")
    assert "times its usual 4." in anomaly.reason
    assert anomaly.reason.endswith("(since 09:30:00 UTC)")


def test_it_is_over_some_minutes_after_recovery():
    watch = warm()
    (told,) = slowed(watch, 2.0, 5 * MINUTE)
    watch.run(5 * MINUTE)
    assert told.over
    assert watch.open == []


def test_a_short_extreme_spike_is_told_of_while_it_lasts():
    watch = warm(tick=1.0, seconds=15 * MINUTE)
    (told,) = slowed(watch, 14.0, 6, tick=1.0)
    assert told.first <= 15 * MINUTE + 4
    assert (told.anomaly.kind, told.anomaly.severity) == ("spike", ErrorSeverity.CRITICAL)
    watch.run(6 * MINUTE, 1.0)
    assert kinds(watch.told) == ["spike"]
    assert told.over


def test_a_spike_that_does_not_end_is_a_change_of_level():
    watch = warm()
    slowed(watch, 10.0, 10 * MINUTE)
    assert kinds(watch.told) == ["spike", "level_shift"]
    assert watch.told[0].over
    assert watch.told[0].anomaly.since == watch.told[1].anomaly.since


@pytest.mark.parametrize(("ratio", "hours"), [(1.6, 1.5), (2.0, 4.0)])
def test_an_operation_that_takes_longer_little_by_little_drifts(ratio: float, hours: float):
    watch = warm(operations=1, tick=30.0, seconds=2 * HOUR)
    work = watch.program.operations["matmul"]

    def drift(at: float) -> None:
        work.ms = 4.6 * (1 + (ratio - 1) * at / (hours * HOUR))

    watch.run(hours * HOUR, 30.0, each=drift)
    assert kinds(watch.told) == ["drift"]
    assert watch.told[0].anomaly.subject == "execute matmul"


def test_calls_of_which_a_few_take_very_long_are_told_of():
    watch = warm()
    program = watch.program
    program.operations["matmul"].per_second = 0.9 * 5

    def tail(_: float) -> None:
        # The same name once more, on the same series: one call in ten is forty times slower.
        work = program.operations["matmul"]
        work.ms = 4.6
        work.run("matmul", 0.0, program.random)
        work.ms, kept, work.per_second = 4.6 * 40, work.per_second, 0.5
        work.run("matmul", 10.0, program.random)
        work.ms, work.per_second = 4.6, kept

    watch.run(10 * MINUTE, each=tail)
    assert kinds(watch.told)[0] in {"level_shift", "spike"}
    assert watch.told[0].anomaly.subject == "execute matmul"


def test_what_goes_back_and_forth_is_one_anomaly_that_goes_on():
    watch = warm()
    for _ in range(8):
        slowed(watch, 2.0, MINUTE)
        watch.run(MINUTE)
    assert kinds(watch.told) == ["level_shift"]
    assert len(watch.open) == 1


def test_a_level_that_has_lasted_for_an_hour_is_the_usual_one():
    watch = warm(operations=1)
    watch.program.operations["matmul"].ms *= 2
    watch.run(1.5 * HOUR)
    (told,) = watch.told
    assert told.over
    assert 0.9 * HOUR < told.last - WARM < 1.2 * HOUR
    slowed(watch, 2.0, 5 * MINUTE)
    assert len(watch.told) == 2
    assert watch.told[1].anomaly.expected == pytest.approx(9.2, rel=0.1)


@pytest.mark.parametrize(
    ("kind", "component"),
    [
        (OperationKind.COMPILE, Component.COMPILER),
        (OperationKind.ALLOCATE, Component.MEMORY),
    ],
)
def test_an_anomaly_is_of_the_component_the_operation_belongs_to(
    kind: OperationKind, component: Component
):
    watch = warm(operations=1)
    watch.program.operations["other"] = Work(3.0, kind=kind)
    watch.run(WARM)
    watch.program.operations["other"].ms *= 2
    (told,) = watch.run(3 * MINUTE)
    assert told.anomaly.component is component


def test_many_operations_that_become_slower_together_say_so():
    watch = warm(operations=4)
    for work in watch.program.operations.values():
        work.ms *= 2
    watch.run(5 * MINUTE)
    assert len(watch.open) == 4
    assert all("4 of 4 operations" in anomaly.cause for anomaly in watch.open)


@pytest.mark.parametrize("tick", [1.0, 30.0, 60.0])
def test_the_length_of_a_tick_does_not_matter(tick: float):
    watch = warm(operations=1, tick=tick, seconds=HOUR if tick > 1 else 10 * MINUTE)
    told = slowed(watch, 2.0, 8 * MINUTE, tick)
    assert kinds(told) == ["level_shift"]


def test_uneven_ticks_with_gaps_do_not_matter():
    watch = warm(operations=1)
    ticks = [3.0, 11.0, 47.0, 8.0, 600.0, 5.0, 10.0, 20.0] * 4
    for tick in ticks:
        watch.look(tick)
    assert watch.told == []
    watch.program.operations["matmul"].ms *= 2
    for tick in ticks[:4] * 4:
        watch.look(tick)
    assert kinds(watch.told) == ["level_shift"]


def test_a_short_baseline_is_enough_for_a_large_change():
    watch = warm(operations=1, seconds=5 * MINUTE)
    told = slowed(watch, 3.0, 3 * MINUTE)
    assert kinds(told)[0] in {"level_shift", "spike"}


def test_the_usual_duration_is_that_after_warming_up():
    watch = Watch(ordinary(1, 1))
    work = watch.program.operations["matmul"]
    watch.run(20 * MINUTE, each=lambda at: setattr(work, "ms", 4.6 * (1 + 4 * exp(-at / 60))))
    assert watch.told == []
    work.ms = 4.6 * 2
    (told,) = watch.run(5 * MINUTE)
    assert told.anomaly.expected == pytest.approx(4.6, rel=0.15)
