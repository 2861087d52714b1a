"""The command as a user starts it: a process of its own, with an environment told in full."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Final

import pytest
from warm import WarmProcess

COLOUR_VARIABLES: Final = {"NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "TERM"}
WAIT_SECONDS: Final = 90.0
OF_OTHERS: Final = (["run"], ["demo"])
"""Commands in whose process a program runs that can tell what has been imported."""
OURS: Final = "METALSCOPE"
URL: Final = re.compile(r"dashboard (http://\S+)/  metrics http://")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The test's environment without what would change colours, width or options."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in COLOUR_VARIABLES and not name.startswith("METALSCOPE_")
    }
    return {**kept, "COLUMNS": "80", "TERM": "xterm", "PYTHONUNBUFFERED": "1", **(extra or {})}


def python(*args: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run this Python to its end."""
    env = options.pop("env", None)
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, *map(str, args)],
        capture_output=True,
        timeout=WAIT_SECONDS,
        env=environment(env),  # type: ignore[arg-type]
        check=False,
        **options,
    )


def metalscope(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end, forked from a warm process where nobody could tell."""
    env: Mapping[str, str] = options.get("env") or {}
    words = [*map(str, args)]
    is_plain = options.keys() <= {"env", "cwd"} and {*map(prefix, env)} <= {OURS}
    if not is_plain or words[:1] in OF_OTHERS:
        return anew(*args, **options)
    process = WarmProcess(words, cwd=options.get("cwd"), env=environment(env))
    return subprocess.CompletedProcess(words, *process.run(WAIT_SECONDS))


def anew(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end in a Python that is started for it."""
    return python("-m", "metalscope", *args, **options)


def prefix(variable: str) -> str:
    return variable.partition("_")[0]


class Running:
    """The command while it runs; its standard error is read as it comes."""

    def __init__(self, *args: str | Path, cwd: Path | None = None) -> None:
        words = [*map(str, args)]
        self.process: subprocess.Popen[bytes] | WarmProcess
        if words[:1] in OF_OTHERS:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "metalscope", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
                cwd=cwd,
            )
        else:
            self.process = WarmProcess(words, cwd=cwd, env=environment())
        self.lines: Queue[str] = Queue()
        self.stderr = ""
        self.stdout = b""
        self._readers = [
            threading.Thread(target=self._read_errors, daemon=True),
            threading.Thread(target=self._read_output, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, pattern: re.Pattern[str] | str) -> re.Match[str]:
        """The match in the first line of standard error that has one."""
        while True:
            try:
                line = self.lines.get(timeout=WAIT_SECONDS)
            except Empty:
                pytest.fail(f"no line with {pattern!r} came; so far:\n{self.stderr}")
            if found := re.search(pattern, line):
                return found
            if not line:
                pytest.fail(f"it ended without a line with {pattern!r}:\n{self.stderr}")

    def url(self) -> str:
        """The address it says it serves at."""
        return self.wait_for(URL).group(1)

    def end(self) -> int:
        """Wait for its end; its exit code."""
        code = self.process.wait(WAIT_SECONDS)
        for reader in self._readers:
            reader.join(WAIT_SECONDS)
        return code

    def _read_errors(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            text = line.decode()
            self.stderr += text
            self.lines.put(text)
        self.lines.put("")

    def _read_output(self) -> None:
        assert self.process.stdout
        self.stdout = self.process.stdout.read()
