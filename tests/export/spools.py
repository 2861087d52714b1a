"""Queues to test: on a clock that is set by hand, in processes that are killed."""

from __future__ import annotations

import itertools
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from snapshots import NOW

from metalscope.sending.spool.disk import DiskSpool
from metalscope.sending.spool.queue import Spool
from metalscope.sending.spool.slots import SpoolSlots

WRITER = Path(__file__).parent / "programs" / "spool_writer.py"
MIB = 1024**2
HOUR = timedelta(hours=1)
Make = Callable[..., Spool]


@dataclass
class Clock:
    """A time of day, and the time that goes by."""

    now: datetime = NOW
    elapsed: float = 1000.0

    def goes_on(self, by: timedelta) -> None:
        self.now += by
        self.elapsed += by.total_seconds()


def drained(spool: Spool) -> list[bytes]:
    found = []
    while (one := spool.first()) is not None:
        found.append(one.data)
        spool.done(one.sequence, delivered=True)
    return found


def opened(directory: Path, max_bytes: int = 64 * MIB, **more: Any) -> DiskSpool:
    return DiskSpool(directory, max_bytes=max_bytes, **{"max_age": HOUR, **more})


def killed(spool: DiskSpool) -> None:
    """Leave everything as it is, as a process does that is killed."""
    spool.start_at_zero()


def size_of(directory: Path) -> int:
    return sum(
        os.stat(os.path.join(where, name)).st_size  # noqa: PTH116, PTH118
        for where, _, names in os.walk(directory)
        for name in names
    )


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.seg"))


def deliver(spool: DiskSpool, count: int = 1) -> list[bytes]:
    return [one.data for one in itertools.islice(each_done(spool), count)]


def each_done(spool: DiskSpool) -> Iterator[Any]:
    while (one := spool.first()) is not None:
        spool.done(one.sequence, delivered=True)
        yield one


def on_clock(directory: Path, clock: Clock, **more: Any) -> DiskSpool:
    return opened(directory, now=lambda: clock.now, elapsed=lambda: clock.elapsed, **more)


def slots(directory: Path, exporter: str = "a", **more: Any) -> SpoolSlots:
    return SpoolSlots(directory, exporter, **{"max_bytes": 64 * MIB, "max_age": HOUR, **more})


@contextmanager
def writer(directory: Path, first: int, what: str, said: Path) -> Iterator[subprocess.Popen[bytes]]:
    with said.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, str(WRITER), str(directory), str(first), what], stdout=out
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def kill_at_work(process: subprocess.Popen[bytes], said: Path, past: int, after: float) -> None:
    deadline = time.monotonic() + 60
    while said.stat().st_size <= past:
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def what_was_said(said: Path) -> dict[str, list[int]]:
    data = said.read_bytes()
    numbers: dict[str, list[int]] = {"a": [], "d": []}
    for letter, number in struct.iter_unpack("<cxxxI", data[: len(data) // 8 * 8]):
        numbers[letter.decode()].append(number)
    return numbers


def numbers_in(found: list[bytes]) -> list[int]:
    numbers = [struct.unpack_from("<I", data)[0] for data in found]
    assert [data[4:] for data in found] == [bytes(number % 700) for number in numbers]
    return numbers


def kill_later(process: subprocess.Popen[bytes], said: Path) -> None:
    """Wait until it is at work."""
    deadline = time.monotonic() + 60
    while not said.stat().st_size:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
