from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from timing import Comparison, Machine, Spread, Variant, compare


def test_every_variant_runs_in_every_round_and_the_order_turns() -> None:
    ran: list[str] = []
    comparison = compare(
        {name: Variant(lambda name=name: ran.append(name)) for name in "abc"}, rounds=3, warmup=1
    )
    rounds = [tuple(ran[start : start + 3]) for start in range(0, len(ran), 3)]
    assert rounds == [("c", "a", "b"), ("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b")]
    assert Counter({name: len(times) for name, times in comparison.seconds.items()}) == Counter(
        {"a": 3, "b": 3, "c": 3}
    )


def test_what_surrounds_a_variant_is_entered_and_left_each_time() -> None:
    steps: list[str] = []

    @contextmanager
    def around() -> Iterator[None]:
        steps.append("in")
        yield
        steps.append("out")

    compare({"one": Variant(lambda: steps.append("run"), around)}, rounds=2, warmup=0)
    assert steps == ["in", "run", "out"] * 2


def test_a_ratio_is_taken_within_each_round() -> None:
    # The machine halves its speed; each pair still says 2.
    comparison = Comparison({"slow": [2.0, 4.0, 8.0], "base": [1.0, 2.0, 4.0]})
    assert comparison.ratio("slow", to="base") == Spread(2.0, 2.0, 2.0)
    assert comparison.spread("base") == Spread(2.0, 1.5, 3.0)
    assert comparison.spread("base").scaled(10).median == pytest.approx(20.0)


def test_the_machine_is_named() -> None:
    here = Machine.here()
    assert here.processor
    assert "Python" in here.python or "PyPy" in here.python
