from __future__ import annotations

import re
from collections.abc import Callable
from math import exp

import pytest
from streams import DAY, GIB, HOUR, MIB, MINUTE, Program, Told, Watch, kinds

from metalscope.operation import Component, ErrorSeverity
from metalscope.readings import MemoryPressure, ResourceKind


def remembering(
    held: Callable[[float], float], seconds: float, *, limit: float | None = 16 * GIB
) -> list[Told]:
    """What is told of a pool that holds so many bytes so many seconds after the start."""
    watch = Watch(Program(1))
    random = watch.program.random

    def read(at: float) -> None:
        noise = random.uniform(0, 20 * MIB)
        watch.program.read(
            ResourceKind.MEMORY, "mlx_active", held(at) + noise, device="gpu:0", limit=limit
        )

    watch.run(seconds, 30.0, each=read)
    return watch.told


def growing(at: float, per_hour: float, since: float) -> float:
    return 2 * GIB + per_hour * max(0.0, at - since) / HOUR


def test_memory_that_only_grows_is_a_leak_with_its_pace_and_its_end():
    (told,) = remembering(lambda at: growing(at, GIB, 2 * HOUR), 6 * HOUR, limit=8 * GIB)
    assert told.first < 3.5 * HOUR
    anomaly = told.latest
    assert anomaly is not None
    assert (anomaly.kind, anomaly.component) == ("leak", Component.MEMORY)
    assert anomaly.subject == "mlx_active memory of gpu:0"
    assert "only grows" in anomaly.reason
    assert "1.0 GiB an hour" in anomaly.reason
    assert re.search(r"its limit of 8.0 GiB is reached in (1h5\dm|2h)", anomaly.reason)
    assert anomaly.severity is ErrorSeverity.HIGH


def test_a_slow_leak_is_found_over_hours():
    (told,) = remembering(lambda at: growing(at, 100 * MIB, 3 * HOUR), 14 * HOUR)
    assert told.anomaly.kind == "leak"
    assert told.first < 12 * HOUR


def test_a_leak_shows_below_a_sawtooth():
    def held(at: float) -> float:
        return growing(at, GIB, 2 * HOUR) + (at / 600 % 1.0) * GIB

    assert kinds(remembering(held, 8 * HOUR)) == ["leak"]


def test_a_leak_is_over_once_memory_is_given_back():
    def held(at: float) -> float:
        return growing(at, GIB, 2 * HOUR) if at < 5 * HOUR else 2 * GIB

    (told,) = remembering(held, 6 * HOUR)
    assert told.over
    assert told.last < 5.4 * HOUR


def test_a_second_leak_is_found_after_the_first_was_given_back():
    def held(at: float) -> float:
        return growing(at, GIB, 2 * HOUR if at < 5 * HOUR else 7 * HOUR)

    assert kinds(remembering(held, 10 * HOUR)) == ["leak", "leak"]


def test_without_a_limit_nothing_is_said_of_one():
    (told,) = remembering(lambda at: growing(at, GIB, 2 * HOUR), 4 * HOUR, limit=None)
    assert "limit" not in told.anomaly.reason


@pytest.mark.parametrize("period", [300.0, 1500.0, 7000.0])
def test_the_sawtooth_of_a_garbage_collector_is_no_leak(period: float):
    # The first tooth is one that was there before.
    told = remembering(lambda at: 2 * GIB + ((at / period + 0.7) % 1.0) * GIB, 8 * HOUR)
    assert told == []


@pytest.mark.parametrize("seconds", [300.0, 1800.0])
def test_a_cache_that_fills_and_stays_is_no_leak(seconds: float):
    def held(at: float) -> float:
        return 2 * GIB + 3 * GIB * (1 - exp(-max(0.0, at - HOUR) / seconds))

    assert remembering(held, 8 * HOUR) == []


def test_a_cache_that_fills_evenly_for_half_an_hour_is_no_leak():
    def held(at: float) -> float:
        return 2 * GIB + 3 * GIB * min(1.0, max(0.0, at - HOUR) / 1800)

    assert remembering(held, 5 * HOUR) == []


def test_memory_that_grows_by_little_is_no_leak():
    assert remembering(lambda at: growing(at, 2 * MIB, 0), DAY / 2) == []


def pressed(levels: Callable[[float], float], seconds: float) -> Watch:
    watch = Watch(Program(1))
    watch.run(
        seconds,
        each=lambda at: watch.program.read(ResourceKind.MEMORY_PRESSURE, "system", levels(at)),
    )
    return watch


def test_high_pressure_for_six_minutes_of_fifteen_is_an_anomaly():
    watch = pressed(lambda at: MemoryPressure.HIGH if at >= HOUR else 0, HOUR + 10 * MINUTE)
    (told,) = watch.told
    assert told.first == pytest.approx(HOUR + 6 * MINUTE, abs=30)
    assert (told.anomaly.kind, told.anomaly.subject) == ("pressure", "memory pressure")
    assert told.anomaly.severity is ErrorSeverity.HIGH


def test_critical_pressure_is_told_of_in_half_the_time():
    watch = pressed(lambda at: MemoryPressure.CRITICAL if at >= HOUR else 0, HOUR + 5 * MINUTE)
    (told,) = watch.told
    assert told.first == pytest.approx(HOUR + 3 * MINUTE, abs=30)
    assert told.anomaly.severity is ErrorSeverity.CRITICAL


def test_pressure_now_and_then_is_none():
    watch = pressed(lambda at: MemoryPressure.HIGH if at % 900 < 240 else 0, 3 * HOUR)
    assert watch.told == []


def test_pressure_that_is_gone_is_over():
    watch = pressed(
        lambda at: MemoryPressure.HIGH if HOUR <= at < HOUR + 600 else 0, HOUR + 20 * MINUTE
    )
    assert watch.told[0].over


def test_a_pool_that_becomes_full_is_pressure_and_one_that_always_was_is_not():
    full, filled = 15.0 * GIB, 15.6 * GIB
    told = remembering(lambda at: 4 * GIB if at < HOUR else full, 1.5 * HOUR)
    assert kinds(told) == ["pressure"]
    assert told[0].anomaly.unit == "percent"
    assert remembering(lambda _: filled, 1.5 * HOUR) == []
