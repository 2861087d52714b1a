"""What changed between snapshots, counted once each whatever fails in between."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

import pytest
from growing import START, durations_ns, grown, totals
from hypothesis import given, settings
from hypothesis import strategies as st

from metalscope.export.deltas import Change, Changes, middles_ms, quantile_ms
from metalscope.export.view import MetricView
from metalscope.histogram import QUANTILE_RELATIVE_ERROR, DurationHistogram
from metalscope.snapshot import MetalTelemetrySnapshot, ResourceKind

BOOT_COUNTER = "metal_gpu_recoveries_total"


class Peer:
    """Adds up the counts it was given, as StatsD and Datadog do."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.gauges: dict[str, float] = {}
        self.durations = DurationHistogram()
        self.changes = Changes(MetricView())

    def take(self, changes: list[Change]) -> None:
        for change in changes:
            if change.kind == "count":
                self.sums[change.name] += change.value
            else:
                self.gauges[change.name] = change.value

    def deliver(self, snapshot: MetalTelemetrySnapshot) -> None:
        changes = self.changes.changes(snapshot)
        durations = self.changes.durations(snapshot)
        self.take(changes)
        for one in durations:
            self.durations += one.durations
        for change in [*changes, *durations]:
            self.changes.arrived(snapshot, change.covers)
        self.changes.complete(snapshot)

    def counters(self) -> dict[str, float]:
        names = (name for name in self.sums if name.endswith("_total"))
        return without_boot_counter({name: self.sums[name] for name in names})


def without_boot_counter(found: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if name != BOOT_COUNTER}


def test_the_counts_of_all_snapshots_add_up_to_the_totals_of_the_last() -> None:
    peer = Peer()
    for steps in range(1, 6):
        peer.deliver(grown(steps))
    last = grown(5)
    assert peer.counters() == pytest.approx(without_boot_counter(totals(last)))
    ran = sum(len(durations_ns(step)) for step in range(5))
    assert peer.sums["metal_operation_duration_ms_count"] == ran + 10
    assert peer.durations.count == ran + 10
    assert peer.durations.sum_ns == sum(one.durations.sum_ns for one in last.operations)
    assert peer.gauges["depth"] == 2.5


def test_a_cumulative_total_is_never_sent_as_a_count() -> None:
    peer = Peer()
    peer.deliver(grown(3))
    for change in peer.changes.changes(grown(4)):
        if change.kind == "count" and change.name == "metal_operations_total":
            outcome = dict(change.labels)["outcome"]
            assert change.value == (len(durations_ns(3)) if outcome == "ok" else 2)
            assert change.seconds == 10


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["delivered", "failed", "partly"]), min_size=1, max_size=12))
def test_counts_add_up_however_exports_fail(outcomes: list[str]) -> None:
    peer = Peer()
    for steps, outcome in enumerate(outcomes, 1):
        snapshot = grown(steps)
        if outcome == "partly":
            # The first half arrives, and the snapshot is then let go.
            changes = peer.changes.changes(snapshot)
            half = changes[: len(changes) // 2]
            peer.take(half)
            for change in half:
                peer.changes.arrived(snapshot, change.covers)
        elif outcome == "delivered":
            peer.deliver(snapshot)
        else:
            peer.changes.changes(snapshot)
    last = grown(len(outcomes) + 1)
    peer.deliver(last)
    assert peer.counters() == pytest.approx(without_boot_counter(totals(last)))


def test_the_same_snapshot_gives_the_same_changes_until_it_is_complete() -> None:
    changes = Changes(MetricView())
    snapshot = grown(2)
    first = list(changes.changes(snapshot))
    for change in first[:7]:
        changes.arrived(snapshot, change.covers)
    assert changes.changes(snapshot) == first


def test_after_a_restart_counting_goes_on_from_what_was_delivered() -> None:
    peer = Peer()
    peer.deliver(grown(2))
    peer.changes = Changes(MetricView())
    peer.changes.resume(grown(2))
    peer.deliver(grown(3))
    assert peer.sums["metal_operations_total"] == totals(grown(3))["metal_operations_total"]
    assert peer.durations.count == totals(grown(3))["metal_operations_total"]


def test_another_process_counts_from_nothing() -> None:
    later = START + timedelta(minutes=5)
    peer = Peer()
    peer.deliver(grown(3))
    peer.deliver(grown(1, started_at=later, pid=2))
    expected = totals(grown(3))["jobs_total"] + totals(grown(1))["jobs_total"]
    assert peer.sums["jobs_total"] == expected


def test_the_snapshots_of_two_processes_may_come_in_turns() -> None:
    peer = Peer()
    for steps in range(1, 5):
        for pid in (1, 2):
            peer.deliver(grown(steps, pid=pid))
    assert peer.sums["jobs_total"] == 2 * totals(grown(4))["jobs_total"]


def test_a_total_that_was_reset_counts_whole() -> None:
    changes = Changes(MetricView())
    before = grown(4)
    changes.resume(before)
    after = replace(grown(1), timestamp=before.timestamp + timedelta(seconds=10))
    sums: dict[str, float] = defaultdict(float)
    for change in changes.changes(after):
        sums[change.name] += change.value if change.kind == "count" else 0
    assert sums["metal_operations_total"] == totals(after)["metal_operations_total"]
    assert sum(one.durations.count for one in changes.durations(after)) == 3


def test_what_the_peer_has_is_known_to_be_there() -> None:
    changes = Changes(MetricView())
    changes.resume(grown(3))
    assert changes.has(grown(2))
    assert changes.has(grown(3))
    assert not changes.has(grown(4))
    assert not changes.has(grown(3, pid=7))


def test_what_was_counted_before_the_process_began_is_not_counted_again() -> None:
    peer = Peer()
    snapshot = grown(1)
    peer.deliver(snapshot)
    assert BOOT_COUNTER not in peer.sums
    more = replace(
        grown(2),
        resources=tuple(
            replace(one, current=3) if one.kind is ResourceKind.RECOVERIES else one
            for one in snapshot.resources
        ),
    )
    peer.deliver(more)
    assert peer.sums[BOOT_COUNTER] == 2


def test_series_that_are_gone_are_forgotten() -> None:
    peer = Peer()
    peer.deliver(grown(2))
    gone = replace(grown(3), custom=())
    peer.deliver(gone)
    back = replace(grown(4), custom=grown(1).custom)
    peer.deliver(back)
    assert peer.sums["jobs_total"] == 1.5 * 2 + 1.5 * 1


@given(st.lists(st.integers(61, 4_000_000_000_000), min_size=1, max_size=30))
def test_each_duration_is_as_near_to_its_middle_as_is_promised(durations: list[int]) -> None:
    middles = [
        ms
        for ms, count in middles_ms(DurationHistogram.from_durations(durations))
        for _ in range(count)
    ]
    assert len(middles) == len(durations)
    for middle, ns in zip(middles, sorted(durations), strict=True):
        assert middle == pytest.approx(ns / 1e6, rel=QUANTILE_RELATIVE_ERROR * 1.001, abs=1e-6)


@given(
    st.lists(st.integers(61, 4_000_000_000_000), max_size=20),
    st.lists(st.integers(61, 4_000_000_000_000), min_size=1, max_size=20),
    st.floats(0, 1),
)
def test_a_quantile_of_what_came_since_is_as_near_as_is_promised(
    before: list[int], since: list[int], q: float
) -> None:
    earlier = DurationHistogram.from_durations(before)
    change = DurationHistogram.from_durations(before + since).since(earlier)
    rank = max(1, -int(-q * len(since) * (1 - 1e-12) // 1))
    expected = sorted(since)[rank - 1] / 1e6
    found = quantile_ms(change, q)
    assert found == pytest.approx(expected, rel=QUANTILE_RELATIVE_ERROR * 1.001, abs=1e-6)
