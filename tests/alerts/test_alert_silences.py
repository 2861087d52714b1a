"""Silences hold from their beginning to their end, and can be ended early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from metalscope.alert_report import Matcher
from metalscope.alerts.engine.silencing import MOST_SILENCES, Silences

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def silences():
    return Silences(timedelta(days=7))


def added(to, *matchers, starts_at=NOW, ends_at=NOW + HOUR):
    return to.add(
        matchers or ('alertname="Metal"',),
        starts_at=starts_at,
        ends_at=ends_at,
        created_by="ada",
        comment="trying",
    )


def test_a_silence_holds_from_its_beginning_until_its_end():
    known = silences()
    one = added(known, 'name=~"att.*"', 'device!="m2"')
    labels = {"name": "attention", "device": "m1"}
    assert known.matching(labels, NOW) == (one.id,)
    assert known.matching(labels, NOW + HOUR) == ()
    assert known.matching(labels, NOW - timedelta(seconds=1)) == ()
    assert known.matching({"name": "attention", "device": "m2"}, NOW) == ()


def test_matchers_may_be_given_ready():
    one = added(silences(), Matcher.parse('name="a"'))
    assert one.matchers == (Matcher.parse('name="a"'),)


@pytest.mark.parametrize(
    "matchers", [[], ['name!="a"'], ['name=~".*"', 'device=""']], ids=["none", "not", "empty"]
)
def test_who_silences_everything_must_say_so(matchers):
    with pytest.raises(ValueError, match="for all alerts write alertname"):
        silences().add(matchers, starts_at=NOW, ends_at=NOW + HOUR, created_by="ada", comment="")
    assert added(silences(), 'alertname=~".+"')


def test_a_silence_ends_after_it_begins_and_knows_its_time_zone():
    with pytest.raises(ValueError, match="ends_at: must be after starts_at"):
        added(silences(), ends_at=NOW)
    with pytest.raises(ValueError, match="starts_at: must have a time zone"):
        added(silences(), starts_at=datetime(2026, 3, 1))


def test_one_that_holds_ends_when_it_is_expired():
    known = silences()
    one = known.expire(added(known).id, NOW + HOUR / 2)
    assert (one.starts_at, one.ends_at) == (NOW, NOW + HOUR / 2)
    assert not known.holding(NOW + HOUR / 2)
    assert known.expire(one.id, NOW + HOUR) == one


def test_one_that_has_not_begun_never_does_when_it_is_expired():
    known = silences()
    one = added(known, starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)
    one = known.expire(one.id, NOW)
    assert not any(one.is_active(NOW + HOUR * n / 4) for n in range(12))


def test_only_those_that_are_there_can_be_expired():
    with pytest.raises(KeyError):
        silences().expire("nothing", NOW)


def test_ended_ones_are_kept_for_the_retention():
    known = silences()
    one = added(known)
    known.forget(NOW + HOUR + timedelta(days=7))
    assert known.all == (one,)
    known.forget(NOW + HOUR + timedelta(days=7, seconds=1))
    assert known.all == ()


def test_they_are_shown_by_when_they_begin():
    known = silences()
    late = added(known, starts_at=NOW + HOUR / 2)
    early = added(known)
    assert known.all == (early, late)


def test_there_are_never_more_than_can_be_looked_through():
    known = silences()
    for _ in range(MOST_SILENCES):
        added(known, ends_at=NOW + 3 * HOUR)
    with pytest.raises(ValueError, match="1000 silences already"):
        added(known)
    known.expire(known.all[5].id, NOW + HOUR)
    added(known, starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)
    assert len(known.all) == MOST_SILENCES
