"""The circuit breakers of one telemetry, by name."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from breaker_kit import CLOSED, OPEN, Clock, fail, lets_through

from metalscope.errors import ConfigurationError, InvalidNameError, OutOfMemoryError
from metalscope.health.breakers import MAX_BREAKERS, Breakers
from metalscope.health_options import HealthMonitorOptions
from metalscope.operation import Component


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breakers(clock):
    return Breakers(HealthMonitorOptions(), clock=clock)


def test_a_name_always_gives_the_same_breaker(breakers):
    assert breakers.get("memory") is breakers.get("memory")
    assert breakers.get(Component.MEMORY) is breakers.get("memory")
    assert breakers.get("memory") is not breakers.get("kernel")


def test_threads_that_ask_at_once_get_the_same_breaker(breakers):
    start = threading.Barrier(8)
    got = []

    def ask():
        start.wait()
        got.append([breakers.get(f"peer-{number}") for number in range(50)])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(one == got[0] for one in got)


def test_the_name_of_a_component_counts_its_failures_alone(breakers):
    for component in Component:
        assert breakers.get(component.value).component is component
    for error, state in ((ValueError, CLOSED), (OutOfMemoryError, OPEN)):
        fail(breakers.get("memory"), error, times=5)
        assert breakers.get("memory").status().state is state


def test_any_other_name_counts_every_exception(breakers):
    assert breakers.get("tokenizer").component is None
    fail(breakers.get("tokenizer"), ValueError, times=5)
    assert breakers.get("tokenizer").status().state is OPEN


def test_a_name_of_ones_own_may_be_held_to_a_component(breakers):
    assert breakers.get("attention", "kernel").component is Component.KERNEL
    assert breakers.get("attention") is breakers.get("attention", Component.KERNEL)


def test_one_breaker_is_of_one_component(breakers):
    breakers.get("attention", "kernel")
    with pytest.raises(ConfigurationError, match="is of kernel, not of memory"):
        breakers.get("attention", "memory")
    with pytest.raises(ConfigurationError, match="is of memory, not of kernel"):
        breakers.get("memory", "kernel")
    with pytest.raises(ValueError, match="engine"):
        breakers.get("other", "engine")
    assert [one.name for one in breakers.statuses()] == ["attention", "memory"]


def test_threshold_and_timeout_are_the_options(clock):
    options = HealthMonitorOptions(
        circuit_breaker_threshold=2, circuit_breaker_timeout=timedelta(seconds=7)
    )
    breaker = Breakers(options, clock=clock).get("peer")
    fail(breaker, times=2)
    clock.pass_by(6.9)
    assert not lets_through(breaker)
    clock.pass_by(0.1)
    assert lets_through(breaker)


def test_changes_of_all_breakers_are_told_to_one(clock):
    told = []
    breakers = Breakers(HealthMonitorOptions(circuit_breaker_threshold=1), told.append, clock=clock)
    fail(breakers.get("b"))
    fail(breakers.get("a"))
    assert [(one.name, one.state) for one in told] == [("b", OPEN), ("a", OPEN)]


def test_what_goes_wrong_inside_is_told_to_one(clock):
    wrong = []
    options = HealthMonitorOptions(circuit_breaker_threshold=1)
    breakers = Breakers(options, lambda status: 1 / 0, on_error=lambda *told: wrong.append(told))
    fail(breakers.get("b"))
    assert [(room, type(error)) for room, error in wrong] == [("breaker", ZeroDivisionError)]


def test_statuses_are_of_the_breakers_asked_for_by_name(breakers):
    assert breakers.statuses() == ()
    for name in ("tokenizer", "kernel", "memory"):
        breakers.get(name)
    assert [one.name for one in breakers.statuses()] == ["kernel", "memory", "tokenizer"]


def test_there_are_at_most_a_thousand(breakers):
    for number in range(MAX_BREAKERS):
        breakers.get(f"peer-{number}")
    with pytest.raises(InvalidNameError, match="1000 circuit breakers already"):
        breakers.get("one more")
    assert breakers.get("peer-7").name == "peer-7"
    assert len(breakers.statuses()) == MAX_BREAKERS


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, 7, None])
def test_a_name_is_a_text_of_some_length(breakers, name):
    with pytest.raises(InvalidNameError):
        breakers.get(name)


def test_a_breaker_needs_no_options_and_loads_nothing_heavy():
    program = (
        "import sys, metalscope.health.breaker, metalscope.health.breakers;"
        "heavy = {'pydantic', 'numpy', 'sqlite3', 'asyncio'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
