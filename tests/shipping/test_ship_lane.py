"""A lane by clocks that the test moves, against a model of what may become of a record."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ship_peers import Errors, Peer, Time, taken

from metalscope.export_options import SpoolOptions
from metalscope.sending.clock import Clock
from metalscope.sending.pace import Pace
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.shipping.base import Batch, Refusal, Shipment
from metalscope.sending.shipping.intake import Intake, Ticket
from metalscope.sending.shipping.lane import Lane
from metalscope.sending.shipping.queues import open_queues
from metalscope.sending.telling import Telling

_T = TypeVar("_T")

LIMIT = 64 * 1024


class Inline:
    """Calls at once, unless it is told to keep them until they are let go."""

    def __init__(self) -> None:
        self.holds = False
        self.held: list[Callable[[], None]] = []

    def begin(self, call: Callable[[], _T]) -> Future[_T]:
        future: Future[_T] = Future()
        if self.holds:
            self.held.append(lambda: future.set_result(call()))
        else:
            future.set_result(call())
        return future

    def let_go(self) -> None:
        held, self.held = self.held, []
        for call in held:
            call()


class Way:
    """A lane with everything around it, opened again on the same directory if it is told to."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self.time = Time()
        self.script: list[str] = []
        self.peer = Peer(self.answer)
        self.refused = 0
        self.put = 0
        self.delivered = 0
        self.dropped = 0
        self.open()

    def open(self) -> None:
        clock = Clock(monotonic=self.time.monotonic, now=self.time.now)
        options = SpoolOptions(directory=self.directory, max_bytes=LIMIT)
        self.calls = Inline()
        self.intake = Intake(
            batch_size=10,
            batch_bytes=4000,
            most_bytes=LIMIT // 4,
            linger=1.0,
            monotonic=self.time.monotonic,
        )
        self.queues = open_queues("model", options, option="x", on_error=Errors())
        self.lane = Lane(
            self.peer,
            intake=self.intake,
            queues=self.queues,
            calls=self.calls,
            pace=Pace(
                first_delay=timedelta(seconds=1),
                max_delay=timedelta(seconds=5),
                threshold=3,
                open_for=timedelta(seconds=5),
            ),
            timeout=10,
            replay_interval=0.1,
            telling=Telling("log sink model"),
            on_error=lambda _: None,
            clock=clock,
        )

    def close(self) -> None:
        """Let go of it, and remember what it counted."""
        self.lane.take_in()
        self.calls.let_go()
        self.lane.close()
        delivered, dropped, _ = self.counts()
        self.delivered, self.dropped = delivered, dropped

    def answer(self, batch: Batch) -> Any:  # noqa: PLR0911 - one for each
        size = len(batch.records)
        match self.script.pop() if self.script else "take":
            case "down":
                return ExportResult.retry(Reason.REFUSED, "down")
            case "wait":
                wait = timedelta(seconds=3)
                return ExportResult.retry(Reason.RATE_LIMITED, "wait", retry_after=wait)
            case "refuse":
                return ExportResult.rejected(Reason.SCHEMA, "never")
            case "raise":
                raise ValueError("broken")
            case "some":
                return Shipment(again=range(size // 2, size))
            case "odd":
                places = range(size)
                return Shipment(
                    again=places[1::3],
                    refused=[Refusal(one, Reason.SCHEMA) for one in places[2::3]],
                )
            case "count":
                return ExportResult.delivered(size, rejected_points=size // 3)
        return None

    def counts(self) -> tuple[int, int, int]:
        """Delivered, dropped and waiting, those of lanes before this one included."""
        standing, held = self.lane.standing(), self.queues.held
        dropped = sum((standing.dropped + held.dropped).values()) + self.intake.lost
        waiting = self.intake.waiting[0] + held.waiting
        return self.delivered + standing.delivered, self.dropped + dropped, waiting

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        until = self.time.at + seconds
        while True:
            wait = self.lane.turn()
            if self.time.at + wait > until:
                break
            self.time.at += wait
        self.time.at = until


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 40), st.integers(8, 500)),
        st.tuples(st.just("run"), st.sampled_from([0, 0.5, 2, 10]), st.just(0)),
        st.tuples(
            st.just("script"),
            st.sampled_from(["down", "wait", "refuse", "raise", "some", "odd", "count"]),
            st.integers(1, 6),
        ),
        st.tuples(st.sampled_from(["hold", "let go", "flush", "reopen"]), st.just(0), st.just(0)),
    ),
    max_size=40,
)


def played(acts: list[Any], directory: Path | None) -> Way:
    way = Way(directory)
    for act, one, two in acts:
        match act:
            case "put":
                records = [b"%06d" % (way.put + n) + b"x" * two for n in range(one)]
                way.put += one
                way.intake.put(records, urgent=False)
            case "run":
                way.run(one)
            case "script":
                way.script = [*way.script, *[one] * two]
            case "hold":
                way.calls.holds = True
            case "let go":
                way.calls.holds = False
                way.calls.let_go()
            case "flush":
                way.intake.queue(Ticket(way.time.at + 5, urges=True))
            case "reopen" if directory is not None:
                way.close()
                way.open()
        assert sum(way.counts()) == way.put, act
    way.calls.holds = False
    way.calls.let_go()
    way.script = []
    way.run(100)
    return way


def is_right(way: Way) -> None:
    delivered, dropped, waiting = way.counts()
    assert waiting == 0
    assert delivered + dropped == way.put
    arrived = [int(line[:6]) for batch in way.peer.asked for line in batch.records]
    taken_ = [int(line[:6]) for line in way.peer.arrived]
    assert len(set(taken_)) == len(taken_)
    assert set(taken_) <= set(arrived)
    # Each batch is newer than all before it, or is what was left of the last one.
    newest = -1
    for batch in way.peer.asked:
        first, last = int(batch.records[0][:6]), int(batch.records[-1][:6])
        assert first > newest or last <= newest
        newest = max(newest, last)


@given(ACTS)
@settings(max_examples=60, deadline=None)
def test_whatever_happens_each_record_arrives_once_or_is_counted(acts: list[Any]) -> None:
    is_right(played(acts, None))


@given(ACTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_on_disk_it_does_so_over_any_number_of_ends(acts: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        is_right(played(acts, Path(directory)))


# -- by hand -------------------------------------------------------------------------------------


def test_while_what_waited_is_worked_off_sendings_are_apart() -> None:
    way = Way(None)
    way.script = ["down"]
    way.intake.put([b"%06d" % number for number in range(40)], urgent=False)
    way.run(0)
    assert len(way.peer.asked) == 1
    way.run(5)
    began = len(way.peer.asked)
    assert began == 5
    way.intake.put([b"%06d" % number for number in range(40, 60)], urgent=False)
    way.run(0)
    assert len(way.peer.asked) == began + 2


def test_a_sender_that_hangs_is_told_of_once_and_what_arrives_late_has_arrived() -> None:
    way = Way(None)
    way.calls.holds = True
    way.intake.put([b"%06d" % number for number in range(10)], urgent=True)
    way.run(10.5)
    assert way.lane.standing().failures == {}
    way.run(50)
    assert way.lane.standing().failures == {Reason.TIMEOUT: 1}
    way.calls.let_go()
    way.run(0)
    assert way.counts() == (10, 0, 0)
    assert way.lane.standing().failures == {Reason.TIMEOUT: 1}
    assert way.lane.standing().last_error == ""


def test_what_is_too_old_is_let_go() -> None:
    way = Way(None)
    way.script = ["down"] * 1000
    way.intake.put([b"%06d" % number for number in range(10)], urgent=True)
    way.run(1)
    assert way.counts() == (0, 0, 10)
    assert taken(way.peer.asked[0], None) == list(way.peer.asked[0].records)
    assert way.lane.turn() < inf
