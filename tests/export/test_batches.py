"""A snapshot in parts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import snapshots

from metalscope.export.batches import Batches
from metalscope.sending.result import ExportResult, Reason, Verdict

SNAPSHOT = snapshots.full()
POINTS = list(range(10))
DOWN = ExportResult.retry(Reason.REFUSED, "down")
TOO_LARGE = ExportResult.retry(Reason.TOO_LARGE, "too large")
BAD = ExportResult.rejected(Reason.SCHEMA, "bad")


class Peer:
    """Takes what it is told to take."""

    def __init__(self, *answers: ExportResult, most: int = 100) -> None:
        self.answers = list(answers)
        self.most = most
        self.taken: list[int] = []
        self.asked: list[list[int]] = []

    def __call__(self, part: Sequence[int]) -> ExportResult:
        self.asked.append(list(part))
        if len(part) > self.most:
            return TOO_LARGE
        answer = self.answers.pop(0) if self.answers else ExportResult.delivered()
        if answer.ok:
            self.taken.extend(part)
        return answer


def test_all_points_go_in_parts_in_order() -> None:
    peer = Peer()
    result = Batches[int](4).send(SNAPSHOT, POINTS, peer)
    assert [len(part) for part in peer.asked] == [4, 4, 2]
    assert peer.taken == POINTS
    assert result == ExportResult.delivered(10)


def test_after_a_failure_only_what_had_not_arrived_is_sent_again() -> None:
    peer = Peer(ExportResult.delivered(), DOWN)
    batches = Batches[int](4)
    assert batches.send(SNAPSHOT, POINTS, peer) == DOWN
    assert batches.send(SNAPSHOT, POINTS, peer).points == 10
    assert peer.taken == POINTS


def test_another_snapshot_begins_anew() -> None:
    peer = Peer(ExportResult.delivered(), DOWN)
    batches = Batches[int](4)
    batches.send(SNAPSHOT, POINTS, peer)
    later = replace(SNAPSHOT, timestamp=SNAPSHOT.timestamp + timedelta(seconds=1))
    batches.send(later, POINTS, peer)
    assert peer.taken == [0, 1, 2, 3, *POINTS]


def test_parts_that_are_too_large_are_halved_for_good() -> None:
    peer = Peer(most=3)
    batches = Batches[int](100)
    assert batches.send(SNAPSHOT, POINTS, peer).points == 10
    assert peer.taken == POINTS
    later = replace(SNAPSHOT, timestamp=SNAPSHOT.timestamp + timedelta(seconds=1))
    peer.asked.clear()
    batches.send(later, POINTS, peer)
    assert max(map(len, peer.asked)) <= 3


def test_a_single_point_that_is_too_large_does_not_hold_up_the_rest() -> None:
    def peer(part: Sequence[int]) -> ExportResult:
        return TOO_LARGE if 3 in part else ExportResult.delivered()

    result = Batches[int](4).send(SNAPSHOT, POINTS, peer)
    assert (result.verdict, result.points, result.rejected_points) == (Verdict.DELIVERED, 9, 1)
    assert result.reason is Reason.PARTIAL


def test_a_part_refused_for_good_is_passed_over_and_counted() -> None:
    peer = Peer(ExportResult.delivered(), BAD)
    result = Batches[int](4).send(SNAPSHOT, POINTS, peer)
    assert peer.taken == [0, 1, 2, 3, 8, 9]
    assert (result.points, result.rejected_points, result.detail) == (6, 4, "bad")


def test_where_all_is_refused_the_whole_is() -> None:
    assert Batches[int](5).send(SNAPSHOT, POINTS, Peer(BAD, BAD)) == BAD


def test_points_the_peer_names_as_refused_are_not_counted_as_taken() -> None:
    part = ExportResult.delivered(rejected_points=1, detail="one is old")
    result = Batches[int](5).send(SNAPSHOT, POINTS, Peer(part))
    assert (result.points, result.rejected_points, result.detail) == (9, 1, "one is old")


def test_nothing_to_send_is_delivered() -> None:
    assert Batches[int](5).send(SNAPSHOT, [], Peer()).ok
