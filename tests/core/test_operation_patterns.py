"""Patterns of operations: what they name, and that none takes long to try."""

from __future__ import annotations

from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.operation_patterns import operations_like


def is_like(pattern: str, text: str) -> bool:
    """By trying everything: the meaning of a pattern, spelt out."""

    @lru_cache(None)
    def fits(p: int, t: int) -> bool:
        if p == len(pattern):
            return t == len(text)
        if pattern[p] == "*":
            return fits(p + 1, t) or (t < len(text) and fits(p, t + 1))
        return t < len(text) and pattern[p] in {"?", text[t]} and fits(p + 1, t + 1)

    return fits(0, 0)


@given(st.text("ab*?.\n", max_size=8), st.text("ab.\n", max_size=10))
def test_a_star_is_any_text_and_a_question_mark_any_character(pattern: str, text: str) -> None:
    assert operations_like(pattern)("execute", text) == is_like(pattern, text)
    assert operations_like(f"{pattern}:x")(text, "x") == is_like(pattern, text)


@pytest.mark.parametrize("end", ["b", "?b", ""])
def test_a_pattern_of_many_stars_is_soon_tried(end: str) -> None:
    # Tried in all ways there are, this would outlast the machine.
    fits = operations_like("a*" * 40 + end)
    assert fits("execute", "a" * 400) == (end == "")
