"""A real terminal: tmux, asked what is on its screen, on a server of its own."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from peers import require_peer

WAIT_SECONDS: Final = 60.0


class Terminal:
    """One window with one command in it."""

    def __init__(self, tmux: str, socket: Path) -> None:
        self._command = [tmux, "-S", str(socket), "-f", "/dev/null"]

    def open(self, *argv: str | Path, env: Mapping[str, str], size: tuple[int, int]) -> None:
        """Start a command; its exit code is written after its end, and the window stays."""
        settings = [f"{name}={value}" for name, value in env.items()]
        line = shlex.join(["env", "-u", "COLUMNS", "-u", "LINES", *settings, *map(str, argv)])
        width, height = map(str, size)
        shell = f"{line}; echo ended with $?; sleep 600"
        self._run("new-session", "-d", "-x", width, "-y", height, shell)

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._run("send-keys", *keys)

    def screen(self) -> str:
        """What it shows."""
        return self._run("capture-pane", "-p")

    def pid(self) -> int:
        """The shell that the command runs in."""
        return int(self._run("display-message", "-p", "#{pane_pid}"))

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The match, as soon as the screen has one."""
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            if found := re.search(pattern, self.screen(), re.MULTILINE):
                return found
            time.sleep(0.1)
        pytest.fail(f"no {pattern!r} came:\n{self.screen()}")

    def close(self) -> None:
        """End what runs in it."""
        subprocess.run([*self._command, "kill-server"], capture_output=True, check=False)

    def _run(self, *args: str) -> str:
        done = subprocess.run([*self._command, *args], capture_output=True, check=True, text=True)
        return done.stdout


@contextmanager
def terminal() -> Iterator[Terminal]:
    """A terminal, closed at the end."""
    tmux = require_peer("tmux")
    # The path of a socket is short: pytest's folders are too deep.
    folder = Path(tempfile.mkdtemp(prefix="ms-"))
    one = Terminal(tmux, folder / "s")
    try:
        yield one
    finally:
        one.close()
        shutil.rmtree(folder, ignore_errors=True)


TOP: Final = (sys.executable, "-m", "metalscope", "top")
