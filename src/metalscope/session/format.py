"""The file: a magic number, then records. docs/recording.md has it in full.

A record is its kind (one byte), the length of its content and the CRC-32 of kind and content
(unsigned, 32 bit, little-endian), then the content. A record whose CRC fits is whole; the first
that is not ends what can be read, and where it begins is known to the byte.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, BinaryIO, Final
from zlib import crc32

from metalscope._version import __version__
from metalscope.errors import MetalscopeError
from metalscope.histogram_json import DURATION_EDGES

__all__ = [
    "FORMAT",
    "MAGIC",
    "MOST_CONTENT_BYTES",
    "Damage",
    "DamagedError",
    "RecordKind",
    "SessionFormatError",
    "SessionHeader",
    "SessionSource",
    "compact_json",
    "read_record",
    "record",
]

MAGIC: Final = b"\x89mscope\n"
"""Eight bytes, as PNG's: no text file begins so, and a transfer as text breaks it."""

FORMAT: Final = 1
"""The version of the format. Another number is another format; keys may be added to one."""

FLUSHED: Final = b"\x00\x00\xff\xff"
"""What a deflate stream flushed to the byte ends with (RFC 1951, 3.2.4); not stored, as in
RFC 7692, 7.2.1."""

MOST_CONTENT_BYTES: Final = 64 * 1024 * 1024
"""A record's content, and what it inflates to, is no larger than this."""

_HEAD: Final = struct.Struct("<cII")


class SessionFormatError(MetalscopeError, ValueError):
    """The file is no recording, or none that this version can read; the text says why."""


class DamagedError(Exception):
    """A record is not whole; the text says in which way."""


class RecordKind:
    """The first byte of a record."""

    HEADER: Final = b"H"
    """JSON: the :class:`SessionHeader`."""
    KEY: Final = b"K"
    """A whole frame; its content begins a new deflate stream."""
    CHANGES: Final = b"C"
    """What a frame has other than the one before; its content goes on with the stream."""
    END: Final = b"E"
    """JSON: how many frames there are, and why it ended."""


class SessionSource(StrEnum):
    """What was recorded."""

    RUN = "run"
    """The program under ``metalscope run --record``, from inside."""
    PROCESS = "process"
    """A running process, by its HTTP API."""
    HOST = "host"
    """A host's sensors, with no program."""


@dataclass(frozen=True, slots=True)
class SessionHeader:
    """What is known of a recording from its beginning.

    ``interval_seconds`` is the time between frames that was asked for; ``metalscope`` the version
    that recorded. ``host`` is the name of the machine, ``None`` where it was left out, as it is by
    default.
    """

    started_at: datetime
    source: SessionSource
    interval_seconds: float
    host: str | None = None
    metalscope: str = __version__
    duration_edges: str = DURATION_EDGES
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "format": self.format,
            "metalscope": self.metalscope,
            "started_at": self.started_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "source": self.source.value,
            "interval_seconds": self.interval_seconds,
            "duration_edges": self.duration_edges,
            "host": self.host,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SessionHeader:
        """The header of data that was read.

        Raises:
            SessionFormatError: it is of another format, or its durations lie in other cells.
        """
        version = data.get("format")
        if version != FORMAT:
            raise SessionFormatError(
                f"the recording has format {version!r}; this metalscope ({__version__}) reads "
                f"format {FORMAT}"
            )
        edges = data.get("duration_edges")
        if edges != DURATION_EDGES:
            raise SessionFormatError(
                f"the recording has durations in cells {edges!r}, by metalscope "
                f"{data.get('metalscope')}; this metalscope ({__version__}) reads "
                f"{DURATION_EDGES!r}"
            )
        try:
            return cls(
                started_at=datetime.fromisoformat(data["started_at"]),
                source=SessionSource(data["source"]),
                interval_seconds=float(data["interval_seconds"]),
                host=data.get("host"),
                metalscope=str(data["metalscope"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SessionFormatError(f"the recording's header is not whole: {error}") from error


@dataclass(frozen=True, slots=True)
class Damage:
    """Where and why reading had to stop.

    ``position`` is the byte behind the last whole record: cut there, the file has all that could
    be read. ``frames`` came before it.
    """

    position: int
    frames: int
    why: str

    def __str__(self) -> str:
        return f"damaged at byte {self.position}, after {self.frames} frames: {self.why}"


def record(kind: bytes, content: bytes) -> bytes:
    """The bytes of one record."""
    return _HEAD.pack(kind, len(content), crc32(content, crc32(kind))) + content


def read_record(file: BinaryIO) -> tuple[bytes, bytes] | None:
    """The kind and content of the next record; ``None`` at the end of the file.

    Raises:
        DamagedError: it is cut off or was changed.
    """
    head = file.read(_HEAD.size)
    if not head:
        return None
    if len(head) < _HEAD.size:
        raise DamagedError("a record is cut off")
    kind, length, expected = _HEAD.unpack(head)
    if length > MOST_CONTENT_BYTES:
        raise DamagedError("this is no record")
    content = file.read(length)
    if len(content) < length:
        raise DamagedError("a record is cut off")
    if crc32(content, crc32(kind)) != expected:
        raise DamagedError("a record's checksum does not fit")
    return kind, content


def compact_json(data: Any) -> bytes:
    """Strict JSON without spaces; numbers that are not finite are spelled as text."""
    try:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_spelled(data), separators=(",", ":"), allow_nan=False)
    return text.encode()


def _spelled(data: Any) -> Any:
    match data:
        case float() if data != data or data in {float("inf"), float("-inf")}:  # noqa: PLR0124
            return json.dumps(data)
        case dict():
            return {key: _spelled(value) for key, value in data.items()}
        case list() | tuple():
            return [_spelled(value) for value in data]
    return data
