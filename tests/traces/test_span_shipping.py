from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from faulty_server import answer, faulty_server
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from metalscope.errors import ConfigurationError
from metalscope.export_status import BreakerState
from metalscope.sanitizing.sanitizer import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions
from metalscope.trace_options import TracesOptions
from metalscope.traces.buffer import SpanBuffer
from metalscope.traces.shipping import SpanShipping, make_span_shipping
from metalscope.traces.span import FinishedSpan
from metalscope.traces.starting import start_traces
from otlp_collector import otlp_collector
from peers import free_port
from span_samples import a_span

RESOURCE = {"service.name": "trainer"}
SECRET = "sk-not-to-be-seen-4711"


def options(*exporters: dict[str, Any], **more: Any) -> TracesOptions:
    values: dict[str, Any] = {
        "enabled": True,
        "flush_interval": timedelta(milliseconds=20),
        "retry": {"first_delay": 0.02, "max_delay": 0.05, "circuit_breaker_threshold": 1000},
        "spool": {"replay_interval": 0},
        "exporters": [{"timeout": 5, "protocol": "http/protobuf", **one} for one in exporters],
    }
    return TracesOptions(**values | more)


def unexpected(room: str, error: BaseException) -> None:
    raise AssertionError(room) from error


def sanitizer() -> Sanitizer:
    return Sanitizer(SanitizingOptions(), secrets=[SECRET])


@contextmanager
def shipping(made: TracesOptions, *, closing: float = 5) -> Iterator[SpanShipping]:
    running = make_span_shipping(
        made, sanitizer=sanitizer(), resource=RESOURCE, on_error=unexpected
    )
    try:
        yield running
    finally:
        running.close(closing)


def names(spans: list[Any]) -> list[str]:
    return [span.name for span in spans]


def test_spans_arrive_in_their_order_at_every_collector_and_are_counted() -> None:
    with otlp_collector() as one, otlp_collector() as other:
        made = options(
            {"name": "one", "endpoint": one.url, "protocol": "grpc", "batch_size": 7},
            {"name": "other", "endpoint": other.url, "protocol": "grpc"},
            {"name": "off", "endpoint": "http://127.0.0.1:1", "enabled": False},
        )
        with shipping(made) as running:
            for n in range(100):
                running.take(a_span(n))
            assert running.flush(10)
            first, second = running.status()
        assert names(one.spans()) == names(other.spans()) == [f"span {n}" for n in range(100)]
    assert max(len(request.resource_spans[0].scope_spans[0].spans) for request in one.traces()) == 7
    assert (first.name, first.type, first.signal) == ("one", "otlp", "traces")
    assert (first.delivered, second.delivered) == (100, 100)
    assert (first.waiting, dict(first.dropped)) == (0, {})


def test_a_span_goes_out_after_the_interval_though_nobody_asks() -> None:
    with (
        otlp_collector() as collector,
        shipping(options({"endpoint": collector.url, "protocol": "grpc"})) as running,
    ):
        running.take(a_span())
        assert names(collector.wait_for_spans(1)) == ["span 1"]


def test_each_audience_gets_what_may_be_sent_to_it_and_neither_a_secret() -> None:
    with otlp_collector() as inside, otlp_collector() as outside:
        made = options(
            {"name": "in", "endpoint": inside.url, "protocol": "grpc"},
            {"name": "out", "endpoint": outside.url, "protocol": "grpc", "audience": "external"},
        )
        with shipping(made) as running:
            attributes = {"tenant": "acme", "metal.operation.kind": "execute", "seen": SECRET}
            running.take(a_span(attributes=attributes, error=f"no {SECRET}", failed=True))
            assert running.flush(10)
    assert SECRET.encode() not in b"".join(body for _, body, _ in inside.calls + outside.calls)
    keys = [{one.key for one in got.spans()[0].attributes} for got in (inside, outside)]
    assert "tenant" in keys[0]
    assert "tenant" not in keys[1]
    assert all("metal.operation.kind" in one for one in keys)


def test_a_collector_that_is_busy_gets_every_span_in_the_end_and_each_once() -> None:
    busy = [answer(429, retry_after="0"), answer(503), answer(502), answer(200)]
    with faulty_server(*busy) as server:
        with shipping(options({"endpoint": server.url})) as running:
            for n in range(10):
                running.take(a_span(n))
            assert running.flush(10) or running.flush(10)
            [status] = running.status()
        assert len({request.body for request in server.requests}) == 1, "the same batch each time"
    assert status.delivered == 10
    assert dict(status.failures) == {"rate_limited": 1, "server_error": 2}
    assert (status.state, dict(status.dropped)) == (BreakerState.CLOSED, {})


def test_spans_that_a_collector_refuses_are_counted_as_dropped() -> None:
    refused = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=3, error_message="too old")
    ).SerializeToString()
    with (
        faulty_server(answer(200, refused)) as server,
        shipping(options({"endpoint": server.url})) as running,
    ):
        for n in range(10):
            running.take(a_span(n))
        assert running.flush(10)
        [status] = running.status()
    assert (status.delivered, dict(status.dropped)) == (7, {"partial": 3})


def test_what_a_killed_collector_missed_waits_on_disk_for_the_next_program(tmp_path: Path) -> None:
    port = free_port()
    spool = {"directory": tmp_path, "replay_interval": 0}
    made = options({"endpoint": f"http://127.0.0.1:{port}", "protocol": "grpc"}, spool=spool)
    with otlp_collector(port) as collector, shipping(made) as running:
        for n in range(50):
            running.take(a_span(n))
        assert running.flush(10)
        before = names(collector.spans())
    with shipping(made, closing=0.1) as running:
        for n in range(50, 100):
            running.take(a_span(n))
        assert not running.flush(0.2)
    with otlp_collector(port) as collector, shipping(made) as running:
        running.take(a_span(100))
        after = names(collector.wait_for_spans(51))
    assert before + after == [f"span {n}" for n in range(101)]


def test_a_collector_that_dies_and_comes_back_misses_nothing() -> None:
    port = free_port()
    made = options({"endpoint": f"http://127.0.0.1:{port}", "protocol": "grpc"})
    with shipping(made) as running:
        with otlp_collector(port) as collector:
            running.take(a_span(1))
            before = names(collector.wait_for_spans(1))
            # It is known to have it: what is not is sent again.
            assert running.flush(10)
        running.take(a_span(2))
        running.flush(0.2)
        with otlp_collector(port) as collector:
            running.take(a_span(3))
            after = names(collector.wait_for_spans(2))
    assert (before, after) == (["span 1"], ["span 2", "span 3"])


def test_one_collector_that_is_not_there_holds_up_no_other() -> None:
    with otlp_collector() as collector:
        made = options(
            {"name": "gone", "endpoint": f"http://127.0.0.1:{free_port()}"},
            {"name": "there", "endpoint": collector.url, "protocol": "grpc"},
        )
        running = make_span_shipping(
            made, sanitizer=sanitizer(), resource=RESOURCE, on_error=unexpected
        )
        running.take(a_span())
        running.close(0.5)
        assert names(collector.spans()) == ["span 1"]
        gone, there = running.status()
    assert (gone.delivered, gone.waiting, there.delivered) == (0, 1, 1)
    assert gone.last_error


def test_what_cannot_be_encoded_is_counted_and_the_others_arrive() -> None:
    told: list[BaseException] = []
    with otlp_collector() as collector:
        running = make_span_shipping(
            options({"endpoint": collector.url, "protocol": "grpc"}),
            sanitizer=sanitizer(),
            resource=RESOURCE,
            on_error=lambda _, error: told.append(error),
        )
        for span in (a_span(1), a_span(2, span_id=2**70), a_span(3)):
            running.take(span)
        assert running.flush(10)
        [status] = running.status()
        running.close(5)
        assert names(collector.spans()) == ["span 1", "span 3"]
    assert (running.dropped, dict(status.dropped)) == (1, {"exporter_error": 1})
    assert [type(error) for error in told] == [OverflowError]


def test_if_one_collector_cannot_be_none_is_started() -> None:
    before = {thread.name for thread in threading.enumerate()}
    made = options({"endpoint": "http://127.0.0.1:1"}, {"name": "b", "endpoint": "udp://h:1"})
    with pytest.raises(ConfigurationError, match="span exporter b: endpoint"):
        make_span_shipping(made, sanitizer=sanitizer(), resource=RESOURCE, on_error=unexpected)
    assert {thread.name for thread in threading.enumerate()} <= before


# -- the buffer ----------------------------------------------------------------------------------


class Held:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.done: list[FinishedSpan] = []

    def __call__(self, spans: Any) -> None:
        self.began.set()
        assert self.may_end.wait(10)
        self.done.extend(spans)


def test_past_its_limit_a_buffer_lets_spans_go_and_counts_them_and_none_waits() -> None:
    held = Held()
    buffer = SpanBuffer("test", held, limit=10, interval=0.01, on_error=unexpected)
    buffer.take(a_span(0))
    assert held.began.wait(10)
    for n in range(1, 26):
        buffer.take(a_span(n))
    assert (buffer.waiting, buffer.dropped) == (11, 15)
    assert not buffer.flush(0.01)
    held.may_end.set()
    assert buffer.close(10)
    assert names(held.done) == [f"span {n}" for n in range(11)]
    buffer.take(a_span())
    assert buffer.dropped == 16, "nothing is taken after the end"


def test_half_a_buffer_is_reason_enough_to_begin() -> None:
    held = Held()
    buffer = SpanBuffer("test", held, limit=10, interval=3600, on_error=unexpected)
    for n in range(5):
        buffer.take(a_span(n))
    assert held.began.wait(10)
    held.may_end.set()
    buffer.close(10)
    assert len(held.done) == 5


def test_many_threads_lose_no_span() -> None:
    held = Held()
    held.may_end.set()
    buffer = SpanBuffer("test", held, limit=100_000, interval=0.001, on_error=unexpected)

    def take() -> None:
        for n in range(1000):
            buffer.take(a_span(n))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buffer.close(10)
    assert (len(held.done), buffer.dropped) == (4000, 0)


def test_work_that_raises_is_told_and_the_buffer_goes_on() -> None:
    told: list[BaseException] = []

    def work(_: Any) -> None:
        raise ZeroDivisionError

    buffer = SpanBuffer(
        "test", work, limit=10, interval=0.001, on_error=lambda _, error: told.append(error)
    )
    for _ in range(2):
        buffer.take(a_span())
        assert buffer.flush(10)
    assert buffer.close(10)
    assert len(told) == 2


ENDING = """
import atexit, sys
sys.path[:0] = sys.argv[1:]
from test_span_shipping import SpanBuffer, a_span
made = []
buffer = SpanBuffer("test", made.extend, limit=10, interval=3600, on_error=lambda *_: None)
atexit.register(lambda: print(len(made)))
atexit.register(lambda: buffer.close(10))
atexit.register(lambda: buffer.take(a_span()))
"""


def test_what_ends_while_the_interpreter_does_is_worked_on_as_well() -> None:
    command = [sys.executable, "-c", ENDING, *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "1\n", done.stderr


FORKING = """
import os, sys
sys.path[:0] = sys.argv[2:]
from test_span_shipping import RESOURCE, options, sanitizer, unexpected, a_span, make_span_shipping
made = options({"endpoint": sys.argv[1], "protocol": "http/protobuf"}, flush_interval=3600)
running = make_span_shipping(made, sanitizer=sanitizer(), resource=RESOURCE, on_error=unexpected)
running.take(a_span(1))
child = os.fork()
if not child:
    running.take(a_span(2, name="of the child"))
    os._exit(0 if running.flush(10) else 1)
assert os.waitpid(child, 0)[1] == 0
running.close(10)
"""


def test_after_a_fork_each_process_sends_its_own_spans_and_each_once() -> None:
    with faulty_server() as server:
        command = [sys.executable, "-c", FORKING, server.url, *sys.path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        bodies = [request.content for request in server.requests]
    assert [b"of the child" in body for body in bodies] == [True, False]
    assert [b"span 1" in body for body in bodies] == [False, True]


# -- what is started -----------------------------------------------------------------------------


def start(made: TracesOptions) -> Any:
    return start_traces(made, sanitizer=sanitizer(), resource=RESOURCE, on_error=unexpected)


def test_only_what_the_options_name_is_started(tmp_path: Path) -> None:
    nothing = start(options())
    assert (nothing.sinks, nothing.always, nothing.status()) == ((), (), ())
    nothing.close(1)
    with faulty_server() as server:
        both = start(options({"endpoint": server.url}, file=tmp_path / "t.json"))
        for sink in (*both.sinks, *both.always):
            sink.take(a_span())
        assert both.flush(10)
        assert [status.type for status in both.status()] == ["otlp", "chrome"]
        assert [status.delivered for status in both.status()] == [1, 1]
        both.close(5)
        assert len(server.requests) == 1


def test_if_a_collector_cannot_be_the_file_is_let_go(tmp_path: Path) -> None:
    made = options({"endpoint": "udp://h:1"}, file=tmp_path / "t.json")
    with pytest.raises(ConfigurationError):
        start(made)
    again = start(options(file=tmp_path / "t.json"))
    assert again.always[0].path == tmp_path / "t.json", "its lock is gone"
    again.close(1)


def test_without_a_collector_no_library_of_otlp_is_loaded(tmp_path: Path) -> None:
    program = f"""
import sys
from metalscope.sanitizing.sanitizer import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions
from metalscope.trace_options import TracesOptions
from metalscope.traces.starting import start_traces
made = start_traces(
    TracesOptions(file={str(tmp_path / "t.json")!r}), sanitizer=Sanitizer(SanitizingOptions()),
    resource={{}}, on_error=print,
)
made.close(1)
print(sorted(name for name in sys.modules if name in {{"google.protobuf", "grpc", "urllib3"}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
