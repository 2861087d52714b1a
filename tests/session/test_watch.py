"""Snapshots of a running process, over HTTP."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from urllib.request import urlopen

import pytest
from any_snapshot import a_session

from metalscope import MetalTelemetryManager, MetalTelemetryOptions
from metalscope.session import SourceUnavailableError, fetch_snapshot, watch
from peers import free_port


@contextmanager
def answering(answer: Callable[[int], tuple[int, bytes]]) -> Iterator[str]:
    """A server; ``answer`` is given the number of the request, from 0."""
    asked = iter(range(10_000))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(next(asked))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def snapshot_data(**changes: object) -> bytes:
    return json.dumps({**a_session(1)[0].to_dict(), **changes}).encode()


def test_a_process_is_followed_with_exact_counts():
    options = MetalTelemetryOptions(server={"enabled": True, "port": 0})
    with MetalTelemetryManager(options) as telemetry:
        assert telemetry.server
        seen = []
        for snapshot in watch(f"{telemetry.server.url}/", interval=0.01):
            seen.append(snapshot)
            if len(seen) == 4:
                break
            telemetry.record("execute", "softmax", duration_ns=1_234_567 * len(seen), nbytes=8)
        now = telemetry.get_snapshot()
    assert [one.total_operations for one in seen] == [0, 1, 2, 3]
    (operation,) = seen[-1].operations
    assert operation.outcomes == now.operations[0].outcomes
    assert {one.started_at for one in seen} == {now.started_at}


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(lambda _: (200, snapshot_data())) as url:
        assert fetch_snapshot(url) == a_session(1)[0]


def test_nobody_listening_is_said_and_can_be_told():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(SourceUnavailableError, match="nothing listens there") as raised:
        fetch_snapshot(url)
    assert raised.value.refused


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b"", "answered 404"),
        (503, b"", "answered 503"),
        (200, b"<html>", "answered with no snapshot"),
        (200, b"[]", "a snapshot is a JSON object"),
        (200, b"\xff\xfe", "answered with no snapshot"),
        (200, snapshot_data(schema_version=9), "has schema version 9"),
        (200, snapshot_data(duration_edges="base10"), "durations in cells 'base10'"),
    ],
)
def test_what_is_no_snapshot_that_can_be_read_is_said(status: int, body: bytes, words: str):
    with (
        answering(lambda _: (status, body)) as url,
        pytest.raises(SourceUnavailableError, match=re.escape(words)) as raised,
    ):
        fetch_snapshot(url)
    assert not raised.value.refused
    assert url in str(raised.value)


def test_no_answer_in_time_is_said():
    over = threading.Event()

    def late(_: int) -> tuple[int, bytes]:
        over.wait(60)
        return 200, b""

    with answering(late) as url:
        with pytest.raises(SourceUnavailableError, match=r"no answer within 0\.2 s"):
            fetch_snapshot(url, timeout=0.2)
        over.set()


def test_a_failure_is_passed_over_while_patience_lasts():
    def every_other(number: int) -> tuple[int, bytes]:
        return (503, b"") if number % 2 else (200, snapshot_data(retired_operations=number))

    with answering(every_other) as url:
        seen = list(islice(watch(url, interval=0.01, patience=60), 3))
    assert [one.retired_operations for one in seen] == [0, 2, 4]


def test_without_patience_the_first_failure_ends_it():
    with answering(lambda number: (503, b"") if number else (200, snapshot_data())) as url:
        frames = watch(url, interval=0.01)
        next(frames)
        with pytest.raises(SourceUnavailableError, match="503"):
            next(frames)


def test_the_live_page_is_not_sent_what_makes_counts_exact():
    options = MetalTelemetryOptions(server={"enabled": True, "port": 0})
    with MetalTelemetryManager(options) as telemetry:
        telemetry.record("execute", "softmax", duration_ns=5)
        assert telemetry.server
        with urlopen(f"{telemetry.server.url}/api/v1/events", timeout=60) as stream:
            (live,) = islice((line for line in stream if b'"operations":[{' in line), 1)
        exact = fetch_snapshot(telemetry.server.url)
    (operation,) = json.loads(live.removeprefix(b"data: "))["operations"]
    assert operation["name"] == exact.operations[0].name == "softmax"
    assert "outcomes" not in operation
