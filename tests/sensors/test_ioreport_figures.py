from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin_mac import recorded

from metalscope.sensors.figures import (
    active_percent,
    byte_scale,
    gpu_frequencies,
    joule_scale,
    mean_frequency,
    mean_traffic,
    rate,
)
from metalscope.sensors.windows import HOLD_SECONDS, RateWindow, StateWindow

names = st.sampled_from(["OFF", "IDLE", "DOWN", "P1", "P2", "V0P5", " 16GB/s", "256GB/s", "", "?"])
ticks = st.integers(-(2**63), 2**63 - 1)
deltas = st.lists(st.tuples(names, ticks), max_size=40)
clocks = st.lists(st.floats(1e8, 4e9), max_size=20)


@given(deltas)
def test_any_residency_is_between_0_and_100_percent(states: list[tuple[str, int]]) -> None:
    found = active_percent(states)
    assert found is None or 0 <= found <= 100


@given(deltas, clocks)
def test_a_mean_frequency_lies_between_the_lowest_and_the_highest(
    states: list[tuple[str, int]], table: list[float]
) -> None:
    found = mean_frequency(states, table)
    if found is not None:
        assert min(table) * (1 - 1e-9) <= found <= max(table) * (1 + 1e-9)


@given(deltas)
def test_traffic_of_any_histogram_is_not_negative(states: list[tuple[str, int]]) -> None:
    found = mean_traffic(states)
    assert found is None or (found >= 0 and math.isfinite(found))


@given(st.floats(), st.floats())
def test_no_rate_is_negative_or_endless(amount: float, seconds: float) -> None:
    found = rate(amount, seconds)
    assert found is None or (found >= 0 and math.isfinite(found))


@given(st.binary(max_size=200))
def test_a_table_of_clocks_holds_plausible_clocks_only(table: bytes) -> None:
    assert all(1e8 <= clock <= 4e9 for clock in gpu_frequencies(table))


counts = st.one_of(st.none(), st.integers(0, 2**62))
stamps = st.one_of(st.none(), st.integers(0, 2**62))
steps = st.lists(st.tuples(counts, stamps, st.floats(0, 30)), max_size=30)


@given(st.one_of(st.none(), st.just(24e6)), steps)
def test_whatever_a_counter_does_it_neither_shrinks_nor_runs_backwards(
    ticks_per_second: float | None, history: list[tuple[int | None, int | None, float]]
) -> None:
    window, now = RateWindow(ticks_per_second), 0.0
    for value, stamp, passed in history:
        now += passed
        assert window.update(value, stamp, now) >= 0
        found = window.rate(now)
        assert found is None or found >= 0


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=30))
def test_growth_adds_up_to_the_whole_where_the_counter_only_grows(grown: list[int]) -> None:
    window, value, total = RateWindow(None), 0, 0
    for index, more in enumerate(grown):
        value += more
        total += window.update(value, None, float(index))
    assert total == sum(grown[1:])


@given(st.lists(st.lists(ticks, min_size=3, max_size=3), max_size=20))
def test_time_in_a_state_is_never_negative(history: list[list[int]]) -> None:
    window = StateWindow()
    for index, values in enumerate(history):
        spent = window.update(list(zip("abc", values, strict=True)), float(index))
        assert spent is None or all(ticks >= 0 for _, ticks in spent)


# -- what real machines said ----------------------------------------------------------------------


def test_the_mean_clock_is_that_which_a_tool_computed_on_an_m1() -> None:
    said = recorded("m1_air_gpu")
    table = gpu_frequencies(bytes.fromhex(said["perf_states"]))
    busy = round(said["active_percent"] * 1e6)
    states = [
        ("OFF", 100_000_000 - busy),
        ("P1", round(busy * said["share_at_396_mhz"] / 100)),
        ("P2", 0),
        ("P3", round(busy * said["share_at_720_mhz"] / 100)),
        *((f"P{index}", 0) for index in range(4, 16)),
    ]

    assert table == (396e6, 528e6, 720e6, 924e6, 1128e6, 1278e6)
    assert active_percent(states) == pytest.approx(said["active_percent"])
    assert mean_frequency(states, table) == pytest.approx(said["mean_mhz"] * 1e6, rel=1e-5)


@pytest.mark.parametrize("which", list(recorded("dvfs_tables")))
def test_a_table_of_a_real_chip_is_read_as_what_it_is(which: str) -> None:
    said = recorded("dvfs_tables")[which]

    found = gpu_frequencies(bytes.fromhex(said["hex"]))

    assert [round(hertz / 1e6, 1) for hertz in found] == said["mhz"]


def test_a_table_in_kilohertz_is_read_in_kilohertz() -> None:
    pairs = [(0, 400), (338_000, 600), (1_578_000, 900)]

    table = b"".join(struct.pack("<II", *pair) for pair in pairs)

    assert gpu_frequencies(table) == (338e6, 1578e6)


def test_traffic_counts_a_bucket_as_its_middle() -> None:
    said = recorded("m4_max_traffic")
    states = [(f"{name:>4}GB/s", ticks) for name, ticks in said["ticks_by_gigabytes"].items()]

    # Its buckets are 1 GB/s wide, so the middles are half of that below the names.
    assert mean_traffic(states) == pytest.approx((said["mean_by_name"] - 0.5) * 1e9, abs=0.01e9)


# -- what they mean -------------------------------------------------------------------------------


def test_an_idle_window_is_0_percent_and_has_no_frequency() -> None:
    states = [("OFF", 100), ("P1", 0)]

    assert active_percent(states) == 0
    assert mean_frequency(states, [400e6]) is None


def test_a_window_without_time_has_no_percentage() -> None:
    assert active_percent([("OFF", 0), ("P1", 0)]) is None


def test_time_in_a_state_past_the_table_means_that_it_is_not_the_table() -> None:
    assert mean_frequency([("OFF", 1), ("P1", 1), ("P2", 1)], [400e6]) is None


def test_states_that_are_no_rates_are_no_traffic() -> None:
    assert mean_traffic([("F1", 10), ("VMIN", 3)]) is None


@pytest.mark.parametrize(
    ("unit", "scale"), [("mJ", 1e-3), ("uJ", 1e-6), ("nJ", 1e-9), ("J", 1), ("events", None)]
)
def test_an_energy_label_is_its_scale(unit: str, scale: float | None) -> None:
    assert joule_scale(unit) == scale


def test_a_traffic_label_is_its_scale_and_none_means_bytes() -> None:
    assert (byte_scale(""), byte_scale("B"), byte_scale("KiB")) == (1, 1, 1024)
    assert byte_scale("events") is None


def test_a_rate_is_timed_by_the_stamps_of_the_driver() -> None:
    window = RateWindow(1000)
    window.update(0, 1000, now=50.0)
    window.update(30, 3000, now=50.1)

    assert window.rate(50.1) == 15


def test_a_rate_holds_between_two_publications_and_then_is_gone() -> None:
    window = RateWindow(1000)
    window.update(0, 1000, now=0.0)
    window.update(30, 3000, now=2.0)

    window.update(30, 3000, now=2.0 + HOLD_SECONDS)
    assert window.rate(2.0 + HOLD_SECONDS) == 15
    assert window.rate(2.1 + HOLD_SECONDS) is None


def test_the_tail_of_a_split_batch_joins_the_next_window() -> None:
    window = RateWindow(1000)
    window.update(0, 1000, now=0.0)
    window.update(100, 3000, now=2.0)
    window.update(110, 3018, now=2.1)

    assert window.rate(2.1) == 50
    window.update(200, 5000, now=4.0)
    assert window.rate(4.0) == 50


def test_stamps_that_stand_still_while_the_value_moves_are_not_trusted() -> None:
    window = RateWindow(1000)
    window.update(0, 1000, now=0.0)
    window.update(30, 1000, now=3.0)

    assert window.rate(3.0) == 10


def test_without_stamps_a_rate_is_timed_by_the_reading() -> None:
    window = RateWindow(1000)
    window.update(0, None, now=0.0)
    window.update(30, None, now=2.0)

    assert window.rate(2.0) == 15


def test_two_readings_at_one_moment_lose_nothing() -> None:
    window = RateWindow(None)
    window.update(0, None, now=1.0)
    assert window.update(10, None, now=1.0) == 10
    assert window.rate(1.0) is None
    window.update(20, None, now=2.0)

    assert window.rate(2.0) == 20


def test_a_counter_that_was_reset_starts_again() -> None:
    window = RateWindow(None)
    window.update(100, None, now=0.0)
    window.update(200, None, now=1.0)

    assert window.update(5, None, now=2.0) == 0
    assert window.rate(2.0) is None
    assert window.update(15, None, now=3.0) == 10
    assert window.rate(3.0) == 10


def test_a_gap_in_a_counter_is_not_made_up_for() -> None:
    window = RateWindow(None)
    window.update(100, None, now=0.0)
    assert window.update(None, None, now=1.0) == 0
    assert window.update(900, None, now=2.0) == 0


def test_states_hold_between_two_publications_and_then_are_gone() -> None:
    window = StateWindow()
    window.update([("OFF", 0), ("P1", 0)], 0.0)
    assert window.update([("OFF", 3), ("P1", 1)], 1.0) == [("OFF", 3), ("P1", 1)]

    assert window.update([("OFF", 3), ("P1", 1)], 2.0) == [("OFF", 3), ("P1", 1)]
    assert window.update([("OFF", 3), ("P1", 1)], 1.1 + HOLD_SECONDS) is None


def test_states_that_lost_time_start_again() -> None:
    window = StateWindow()
    window.update([("OFF", 10), ("P1", 10)], 0.0)

    assert window.update([("OFF", 1), ("P1", 20)], 1.0) is None
    assert window.update([("OFF", 2), ("P1", 20)], 2.0) == [("OFF", 1), ("P1", 0)]
