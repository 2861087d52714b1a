"""What is no anomaly: no test here may find one."""

from __future__ import annotations

from math import exp, pi, sin

from streams import DAY, HOUR, MINUTE, Program, Watch, Work, ordinary


def test_an_ordinary_day_is_quiet():
    watch = Watch(ordinary(11, 3))
    watch.run(8 * HOUR, 30.0)
    assert watch.told == []


def test_a_cold_start_that_becomes_faster_is_quiet():
    watch = Watch(ordinary(1, 3))
    usual = {name: work.ms for name, work in watch.program.operations.items()}
    watch.program.operations["first"] = Work(900.0, 0.1)

    def warming(at: float) -> None:
        for name, ms in usual.items():
            watch.program.operations[name].ms = ms * (1 + 5 * exp(-at / 120))
        watch.program.operations["first"].ms = 900.0 if at < 30 else 12.0

    watch.run(40 * MINUTE, each=warming)
    assert watch.told == []


def test_two_days_whose_durations_follow_the_load_are_quiet():
    watch = Watch(ordinary(2, 2))
    usual = {name: work.ms for name, work in watch.program.operations.items()}

    def season(at: float) -> None:
        load = 1 + 0.8 * sin(2 * pi * at / DAY)
        for name, work in watch.program.operations.items():
            work.per_second, work.ms = 2 * load, usual[name] * (1 + 0.15 * load)

    watch.run(2 * DAY, 120.0, each=season)
    assert watch.told == []


def test_a_load_that_doubles_and_slows_things_a_little_is_quiet():
    watch = Watch(ordinary(3, 2))
    watch.run(HOUR)
    for work in watch.program.operations.values():
        work.per_second, work.ms = 3 * work.per_second, 1.3 * work.ms
    watch.run(HOUR)
    assert watch.told == []


def test_a_weekend_without_work_and_the_slow_start_after_it_are_quiet():
    watch = Watch(ordinary(4, 2))
    usual = {name: work.ms for name, work in watch.program.operations.items()}
    watch.run(HOUR)
    for work in watch.program.operations.values():
        work.per_second = 0.0
    watch.run(2 * DAY, 600.0)

    def again(at: float) -> None:
        for name, work in watch.program.operations.items():
            work.per_second, work.ms = 5.0, usual[name] * (1 + 3 * exp(-at / 40))

    watch.run(HOUR, each=again)
    assert watch.told == []


def test_a_change_of_the_mix_among_operations_is_quiet():
    watch = Watch(ordinary(5, 3))
    for rates in ((5, 5, 5), (0.2, 20, 0.5), (15, 0.1, 3), (0, 1, 9)):
        for work, rate in zip(watch.program.operations.values(), rates, strict=True):
            work.per_second = rate
        watch.run(0.5 * HOUR)
    assert watch.told == []


def test_an_operation_with_two_ways_of_running_is_quiet():
    watch = Watch(Program(6))
    work = watch.program.operations["either"] = Work(1.0, 0.5, 0.1)
    watch.run(
        4 * HOUR,
        each=lambda _: setattr(work, "ms", 1.0 if watch.program.random.random() < 0.8 else 5.0),
    )
    assert watch.told == []


def test_the_noise_of_the_timer_in_tiny_operations_is_quiet():
    watch = Watch(Program(7))
    watch.program.operations["tiny"] = Work(0.02, 3.0, 1.0)
    watch.run(HOUR)
    watch.program.operations["tiny"].ms = 0.035
    watch.run(HOUR)
    assert watch.told == []


def test_a_pause_of_everything_now_and_then_is_quiet():
    watch = Watch(ordinary(8, 2))
    usual = {name: work.ms for name, work in watch.program.operations.items()}

    def hiccup(_: float) -> None:
        slow = watch.program.random.random() < 0.02
        for name, work in watch.program.operations.items():
            work.ms = usual[name] * (8 if slow else 1)

    watch.run(4 * HOUR, each=hiccup)
    assert watch.told == []


def test_one_slow_call_of_a_rare_operation_is_quiet():
    watch = Watch(ordinary(9, 1))
    rare = watch.program.operations["rare"] = Work(50.0, 1 / 120)
    watch.run(3 * HOUR, 20.0)
    rare.ms = 5000.0
    watch.run(2 * MINUTE)
    rare.ms = 50.0
    watch.run(HOUR)
    assert watch.told == []


def test_counts_that_begin_again_and_operations_that_come_and_go_are_quiet():
    watch = Watch(ordinary(10, 2))
    program = watch.program
    watch.run(20 * MINUTE)
    for _ in range(3):
        for work in program.operations.values():
            work.reset()
        watch.run(5 * MINUTE)
        program.operations["guest"] = Work(9.0, 1.0)
        watch.run(5 * MINUTE)
        del program.operations["guest"]
        watch.run(5 * MINUTE)
    assert watch.told == []
