"""What the list of happenings tells, and that it tells it once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from health_samples import EVENT, FULL, NOW
from metalscope.health_report import HealthEventKind
from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.tui.happenings import Seen, Sort, happenings_in
from metalscope.tui.track import Track

SNAPSHOT = MetalTelemetrySnapshot(NOW, NOW - timedelta(minutes=10), health=FULL)


def told(snapshot: MetalTelemetrySnapshot, seen: Seen, *, anew: bool = False) -> list[str]:
    found = happenings_in(snapshot, Track("app"), seen, anew=anew)
    return [one.text for one in found if one.sort is Sort.HEALTH]


def test_an_event_of_health_is_told_once():
    seen = Seen()
    assert told(SNAPSHOT, seen) == ["leak in mlx"]
    assert told(SNAPSHOT, seen) == []
    over = replace(EVENT, sequence=5, kind=HealthEventKind.ANOMALY_ENDED, message="it is over")
    later = replace(SNAPSHOT, health=replace(FULL, events=(EVENT, over)))
    assert told(later, seen) == ["it is over"]


def test_the_events_of_a_program_that_started_anew_are_told_from_the_first():
    seen = Seen()
    told(SNAPSHOT, seen)
    first = replace(EVENT, sequence=1, message="leak again")
    again = replace(SNAPSHOT, health=replace(FULL, events=(first,)))
    assert told(again, seen, anew=True) == ["leak again"]


def test_a_change_of_status_is_told_with_its_reasons_and_not_as_its_event_too():
    change = replace(EVENT, kind=HealthEventKind.STATUS, message="memory is critical")
    healthy = MetalTelemetrySnapshot(NOW, NOW)
    seen = Seen()
    assert told(healthy, seen) == []
    worse = replace(SNAPSHOT, health=replace(FULL, events=(change,)))
    assert told(worse, seen) == ["critical: 95 % in use; breaker kernel is open"]
