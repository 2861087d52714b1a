"""One channel's way out, by clocks that the tests move."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from math import inf
from typing import Any

import pytest
from alert_senders import END, FIRST, UPDATE, Answers, Forwards, Posts, Time, message
from faulty_server import GOOD, NEVER_ANSWERS, RESET_AFTER_REQUEST, answer, faulty_server

from alert_samples import NOW
from metalscope.alert_options import ChannelOptions
from metalscope.alerts.memory_store import MemoryStore
from metalscope.alerts.notification import Notification
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.lane import GRACE, Lane
from metalscope.alerts.notify.outbox import MAX_AGE, MOST_WAITING
from metalscope.export_status import BreakerState
from metalscope.sending.clock import Clock
from metalscope.sending.http.deadline import remaining
from metalscope.sending.pace import Pace
from metalscope.sending.patience import MOST_TRIES_OF_AN_ERROR
from metalscope.sending.result import ExportResult, Reason

DOWN = ExportResult.retry(Reason.REFUSED, "nothing listens at box:1")
BAD = ExportResult.rejected(Reason.SCHEMA, "no such channel")
UP = ExportResult.delivered()


class Way:
    """A lane with everything around it."""

    def __init__(
        self, notifier: Notifier, store: MemoryStore | None = None, **options: Any
    ) -> None:
        self.time = Time()
        self.store = store or MemoryStore()
        self.errors: list[BaseException] = []
        self.lane = Lane(
            ChannelOptions.model_validate({"name": "ops", "type": "webhook"} | options),
            notifier,
            pace=Pace(
                first_delay=timedelta(seconds=1),
                max_delay=timedelta(minutes=5),
                threshold=5,
                open_for=timedelta(minutes=2),
                jitter=lambda: 1.0,
            ),
            store=self.store,
            on_error=lambda _, error: self.errors.append(error),
            clock=Clock(self.time.monotonic, self.time.now),
        )

    @property
    def kept(self) -> Sequence[Notification]:
        return self.store.load().messages

    def work(self, seconds: float = 0.0) -> None:
        """Do all that is due within so many s."""
        until = self.time.at + seconds
        while (wait := self.lane.turn()) <= until - self.time.at:
            self.time.at += wait
        self.time.at = until


def test_a_message_goes_out_at_once_and_is_kept_no_longer() -> None:
    peer = Answers()
    way = Way(peer)
    first, second = message(), message(incident=1)
    way.lane.post([first, second])
    assert way.kept == (first, second)

    way.work()

    assert peer.asked == [first, second]
    assert way.kept == ()
    assert way.lane.turn() == inf
    status = way.lane.status()
    assert (status.name, status.type, status.delivered) == ("ops", "webhook", 2)
    assert (status.waiting, status.last_success, status.last_error) == (0, NOW, "")


def test_what_fails_is_tried_again_with_growing_delays_and_is_kept() -> None:
    peer = Answers(DOWN)
    way = Way(peer)
    way.lane.post([message()])
    waits = []
    for _ in range(4):
        assert way.lane.turn() == 0
        waits.append(way.lane.turn())
        way.time.at += waits[-1]

    assert waits == [1, 2, 4, 8]
    assert len(way.kept) == 1
    peer.answer = UP
    way.work()
    assert way.kept == ()
    status = way.lane.status()
    assert status.failures == {"refused": 4}
    assert status.delivered == 1
    assert status.dropped == {}


def test_after_some_failures_only_single_trials_are_made() -> None:
    peer = Answers(DOWN)
    way = Way(peer)
    way.lane.post([message()])
    way.work(1 + 2 + 4 + 8)

    assert way.lane.status().state is BreakerState.OPEN
    assert way.lane.turn() == pytest.approx(120 * 1.1)
    assert way.lane.status().last_error == "nothing listens at box:1"


def test_what_is_refused_for_good_is_let_go_and_holds_up_nothing() -> None:
    peer = Answers(BAD)
    way = Way(peer)
    way.lane.post([message()])
    way.work()
    peer.answer = UP
    way.lane.post([message(incident=1)])
    way.work()

    status = way.lane.status()
    assert (status.delivered, status.waiting) == (1, 0)
    assert status.dropped == {"schema": 1}
    assert status.failures == {"schema": 1}
    assert way.kept == ()


@pytest.mark.parametrize("wrong", [ValueError("no"), "delivered, as it were"])
def test_a_notifier_that_raises_is_tried_some_times(wrong: object) -> None:
    peer = Answers()
    peer.answer = wrong
    way = Way(peer)
    way.lane.post([message(), message(incident=1)])

    way.work(1 + 2 + 4 + 8)

    assert len(peer.asked) == MOST_TRIES_OF_AN_ERROR + 1
    status = way.lane.status()
    assert status.dropped == {"exporter_error": 1}
    assert status.waiting == 1
    assert "no" not in status.last_error.split()
    assert way.errors == ([wrong] * 6 if isinstance(wrong, Exception) else [])


def test_a_notifier_that_returns_nothing_has_delivered() -> None:
    peer = Answers()
    peer.answer = None
    way = Way(peer)
    way.lane.post([message()])
    way.work()

    assert way.lane.status().delivered == 1


def test_a_notifier_has_the_channels_time_and_no_more() -> None:
    peer = Answers(UP)
    left: list[float | None] = []
    peer.meanwhile = lambda: left.append(remaining())
    way = Way(peer, timeout="7s")
    way.lane.post([message()])
    way.work()

    assert left[0] is not None
    assert 6 < left[0] <= 7
    assert remaining() is None


def test_one_that_does_not_come_back_is_seen_to_hang_and_may_yet_deliver() -> None:
    peer = Answers(UP)
    way = Way(peer, timeout="10s")
    seen = []

    def hang() -> None:
        way.time.at += 10
        seen.append(way.lane.status())
        way.time.at += GRACE
        seen.append(way.lane.status())
        way.lane.post([message(incident=1)])

    peer.meanwhile = hang
    way.lane.post([message()])
    way.lane.turn()

    assert [one.failures for one in seen] == [{}, {"timeout": 1}]
    assert "is waited for" in seen[1].last_error
    after = way.lane.status()
    assert (after.delivered, after.failures, after.last_error) == (1, {"timeout": 1}, "")


def test_one_that_comes_back_late_and_failed_has_failed_once() -> None:
    peer = Answers(ExportResult.retry(Reason.TIMEOUT, "too slow"))
    way = Way(peer)

    def hang() -> None:
        way.time.at += 100
        way.lane.status()

    peer.meanwhile = hang
    way.lane.post([message()])
    way.lane.turn()

    assert way.lane.status().failures == {"timeout": 1}
    assert way.lane.turn() > 0


# -- what waits --------------------------------------------------------------------------------


def test_while_a_peer_is_down_only_the_newest_of_an_incident_waits() -> None:
    peer = Answers(DOWN)
    way = Way(peer)
    way.lane.post([message(FIRST)])
    way.work()
    way.lane.post([message(UPDATE), message(FIRST, 1)])
    way.lane.post([message(END), message(UPDATE, 1)])
    assert len(way.kept) == 2
    peer.answer = UP
    way.work(60)

    assert [one.kind for one in peer.asked[1:]] == [END, FIRST]
    assert way.kept == ()
    assert way.lane.status().dropped == {"superseded": 3}


def test_what_supersedes_another_in_the_same_post_is_alone_kept() -> None:
    way = Way(Answers())
    end = message(END)
    way.lane.post([message(FIRST), end])

    assert way.kept == (end,)


def test_a_message_that_comes_while_an_older_one_arrives_is_sent_too() -> None:
    peer = Answers(UP)
    way = Way(peer)
    newer = message(UPDATE)
    peer.meanwhile = lambda: way.lane.post([newer]) if len(peer.asked) == 1 else None
    way.lane.post([message(FIRST)])
    way.work()

    assert [one.kind for one in peer.asked] == [FIRST, UPDATE]
    assert way.lane.status().dropped == {}
    assert way.kept == ()


def test_a_message_that_comes_while_an_older_one_fails_is_sent_in_its_place() -> None:
    peer = Answers(DOWN)
    way = Way(peer)
    newer = message(END)
    peer.meanwhile = lambda: way.lane.post([newer]) if len(peer.asked) == 1 else None
    way.lane.post([message(FIRST)])
    way.work()
    assert way.kept == (newer,)
    peer.answer = UP
    way.work(1)

    assert [one.kind for one in peer.asked] == [FIRST, END]
    assert way.lane.status().dropped == {"superseded": 1}


def test_more_than_may_wait_is_let_go_and_counted() -> None:
    way = Way(Answers(DOWN))
    messages = [message(incident=number) for number in range(MOST_WAITING + 3)]
    way.lane.post(messages)

    assert way.kept == tuple(messages[3:])
    assert way.lane.status().dropped == {"queue_full": 3}
    assert way.lane.status().waiting == MOST_WAITING


def test_what_waited_for_a_day_is_let_go_and_counted() -> None:
    way = Way(Answers(DOWN))
    way.lane.post([message(FIRST), message(END, 1)])
    way.time.at += MAX_AGE.total_seconds() + 1
    way.lane.turn()

    assert way.lane.status().dropped == {"expired": 1}
    assert [one.kind for one in way.kept] == [END]


def test_a_peer_that_groups_is_told_the_ends_that_it_missed() -> None:
    peer = Forwards(DOWN)
    way = Way(peer)
    way.lane.post([message(FIRST, over=["a"])])
    way.work()
    way.lane.post([message(UPDATE, over=["b"])])
    peer.answer = UP
    way.work(1)

    assert [one.id for one in peer.asked[-1].resolved] == ["b", "a"]


def test_no_more_messages_a_minute_go_than_the_channel_allows() -> None:
    peer = Answers()
    way = Way(peer, rate_limit=2)
    way.lane.post([message(incident=number) for number in range(5)])
    way.work()
    assert len(peer.asked) == 2
    assert way.lane.turn() == pytest.approx(30)

    way.lane.post([message(END, 4)])
    way.work(29)
    assert len(peer.asked) == 2
    way.work(61)
    assert [one.kind for one in peer.asked] == [FIRST, FIRST, FIRST, FIRST, END]


def test_what_was_kept_is_sent_after_a_restart_once() -> None:
    way = Way(Answers(DOWN))
    first, newer = message(UPDATE), message(incident=1)
    way.lane.post([first, newer])
    way.work()

    peer = Answers()
    after = Way(peer, way.store)
    after.lane.restore(way.kept)
    after.work()

    assert peer.asked == [first, newer]
    assert way.kept == ()


# -- the last round ------------------------------------------------------------------------------


def test_at_the_end_all_that_waits_is_tried_at_once() -> None:
    peer = Answers(DOWN)
    way = Way(peer)
    way.lane.post([message(), message(incident=1)])
    way.work()
    peer.answer = UP

    way.lane.last_round(10)
    way.lane.shut_down()

    assert way.kept == ()
    assert peer.ended == 1


def test_at_the_end_a_peer_that_is_not_there_is_asked_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = Answers(DOWN)
    way = Way(peer)
    way.lane.post([message(), message(incident=1)])

    way.lane.last_round(10)
    way.lane.shut_down()

    assert len(peer.asked) == 1
    assert len(way.kept) == 2
    assert "2 messages have not gone out" in caplog.text


def test_at_the_end_one_that_raises_holds_up_no_other() -> None:
    peer = Answers()
    peer.answer = ValueError("no")
    way = Way(peer)
    way.lane.post([message(), message(incident=1)])

    way.lane.last_round(10)

    assert len(peer.asked) == 2


def test_at_the_end_no_more_messages_go_than_the_channel_allows() -> None:
    peer = Answers()
    way = Way(peer, rate_limit=3)
    way.lane.post([message(incident=number) for number in range(5)])

    way.lane.last_round(10)
    assert len(peer.asked) == 3


def test_at_the_end_no_message_has_more_time_than_there_is() -> None:
    peer = Answers()
    left: list[float | None] = []
    peer.meanwhile = lambda: left.append(remaining())
    way = Way(peer, timeout="7s")
    way.lane.post([message()])

    way.lane.last_round(2)

    assert left[0] is not None
    assert left[0] <= 2


def test_when_time_is_up_nothing_is_tried() -> None:
    peer = Answers()
    way = Way(peer)
    way.lane.post([message()])

    way.lane.last_round(-1)

    assert peer.asked == []
    assert len(way.kept) == 1


# -- the log --------------------------------------------------------------------------------------


def test_the_log_says_once_that_it_fails_and_once_that_it_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "metalscope")
    peer = Answers(UP)
    way = Way(peer)
    way.lane.post([message()])
    way.work()
    peer.answer = DOWN
    way.lane.post([message(incident=1)])
    way.work(10)
    peer.answer = UP
    way.work(100)
    way.lane.post([message(incident=2)])
    way.work()

    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("WARNING", "alerts channel ops: refused: nothing listens at box:1"),
        ("INFO", "alerts channel ops: works again"),
    ]


# -- a real peer ----------------------------------------------------------------------------------


def test_the_peers_retry_after_is_heeded() -> None:
    with faulty_server(answer(429, retry_after="42"), GOOD) as server:
        way = Way(Posts(server.url))
        way.lane.post([message()])
        assert way.lane.turn() == 0
        assert way.lane.turn() == 42
        way.time.at += 42
        way.work()
        way.lane.shut_down()

    assert way.lane.status().failures == {"rate_limited": 1}
    assert way.kept == ()
    assert len(server.requests) == 2


def test_whatever_the_peer_does_the_message_arrives_in_the_end() -> None:
    faults = [answer(500), RESET_AFTER_REQUEST, NEVER_ANSWERS, answer(404), GOOD]
    with faulty_server(*faults) as server:
        way = Way(Posts(server.url), timeout="300ms")
        sent = message()
        way.lane.post([sent])
        way.work(600)
        way.lane.shut_down()

    assert way.lane.status().failures == {
        "server_error": 1,
        "reset": 1,
        "timeout": 1,
        "not_found": 1,
    }
    assert json.loads(server.requests[-1].content)["id"] == sent.id
    assert way.kept == ()


def test_what_the_peer_cannot_take_is_told_to_nobody_again() -> None:
    with faulty_server(answer(400, b"invalid_payload"), GOOD) as server:
        way = Way(Posts(server.url))
        way.lane.post([message(), message(incident=1)])
        way.work()
        way.lane.shut_down()

    status = way.lane.status()
    assert (status.delivered, status.dropped) == (1, {"schema": 1})
    assert len(server.requests) == 2
