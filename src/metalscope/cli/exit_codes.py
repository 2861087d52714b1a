"""What the exit code says."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["MEANINGS", "CommandFailed", "ExitCode"]


class ExitCode(IntEnum):
    """The exit codes of metalscope itself; ``run`` has those of the program it runs."""

    OK = 0
    FAILED = 1
    USAGE = 2
    MISSING_EXTRA = 3
    UNREACHABLE = 4
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: Final = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "something failed that is none of the below",
    ExitCode.USAGE: "bad option or configuration, script not found, port in use",
    ExitCode.MISSING_EXTRA: "an extra is not installed",
    ExitCode.UNREACHABLE: "no telemetry could be fetched from the address",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
    ExitCode.TERMINATED: "ended by SIGTERM",
}
"""What ``--help`` says of each; docs/cli.md says the same at length."""


class CommandFailed(Exception):  # noqa: N818 - says what happened, as typer.Abort and typer.Exit do
    """A command ends here: what to tell the user, and the exit code."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code
