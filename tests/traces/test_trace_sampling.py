"""Which traces are kept from their beginning: as many as asked for, and the same everywhere."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.traces.sampling import NEVER, RANDOM_BITS, HeadSampler

ratios = st.floats(0.0, 1.0) | st.sampled_from([0.0, 1e-300, 1e-12, 0.01, 0.5, 1 - 1e-16, 1.0])


def within_chance(found: int, of: int, ratio: float) -> bool:
    """Six standard deviations of the binomial distribution: once in a thousand million runs."""
    return abs(found - of * ratio) <= 6 * math.sqrt(of * ratio * (1 - ratio)) + 1


@pytest.mark.parametrize("ratio", [0.0, 0.001, 0.01, 0.25, 0.9, 1.0])
def test_as_many_traces_are_kept_as_the_ratio_says(ratio: float) -> None:
    sampler = HeadSampler(ratio, random.Random(1))
    kept = sum(sampler.keeps(sampler.new_ids()[0]) for _ in range(20_000))
    assert within_chance(kept, 20_000, ratio)
    assert within_chance(sum(sampler.chance() for _ in range(20_000)), 20_000, ratio)


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.25, 0.9, 1.0])
def test_skipping_takes_as_many_as_the_ratio_says(ratio: float) -> None:
    sampler = HeadSampler(ratio, random.Random(2))
    taken, seen = 0, 0
    while seen < 50_000:
        seen += sampler.skip() + 1
        taken += 1
    assert within_chance(taken, seen, ratio)


def test_what_is_skipped_is_distributed_geometrically() -> None:
    sampler = HeadSampler(0.3, random.Random(3))
    drawn = [sampler.skip() for _ in range(20_000)]
    for skip in range(6):
        assert within_chance(drawn.count(skip), len(drawn), 0.3 * 0.7**skip)


def test_all_are_taken_at_one_and_none_at_zero() -> None:
    assert {HeadSampler(1.0).skip() for _ in range(100)} == {0}
    assert {HeadSampler(0.0).skip() for _ in range(100)} == {NEVER}
    assert 0 <= HeadSampler(1e-300).skip() < 2**64


@given(ratios)
def test_the_id_of_a_trace_says_what_was_decided(ratio: float) -> None:
    sampler = HeadSampler(ratio)
    if ratio > 2.0**-55:
        assert sampler.keeps(sampler.kept_ids()[0])
    if ratio < 1 - 2.0**-50:
        assert not sampler.keeps(sampler.left_ids()[0])


@given(st.integers(1, 2**128 - 1), ratios, ratios)
def test_what_a_smaller_ratio_keeps_a_greater_one_keeps(
    trace_id: int, one: float, other: float
) -> None:
    small, great = sorted((one, other))
    assert HeadSampler(great).keeps(trace_id) >= HeadSampler(small).keeps(trace_id)


def test_the_decision_is_by_the_low_56_bits_against_the_rejection_threshold() -> None:
    threshold = 3 << RANDOM_BITS - 2
    sampler = HeadSampler(0.25)
    for above in (0, 1 << RANDOM_BITS, (1 << 128) - (1 << RANDOM_BITS)):
        assert sampler.keeps(above | threshold)
        assert not sampler.keeps(above | threshold - 1)


def test_ids_fill_their_bits_and_are_never_nothing() -> None:
    class Zeros:
        def random(self) -> float:
            return 0.0

        def getrandbits(self, count: int, /) -> int:
            return 0

    sampler = HeadSampler(0.5, Zeros())
    for trace_id, span_id in (sampler.new_ids(), sampler.kept_ids(), sampler.left_ids()):
        assert trace_id > 0
        assert span_id == 1
    many = [HeadSampler(0.5).new_ids() for _ in range(300)]
    assert max(trace_id for trace_id, _ in many).bit_length() > 120
    assert len({span_id for _, span_id in many}) == 300


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_neither_a_seeded_program_nor_a_fork_repeats_ids() -> None:
    code = """
import os, random
random.seed(0)
from metalscope.traces.sampling import HeadSampler
before = random.getstate()
sampler = HeadSampler(0.5)
first = sampler.new_ids()
assert random.getstate() == before
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, repr(sampler.new_ids()).encode())
    os._exit(0)
os.wait()
theirs = os.read(reading, 1000).decode()
assert theirs != repr(sampler.new_ids())
print(first)
"""
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)
        for _ in range(2)
    ]
    assert runs[0].stdout != runs[1].stdout
