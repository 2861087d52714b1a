"""Programs of others that tests run for real."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import suppress
from itertools import count, islice

import pytest


def require_peer(name: str, *others: str) -> str:
    """Return the path of a program, or of another that does as well, or skip the test.

    Where CI is set their absence is a failure.
    """
    path = next(filter(None, map(shutil.which, (name, *others))), None)
    if path is not None:
        return path
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed, and under CI it must be")
    pytest.skip(f"{name} is not installed")


_FIRST_PORT = 15_000
_PORTS_A_WORKER = 1000
_tried = count(os.getpid())


def free_port() -> int:
    """Return a loopback port nothing listens on, and that no one else is given meanwhile.

    Those that a system gives out by itself, to whoever connects or listens on port 0, begin above:
    32768 on Linux, 49152 on macOS. Each worker of pytest-xdist has its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for number in islice(_tried, _PORTS_A_WORKER):
        port = _FIRST_PORT + worker * _PORTS_A_WORKER + number % _PORTS_A_WORKER
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
