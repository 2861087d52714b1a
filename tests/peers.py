"""Programs of others that tests run for real."""

from __future__ import annotations

import os
import shutil
import socket

import pytest


def require_peer(name: str) -> str:
    """Return the path of a program, or skip the test; where CI is set its absence is a failure."""
    path = shutil.which(name)
    if path is not None:
        return path
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed, and under CI it must be")
    pytest.skip(f"{name} is not installed")


def free_port() -> int:
    """Return a loopback port nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
