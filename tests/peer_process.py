"""A server of others as a child process, for the length of a with block."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 30.0


@contextmanager
def running(command: Sequence[str], *, ready: str, directory: Path) -> Iterator[None]:
    """Start a program, go on when the URL ``ready`` answers 200, stop it by its pid.

    What it says goes to a log in ``directory``, which it runs in and which is made for it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = Path(command[0]).name
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=directory)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not answers(ready):
            assert process.poll() is None, f"{name} ended: {log.read_text()}"
            assert time.monotonic() < deadline, f"{name} is not ready: {log.read_text()}"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    """Whether there is a 200 at this URL."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
