"""Reading a recording: frame by frame, as far as it is whole."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from metalscope.session.changes import patched
from metalscope.session.format import (
    FLUSHED,
    MAGIC,
    MOST_CONTENT_BYTES,
    Damage,
    DamagedError,
    RecordKind,
    SessionFormatError,
    SessionHeader,
    read_record,
)
from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.snapshot_json import SnapshotFormatError, snapshot_from_dict

__all__ = ["Session", "open_session"]

_BROKEN: Final = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)


def open_session(path: str | Path) -> Session:
    """Open a recording.

    Raises:
        OSError: the file cannot be opened.
        SessionFormatError: it is no recording, or none that this version can read.
    """
    file = Path(path).open("rb")  # noqa: SIM115 - the session closes it
    try:
        return Session(Path(path), file, *_read_header(file))
    except BaseException:
        file.close()
        raise


class Session:
    """An open recording. Made by :func:`open_session`; its own context manager.

    Iterating gives the frames from the first on, oldest first, and reads them as it goes: a
    recording may be larger than memory. Each iteration begins anew; one at a time.
    """

    def __init__(self, path: Path, file: BinaryIO, header: SessionHeader, begin: int) -> None:
        self.path = path
        """The file."""
        self.header = header
        """What is known from its beginning."""
        self.frames = 0
        """How many frames the iteration has given."""
        self.ended: str | None = None
        """Why the recording ended, ``closed`` or ``max_bytes``, once the iteration came to its
        end; ``None`` before that, and where the process that recorded was stopped."""
        self.damage: Damage | None = None
        """What stopped the iteration; ``None`` where nothing did."""
        self._file = file
        self._begin = begin

    def __iter__(self) -> Iterator[MetalTelemetrySnapshot]:
        self.frames, self.ended, self.damage = 0, None, None
        self._file.seek(self._begin)
        whole = self._begin
        frames = _Frames()
        try:
            for kind, content in self._records():
                snapshot = None
                if kind == RecordKind.END:
                    self.ended = _why_ended(content)
                elif kind in {RecordKind.KEY, RecordKind.CHANGES}:
                    snapshot = frames.next(kind, content)
                    self.frames += 1
                # Records of kinds that are not known are of a newer version, and no frames.
                whole = self._file.tell()
                if snapshot is not None:
                    yield snapshot
        except DamagedError as error:
            self.damage = Damage(whole, self.frames, str(error))

    def _records(self) -> Iterator[tuple[bytes, bytes]]:
        while (found := read_record(self._file)) is not None:
            if self.ended is not None:
                raise DamagedError("something follows the end")
            yield found

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Frames:
    """Puts the changes of each frame into the one before."""

    def __init__(self) -> None:
        self._inflate: Any = None
        self._frame: Any = None

    def next(self, kind: bytes, content: bytes) -> MetalTelemetrySnapshot:
        if kind == RecordKind.KEY:
            self._inflate = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        elif self._inflate is None:
            raise DamagedError("there is no key frame before this one")
        try:
            text = self._inflate.decompress(content + FLUSHED, MOST_CONTENT_BYTES)
            if self._inflate.unconsumed_tail:
                raise DamagedError("a frame is too large")
            data = json.loads(text)
            self._frame = data if kind == RecordKind.KEY else patched(self._frame, data)
            return snapshot_from_dict(self._frame)
        except zlib.error as error:
            raise DamagedError(f"a frame cannot be inflated ({error})") from error
        except SnapshotFormatError as error:
            raise DamagedError(str(error)) from error
        except _BROKEN as error:
            raise DamagedError(f"a frame cannot be read ({error})") from error


def _read_header(file: BinaryIO) -> tuple[SessionHeader, int]:
    if file.read(len(MAGIC)) != MAGIC:
        raise SessionFormatError("this is no recording of metalscope")
    try:
        found = read_record(file)
    except DamagedError as error:
        raise SessionFormatError(f"the recording's header is not whole: {error}") from error
    if found is None or found[0] != RecordKind.HEADER:
        raise SessionFormatError("the recording has no header")
    try:
        data = json.loads(found[1])
    except ValueError as error:
        raise SessionFormatError(f"the recording's header is not whole: {error}") from error
    if not isinstance(data, dict):
        raise SessionFormatError("the recording has no header")
    return SessionHeader.from_dict(data), file.tell()


def _why_ended(content: bytes) -> str:
    try:
        return str(json.loads(content)["why"])
    except _BROKEN as error:
        raise DamagedError(f"the last record cannot be read ({error})") from error
