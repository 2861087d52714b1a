"""The command as a process that was forked from one that has imported what it needs.

Its exit status and all it writes are those of ``python -m metalscope``; it begins the sooner by the
time of its imports. What is about imports, or the interpreter's own start, is for a process started
anew: see ``command.python``.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

SERVER: Final = Path(__file__).with_name("warm_server.py")


class _Server:
    """One that is there to be forked, one command at a time."""

    def __init__(self, env: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, SERVER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                # What Python's own streams are like is settled when it starts: those of a command
                # are pipes.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(env),
            )
        self.channel = ours
        self._answers = ours.makefile("rb")

    def begin(
        self, args: Sequence[str], cwd: str, env: Mapping[str, str], files: Sequence[int]
    ) -> int:
        order = json.dumps({"args": args, "cwd": cwd, "env": dict(env)}).encode() + b"\n"
        sent = socket.send_fds(self.channel, [order], files)
        self.channel.sendall(order[sent:])
        return self._answer()

    def status(self) -> int:
        return self._answer()

    def _answer(self) -> int:
        line = self._answers.readline()
        if not line:
            _, said = self.process.communicate()
            raise RuntimeError(f"the warm process has ended: {said.decode()}")
        return int(line)

    def end(self) -> None:
        self._answers.close()
        self.channel.close()
        self.process.communicate(timeout=10)


_free: list[_Server] = []


@atexit.register
def _end_all() -> None:
    while _free:
        _free.pop().end()


class WarmProcess:
    """As much of ``subprocess.Popen`` as the tests use; all three streams are pipes."""

    def __init__(self, args: Sequence[str], *, cwd: Path | None, env: Mapping[str, str]) -> None:
        self._server = _free.pop() if _free else _Server(env)
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        ours_err, theirs_err = os.pipe()
        files = [theirs_in, theirs_out, theirs_err]
        self.pid = self._server.begin(args, str((cwd or Path()).absolute()), env, files)
        for file in files:
            os.close(file)
        self.stdin: IO[bytes] = os.fdopen(ours_in, "wb", buffering=0)
        self.stdout: IO[bytes] = os.fdopen(ours_out, "rb")
        self.stderr: IO[bytes] = os.fdopen(ours_err, "rb")
        self.returncode: int | None = None
        self._over = threading.Event()
        threading.Thread(target=self._await, daemon=True).start()

    def _await(self) -> None:
        self.returncode = os.waitstatus_to_exitcode(self._server.status())
        _free.append(self._server)
        self._over.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired(f"metalscope ({self.pid})", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def run(self, timeout: float) -> tuple[int, bytes, bytes]:
        """Wait for its end; the exit status and all it wrote."""
        self.stdin.close()
        said: dict[str, bytes] = {}
        readers = [
            threading.Thread(target=lambda: said.update(out=self.stdout.read())),
            threading.Thread(target=lambda: said.update(err=self.stderr.read())),
        ]
        for reader in readers:
            reader.start()
        try:
            code = self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            for reader in readers:
                reader.join()
            self.stdout.close()
            self.stderr.close()
        return code, said["out"], said["err"]
