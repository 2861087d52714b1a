from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from time import monotonic

import httpx
import pytest

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.manager import MetalTelemetryManager
from metalscope.server import RunningServer, start_server
from metalscope.server.source import Asker


def threads_of_ours() -> set[str]:
    return {one.name for one in threading.enumerate() if one.name.startswith("metalscope-http")}


def test_a_used_port_is_named_before_anything_starts(tel: MetalTelemetryManager) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as refusal:
            start_server(tel, host="127.0.0.1", port=port)
    message = str(refusal.value)
    assert f"127.0.0.1:{port}" in message
    assert "in use" in message
    assert "--port 0" in message
    assert threads_of_ours() == set()


def test_two_servers_never_share_a_port(tel: MetalTelemetryManager, server: RunningServer) -> None:
    with pytest.raises(ConfigurationError, match=str(server.port)):
        start_server(tel, host="127.0.0.1", port=server.port)
    assert httpx.get(f"{server.url}/livez", trust_env=False).text == "ok\n"


def test_a_port_that_needs_privileges_or_a_foreign_address_is_explained(
    tel: MetalTelemetryManager,
) -> None:
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1:0: .*not one of this machine"):
        start_server(tel, host="192.0.2.1", port=0, insecure_no_auth=True)
    with pytest.raises(ConfigurationError, match="the host is not known"):
        start_server(tel, host="no such host", port=0, insecure_no_auth=True)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2"])
def test_the_url_of_every_loopback_name_answers(host: str, tel: MetalTelemetryManager) -> None:
    if host == "127.0.0.2" and sys.platform == "darwin":
        pytest.skip("macOS gives the loopback interface one address only")
    server = start_server(tel, host=host, port=0)
    try:
        assert server.url == f"http://{host}:{server.port}"
        assert httpx.get(f"{server.url}/livez", trust_env=False).text == "ok\n"
    finally:
        server.stop()


def test_ipv6_is_bound_and_written_with_brackets(tel: MetalTelemetryManager) -> None:
    try:
        server = start_server(tel, host="::1", port=0)
    except ConfigurationError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    try:
        assert server.url == f"http://[::1]:{server.port}"
        assert httpx.get(f"{server.url}/livez", trust_env=False).text == "ok\n"
    finally:
        server.stop()


async def test_stop_ends_open_streams_frees_the_port_and_leaves_no_thread(
    tel: MetalTelemetryManager,
) -> None:
    server = start_server(tel, host="127.0.0.1", port=0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200" in await reader.readline()

    await asyncio.to_thread(server.stop)
    rest = await reader.read()
    writer.close()

    assert rest.endswith(b"0\r\n\r\n")  # the last chunk: ended, not cut
    assert threads_of_ours() == set()
    again = start_server(tel, host="127.0.0.1", port=server.port)
    again.stop()
    server.stop()  # a second time is no error


async def test_stop_does_not_wait_for_a_viewer_that_never_reads(
    tel: MetalTelemetryManager,
) -> None:
    for n in range(900):
        tel.record("execute", f"kernel {n} " + "x" * 200, duration_ns=1)
    server = start_server(tel, host="127.0.0.1", port=0)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while server.skipped == 0:  # its buffers are full
            await asyncio.sleep(0.05)
        began = monotonic()
        await asyncio.to_thread(server.stop)
        # The promise is a bound, not a speed: less than the thread is given to be joined in.
        assert monotonic() - began < 4
    assert threads_of_ours() == set()


def test_the_programs_signal_handlers_stay_as_they_were(tel: MetalTelemetryManager) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    server = start_server(tel, host="127.0.0.1", port=0)
    during = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    server.stop()
    assert during == before


def test_a_program_that_never_stops_its_server_can_end(tmp_path: object) -> None:
    program = """
import httpx
from metalscope.manager import MetalTelemetryManager
from metalscope.server import start_server
tel = MetalTelemetryManager().start()
server = start_server(tel, host="127.0.0.1", port=0)
assert httpx.get(server.url + "/metrics", trust_env=False).status_code == 200
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_sensor_that_never_answers_holds_neither_requests_nor_the_programs_end() -> None:
    program = """
import asyncio, threading
from metalscope.server.source import Asker

async def main():
    asker = Asker(at_once=1, patience=0.2)
    for _ in range(2):
        try:
            await asker.ask(threading.Event().wait)
        except TimeoutError:
            print("told")

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "told\ntold\n", "")


async def test_questions_are_asked_a_bounded_number_at_a_time() -> None:
    asker = Asker(at_once=3, patience=30)
    running, most, lock = 0, 0, threading.Lock()

    def question() -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1
        return 1

    assert sum(await asyncio.gather(*(asker.ask(question) for _ in range(20)))) == 20
    assert most <= 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_does_not_keep_the_parents_port(tel: MetalTelemetryManager) -> None:
    server = start_server(tel, host="127.0.0.1", port=0)
    reading, writing = os.pipe()
    is_up, says_so = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(says_so, b"!")
        os.close(writing)
        os.read(reading, 1)  # lives until the parent closes its end
        os._exit(0)
    os.close(reading)
    try:
        os.read(is_up, 1)  # what is done in a child of a fork is done by now
        server.stop()
        again = start_server(tel, host="127.0.0.1", port=server.port)
        assert httpx.get(f"{again.url}/livez", trust_env=False).text == "ok\n"
        again.stop()
    finally:
        for end in (writing, is_up, says_so):
            os.close(end)
        os.waitpid(child, 0)


def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    tel: MetalTelemetryManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'metalscope\[server\]'"):
        start_server(tel, host="127.0.0.1", port=0)


def test_the_server_package_loads_no_web_library_until_it_starts() -> None:
    program = (
        "import sys, metalscope, metalscope.server; "
        "print([m for m in ('uvicorn', 'starlette', 'h11', 'anyio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
