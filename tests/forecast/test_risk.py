"""Risk from counted incidents: calibrated where the law is known, monotone everywhere."""

from __future__ import annotations

import random
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.forecast.risk import failure_risk, incidents_in

ages = st.lists(st.floats(0, 2000), min_size=1, max_size=30)


def test_no_incident_no_number():
    assert failure_risk([], 1000, 24) is None


def test_a_past_shorter_than_a_quarter_of_the_horizon_says_nothing():
    assert failure_risk([1.0], 5.9, 24) is None
    assert failure_risk([1.0], 6.0, 24) is not None


def test_neighbouring_hours_are_one_incident():
    assert incidents_in({7, 3, 4, 5, 9, 10}) == [3, 7, 9]


@given(ages, st.floats(0, 2000), st.floats(10, 2000), st.floats(1, 40))
def test_one_more_incident_never_lowers_the_risk(past, another, known, horizon):
    before, after = (failure_risk(one, known, horizon) for one in (past, [*past, another]))
    assert after.probability >= before.probability
    assert after.upper >= before.upper


@given(ages, st.floats(0, 500), st.floats(1, 40))
def test_later_incidents_never_lower_the_risk(past, later, horizon):
    older, newer = (
        failure_risk(one, 3000, horizon) for one in ([age + later for age in past], past)
    )
    assert newer.probability >= older.probability


@given(ages, st.floats(10, 2000), st.floats(1, 40))
def test_a_risk_is_a_probability_within_its_bounds(past, known, horizon):
    found = failure_risk(past, known, horizon)
    assert 0 <= found.lower <= found.probability <= found.upper <= 1


def test_over_a_known_law_the_risk_is_what_happens():
    """Poisson incidents, at rates spread over two decades: of a told 30 %, 30 % come true."""
    rng = random.Random(4)
    known, horizon = 60 * 24, 24
    groups: dict[int, list[tuple[float, bool]]] = {}
    covered = total = 0
    for _ in range(4000):
        rate = 10 ** rng.uniform(-3.3, -1.3)  # an hour
        incidents, age = [], rng.expovariate(rate)
        while age < known:
            incidents.append(age)
            age += rng.expovariate(rate)
        found = failure_risk(incidents, known, horizon)
        if found is None:
            continue
        came = rng.expovariate(rate) < horizon
        groups.setdefault(int(found.probability * 5), []).append((found.probability, came))
        covered += found.lower <= 1 - exp(-rate * horizon) <= found.upper
        total += 1
    assert len(groups) == 5 or len(groups) == 4
    for group in groups.values():
        if len(group) >= 200:
            said = sum(p for p, _ in group) / len(group)
            happened = sum(came for _, came in group) / len(group)
            assert happened == pytest.approx(said, abs=0.08)
    assert covered / total > 0.85
