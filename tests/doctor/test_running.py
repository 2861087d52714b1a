"""A port, an endpoint, a running process: asked for real."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from metalscope import __version__
from metalscope.doctor import Diagnosis, State, process
from metalscope.doctor.process import check_process
from metalscope.doctor.server import base_url, check_endpoint, check_port
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.server import start_server
from peers import free_port

Serve = Callable[[bytes], str]


@pytest.fixture
def foreign() -> Iterator[Serve]:
    """Starts servers that answer all with the same bytes, or never where there are none."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        open_ones: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                open_ones.append(connection)
                if answer:
                    connection.recv(65536)
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for one in listeners:
        one.close()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def look(url: str, *, expected: bool = True) -> dict[str, Diagnosis]:
    return {one.name: one for one in check_process(url, expected, 2.0)}


def test_a_free_port_works_and_stays_free():
    port = free_port()
    for _ in range(2):
        (one,) = check_port("127.0.0.1", port)
        assert (one.state, one.what, one.facts["free"]) == (
            State.WORKS,
            "free on 127.0.0.1",
            True,
        )


def test_port_zero_is_any():
    (one,) = check_port("127.0.0.1", 0)
    assert (one.state, one.what) == (State.WORKS, "any free one is taken")


def test_a_port_of_metalscope_is_in_use_by_it(tel: MetalTelemetryManager):
    assert tel.server is not None
    (one,) = check_port("127.0.0.1", tel.server.port)
    assert one.state is State.WORKS
    assert one.what == f"in use by metalscope {__version__}, process {os.getpid()}"
    assert (one.facts["free"], one.facts["pid"]) == (False, os.getpid())


@pytest.mark.parametrize(
    "answer",
    [
        http(b"<h1>hello</h1>"),
        http(b"{}"),
        http(b"[]"),
        http(b"gone", "404 Not Found"),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00\xff",
    ],
)
def test_a_port_of_another_server_is_broken_with_what_to_do(foreign: Serve, answer: bytes):
    (one,) = check_port("127.0.0.1", port_of(foreign(answer)))
    assert one.state is State.BROKEN
    assert "in use, and not by a metalscope that answers" in one.why
    assert "--port" in one.remedy


def test_a_port_whose_owner_never_answers_is_broken(foreign: Serve, monkeypatch):
    monkeypatch.setattr("metalscope.doctor.server.ANSWER_SECONDS", 0.3)
    (one,) = check_port("127.0.0.1", port_of(foreign(b"")))
    assert one.why.endswith("no answer within 0.3 s")


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_of_another_machine_is_broken(host: str):
    (one,) = check_port(host, free_port())
    assert (one.state, one.why.startswith(f"cannot listen on {host}: ")) == (State.BROKEN, True)


def test_the_address_to_ask_is_this_machines():
    assert base_url("0.0.0.0", 1) == "http://127.0.0.1:1"
    assert base_url("::1", 1) == "http://[::1]:1"
    assert base_url("localhost", 1) == "http://localhost:1"


def test_an_endpoint_that_listens_works_and_one_that_does_not_is_broken(foreign: Serve):
    url = foreign(http(b""))
    (there,) = check_endpoint("exporters", "mine", f"{url}/v1/metrics")
    assert (there.group, there.name, there.state) == ("exporters", "mine", State.WORKS)
    port = free_port()
    (gone,) = check_endpoint("exporters", "mine", f"grpc://127.0.0.1:{port}")
    assert gone.state is State.BROKEN
    assert gone.why == f"127.0.0.1:{port} cannot be reached: nothing listens there"


def test_a_process_whose_operations_arrive_works(tel: MetalTelemetryManager):
    assert tel.server is not None
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.005):
            tel.record("execute", "k", duration_ns=1000)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        found = look(tel.server.url)
    finally:
        stop.set()
        worker.join()
    assert {one.state for one in found.values()} == {State.WORKS}
    assert set(found) == {"alive", "tick", "metrics", "internal errors"}
    before, after = found["metrics"].facts["operations"]
    assert after > before
    assert found["metrics"].facts["samples"] > 10


def test_a_process_that_does_nothing_says_so_and_is_not_broken(tel: MetalTelemetryManager):
    assert tel.server is not None
    found = look(tel.server.url)
    assert found["metrics"].state is State.WORKS
    assert found["metrics"].why == "no operation was recorded so far"
    assert "metalscope run" in found["metrics"].remedy
    tel.record("execute", "k", duration_ns=1)
    assert look(tel.server.url)["metrics"].why == "no operation came meanwhile"


def test_a_process_whose_tick_stopped_is_broken(tel: MetalTelemetryManager, monkeypatch):
    monkeypatch.setattr(process, "LONGEST_WAIT_SECONDS", 1.5)
    running = start_server(tel, host="127.0.0.1", port=0)
    while len(tel.get_snapshot().recent.points) < 2:
        time.sleep(0.01)
    tel.shutdown()
    found = look(running.url)
    running.stop()
    assert (found["alive"].state, found["tick"].state) == (State.WORKS, State.BROKEN)
    assert "it collected nothing for 1.5 s and did every 0." in found["tick"].why


def test_a_tick_that_may_be_longer_than_the_wait_is_not_called_broken(monkeypatch):
    monkeypatch.setattr(process, "LONGEST_WAIT_SECONDS", 0.5)
    options = MetalTelemetryOptions(
        tick_interval=timedelta(hours=1),
        history_window=timedelta(hours=5),
        server={"enabled": True, "port": 0},
    )
    with MetalTelemetryManager(options) as tel:
        assert tel.server is not None
        assert look(tel.server.url)["tick"].state is State.ABSENT


def test_failures_inside_a_process_are_said_and_new_ones_are_broken(
    tel: MetalTelemetryManager,
):
    assert tel.server is not None
    tel.internal_error("a room", ValueError())
    (found,) = [one for name, one in look(tel.server.url).items() if name == "internal errors"]
    assert (found.state, found.what, found.why) == (
        State.WORKS,
        "a room 1",
        "earlier, and no more",
    )

    class Failing:
        name = "failing"

        def read(self) -> list[object]:
            raise OSError("unplugged")

    tel.add_sensor(Failing())  # type: ignore[arg-type]
    found = look(tel.server.url)["internal errors"]
    assert (found.state, "sensor.failing" in found.what) == (State.BROKEN, True)


def test_where_nothing_runs_it_depends_on_whether_anything_should():
    url = f"http://127.0.0.1:{free_port()}"
    (absent,) = look(url, expected=False).values()
    (broken,) = look(url, expected=True).values()
    assert (absent.state, broken.state) == (State.ABSENT, State.BROKEN)
    assert absent.why == f"{url}: nothing listens there"
    assert "metalscope run" in absent.remedy


def test_what_is_no_metalscope_is_broken_where_one_should_be(foreign: Serve):
    (one,) = look(foreign(http(b"<html>"))).values()
    assert (one.state, "not JSON" in one.why) == (State.BROKEN, True)


def test_a_process_that_never_answers_is_broken(foreign: Serve):
    url = foreign(b"")
    (one,) = check_process(url, True, 0.3)
    assert one.why == f"{url}: no answer within 0.3 s"


class _HalfThere(BaseHTTPRequestHandler):
    """Gives a snapshot, and metrics that no Prometheus reads."""

    def do_GET(self) -> None:
        snapshot = b'{"schema_version": 1, "uptime_seconds": 1.0, "system": {"pid": 1}}'
        body = snapshot if "snapshot" in self.path else b'metal_x{a="b 1\n'
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_metrics_that_no_prometheus_reads_are_broken():
    server = HTTPServer(("127.0.0.1", 0), _HalfThere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = look(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    # It says no version, so it is not the one here.
    assert (found["alive"].state, found["alive"].why) == (
        State.WORKS,
        f"here it is metalscope {__version__}",
    )
    assert found["metrics"].state is State.BROKEN
    assert "/metrics is not what a Prometheus reads" in found["metrics"].why
