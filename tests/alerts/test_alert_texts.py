"""Titles and descriptions say what was found, and no template can do harm."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.alerts.engine.text import LONGEST_LINE, filled, format_of, one_line, plain_number

LABELS = {"name": "attention", "device": "m1"}


@pytest.mark.parametrize(
    ("template", "value", "text"),
    [
        ("{name} failed {value} times on {device}", 7.0, "attention failed 7 times on m1"),
        ("{nothing}is there", 7.0, "is there"),
        ("{value}", 12.3456, "12.35"),
        ("{value}", 1234567.0, "1234567"),
        ("{value}", 0.00123456, "0.00123"),
        ("{value}", None, ""),
        ("{value}", math.inf, "infinity"),
        ("at {value:percent}", 88.04, "at 88 %"),
        ("at {value:percent}", 88.46, "at 88.5 %"),
        ("at {value:ratio}", 0.125, "at 12.5 %"),
        ("{value:bytes}", 3 * 2**30, "3.0 GiB"),
        ("{value:duration}", 0.25, "250ms"),
        ("{value:duration}", 95.4, "1m35s"),
        ("{value:duration}", 7384.0, "2h3m"),
        ("{value:duration}", 1e300, "1e+300 s"),
        ("{value:duration}", math.nan, "no number"),
        ("{value:unheard}", 7.5, "7.5"),
        ("{name:percent}", 7.5, "attention"),
        ("{{value}} and {{name}}", 7.0, "{value} and {name}"),
        ("a { b } c {", 7.0, "a { b } c {"),
        (
            "{name.__class__} {name[0]} {0} {value!r}",
            7.0,
            "{name.__class__} {name[0]} {0} {value!r}",
        ),
    ],
)
def test_a_template_is_filled(template, value, text):
    assert filled(template, LABELS, value) == text


@given(st.text(alphabet="{}:value name.%!\n", max_size=40), st.floats() | st.none())
def test_no_template_raises(template, value):
    filled(template, LABELS, value)


@given(st.text(max_size=30).filter(lambda text: "{" not in text and "}" not in text))
def test_text_without_placeholders_stays_as_it_is(text):
    assert filled(text, LABELS, 1.0) == text


def test_a_label_that_looks_like_a_template_is_not_filled_in_turn():
    assert filled("{name}", {"name": "{value} {{"}, 7.0) == "{value} {{"


def test_the_format_of_a_template_is_that_of_its_value():
    assert format_of("{name} is at {value:percent} now") == "percent"
    assert format_of("{name:bytes} has {value}") == ""
    assert format_of("nothing") == ""


def test_a_title_is_one_line_of_bounded_length():
    assert one_line("a\n b\t\tc ") == "a b c"
    assert len(one_line("x" * 5000)) == LONGEST_LINE


@given(st.floats())
def test_a_number_is_never_long(value):
    assert len(plain_number(value)) <= 20


def test_words_before_a_label_stand_only_where_there_is_one() -> None:
    template = "{value} allocations{device| on device } failed"
    assert filled(template, {"device": "m1"}, 3.0) == "3 allocations on device m1 failed"
    assert filled(template, {}, 3.0) == "3 allocations failed"
    assert filled("full{value:duration| in }", {}, None) == "full"
