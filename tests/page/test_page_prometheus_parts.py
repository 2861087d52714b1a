"""Patterns, steps and buckets, as they are put into queries and taken out of answers."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.operation_patterns import operations_like
from metalscope.page.prometheus.asking import Window
from metalscope.page.prometheus.buckets import at_most, bound, cells, quantile
from metalscope.page.prometheus.operation_lines import quantile_ms, share_failed
from metalscope.page.prometheus.selecting import fits, matching, quoted, selected
from metalscope.page.prometheus.steps import Steps, highest, number
from metalscope.page.source import Line, TimeRange

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
patterns = st.lists(st.sampled_from(["*", "?", "a", ".", "\n", "\\", '"', "]", "|", "é", "b*"]))


@given(texts)
def test_a_quoted_text_is_one_string_that_means_it(text: str) -> None:
    written = quoted(text)
    assert "\n" not in written
    # Python's escapes mean the same as Go's here.
    assert ast.literal_eval(written.replace("\x00", "")) == text


@given(patterns, st.text('ab.\n\\"]|é', max_size=8))
def test_a_pattern_names_the_same_in_a_query_as_everywhere_else(
    parts: list[str], text: str
) -> None:
    pattern = "".join(parts)
    expected = operations_like(f"*:{pattern}")("execute", text)
    assert fits(pattern, text) == expected
    matcher = matching("name", pattern)
    if not matcher:
        assert expected
    elif matcher.startswith("name=~"):
        expression = ast.literal_eval(matcher.removeprefix("name=~"))
        assert (re.fullmatch(expression, text) is not None) == expected
    else:
        assert (ast.literal_eval(matcher.removeprefix("name=")) == text) == expected


def test_what_names_all_is_no_matcher() -> None:
    assert matching("name", "*") == matching("name", "***") == ""
    assert matching("name", "") == 'name=""'
    assert selected("metal", "", matching("a", "b"), c="d", e="") == 'metal{a="b",c="d"}'


def test_queries_are_shorter_than_victoria_metrics_takes() -> None:
    # -search.maxQueryLen, 16 KiB by default.
    window = Window(86400, 15)
    matchers = [matching(label, "*" + "x" * 100) for label in ("kind", "name", "device", "host")]
    for query in (
        share_failed(window, *matchers, by=("instance",)),
        quantile_ms(0.99, window, *matchers, by=("instance",)),
    ):
        assert len(query) < 16 * 1024


def steps_of(since: float, until: float, step: float) -> Steps:
    times = (datetime.fromtimestamp(at, UTC) for at in (since, until))
    return Steps.of(TimeRange(*times, timedelta(seconds=step)))


def test_steps_begin_at_whole_multiples_and_hold_what_is_asked_for() -> None:
    steps = steps_of(1000, 1121, 60)
    assert (steps.start_ms, steps.step_ms, steps.count) == (960_000, 60_000, 3)
    assert (steps.first_asked, steps.last_asked) == (1019.999, 1139.999)
    assert steps.place([(1139.999, 3.0), (1019.999, 1.0), (9e9, 5.0)]) == [1.0, None, 3.0]


@pytest.mark.parametrize(
    ("now", "known"), [(959, 0), (960, 0), (961, 1), (1020, 1), (1021, 2), (2000, 3)]
)
def test_a_step_that_has_not_begun_has_no_value(now: float, known: int) -> None:
    values = steps_of(1000, 1121, 60).up_to(now, [1.0, 2.0, 3.0])
    assert values == [1.0, 2.0, 3.0][:known] + [None] * (3 - known)


def test_the_highest_lines_are_those_that_are_so_on_average() -> None:
    lines = [
        Line([1, None, 1], name="low"), Line([None, 9], name="high"), Line([None], name="nothing"),
        Line([3, 5], name="b"), Line([4], name="a"),
    ]  # fmt: skip
    shown, omitted = highest(lines, 3)
    assert [line.name for line in shown] == ["high", "a", "b"]
    assert omitted == 1


def test_only_finite_numbers_are_values() -> None:
    assert [number(text) for text in ("1.5", "NaN", "+Inf", "-Inf", "x", None, [])] == [
        1.5, None, None, None, None, None, None,
    ]  # fmt: skip


def test_buckets_are_what_is_in_each_alone_and_never_less_than_nothing() -> None:
    assert cells({1.0: 2.0, inf: 6.0, 5.0: 1.5}) == [(1.0, 2.0), (5.0, 0.0), (inf, 4.0)]
    assert [bound(text) for text in ("+Inf", "0.5", "NaN", "?")] == [inf, 0.5, None, None]
    assert at_most({1.0: 2.0, 5.0: 2.0, inf: 2.0}) == 1.0
    assert at_most({1.0: 2.0, inf: 3.0}) is None
    assert at_most({}) is None


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    counted = {1.0: 10.0, 2.0: 20.0, inf: 20.0}
    assert quantile(0.5, counted) == 1.0
    assert quantile(0.75, counted) == 1.5
    assert quantile(1.0, counted) == 2.0
    # Past the last bound nobody knows how far.
    assert quantile(0.99, {1.0: 1.0, inf: 100.0}) == 1.0
    assert quantile(0.5, {1.0: 0.0, inf: 0.0}) is None
    assert quantile(0.5, {}) is None
