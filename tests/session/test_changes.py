"""A patch makes the later of two pieces of JSON data of the earlier."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from metalscope.session.changes import difference, patched

keys = st.sampled_from(["a", "b", "<", ">", "0", ""])
data = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.floats(allow_nan=False) | keys,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


def text(value: Any) -> str:
    """JSON text, which tells 1 from 1.0 and true, and one order of keys from another."""
    return json.dumps(value)


@given(data, data)
def test_any_data_is_made_of_any_other(old: Any, new: Any):
    before = text(old)
    patch = difference(old, new)
    made = old if patch is None else patched(old, json.loads(text(patch)))
    assert made == new
    assert text(old) == before


@settings(max_examples=30)
@given(st.lists(data, max_size=6), st.integers(0, 6), st.lists(data, max_size=3))
def test_any_window_slides(old: list[Any], went: int, came: list[Any]):
    new = [*old[went:], *came]
    patch = difference(old, new)
    assert (old if patch is None else patched(old, patch)) == new


@settings(max_examples=30)
@given(st.dictionaries(keys, data), st.randoms())
def test_the_order_of_keys_is_kept(old: dict[str, Any], random: Any):
    shuffled = list(old)
    random.shuffle(shuffled)
    new = {key: old[key] for key in shuffled}
    patch = difference(old, new)
    assert list(old if patch is None else patched(old, patch)) == shuffled


def test_what_is_the_same_needs_no_patch():
    assert difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) is None


def test_a_full_window_that_slides_costs_what_came():
    assert difference([[1], [2], [3]], [[2], [3], [4]]) == {"<": 1, ">": [[4]]}


def test_a_change_deep_inside_names_only_its_path():
    old = {"operations": [{"name": "a", "count": 1}, {"name": "b", "count": 1}]}
    new = {"operations": [{"name": "a", "count": 1}, {"name": "b", "count": 2}]}
    assert difference(old, new) == {"operations": {"1": {"count": [2]}}}


def test_keys_come_and_go():
    assert difference({"a": 1, "b": 2}, {"b": 2, "c": 3}) == {"a": [], "c": [3]}
