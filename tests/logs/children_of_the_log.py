"""What a child process of a test does: it logs, and ends."""

from __future__ import annotations

from multiprocessing.connection import Connection
from typing import Any

from logger_kit import KeepingShipper, Logged, logged

_of_the_parent: Logged = logged(buffer_flush_interval="1h")
"""Made where it is imported: before a fork in the parent, else in the child."""


class Sends(KeepingShipper):
    """Sends what it is given at the end, through a pipe."""

    pipe: Connection

    def flush(self, timeout: float) -> bool:
        if self.lines:
            self.pipe.send_bytes(b"\n".join(self.lines))
            self.lines = []
        return True


def work(pipe: Any) -> None:
    """Log one line, and leave the rest to the end."""
    log = _of_the_parent.log
    [one] = log._sinks
    shipper = Sends("child")
    shipper.pipe = pipe
    log._flusher._sinks = log._sinks = (
        type(one)(one.options, one.sink, shipper, one.audience, one.severity),
    )
    log.info("of the child")
