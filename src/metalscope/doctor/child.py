"""Running a check in a process of its own, and the process's side of it.

What is opened here can hang, or end its process in C code: wgpu-native does so over an invalid
call. The check is run by the same Python with the same path, and answers on standard output; what
libraries write there goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, TextIO

from metalscope.doctor.diagnosis import Diagnosis, State

__all__ = ["Check", "Children", "run_check"]

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of an answer; a check says some kilobytes."""

_LAST_WORDS: Final = 4096

ALARM_SECONDS: Final = 5
"""How long after its deadline the system ends a check whose asker is gone."""

# -P keeps the working folder off the path until the path is the asker's.
_BOOT: Final = (
    "import sys, json, signal; order = json.load(sys.stdin); signal.alarm(order['alarm']); "
    "sys.path[:] = order['path']; from metalscope.doctor.child import answer; answer(order)"
)


@dataclass(frozen=True, slots=True)
class Check:
    """A check to run.

    ``target`` is ``module:function``; the function takes ``arguments``, which are JSON-able, and
    yields diagnoses. ``group`` and ``name`` are for the case that none come.
    """

    group: str
    name: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    remedy: str = ""
    """What to do where the check hangs or ends its process."""


class Children:
    """The processes that run, so that all can be ended at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Have it ended with the others, or now where they were."""
        with self._lock:
            self._running.add(process)
            if self._ended:
                _kill(process)

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        """It is over."""
        with self._lock:
            self._running.discard(process)

    def end(self) -> None:
        """End those that run, and those that are yet to come."""
        with self._lock:
            self._ended = True
            for process in self._running:
                _kill(process)


def run_check(check: Check, timeout: float, children: Children | None = None) -> list[Diagnosis]:
    """What a check found; where it came to no end, a broken thing that says how. Nothing is raised.

    Args:
        check: which one.
        timeout: seconds after which it is ended.
        children: told of its process.
    """
    children = children or Children()
    order = {
        "path": sys.path,
        "target": check.target,
        "arguments": dict(check.arguments),
        "alarm": int(timeout) + ALARM_SECONDS,
    }
    # Files, not pipes: whoever inherits a pipe can hold its reader up.
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 - this Python, with our own words
                [sys.executable, *_flags(), "-P", "-c", _BOOT],
                stdin=subprocess.PIPE,
                stdout=answer,
                stderr=errors,
                # So that what it starts can be ended with it.
                start_new_session=True,
            )
        except OSError as error:
            return [_broken(check, f"its process cannot be started: {error}")]
        children.add(process)
        try:
            process.communicate(json.dumps(order).encode(), timeout)
        except subprocess.TimeoutExpired:
            return [_broken(check, f"no answer within {timeout:g} s")]
        finally:
            # What it started may live on, and have files of ours open.
            _kill(process)
            process.wait()
            children.remove(process)
        answer.seek(0)
        text = answer.read(MOST_BYTES)
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LAST_WORDS))
        said = errors.read().decode("utf-8", "replace")
    return _understood(check, process.returncode, text, said)


def _understood(check: Check, code: int, text: bytes, said: str) -> list[Diagnosis]:
    try:
        answered = json.loads(text)
    except ValueError:
        how = _signal(-code) if code < 0 else f"exit code {code}"
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
        return [
            _broken(check, f"its process ended with {how}" + (f": {last.strip()}" if last else ""))
        ]
    found = [Diagnosis.from_dict(one) for one in answered["diagnoses"]]
    if answered["error"] is not None:
        found.append(_broken(check, answered["error"]))
    return found


def answer(order: Mapping[str, Any]) -> None:
    """In the process of its own: run the check and write what it found."""
    out = _standard_output_for_us()
    module, _, function = order["target"].partition(":")
    found: list[dict[str, Any]] = []
    error = None
    try:
        for one in getattr(import_module(module), function)(**order["arguments"]):
            found.append(one.to_dict())
    except BaseException as exception:  # noqa: BLE001 - another's code, even where it asks to exit
        error = f"{type(exception).__name__}: {exception}"
    json.dump({"diagnoses": found, "error": error}, out)
    out.flush()
    # What was opened may be unable to end in order.
    os._exit(0)


def _standard_output_for_us() -> TextIO:
    ours = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(ours, "w", encoding="utf-8")


def _flags() -> list[str]:
    flags = sys.flags
    asked = {
        "-E": flags.ignore_environment,
        "-s": flags.no_user_site,
        "-S": flags.no_site,
        "-I": flags.isolated,
    }
    options = [f"-X{key}={value}" for key, value in sys._xoptions.items() if key == "gil"]
    return [*(flag for flag, wanted in asked.items() if wanted), *options]


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


def _broken(check: Check, why: str) -> Diagnosis:
    return Diagnosis(check.group, check.name, State.BROKEN, why=why, remedy=check.remedy)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
