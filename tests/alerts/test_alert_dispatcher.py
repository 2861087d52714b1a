"""Messages to channels on real threads, over HTTP, past peers that fail and notifiers that hang."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alert_senders import END, FIRST, UPDATE, Answers, Posts, message
from faulty_server import (
    GOOD,
    NEVER_ANSWERS,
    REFUSED,
    RESET_AFTER_REQUEST,
    answer,
    faulty_server,
)

from alert_samples import NOW
from metalscope.alert_options import AlertsOptions, ChannelOptions
from metalscope.alert_report import ChannelStatus
from metalscope.alerts.memory_store import MemoryStore
from metalscope.alerts.notification import Notification
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.dispatcher import Dispatcher
from metalscope.alerts.sqlite_store import SqliteStore
from metalscope.alerts.storing import AlertStore
from metalscope.sending.clock import Clock
from metalscope.sending.result import ExportResult, Reason

CLOCK = Clock(now=lambda: NOW)
"""The wall's would find the messages too old."""

DOWN = ExportResult.retry(Reason.REFUSED, "nothing listens at box:1")


class Hangs(Notifier):
    """Does not come back before it is let go, whatever the deadline."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.let_go = threading.Event()
        self.ended = threading.Event()

    def send(self, notification: Notification) -> ExportResult:
        self.began.set()
        self.let_go.wait(60)
        return ExportResult.delivered()

    def shutdown(self) -> None:
        self.ended.set()


def raising(_room: str, error: BaseException) -> None:
    raise error


@contextmanager
def dispatching(
    notifiers: Mapping[str, Notifier],
    *,
    store: AlertStore | None = None,
    channels: Sequence[ChannelOptions] = (),
    close_within: float = 10,
    **retry: Any,
) -> Iterator[Dispatcher]:
    options = AlertsOptions.model_validate(
        {"retry": {"first_delay": "1ms", "circuit_breaker_timeout": "1ms"} | retry}
    )
    dispatcher = Dispatcher(
        notifiers,
        options,
        store=store or MemoryStore(),
        on_error=lambda _room, _error: None,
        channels=channels,
        clock=CLOCK,
    )
    try:
        yield dispatcher
    finally:
        dispatcher.close(close_within)


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.001)


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "metalscope-alerts"]


def one_of(dispatcher: Dispatcher) -> ChannelStatus:
    (status,) = dispatcher.status()
    return status


def test_each_message_goes_to_its_channel() -> None:
    store = MemoryStore()
    ops, dev, idle = Answers(), Answers(), Answers()
    with dispatching({"ops": ops, "dev": dev, "idle": idle}, store=store) as dispatcher:
        assert threads() == []
        sent = [message(), message(channel="dev"), message(channel="nobody"), message(incident=1)]
        dispatcher.post(sent)
        eventually(lambda: [one.delivered for one in dispatcher.status()] == [2, 1, 0])
        assert len(threads()) == 2
        assert [one.name for one in dispatcher.status()] == ["ops", "dev", "idle"]

    assert ops.asked == [sent[0], sent[3]]
    assert dev.asked == [sent[1]]
    assert (ops.ended, dev.ended, idle.ended) == (1, 1, 1)
    assert store.load().messages == ()
    assert threads() == []


def test_a_message_arrives_past_a_peer_that_fails_in_every_way() -> None:
    faults = [
        answer(503),
        RESET_AFTER_REQUEST,
        answer(429, retry_after="0"),
        NEVER_ANSWERS,
        answer(401),
        GOOD,
    ]
    channel = ChannelOptions.model_validate({"name": "ops", "timeout": "300ms"})
    with faulty_server(*faults) as server:
        posts = Posts(server.url)
        with dispatching({"ops": posts}, channels=[channel]) as dispatcher:
            dispatcher.post([message(FIRST)])
            results = [posts.results.get(timeout=20).reason for _ in faults]
            eventually(lambda: one_of(dispatcher).delivered == 1)

    assert results == [
        Reason.SERVER_ERROR,
        Reason.RESET,
        Reason.RATE_LIMITED,
        Reason.TIMEOUT,
        Reason.UNAUTHORIZED,
        None,
    ]


def test_what_waits_survives_a_restart_and_is_sent_once(tmp_path: Path) -> None:
    @contextmanager
    def run(url: str, **options: Any) -> Iterator[tuple[Dispatcher, Posts]]:
        store, posts = SqliteStore(tmp_path / "alerts.db", on_error=raising), Posts(url)
        kept = store.load().messages
        with dispatching({"ops": posts}, store=store, **options) as dispatcher:
            dispatcher.restore(kept)
            yield dispatcher, posts
        store.close(10)

    with faulty_server(REFUSED) as server:
        with run(server.url, first_delay="1h") as (dispatcher, posts):
            sent = [message(FIRST), message(FIRST, 1), message(END)]
            dispatcher.post(sent[:2])
            assert posts.results.get(timeout=20).reason is Reason.REFUSED
            dispatcher.post(sent[2:])

        server.answers = [GOOD]
        for _ in range(2):
            with run(server.url):
                pass
        arrived = [json.loads(one.content)["id"] for one in server.requests]

    assert sorted(arrived) == sorted(one.id for one in sent[1:])


def test_what_was_kept_for_a_channel_that_is_gone_is_forgotten() -> None:
    store = MemoryStore()
    with dispatching({"old": Answers(DOWN)}, store=store) as dispatcher:
        dispatcher.post([message(channel="old")])
    assert len(store.load().messages) == 1
    with dispatching({"new": Answers()}, store=store) as dispatcher:
        dispatcher.restore(store.load().messages)

    assert store.load().messages == ()


def test_one_that_hangs_holds_up_nobody_not_even_the_end() -> None:
    hangs, other, store = Hangs(), Answers(), MemoryStore()
    channel = ChannelOptions.model_validate({"name": "hangs", "timeout": "1ms"})
    notifiers = {"hangs": hangs, "ops": other}
    with dispatching(notifiers, store=store, channels=[channel], close_within=0.1) as dispatcher:
        dispatcher.post([message(channel="hangs")])
        assert hangs.began.wait(20)
        dispatcher.post([message(channel="hangs", incident=1), message()])
        eventually(lambda: dispatcher.status()[1].delivered == 1)
        eventually(lambda: dispatcher.status()[0].failures == {"timeout": 1})
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert len(store.load().messages) == 2

    hangs.let_go.set()
    assert hangs.ended.wait(20)
    eventually(lambda: threads() == [])
    assert len(store.load().messages) == 1, "what was under way has arrived after all"


def test_at_the_end_what_waits_for_its_pace_is_tried_at_once() -> None:
    peer, store = Answers(DOWN), MemoryStore()
    with dispatching({"ops": peer}, store=store, first_delay="1h") as dispatcher:
        dispatcher.post([message()])
        eventually(lambda: one_of(dispatcher).failures == {"refused": 1})
        peer.answer = ExportResult.delivered()

    assert len(peer.asked) == 2
    assert store.load().messages == ()
    dispatcher.close(1)
    assert peer.ended == 1


def test_what_is_posted_after_the_end_is_kept_and_not_sent() -> None:
    peer, store = Answers(), MemoryStore()
    with dispatching({"ops": peer}, store=store) as dispatcher:
        pass
    dispatcher.post([message()])

    assert peer.asked == []
    assert len(store.load().messages) == 1


def test_where_no_thread_starts_any_more_the_end_sends_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        # What Python 3.12 and later say while the interpreter exits.
        raise RuntimeError("can't create new thread at interpreter shutdown")

    peer, idle = Answers(), Answers()
    monkeypatch.setattr(threading.Thread, "start", start)
    with dispatching({"ops": peer, "idle": idle}) as dispatcher:
        dispatcher.post([message()])
        assert peer.asked == []

    assert len(peer.asked) == 1
    assert (peer.ended, idle.ended) == (1, 1)


def test_many_threads_may_post_at_once() -> None:
    peer, store = Answers(), MemoryStore()
    channel = ChannelOptions(name="ops", rate_limit=100_000)
    with dispatching({"ops": peer}, store=store, channels=[channel]) as dispatcher:
        posting = [
            threading.Thread(
                target=lambda first=first: [
                    dispatcher.post([message(UPDATE, first * 25 + n % 25)]) for n in range(100)
                ]
            )
            for first in range(4)
        ]
        for one in posting:
            one.start()
        for one in posting:
            one.join()
        eventually(lambda: one_of(dispatcher).waiting == 0)
        status = one_of(dispatcher)

    assert status.delivered + sum(status.dropped.values()) == 400
    assert set(status.dropped) <= {"superseded"}
    assert store.load().messages == ()


FORKS = """
import os
from alert_samples import NOW
from alert_senders import Answers, message
from metalscope.alert_options import AlertsOptions
from metalscope.alerts.memory_store import MemoryStore
from metalscope.alerts.notify.dispatcher import Dispatcher
from metalscope.sending.clock import Clock
from metalscope.sending.result import ExportResult, Reason

peer, store = Answers(ExportResult.retry(Reason.REFUSED, "down")), MemoryStore()
dispatcher = Dispatcher(
    {"ops": peer}, AlertsOptions(), store=store, on_error=print, channels=(),
    clock=Clock(now=lambda: NOW),
)
dispatcher.post([message()])
while not dispatcher.status()[0].failures:
    pass
if os.fork() == 0:
    dispatcher.post([message(incident=1)])
    assert dispatcher.status() == ()
    dispatcher.close(1)
    assert (len(peer.asked), peer.ended) == (1, 0)
    os._exit(7)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
peer.answer = ExportResult.delivered()
dispatcher.close(10)
assert (len(peer.asked), peer.ended) == (2, 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_sends_nothing_of_its_parent() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
