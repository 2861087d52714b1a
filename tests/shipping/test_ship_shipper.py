"""Records on their way to a peer, each once and in order, whatever the peer does."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from ship_peers import BAD, DOWN, Answer, Errors, Peer, delivery, lines, shipping

from metalscope.errors import ConfigurationError
from metalscope.export_status import BreakerState
from metalscope.sending.patience import MOST_TRIES_OF_AN_ERROR
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.shipping.base import Batch, Refusal, Shipment
from metalscope.sending.shipping.shipper import Shipper


def by_turns(*answers: Answer) -> Callable[[Batch], Answer]:
    """These answers, then everything is taken."""
    left = list(answers)
    return lambda _: left.pop(0) if left else None


# -- the way of a record ---------------------------------------------------------------------------


def test_records_arrive_in_batches_in_their_order() -> None:
    peer = Peer()
    with shipping(peer) as shipper:
        shipper.put(lines(25))
        assert shipper.flush(5)
        assert peer.arrived == lines(25)
        assert [len(batch.records) for batch in peer.asked] == [10, 10, 5]
        assert len(set(peer.ids)) == 3
        status = shipper.status()
    assert (status.name, status.type, status.signal) == ("central", "test", "logs")
    assert (status.delivered, status.waiting, status.waiting_bytes) == (25, 0, 0)
    assert status.last_success is not None
    assert peer.closed == 1


def test_no_batch_has_more_bytes_than_it_may_but_a_record_that_is_larger_goes_alone() -> None:
    peer = Peer()
    with shipping(peer, batch_bytes=100) as shipper:
        shipper.put([b"a" * 60, b"b" * 40, b"c" * 200, b"d"])
        assert shipper.flush(5)
    assert [[len(one) for one in batch.records] for batch in peer.asked] == [[60, 40], [200], [1]]


def test_a_batch_that_is_not_full_waits_for_more_until_it_lingered_or_is_urgent() -> None:
    peer = Peer()
    with shipping(peer, linger=timedelta(seconds=30)) as shipper:
        shipper.put(lines(3))
        assert shipper.status().waiting == 3
        shipper.put(lines(1, 3), urgent=True)
        assert shipper.flush(5)
        assert peer.arrived == lines(4)
        assert len(peer.asked) == 1


def test_what_is_put_by_many_threads_is_counted_whole_and_in_the_order_of_each() -> None:
    peer = Peer()
    with shipping(peer, batch_size=100) as shipper:

        def put(stream: str) -> None:
            for number in range(300):
                shipper.put(lines(1, number, stream))

        threads = [threading.Thread(target=put, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert shipper.flush(10)
        assert shipper.status().delivered == 1200
    for name in "abcd":
        mine = [line for line in peer.arrived if line.startswith(name.encode())]
        assert mine == lines(300, stream=name)


# -- a peer that fails -----------------------------------------------------------------------------


def test_a_batch_that_did_not_arrive_comes_again_as_it_was_before_anything_newer() -> None:
    peer = Peer(by_turns(DOWN, DOWN))
    with shipping(peer) as shipper:
        shipper.put(lines(20))
        assert shipper.flush(5)
        assert shipper.status().failures == {Reason.REFUSED: 2}
    assert peer.ids[0] == peer.ids[1] == peer.ids[2] != peer.ids[3]
    assert peer.arrived == lines(20)


def test_of_a_batch_that_arrived_in_part_the_rest_comes_again_first_under_another_id() -> None:
    refused = Refusal(2, Reason.TOO_LARGE, "too long")
    peer = Peer(by_turns(Shipment(again=[1, 4], refused=[refused]), Shipment(again=[1])))
    with shipping(peer) as shipper:
        shipper.put(lines(15))
        assert shipper.flush(5)
        status = shipper.status()
    first, *others = peer.ids
    assert others[:2] == [f"{first}-2", f"{first}-3"]
    assert [batch.records for batch in peer.asked[1:3]] == [
        (b"line 1", b"line 4"), (b"line 4",),
    ]  # fmt: skip
    assert sorted(peer.arrived) == sorted(line for line in lines(15) if line != b"line 2")
    assert status.delivered == 14
    assert status.dropped == {Reason.TOO_LARGE: 1}
    assert status.failures == {Reason.PARTIAL: 2}


def test_where_all_is_to_come_again_it_is_the_same_batch() -> None:
    peer = Peer(by_turns(Shipment(again=range(5), reason=Reason.RATE_LIMITED)))
    with shipping(peer) as shipper:
        shipper.put(lines(5))
        assert shipper.flush(5)
        assert shipper.status().failures == {Reason.RATE_LIMITED: 1}
    assert peer.ids[0] == peer.ids[1]


def test_a_batch_that_is_refused_is_counted_and_passed_over() -> None:
    peer = Peer(by_turns(BAD))
    with shipping(peer) as shipper:
        shipper.put(lines(20))
        assert shipper.flush(5)
        status = shipper.status()
    assert peer.arrived == lines(10, 10)
    assert status.dropped == {Reason.SCHEMA: 10}
    assert status.delivered == 10


def test_a_peer_that_says_only_how_many_it_refused_is_believed() -> None:
    said = ExportResult.delivered(7, rejected_points=3, detail="3 were too old")
    with shipping(Peer(by_turns(said))) as shipper:
        shipper.put(lines(10))
        assert shipper.flush(5)
        status = shipper.status()
    assert (status.delivered, status.dropped) == (7, {Reason.PARTIAL: 3})
    assert status.last_error == "3 were too old"


@pytest.mark.parametrize("nonsense", ["text", Shipment(again=[10]), Shipment(again=[1, 1])])
def test_a_sender_that_answers_nonsense_or_raises_each_time_is_given_up_on(
    nonsense: object,
) -> None:
    peer, errors = Peer(lambda _: nonsense), Errors()  # type: ignore[arg-type, return-value]
    with shipping(peer, errors=errors) as shipper:
        shipper.put(lines(10))
        assert shipper.flush(5)
        assert shipper.status().dropped == {Reason.EXPORTER_ERROR: 10}
    assert len(peer.asked) == MOST_TRIES_OF_AN_ERROR
    assert len(errors.told) == (0 if nonsense == "text" else MOST_TRIES_OF_AN_ERROR)


def test_a_sender_that_hangs_is_noticed_and_holds_up_nobody() -> None:
    goes_on = threading.Event()

    def hang(_: Batch) -> None:
        goes_on.wait(30)

    peer = Peer(hang)
    with shipping(peer, timeout=timedelta(milliseconds=20)) as shipper:
        shipper.put(lines(1))
        until = time.monotonic() + 10
        while not shipper.status().failures and time.monotonic() < until:
            time.sleep(0.005)
        assert shipper.status().failures == {Reason.TIMEOUT: 1}
        shipper.put(lines(10, 1))
        assert not shipper.flush(0.02)
        assert shipper.status().waiting == 11
        goes_on.set()
        assert shipper.flush(5)
        status = shipper.status()
    # What arrived late has arrived.
    assert peer.arrived == lines(11)
    assert (status.delivered, status.dropped, status.last_error) == (11, {}, "")


def test_a_flush_tries_at_once_and_gives_up_when_no_try_is_due_in_time() -> None:
    peer = Peer(lambda _: DOWN)
    patient = delivery()
    patient = patient.model_copy(
        update={
            "retry": patient.retry.model_copy(
                update={"circuit_breaker_threshold": 1, "circuit_breaker_timeout": timedelta(9)}
            )
        }
    )
    with shipping(peer, patient, closing=0) as shipper:
        shipper.put(lines(1))
        began = time.monotonic()
        assert not shipper.flush(60)
        tries = len(peer.asked)
        assert shipper.status().state is BreakerState.OPEN
        assert not shipper.flush(60)
        assert time.monotonic() - began < 30
        assert len(peer.asked) == tries + 1


def test_the_log_tells_once_that_it_fails_and_once_that_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "metalscope")
    busy = ExportResult.retry(Reason.RATE_LIMITED, "slow down")
    with shipping(Peer(by_turns(DOWN, DOWN, busy, DOWN, busy))) as shipper:
        shipper.put(lines(20))
        assert shipper.flush(5)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "log sink central: refused: nothing listens at box:1"),
        ("WARNING", "log sink central: rate_limited: slow down"),
        ("INFO", "log sink central: works again"),
    ]


# -- bounds ----------------------------------------------------------------------------------------


def test_a_full_queue_lets_go_of_the_oldest_and_counts_records() -> None:
    is_up = threading.Event()
    peer = Peer(lambda _: None if is_up.is_set() else DOWN)
    small = delivery(max_bytes=64 * 1024)
    with shipping(peer, small, batch_bytes=8 * 1024) as shipper:
        for number in range(100):
            shipper.put([b"%03d " % number + b"x" * 2000])
            shipper.keep(5)
        is_up.set()
        assert shipper.flush(5)
        status = shipper.status()
    assert status.dropped == {Reason.QUEUE_FULL: 100 - status.delivered}
    assert [int(line[:3]) for line in peer.arrived] == list(range(100 - status.delivered, 100))
    assert 20 < status.delivered < 40


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_queue_that_is_small_takes_whole_batches_all_the_same(
    tmp_path: Path, on_disk: bool
) -> None:
    peer = Peer()
    small = delivery(tmp_path if on_disk else None, max_bytes=64 * 1024)
    with shipping(peer, small, batch_size=10_000, batch_bytes=1024**2) as shipper:
        for _ in range(10):
            shipper.put([b"x" * 100] * 100)
            assert shipper.flush(5)
        shipper.put([b"x" * 20_000, b"y"])
        assert shipper.flush(5)
        status = shipper.status()
    assert len(peer.arrived) == status.delivered >= 1001
    assert status.dropped == {Reason.QUEUE_FULL: 1}  # one record alone that is too large


def test_what_is_put_after_the_end_is_counted() -> None:
    with shipping(Peer()) as shipper:
        pass
    shipper.put(lines(3))
    assert shipper.status().dropped == {Reason.EXPIRED: 3}
    assert shipper.flush(60)
    shipper.close(1)


# -- over the end of a process ---------------------------------------------------------------------


def test_what_has_not_gone_stays_on_disk_for_the_next_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with shipping(Peer(lambda _: DOWN), delivery(tmp_path), closing=0.05) as shipper:
        shipper.put(lines(25))
    assert shipper.status().waiting == 25
    assert "log sink central: 25 records have not gone out; they wait on disk" in caplog.text
    peer = Peer()
    with shipping(peer, delivery(tmp_path)) as shipper:
        shipper.put(lines(5, 25))
        assert shipper.flush(5)
        assert shipper.status().delivered == 30
    assert peer.arrived == lines(30)


def test_of_a_batch_that_arrived_in_part_only_the_rest_stays(tmp_path: Path) -> None:
    first = Peer(by_turns(Shipment(again=[3, 7]), *[DOWN] * 10_000))
    with shipping(first, delivery(tmp_path), closing=0) as shipper:
        shipper.put(lines(10))
        until = time.monotonic() + 10
        while len(first.asked) < 3 and time.monotonic() < until:
            time.sleep(0.002)
    assert shipper.status().delivered == 8
    assert shipper.status().waiting == 2
    second = Peer()
    with shipping(second, delivery(tmp_path)) as shipper:
        assert shipper.flush(5)
        assert shipper.status().delivered == 2
    assert second.arrived == [b"line 3", b"line 7"]
    assert second.ids == [f"{first.ids[0]}-2"]


def test_what_processes_that_are_gone_left_is_sent_when_nothing_of_this_one_waits(
    tmp_path: Path,
) -> None:
    with (
        shipping(Peer(lambda _: DOWN), delivery(tmp_path), closing=0) as one,
        shipping(Peer(lambda _: DOWN), delivery(tmp_path), closing=0) as other,
    ):
        one.put(lines(12, stream="one"))
        other.put(lines(13, stream="other"))
    peer = Peer()
    with shipping(peer, delivery(tmp_path)) as shipper:
        until = time.monotonic() + 10
        while shipper.status().delivered < 25 and time.monotonic() < until:
            time.sleep(0.005)
        status = shipper.status()
    assert peer.arrived == lines(12, stream="one") + lines(13, stream="other")
    assert (status.delivered, status.waiting, status.dropped) == (25, 0, {})


def test_damaged_batches_are_passed_over_and_counted_in_records(tmp_path: Path) -> None:
    with shipping(Peer(lambda _: DOWN), delivery(tmp_path), closing=0) as shipper:
        shipper.put(lines(23))
    (segment,) = tmp_path.glob("**/*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"line 5")] ^= 1
    segment.write_bytes(data)
    peer = Peer()
    with shipping(peer, delivery(tmp_path)) as shipper:
        shipper.put(lines(10, 23))
        assert shipper.flush(5)
        status = shipper.status()
    assert (status.delivered, status.dropped) == (23, {Reason.CORRUPT: 10})
    assert peer.arrived == lines(23, 10)


def test_a_directory_that_cannot_be_used_is_said_with_its_option(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with (
        pytest.raises(ConfigurationError, match=r"logging\.spool\.directory = .*file"),
        shipping(Peer(), delivery(file)),
    ):
        pass


def test_where_no_thread_can_be_begun_any_more_the_end_sends_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As at the end of an interpreter, from Python 3.12 on."""

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread at interpreter shutdown")

    peer = Peer(by_turns(DOWN))
    with shipping(peer) as shipper:
        monkeypatch.setattr(threading.Thread, "start", no_more)
        shipper.put(lines(25))
        assert shipper.status().waiting == 25
    assert peer.arrived == lines(25)
    assert (shipper.status().delivered, peer.closed) == (25, 1)


# -- a forked child --------------------------------------------------------------------------------


def in_child(check: Callable[[], object]) -> str:
    """What ``check`` gives in a forked child."""
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            said = repr(check())
        except BaseException as error:
            said = f"raised {error!r}"
        os.write(writes, said.encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_child_begins_empty_and_what_waits_is_the_parents(tmp_path: Path, on_disk: bool) -> None:
    is_up = threading.Event()
    peer = Peer(lambda _: None if is_up.is_set() else DOWN)
    with shipping(peer, delivery(tmp_path if on_disk else None)) as shipper:
        shipper.put(lines(25))
        shipper.keep(5)
        is_up_in_child = is_up.set

        def child(shipper: Shipper = shipper) -> tuple[object, ...]:
            before = shipper.status()
            is_up_in_child()
            shipper.put(lines(5, stream="child"))
            done = shipper.flush(10)
            shipper.close(1)
            return before.waiting, done, shipper.status().delivered, len(peer.arrived)

        assert in_child(child) == "(0, True, 5, 5)"
        assert shipper.status().waiting == 25
        is_up.set()
        assert shipper.flush(5)
    assert peer.arrived == lines(25)
