"""One exporter's way out, by clocks that the tests move."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
import snapshots

from metalscope.export.codec import encode
from metalscope.export.lane import (
    MOST_OFFERS,
    Clock,
    Lane,
    LaneTiming,
    Offer,
)
from metalscope.export_status import BreakerState
from metalscope.sending.pace import Pace
from metalscope.sending.patience import MOST_TRIES_OF_AN_ERROR
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.spool.queue import MemorySpool, Spool
from metalscope.sending.spool.slots import SpoolSlots
from metalscope.snapshot import MetalTelemetrySnapshot

DOWN = ExportResult.retry(Reason.REFUSED, "nothing listens at box:1")
BAD = ExportResult.rejected(Reason.SCHEMA, "not a metric")
RAISED = ExportResult.retry(Reason.EXPORTER_ERROR, "ValueError was raised")
TIMEOUT = timedelta(seconds=30)
FIRST = snapshots.full()


class Time:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return FIRST.timestamp + timedelta(seconds=self.at - 1000)


class Peer:
    """Answers as it is told, at once; ``answer`` may be a future that is not done."""

    def __init__(self, answer: ExportResult | Future[ExportResult] | None = None) -> None:
        self.answer = answer or ExportResult.delivered(1)
        self.asked: list[MetalTelemetrySnapshot] = []
        self.has: list[MetalTelemetrySnapshot] = []
        self.closed = False
        self.resumed: list[MetalTelemetrySnapshot] = []

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        self.resumed.append(delivered)

    def export(self, snapshot: MetalTelemetrySnapshot) -> Future[ExportResult]:
        self.asked.append(snapshot)
        if isinstance(self.answer, Future):
            return self.answer
        if self.answer.ok:
            self.has.append(snapshot)
        future: Future[ExportResult] = Future()
        future.set_result(self.answer)
        return future

    def close(self, timeout: float) -> None:
        self.closed = True


def slots(directory: Path, time: Time) -> SpoolSlots:
    return SpoolSlots(
        directory,
        "peer",
        max_bytes=10_000_000,
        max_age=timedelta(days=1),
        now=time.now,
        elapsed=time.monotonic,
    )


class Way:
    """A lane with everything around it."""

    def __init__(
        self, peer: Peer, spool: Spool | None = None, *, keeps_history: bool = True
    ) -> None:
        self.time = Time()
        self.peer = peer
        self.spool = spool or MemorySpool(
            max_bytes=10_000_000, max_age=timedelta(days=1), elapsed=self.time.monotonic
        )
        self.lane = Lane(
            "peer",
            "custom",
            spool=self.spool,
            attempts=peer,
            pace=Pace(
                first_delay=timedelta(seconds=1),
                max_delay=timedelta(minutes=5),
                threshold=5,
                open_for=timedelta(minutes=2),
                jitter=lambda: 1.0,
            ),
            timing=LaneTiming(TIMEOUT, timedelta(milliseconds=100)),
            keeps_history=keeps_history,
            clock=Clock(self.time.monotonic, self.time.now),
        )

    def offer(self) -> Offer:
        snapshot = replace(FIRST, timestamp=self.time.now())
        offer = Offer(snapshot, cache(lambda: encode(snapshot)))
        self.lane.offer(offer)
        return offer

    def settle(self, most: int = 10_000) -> float:
        """Do all that is due now; return how long until there is more."""
        for _ in range(most):
            wait = self.lane.turn()
            if wait > 0:
                return wait
        raise AssertionError("it never comes to rest")

    def run_for(self, seconds: float) -> None:
        """Let so much time pass, doing what is due when it is."""
        end = self.time.at + seconds
        while self.time.at + (wait := self.settle()) <= end:
            self.time.at += wait
        self.time.at = end


@pytest.fixture(params=["memory", "disk"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Way]]:
    ways: list[Way] = []

    def make(peer: Peer, **more: bool) -> Way:
        one = Way(peer, **more)
        if request.param == "disk":
            one.spool = one.lane._spool = one.lane._served = slots(tmp_path, one.time).open()
        ways.append(one)
        return one

    yield make
    for one in ways:
        one.lane.close(0)


def times(snapshots: list[MetalTelemetrySnapshot]) -> list[datetime]:
    return [one.timestamp for one in snapshots]


def test_what_is_offered_is_exported_and_the_queue_is_empty(way: Callable[..., Way]) -> None:
    one = way(Peer())
    offer = one.offer()
    assert one.settle() >= 60
    assert one.peer.has == [offer.snapshot]
    assert offer.outcome.result(0) == ExportResult.delivered(1)
    status = one.lane.status()
    assert (status.queued, status.delivered, status.points, status.waiting) == (1, 1, 1, 0)
    assert status.last_success == one.time.now()
    assert one.lane.is_through


def test_after_an_hour_without_the_peer_every_point_arrives_in_order(
    way: Callable[..., Way],
) -> None:
    one = way(Peer(DOWN))
    offered = []
    for _ in range(360):
        offered.append(one.offer().snapshot)
        one.run_for(10)
    assert one.peer.has == []
    tries_while_down = len(one.peer.asked)
    assert one.lane.status().waiting == 360
    one.peer.answer = ExportResult.delivered(1)
    one.run_for(400)
    assert times(one.peer.has) == times(offered)
    assert one.lane.status().waiting == 0
    assert one.lane.status().dropped == {}
    # Five tries until the breaker opened, then single trials, two to five minutes apart.
    assert 5 + 3600 / 300 <= tries_while_down <= 5 + 3600 / 120


def test_a_queue_is_worked_off_no_faster_than_the_peer_should_bear(
    way: Callable[..., Way],
) -> None:
    one = way(Peer(DOWN))
    for _ in range(50):
        one.offer()
        one.run_for(1)
    one.peer.answer = ExportResult.delivered()
    one.lane.urge()
    began = one.time.at
    one.run_for(60)
    assert len(one.peer.has) == 50
    assert one.time.at > began
    before, one.peer.has = len(one.peer.asked), []
    one.peer.answer = DOWN
    for _ in range(50):
        one.offer()
        one.run_for(1)
    one.peer.answer = ExportResult.delivered()
    one.lane.urge()
    one.run_for(1.05)
    assert len(one.peer.has) <= 11, "at most one each 100 ms"
    assert before < len(one.peer.asked)


def test_what_replays_is_what_was_offered_but_for_the_history_of_others(
    way: Callable[..., Way],
) -> None:
    one = way(Peer(DOWN))
    offers = []
    for _ in range(3):
        offers.append(one.offer())
        one.run_for(1)
    one.peer.answer = ExportResult.delivered()
    one.run_for(600)
    without = [replace(o.snapshot, recent=replace(o.snapshot.recent, points=())) for o in offers]
    assert [replace(s, recent=replace(s.recent, points=())) for s in one.peer.has] == without


def test_what_is_refused_for_good_does_not_hold_up_the_rest(way: Callable[..., Way]) -> None:
    one = way(Peer(BAD))
    refused = one.offer()
    one.settle()
    assert refused.outcome.result(0) == BAD
    one.peer.answer = ExportResult.delivered()
    one.time.at += 1
    good = one.offer()
    one.settle()
    assert one.peer.has == [good.snapshot]
    status = one.lane.status()
    assert status.dropped == {"schema": 1}
    assert status.failures == {"schema": 1}
    assert status.state is BreakerState.CLOSED


def test_an_exporter_that_always_raises_lets_the_snapshot_go_after_some_tries(
    way: Callable[..., Way],
) -> None:
    one = way(Peer(RAISED))
    one.offer()
    one.run_for(3600)
    assert len(one.peer.asked) == MOST_TRIES_OF_AN_ERROR
    assert one.lane.status().dropped == {"exporter_error": 1}
    assert one.lane.status().waiting == 0


def test_the_breaker_shows_and_closes_again(way: Callable[..., Way]) -> None:
    one = way(Peer(DOWN))
    one.offer()
    one.run_for(60)
    status = one.lane.status()
    assert status.state is BreakerState.OPEN
    assert status.failures == {"refused": 5}
    assert status.last_error == "nothing listens at box:1"
    one.peer.answer = ExportResult.delivered()
    one.run_for(140)
    status = one.lane.status()
    assert status.state is BreakerState.CLOSED
    assert status.last_error == ""


def test_retry_after_is_kept(way: Callable[..., Way]) -> None:
    busy = ExportResult.retry(Reason.RATE_LIMITED, "slow down", retry_after=timedelta(seconds=90))
    one = way(Peer(busy))
    one.offer()
    assert one.settle() == pytest.approx(90)


def test_where_the_peer_keeps_only_the_last_nothing_older_is_sent(
    way: Callable[..., Way],
) -> None:
    one = way(Peer(DOWN), keeps_history=False)
    for _ in range(10):
        newest = one.offer()
        one.run_for(10)
    assert one.lane.status().waiting == 1
    assert one.lane.status().dropped == {"superseded": 9}
    one.peer.answer = ExportResult.delivered()
    one.run_for(600)
    assert times(one.peer.has) == [newest.snapshot.timestamp]


def test_an_export_that_hangs_is_given_up_on_and_no_second_one_is_begun() -> None:
    hanging: Future[ExportResult] = Future()
    one = Way(Peer(hanging))
    offer = one.offer()
    one.settle()
    one.time.at += 31
    one.settle()
    assert offer.outcome.result(0).reason is Reason.TIMEOUT
    for _ in range(10):
        one.offer()
        one.time.at += 30
        one.settle()
    assert len(one.peer.asked) == 1
    status = one.lane.status()
    assert status.failures["timeout"] >= 5
    assert status.state is BreakerState.OPEN
    assert status.waiting == 11
    assert one.lane.is_through, "shutdown does not wait for it"


def test_what_a_hanging_export_delivers_in_the_end_is_not_sent_twice() -> None:
    hanging: Future[ExportResult] = Future()
    one = Way(Peer(hanging))
    one.offer()
    one.settle()
    one.time.at += 31
    one.settle()
    hanging.set_result(ExportResult.delivered(7))
    one.peer.answer = ExportResult.delivered()
    one.run_for(600)
    assert len(one.peer.asked) == 1
    assert one.lane.status().delivered == 1
    assert one.lane.status().waiting == 0


def test_snapshots_that_come_faster_than_they_can_be_taken_in_are_bounded_and_counted() -> None:
    one = Way(Peer())
    offers = []
    for _ in range(MOST_OFFERS + 10):
        offers.append(one.offer())
        one.time.at += 1
    one.run_for(100)
    status = one.lane.status()
    assert status.dropped == {"queue_full": 10}
    assert status.delivered == MOST_OFFERS
    assert all(offer.outcome.done() for offer in offers)
    assert offers[0].outcome.result(0).verdict is Verdict.REJECTED


def test_what_waited_too_long_is_let_go_and_counted(way: Callable[..., Way]) -> None:
    one = way(Peer(DOWN))
    one.offer()
    one.run_for(60)
    one.time.at += 2 * 86_400
    one.peer.answer = ExportResult.delivered()
    fresh = one.offer()
    one.run_for(600)
    assert times(one.peer.has) == [fresh.snapshot.timestamp]
    assert one.lane.status().dropped == {"expired": 1}


def test_a_failure_is_logged_when_it_begins_and_when_it_ends_not_each_time(
    way: Callable[..., Way], caplog: pytest.LogCaptureFixture
) -> None:
    one = way(Peer(DOWN))
    with caplog.at_level(logging.INFO, "metalscope"):
        one.offer()
        one.run_for(3600)
        one.peer.answer = ExportResult.delivered()
        one.run_for(600)
    assert [record.getMessage() for record in caplog.records] == [
        "export peer: refused: nothing listens at box:1",
        "export peer: works again",
    ]


def test_what_is_asked_for_is_tried_at_once_although_the_breaker_is_open(
    way: Callable[..., Way],
) -> None:
    one = way(Peer(DOWN))
    one.offer()
    one.run_for(60)
    assert one.lane.status().state is BreakerState.OPEN
    one.peer.answer = ExportResult.delivered()
    asked = one.offer()
    one.lane.urge()
    one.run_for(1)
    assert asked.outcome.result(0).ok
    assert len(one.peer.has) == 2


def test_what_a_process_that_is_gone_left_behind_is_exported_too(tmp_path: Path) -> None:
    gone = Way(Peer(DOWN))
    taken = slots(tmp_path, gone.time).open()
    gone.lane._spool = gone.lane._served = slots(tmp_path, gone.time).open()
    old = []
    for _ in range(3):
        old.append(gone.offer().snapshot)
        gone.run_for(10)
    gone.lane.close(0)
    taken.close()

    one = Way(Peer())
    own = slots(tmp_path, one.time)
    one.lane._spool = one.lane._served = own.open()
    one.lane._orphans = own.orphan
    one.time.at = gone.time.at + 10
    new = one.offer().snapshot
    one.run_for(10)
    assert times(one.peer.has) == times([new, *old])
    one.time.at += 5
    newest = one.offer().snapshot
    one.run_for(1)
    assert times(one.peer.has)[-1] == newest.timestamp
    assert times(one.peer.resumed) == [new.timestamp], "differences go on from its own last"
    assert one.lane.status().waiting == 0
    one.lane.close(0)
