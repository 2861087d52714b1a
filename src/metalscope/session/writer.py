"""Writing a recording: each frame is whole on disk, as far as the system goes, before the next."""

from __future__ import annotations

import os
import threading
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import MetalscopeError
from metalscope.fork import reset_in_child
from metalscope.session.changes import difference
from metalscope.session.format import (
    FLUSHED,
    MAGIC,
    MOST_CONTENT_BYTES,
    RecordKind,
    compact_json,
    record,
)
from metalscope.session.frames import FrameMaker

if TYPE_CHECKING:
    from datetime import datetime

    from metalscope.session.format import SessionHeader
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["DEFAULT_MAX_BYTES", "LEAST_MAX_BYTES", "SessionFullError", "SessionWriter"]

FRAMES_TO_A_KEY: Final = 300
"""A key frame comes after so many frames: five minutes at one a second."""

DEFAULT_MAX_BYTES: Final = 1024**3
LEAST_MAX_BYTES: Final = 64 * 1024

_END_BYTES: Final = 128
"""Room for the last record."""


class SessionFullError(MetalscopeError):
    """The recording is as large as it may get; it was closed, with all frames so far."""


class SessionWriter:
    """A recording under way. Threads may share it; a forked child leaves it to its parent.

    What is written survives the end of the process, however it comes. It is not forced to the
    disk before :meth:`close`, so a machine that loses its power may lose the last seconds.

    Args:
        path: the file.
        header: what it begins with.
        max_bytes: it will not be larger, :data:`LEAST_MAX_BYTES` at least.
        overwrite: whether a file that is there is written over.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be made or written.
    """

    def __init__(
        self,
        path: Path,
        header: SessionHeader,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        overwrite: bool = False,
    ) -> None:
        self.path = path
        """The file."""
        self.max_bytes = max(max_bytes, LEAST_MAX_BYTES)
        """The limit of its size."""
        self.frames = 0
        """How many frames it has."""
        self.size = 0
        """How many bytes it has."""
        self._frame_maker = FrameMaker(header.host)
        self._before: dict[str, Any] | None = None
        self._newest: datetime | None = None
        self._since_key = 0
        how = os.O_TRUNC if overwrite else os.O_EXCL
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._file: int | None = os.open(path, flags | how, 0o666)
        self._lock = threading.Lock()
        reset_in_child(self)
        try:
            content = compact_json(header.to_dict())
            self._append(MAGIC + record(RecordKind.HEADER, content))
        except OSError:
            # A file that was there before stays, as it would not if it were removed here.
            if not overwrite:
                path.unlink(missing_ok=True)
            raise

    @property
    def is_open(self) -> bool:
        """Whether more can be written."""
        return self._file is not None

    def write(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Add one frame. One that is no newer than the last, or comes after the end, is let go.

        Raises:
            SessionFullError: it would not fit; the recording is closed.
            OSError: the file cannot be written, as on a full disk; the recording ended before
                this frame, and can be read.
        """
        with self._lock:
            if self._file is None or (self._newest and snapshot.timestamp <= self._newest):
                return
            frame = self._frame_maker.frame(snapshot)
            kind, content = self._content(frame)
            data = record(kind, content)
            if len(content) > MOST_CONTENT_BYTES or (
                self.size + len(data) + _END_BYTES > self.max_bytes
            ):
                self._end("max_bytes")
                raise SessionFullError(f"{self.path} has reached {self.max_bytes} bytes")
            self._append(data)
            self._before, self._newest = frame, snapshot.timestamp
            self._since_key += 1
            self.frames += 1

    def close(self) -> None:
        """Say that this was the last frame, and close the file. Idempotent.

        Raises:
            OSError: the file cannot be written; it is closed, and can be read.
        """
        with self._lock:
            self._end("closed")

    def start_at_zero(self) -> None:
        """In a forked child: let go of the file, which is the parent's."""
        self._lock = threading.Lock()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _content(self, frame: dict[str, Any]) -> tuple[bytes, bytes]:
        if self._before is None or self._since_key >= FRAMES_TO_A_KEY:
            self._since_key = 0
            self._deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            return RecordKind.KEY, self._deflated(compact_json(frame))
        changes = difference(self._before, frame) or {}
        return RecordKind.CHANGES, self._deflated(compact_json(changes))

    def _deflated(self, data: bytes) -> bytes:
        content = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return content.removesuffix(FLUSHED)

    def _end(self, why: str) -> None:
        if self._file is None:
            return
        content = compact_json({"frames": self.frames, "why": why})
        self._append(record(RecordKind.END, content))
        if self._file is not None:
            descriptor, self._file = self._file, None
            with suppress(OSError):  # not every file can be
                os.fsync(descriptor)
            os.close(descriptor)

    def _append(self, data: bytes) -> None:
        if self._file is None:
            return
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            # What is there of the record is taken back; a reader would see that it is not whole.
            descriptor, self._file = self._file, None
            with suppress(OSError):
                os.ftruncate(descriptor, self.size)
            os.close(descriptor)
            raise
        self.size += len(data)
