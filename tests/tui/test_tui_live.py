"""A running process over HTTP: a real server with real telemetry, stopped and started again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from metalscope import MetalTelemetryManager, MetalTelemetryOptions
from metalscope.tui.live import LiveSource
from metalscope.tui.source import Arrived, Lost, Update
from peers import free_port


@contextmanager
def serving(port: int) -> Iterator[MetalTelemetryManager]:
    options = MetalTelemetryOptions(server={"enabled": True, "port": port})
    with MetalTelemetryManager(options) as telemetry:
        yield telemetry


async def first(updates, wanted: type[Update]):
    """The next update of a kind."""
    async with asyncio.timeout(60):
        async for update in updates:
            if isinstance(update, wanted):
                return update
    raise AssertionError("the source ended")


async def test_it_waits_for_a_process_and_finds_it_and_finds_it_again():
    port = free_port()
    updates = LiveSource(f"http://127.0.0.1:{port}", every=0.1).updates()
    lost = await first(updates, Lost)
    assert lost.why == "nothing listens there"
    for name in ("first", "second"):
        with serving(port) as telemetry:
            telemetry.record("execute", name, duration_ns=1_500_000, nbytes=64)
            while not (arrived := await first(updates, Arrived)).snapshot.operations:
                pass
            (one,) = arrived.snapshot.operations
            assert (one.name, one.executions, one.nbytes) == (name, 1, 64)
            assert one.durations.quantile_ms(0.5) == 1.5
        assert await first(updates, Lost)
    await updates.aclose()


async def test_what_is_no_metalscope_is_said_to_be_none():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<p>[red]hello[/red]</p>")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        updates = LiveSource(f"http://127.0.0.1:{server.server_port}", every=0.1).updates()
        assert "no snapshot" in (await first(updates, Lost)).why
        await updates.aclose()
        server.shutdown()


async def test_its_thread_ends_when_nobody_listens_any_more():
    address = f"http://127.0.0.1:{free_port()}"
    updates = LiveSource(address, every=0.1).updates()
    await first(updates, Lost)
    (thread,) = (one for one in threading.enumerate() if address in one.name)
    await updates.aclose()
    await asyncio.to_thread(thread.join, 30)
    assert not thread.is_alive()
