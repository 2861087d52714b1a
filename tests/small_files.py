"""Disks that are small or full: for any user by a limit on files, for root on Linux really."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A write of this process past ``size`` bytes is cut short there, and the next one fails."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What is imported meanwhile would leave compiled code cut short, which no import can read.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = before
        signal.signal(signal.SIGXFSZ, ignored)


@contextmanager
def mounted(where: Path, options: str) -> Iterator[Path]:
    """A file system of its own at ``where``, such as with the options ``size=256k``."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can make a disk that is really full")
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"cannot make a small disk here: {made.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def fill(path: Path) -> None:
    """Write until there is no byte left."""
    for mode, piece in (("wb", 1000), ("ab", 1)):
        with suppress(OSError), path.open(mode, buffering=0) as file:
            while True:
                file.write(bytes(piece))
