"""A program whose counters grow, as its ``/metrics`` tells of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from growing import grown

from metalscope.export.prometheus import render
from metalscope.operation import OK
from metalscope.snapshot import MetalTelemetrySnapshot

STEPS_A_SECOND = 4.0


def on_the_device(steps: int) -> MetalTelemetrySnapshot:
    """The snapshot after so many steps, in which the device says how long it was busy."""
    snapshot = grown(steps)
    (operation,) = snapshot.operations
    outcomes = tuple(
        replace(one, gpu_ns=1_000_000 * steps, gpu_count=steps) if one.outcome == OK else one
        for one in operation.outcomes
    )
    return replace(snapshot, operations=(replace(operation, outcomes=outcomes),))


@contextmanager
def growing_program() -> Iterator[str]:
    """Serve ``/asked`` by the Accept header and ``/classic`` whatever it says; yield host:port."""
    began = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            steps = 1 + int(STEPS_A_SECOND * (time.monotonic() - began))
            accept = self.headers["Accept"] if self.path == "/asked" else None
            body, content_type = render(on_the_device(steps), accept)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
