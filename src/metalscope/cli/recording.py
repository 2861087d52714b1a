"""What ``record`` and ``run --record`` share: a recording that ends itself, and says why."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.output import say

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager
    from metalscope.session.format import SessionHeader
    from metalscope.session.writer import SessionWriter
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Recording", "check_new", "open_recording", "record_program"]

_HOW_TO_OVERWRITE: Final = "name another, or write over it with --force"
_NAME_ANOTHER: Final = "name another"


class Recording:
    """A consumer of snapshots: writes each, until the file is full or cannot be written."""

    def __init__(self, writer: SessionWriter) -> None:
        self.writer = writer
        """The file."""
        self.over = threading.Event()
        """Set when nothing more will be written."""
        self.failed = False
        """Whether it ended because the file cannot be written."""

    def __call__(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Write one frame."""
        from metalscope.session.writer import SessionFullError  # noqa: PLC0415 - not for the help

        try:
            self.writer.write(snapshot)
        except SessionFullError as error:
            self._end(f"recording ended: {error}")
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Close the file; say so where that cannot be done. Idempotent."""
        try:
            self.writer.close()
        except OSError as error:
            self._fail(error)
        self.over.set()

    def end(self, why: str) -> None:
        """Close the file and say why."""
        say(why)
        self.close()

    def _fail(self, error: OSError) -> None:
        self.failed = True
        self._end(
            f"recording ended: cannot write {self.writer.path}: {error.strerror or error}; "
            f"its first {self.writer.frames} frames are whole"
        )

    def _end(self, why: str) -> None:
        # Said first: the process may end as soon as this is over.
        say(why)
        self.over.set()


def check_new(path: Path) -> None:
    """Make sure, before any work is done, that no recording or other file would be lost.

    Raises:
        CommandFailed: a file is there.
    """
    if path.exists():
        raise _exists(path, _NAME_ANOTHER)


def open_recording(
    path: Path, header: SessionHeader, *, max_bytes: int | None = None, overwrite: bool = False
) -> Recording:
    """Begin a recording.

    Raises:
        CommandFailed: the file is there, or cannot be written.
    """
    from metalscope.session.writer import DEFAULT_MAX_BYTES, SessionWriter  # noqa: PLC0415

    try:
        return Recording(
            SessionWriter(
                path, header, max_bytes=max_bytes or DEFAULT_MAX_BYTES, overwrite=overwrite
            )
        )
    except FileExistsError as error:
        raise _exists(path, _HOW_TO_OVERWRITE) from error
    except OSError as error:
        raise CommandFailed(
            f"cannot write {path}: {error.strerror or error}", ExitCode.USAGE
        ) from error


def record_program(telemetry: MetalTelemetryManager, path: Path) -> None:
    """Record the telemetry of this process from now to its end.

    Raises:
        CommandFailed: the file is there, or cannot be written.
    """
    from datetime import UTC, datetime  # noqa: PLC0415 - not needed for the help

    from metalscope.session.format import SessionHeader, SessionSource  # noqa: PLC0415

    tick = telemetry.options.tick_interval.total_seconds()
    recording = open_recording(
        path.absolute(), SessionHeader(datetime.now(UTC), SessionSource.RUN, tick)
    )

    def close() -> None:
        from metalscope.default import get_telemetry  # noqa: PLC0415 - loaded long ago

        unsubscribe()
        if recording.over.is_set():
            return
        if get_telemetry() is telemetry:
            recording.close()
        else:
            recording.end("recording ended: the program started telemetry of its own")

    unsubscribe = telemetry.subscribe(recording)
    telemetry.on_shutdown(close)


def _exists(path: Path, remedy: str) -> CommandFailed:
    return CommandFailed(f"{path} is there already: {remedy}", ExitCode.USAGE)
