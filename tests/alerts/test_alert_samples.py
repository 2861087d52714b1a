"""What is sampled for expressions: how counters count, what is seen when, what survives."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled_series import (
    BEGIN,
    STEP,
    Asked,
    counter_asked,
    custom,
    gauge_asked,
    kernel,
    memory,
    one,
    snapshot,
    when,
)

from metalscope.alerts.expression import EvaluationError, compile_expression
from metalscope.alerts.expression.samples import Samples
from metalscope.alerts.storing import SampleRow
from metalscope.snapshot import ResourceKind

# -- how counters count --------------------------------------------------------------------------


def test_increase_is_what_was_counted_in_the_window_and_nothing_is_extrapolated() -> None:
    # 1, 2, 3 … each 15 s: four steps of a minute add 4, whatever lies around.
    assert counter_asked("increase(work_total[1m])", range(20)).number() == 4
    assert counter_asked("rate(work_total[1m])", range(20)).number() == pytest.approx(4 / 60)
    # A window between samples begins at the sample before it.
    assert counter_asked("increase(work_total[50s])", range(20)).number() == 4


def test_the_first_error_of_a_kind_counts_whole() -> None:
    asked = Asked("sum by (type) (increase(metal_errors_total[5m]))")
    asked.take(snapshot(0, operations=[kernel(ok=10)]))
    asked.take(snapshot(15, operations=[kernel(ok=10, timeout=3)]))
    assert asked.answer() == {(("type", "timeout"),): 3}


def test_what_was_counted_before_counts_only_where_the_process_began_in_the_window() -> None:
    young = counter_asked("increase(work_total[5m])", [7, 9], started=-10)
    assert young.number() == 9
    old = counter_asked("increase(work_total[5m])", [7, 9], started=-1000)
    assert old.number() == 2


def test_a_fall_is_a_restart_at_zero() -> None:
    assert counter_asked("increase(work_total[5m])", [5, 8, 2, 3]).number() == 6
    assert counter_asked("resets(work_total[5m])", [5, 8, 2, 3]).number() == 1


def test_the_counts_of_a_new_process_begin_at_zero_even_where_they_do_not_fall() -> None:
    asked = Asked("increase(work_total[5m])")
    asked.take(snapshot(0, custom("work", 5, "counter"), started=-1000))
    asked.take(snapshot(15, custom("work", 6, "counter"), started=-1000))
    asked.take(snapshot(30, custom("work", 9, "counter"), started=20))
    assert asked.number() == 10


def test_an_operation_that_was_let_go_and_is_back_counts_from_zero() -> None:
    asked = Asked("increase(metal_errors_total[5m])")
    for place, known in enumerate([[kernel(timeout=1)], [], [kernel(timeout=4)]]):
        asked.take(snapshot(place * STEP, operations=known))
    assert asked.number() == 4


def test_a_counter_of_a_sensor_that_was_silent_for_a_moment_goes_on() -> None:
    asked = Asked("increase(metal_energy_joules_total[5m])")
    for place, joules in enumerate([1000.0, None, 1010.0]):
        known = [] if joules is None else [replace(memory(joules), kind=ResourceKind.ENERGY)]
        asked.take(snapshot(place * STEP, resources=known))
    assert asked.number() == 10


def test_a_counter_since_boot_tells_nothing_by_its_first_value() -> None:
    def recoveries(count: float):
        return replace(memory(count), kind=ResourceKind.RECOVERIES)

    asked = Asked("increase(metal_gpu_recoveries_total[5m])")
    asked.take(snapshot(0, started=-1))
    asked.take(snapshot(15, resources=[recoveries(3)], started=-1))
    assert asked.number() == 0
    asked.take(snapshot(30, resources=[recoveries(4)], started=-1))
    assert asked.number() == 1
    # A new process on the same machine: the count goes on.
    asked.take(snapshot(45, resources=[recoveries(4)], started=40))
    assert asked.number() == 1


def test_several_processes_of_which_the_eldest_ends_do_not_begin_anew() -> None:
    asked = Asked("increase(work_total[5m])")
    for at, value, started in [(0, 5, -100), (15, 6, -100), (30, 7, -50)]:
        asked.take(snapshot(at, custom("work", value, "counter"), started=started))
    # 5 since the first began, 1 and 1 since.
    assert asked.number() == 7


@dataclass(frozen=True)
class Sampling:
    at: float
    started: float
    value: int | None


def modelled(
    life: list[Sampling], at: float, window: float, *, comes_back_at_zero: bool
) -> float | None:
    """What was counted, sampling by sampling."""
    begin = at - window
    counted = 0.0
    last: int | None = None
    process = -1000.0
    seen = False
    for place, now in enumerate(life):
        before = life[place - 1] if place else None
        value = now.value
        if value is not None:
            seen = seen or begin <= now.at <= at
            if last is None:
                known = before is not None or begin <= now.started
                step = value if known else 0
            elif (
                value < last
                or process != now.started
                or (comes_back_at_zero and before is not None and before.value is None)
            ):
                step = value
            else:
                step = value - last
            if begin < now.at <= at:
                counted += step
            last, process = value, now.started
    return counted if seen else None


def life_of(steps: list[tuple[int, int | None, bool]]) -> list[Sampling]:
    """Samplings from the seconds between them, what was counted, and whether the process is new."""
    life: list[Sampling] = []
    now, started, value = 0.0, -20.0, 0
    for seconds, more, is_new in steps:
        now += seconds
        if is_new and life:
            started, value = now - 1, 0
        if more is None:
            life.append(Sampling(now, started, None))
        else:
            value = max(0, value + more)
            life.append(Sampling(now, started, value))
    return life


STEPS = st.tuples(
    st.integers(1, 40),
    st.one_of(st.integers(0, 5), st.integers(0, 5), st.none(), st.integers(-20, -1)),
    st.integers(0, 9).map(lambda n: n == 0),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=25), st.sampled_from([10, 15, 60, 200]), st.data())
@pytest.mark.parametrize("of_an_operation", [True, False])
def test_counting_is_that_of_a_count_by_hand(
    of_an_operation: bool,
    steps: list[tuple[int, int | None, bool]],
    window: int,
    data: st.DataObject,
) -> None:
    life = life_of(steps)
    name = "metal_errors_total" if of_an_operation else "work_total"
    texts = f"increase({name}[{window}s])", f"increase({name}[{window}s] offset 20s)"
    asked = Asked(*texts)
    rows: list[SampleRow] = []
    for place, now in enumerate(life):
        if place and life[place - 1].started != now.started:
            # The next process has what the one before left.
            asked = Asked(*texts)
            asked.samples.restore(rows)
        there = now.value is not None
        taken = snapshot(
            now.at,
            *([custom("work", now.value, "counter")] if there and not of_an_operation else []),
            operations=[kernel(timeout=now.value)] if there and of_an_operation else [],
            started=now.started,
        )
        rows += asked.samples.take(taken)
        at = now.at + data.draw(st.sampled_from([0, 0, 7]))
        upto = life[: place + 1]
        expected = modelled(upto, at, window, comes_back_at_zero=of_an_operation)
        assert asked.number(at) == expected
        # And as of some time ago.
        expected = modelled(upto, at - 20, window, comes_back_at_zero=of_an_operation)
        answer = asked.answer(at, asked.expressions[1])
        assert (one(answer) if answer else None) == expected


def test_counting_is_exact_over_a_long_time_in_which_what_is_old_is_let_go() -> None:
    random = Random(4)
    steps = [
        (15, None if random.random() < 0.05 else random.randrange(-1, 9), random.random() < 0.01)
        for _ in range(600)
    ]
    life = life_of(steps)
    asked = Asked("increase(work_total[5m])")
    for place, now in enumerate(life):
        known = [] if now.value is None else [custom("work", now.value, "counter")]
        asked.take(snapshot(now.at, *known, started=now.started))
        recent = life[: place + 1]
        assert asked.number() == modelled(recent, now.at, 300, comes_back_at_zero=False)


# -- what is seen --------------------------------------------------------------------------------


def test_a_series_that_is_not_there_any_more_is_not_seen() -> None:
    assert gauge_asked("depth", [1, 2, 3]).number() == 3
    assert gauge_asked("depth", [1, 2, None]).number() is None
    assert gauge_asked("absent(depth)", [1, 2, None]).number() == 1
    # In a range it is, as long as the range reaches it.
    assert gauge_asked("max_over_time(depth[30s])", [1, 2, None]).number() == 2
    assert gauge_asked("max_over_time(depth[30s])", [1, 2, None, None, None]).number() is None


def test_an_offset_sees_what_was_seen_then() -> None:
    assert gauge_asked("depth offset 30s", [1, None, 3]).number() == 1
    assert gauge_asked("depth offset 15s", [1, None, 3]).number() is None
    assert gauge_asked("depth offset 20s", [1, 2, 3]).number() == 1
    assert gauge_asked("depth offset 1h", [1, 2, 3]).number() is None


def test_an_offset_does_not_see_what_is_older_than_five_minutes_then() -> None:
    asked = gauge_asked("depth offset 1m", [1])
    asked.take(snapshot(1000, custom("depth", 2)))
    assert asked.number(at=360) == 1
    assert asked.number(at=361) is None
    assert asked.number(at=1060) == 2


def test_a_range_includes_both_its_ends() -> None:
    assert gauge_asked("count_over_time(depth[30s])", [1, 2, 3, 4]).number() == 3
    assert gauge_asked("count_over_time(depth[29s])", [1, 2, 3, 4]).number() == 2
    assert gauge_asked("count_over_time(depth[30s])", [1, 2, 3, 4]).number(at=46) == 2


def test_delta_is_the_last_less_the_first_and_needs_two() -> None:
    assert gauge_asked("delta(depth[1m])", [9, 1, 5, 2, 4.5]).number() == -4.5
    assert gauge_asked("delta(depth[1m])", [9]).number() is None


def test_what_is_no_number_is_no_sample() -> None:
    assert gauge_asked("depth", [1, float("nan")]).number() is None
    assert gauge_asked("avg_over_time(depth[1m])", [1, float("nan"), 3]).number() == 2


def test_histograms_are_read_as_prometheus_is_given_them() -> None:
    runs = kernel(ok=4)
    texts = {
        'metal_operation_duration_ms_bucket{le="2.5"}': 0,
        'metal_operation_duration_ms_bucket{le="5.0"}': 4,
        'metal_operation_duration_ms_bucket{le="+Inf"}': 4,
        "metal_operation_duration_ms_count": 4,
        "metal_operation_duration_ms_sum": 20,
        "count(metal_operation_duration_ms_bucket)": 21,
    }
    for text, value in texts.items():
        asked = Asked(text)
        asked.take(snapshot(0, operations=[runs]))
        assert asked.number() == value, text
    custom_histogram = replace(
        custom("size", 7.5, "histogram", model="a"), count=3, buckets=((0.5, 1), (10.0, 3))
    )
    asked = Asked("sum by (model) (size_bucket{le='0.5'}) + size_sum + size_count")
    asked.take(snapshot(0, custom_histogram))
    assert asked.answer() == {(("model", "a"),): 11.5}


def test_labels_are_matched_as_a_whole() -> None:
    asked = Asked("metal_memory_usage_bytes{pool=~'ml.'}", "metal_memory_usage_bytes{pool=~'l'}")
    asked.take(snapshot(0, resources=[memory(5), memory(7, pool="torch")]))
    assert asked.answer() == {(("device", "m1"), ("pool", "mlx")): 5}
    assert asked.answer(expression=asked.expressions[1]) == {}


def test_a_series_that_comes_later_is_selected_too() -> None:
    asked = Asked("metal_memory_usage_bytes{pool!='torch'}")
    asked.take(snapshot(0, resources=[memory(5)]))
    assert len(asked.answer()) == 1
    asked.take(snapshot(15, resources=[memory(5), memory(6, pool="new"), memory(7, pool="torch")]))
    assert len(asked.answer()) == 2


def test_sides_that_do_not_fit_are_an_error_that_says_what_does_not() -> None:
    asked = Asked("metal_memory_usage_bytes / on(device) metal_memory_limit_bytes")
    asked.take(snapshot(0, resources=[memory(5, limit=10), memory(6, pool="torch", limit=20)]))
    with pytest.raises(EvaluationError, match=r'the right side .* have \{device="m1"\}'):
        asked.answer()


# -- clocks --------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_loses_the_future_and_counts_nothing_twice() -> None:
    asked = Asked("increase(work_total[10m])", "count_over_time(work_total[10m])")
    for place in range(11):
        asked.take(snapshot(place * STEP, custom("work", place, "counter")))
    asked.take(snapshot(60, custom("work", 12, "counter")))
    assert asked.samples.latest == when(60)
    # Those at 0, 15, 30 and 45 are left, and this one.
    assert one(asked.answer(expression=asked.expressions[1])) == 5
    assert asked.number() == 12
    asked.take(snapshot(75, custom("work", 13, "counter")))
    assert asked.number() == 13


def test_a_clock_that_is_set_back_before_all_samples_begins_anew() -> None:
    asked = counter_asked("increase(work_total[10m])", [5, 6, 7], started=-10)
    asked.take(snapshot(-5000, custom("work", 8, "counter"), started=-10))
    assert asked.number() == 0
    asked.take(snapshot(-4985, custom("work", 10, "counter"), started=-10))
    assert asked.number() == 2
    assert asked.samples.latest == when(-4985)


def test_a_clock_that_is_set_forward_counts_from_the_sample_before() -> None:
    asked = counter_asked("increase(work_total[1m])", [5, 6, 7])
    asked.take(snapshot(100_000, custom("work", 9, "counter")))
    assert asked.number() == 2


def test_a_moment_is_sampled_once() -> None:
    asked = Asked("increase(work_total[5m])")
    asked.take(snapshot(0))
    assert asked.samples.take(snapshot(15, custom("work", 3, "counter")))
    assert not asked.samples.take(snapshot(15, custom("work", 3, "counter")))
    assert asked.number() == 3


def test_the_first_count_of_a_series_is_not_lost_by_a_clock_that_is_corrected() -> None:
    asked = Asked("increase(work_total[5m])")
    asked.take(snapshot(0))
    asked.take(snapshot(15, custom("work", 3, "counter")))
    asked.take(snapshot(14.9, custom("work", 4, "counter")))
    assert asked.number() == 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-100, 100), min_size=1, max_size=30))
def test_whatever_the_clock_does_samples_are_in_order(jumps: list[int]) -> None:
    asked = Asked("increase(work_total[1m])", "count_over_time(work_total[1m])")
    now, kept = 0, []
    for place, jump in enumerate(jumps):
        now += jump
        kept = [at for at in kept if at < now] + [now]
        asked.take(snapshot(now, custom("work", place, "counter")))
        assert asked.samples.latest == when(now)
        inside = sum(at >= now - 60 for at in kept)
        assert one(asked.answer(expression=asked.expressions[1])) == inside
        counted = asked.number()
        assert counted is not None
        assert 0 <= counted <= place


# -- what survives -------------------------------------------------------------------------------


def test_samples_go_on_in_the_next_process() -> None:
    text = "increase(work_total[5m])"
    asked = Asked(text)
    rows = []
    for place, value in enumerate([3, 5, 6]):
        taken = snapshot(place * STEP, custom("work", value, "counter", model="a"))
        rows += asked.samples.take(taken)
    again = Asked(text)
    again.samples.restore(rows)
    assert again.samples.latest == asked.samples.latest
    assert again.answer() == asked.answer() == {(("model", "a"),): 3}
    again.take(snapshot(60, custom("work", 7, "counter", model="a"), started=50))
    assert again.answer() == {(("model", "a"),): 10}


def test_the_rows_of_an_earlier_process_are_those_it_took() -> None:
    asked = Asked(
        "metal_memory_usage_bytes",
        "delta(metal_memory_limit_bytes[5m])",
        'increase(metal_operation_duration_ms_bucket{le="100.0"}[5m])',
    )
    rows = asked.samples.take(
        snapshot(0, operations=[kernel('a "b"\n\\é', ok=2)], resources=[memory(5, limit=9)])
    )
    at = BEGIN.timestamp()
    # That of which only the latest value is asked is not worth keeping.
    assert [(json.loads(key), moment, value) for key, moment, value in rows] == [
        ([0], at, at - 1000),
        (["metal_memory_limit_bytes", "device", "m1", "pool", "mlx"], at, 9),
        (
            [
                "metal_operation_duration_ms_bucket", "kind", "execute", "name", 'a "b"\n\\é',
                "device", "m1", "outcome", "ok", "le", "100.0",
            ],
            at,
            2,
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("matchers", "bounds"),
    [
        (['le="100.0"'], ["100.0"]),
        (['le=~"100(\\\\.0)?"'], ["100.0"]),
        (['le="100.0"', "le=~\"2.*,kind!='x'\""], ["100.0"]),
        (['le="5.0"', 'le="+Inf",kind="execute"'], ["5.0", "+Inf"]),
        (['le!~"[0-9.]+"'], ["+Inf"]),
    ],
)
def test_only_the_buckets_that_somebody_looks_at_are_sampled(
    matchers: list[str], bounds: list[str]
) -> None:
    name = "metal_operation_duration_ms_bucket"
    asked = Asked(*(f"increase({name}{{{one}}}[5m])" for one in matchers))
    rows = asked.samples.take(snapshot(0, operations=[kernel(ok=2)]))
    assert [json.loads(key)[-1] for key, _, _ in rows[1:]] == bounds


def test_an_answer_is_the_askers_own_and_of_the_moment() -> None:
    asked = gauge_asked("max(depth)", [1, 2])
    asked.answer()[()] = 5
    assert asked.number() == 2
    asked.take(snapshot(30, custom("depth", 3)))
    assert asked.number() == 3


def test_rows_that_mean_nothing_here_are_passed_over() -> None:
    asked = Asked("delta(depth[5m])")
    asked.samples.restore(
        [
            ("no JSON", 1.0, 1.0),
            ("{}", 1.0, 1.0),
            ("5", 1.0, 1.0),
            ('["depth","odd"]', 1.0, 1.0),
            ('["depth",5,"x"]', 1.0, 1.0),
            ('["other"]', 1.0, 1.0),
            ("[[]]", 1.0, 1.0),
            ('["depth"]', 1.0, 2.0),
            ('["depth"]', 16.0, 5.0),
        ]
    )
    assert asked.samples.latest == 16
    assert dict(asked.expressions[0].evaluate(asked.samples, 16)) == {(): 3}


def test_samples_of_a_time_that_came_again_do_not_come_back() -> None:
    asked = Asked("increase(work_total[10m])")
    rows = []
    for at, value in [(0, 0), (30, 50), (60, 100), (20, 110), (40, 120)]:
        rows += asked.samples.take(snapshot(at, custom("work", value, "counter")))
    assert asked.number() == 120
    again = Asked("increase(work_total[10m])")
    # The store gives them by their time.
    again.samples.restore(sorted(rows, key=lambda row: row[1]))
    assert again.samples.latest == when(40)
    assert again.number() == 120


def test_a_restored_series_may_be_gone_or_new() -> None:
    asked = Asked("increase(metal_errors_total[10m])")
    rows = list(asked.samples.take(snapshot(0, operations=[kernel("old", timeout=4)])))
    again = Asked("increase(metal_errors_total[10m])")
    again.samples.restore(rows)
    again.take(snapshot(100, operations=[kernel("new", timeout=2)], started=90))
    assert {dict(labels)["name"]: value for labels, value in again.answer().items()} == {
        "old": 0,
        "new": 2,
    }


# -- how much is kept ----------------------------------------------------------------------------


def test_only_what_is_looked_at_is_kept_and_only_so_long() -> None:
    asked = Asked("avg_over_time(metal_memory_usage_bytes[5m])")
    for place in range(500):
        known = memory(place)
        asked.take(snapshot(place * STEP, operations=[kernel(ok=1)], resources=[known]))
    samples = asked.samples
    (series,) = samples.select("any", asked.expressions[0].node.arguments[0].selector)
    assert 20 <= len(series.values) <= 20 + 64 + 1
    latest = samples.latest
    assert latest is not None
    assert samples.earliest_needed(latest) == latest - 300
    assert samples.earliest_needed(latest + 7) == latest - 300


def test_a_series_that_is_gone_for_good_is_forgotten() -> None:
    asked = Asked("avg_over_time(metal_memory_usage_bytes[5m])", max_series=10)
    for place in range(2000):
        asked.take(snapshot(place * STEP, resources=[memory(1, pool=f"pool{place // 100}")]))
    assert asked.samples.overflowed == 0
    assert len(asked.answer()) == 1


def test_more_series_than_there_is_room_for_are_counted() -> None:
    asked = Asked("metal_memory_usage_bytes", max_series=3)
    for place in range(2):
        asked.take(snapshot(place * STEP, resources=[memory(1, pool=str(n)) for n in range(5)]))
    assert len(asked.answer()) == 3
    assert asked.samples.overflowed == 4


def test_longer_ranges_leave_room_for_fewer_series() -> None:
    # 31 days of samples each 15 s are 178,560 for each series.
    asked = Asked("avg_over_time(metal_memory_usage_bytes[31d])")
    asked.take(snapshot(0, resources=[memory(1, pool=str(n)) for n in range(100)]))
    assert 0 < len(asked.answer()) < 100
    assert asked.samples.overflowed == 100 - len(asked.answer())


def test_expressions_that_share_a_metric_share_its_samples() -> None:
    texts = ["delta(depth[1m])", "avg_over_time(depth[10m])", "depth offset 5m"]
    samples = Samples(map(compile_expression, texts))
    assert samples.latest is None
    assert samples.earliest_needed(1000.0) == 400
    rows = samples.take(snapshot(0, custom("depth", 5)))
    assert len(rows) == 2
