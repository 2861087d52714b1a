"""A long time with many incidents: each is told of, each alert ends, and a restart changes nothing.

Half a day here; ``bench/alerts.py week`` has the whole week.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from alert_week import DAY, incidents, watch
from metalscope.alert_report import AlertState

SEED = 3
DAYS = 0.5


@pytest.fixture(scope="module")
def watched():
    return watch(DAYS, seed=SEED)


def test_every_incident_is_told_of_and_every_alert_ends(watched):
    over = watched.in_state(AlertState.RESOLVED)
    happened = incidents(DAYS, SEED)
    assert len(happened) > 5
    assert [one for one in happened if not any(map(one.is_told_by, over.values()))] == []
    assert watched.in_state(AlertState.FIRING).keys() == over.keys()
    assert not watched.errors


def test_what_merely_goes_on_is_not_kept_again_and_again(watched):
    lasted = sum(
        (one.resolved_at - one.fired_at).total_seconds()
        for one in watched.in_state(AlertState.RESOLVED).values()
    )
    assert len(watched.told) < lasted / 600 + 4 * len(watched.in_state(AlertState.FIRING))


def test_a_restart_amid_an_incident_changes_nothing(watched):
    amid = next(one for one in incidents(DAYS, SEED) if one.begin > 0.2 * DAY)
    # Not the moment of a sampling.
    again = watch(DAYS, seed=SEED, restart_at=(amid.begin + amid.end) // 120 * 60 + 7)
    assert again.told == watched.told
    assert not again.errors
