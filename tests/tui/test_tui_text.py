"""Text from outside and numbers, as a terminal may show them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from metalscope.tui.text import (
    bytes_text,
    count_text,
    duration_text,
    fit,
    ms_text,
    percent_text,
    rate_text,
    visible,
)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\nlines\t", r"two\nlines\t"),
        ("\x07\x00\x9b", r"\x07\x00\x9b"),
        ("abc\u202edef", r"abc\u202edef"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("e\u0301", "é"),
        ("カーネル", "カーネル"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown_as_its_escape(hostile: str, shown: str):
    assert visible(hostile) == shown


def test_marks_do_not_pile_up_over_the_lines_above():
    assert len(visible("a" + "\u0335" * 500)) <= 3


@given(st.text(max_size=60), st.integers(0, 40))
def test_a_cell_is_exactly_as_wide_as_it_was_to_be_and_printable(text: str, width: int):
    shown = fit(text, width)
    assert cell_len(shown) == width
    assert all(unicodedata.category(char) not in {"Cc", "Cf", "Cs"} for char in shown)
    shown.encode()


def test_what_does_not_fit_ends_in_an_ellipsis():
    assert fit("attention", 5) == "atte…"
    assert fit("カーネル", 5) == "カー…"
    assert fit("カーネル", 4) == "カ… "
    assert fit("ab", 5, right=True) == "   ab"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (count_text(9_999), "9,999"),
        (count_text(12_345), "12.3k"),
        (count_text(99_999_999), "100M"),
        (rate_text(None), "—"),
        (rate_text(0), "0"),
        (rate_text(0.0004), "<0.01"),
        (rate_text(0.25), "0.25"),
        (rate_text(73.44), "73.4"),
        (rate_text(1_234_567), "1.23M"),
        (ms_text(None), "—"),
        (ms_text(0.0000612), "61 ns"),
        (ms_text(0.0712), "71.2 µs"),
        (ms_text(3.2199), "3.22 ms"),
        (ms_text(1_500), "1.50 s"),
        (ms_text(1_200_000), "20 min"),
        (ms_text(36_000_000_00), "1000 h"),
        (bytes_text(0), "0 B"),
        (bytes_text(1_023), "1023 B"),
        (bytes_text(459_776), "449 KiB"),
        (bytes_text(1.5 * 2**30), "1.50 GiB"),
        (percent_text(0), "0.0 %"),
        (percent_text(0.004), "<0.1 %"),
        (percent_text(100), "100 %"),
        (duration_text(65), "1:05"),
        (duration_text(7_384), "2:03:04"),
        (duration_text(90_000), "1 d 1:00:00"),
    ],
)
def test_numbers_read_in_few_cells(shown: str, expected: str):
    assert shown == expected


@given(st.floats(0, 1e15))
def test_no_number_is_wider_than_its_column(value: float):
    assert len(rate_text(value)) <= 8
    assert len(bytes_text(value)) <= 9
    assert len(ms_text(min(value, 1e9))) <= 8
    assert len(count_text(round(value))) <= 7
