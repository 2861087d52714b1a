"""A snapshot as bytes, to wait in a spool, and back."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any, Final

from metalscope.session.format import MOST_CONTENT_BYTES
from metalscope.session.frames import FrameMaker
from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.snapshot_json import SnapshotFormatError, snapshot_from_dict

__all__ = ["FORMAT", "SnapshotFormatError", "decode", "encode"]

FORMAT: Final = b"\x01"
"""The first byte. Behind it is JSON in the zlib format (RFC 1950); another is another format."""

_FASTEST: Final = 1


def encode(snapshot: MetalTelemetrySnapshot) -> bytes:
    """All of a snapshot but ``recent.points``, which are for those who draw it.

    The same bytes may wait in any number of spools. They hold ``host.id``, which the public JSON
    leaves out.
    """
    recent = replace(snapshot.recent, points=())
    data = FrameMaker(host="").frame(replace(snapshot, recent=recent))
    if snapshot.system is not None:
        data["system"]["resource"] = dict(snapshot.system.resource)
    # NaN and the infinities stay numbers, which strict JSON has no word for: this is read by
    # decode() alone.
    text = json.dumps(data, separators=(",", ":"))
    return FORMAT + zlib.compress(text.encode(), _FASTEST)


def decode(data: bytes) -> MetalTelemetrySnapshot:
    """The snapshot that :func:`encode` was given, without ``recent.points``.

    Raises:
        SnapshotFormatError: the bytes are no snapshot, or one that this version of metalscope
            cannot read exactly, such as another version may have left in a spool.
    """
    if data[:1] != FORMAT:
        raise SnapshotFormatError(
            f"a snapshot in format {data[:1].hex() or 'none'}; this metalscope reads {FORMAT.hex()}"
        )
    return snapshot_from_dict(_json(data))


def _json(data: bytes) -> Any:
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(data[1:], MOST_CONTENT_BYTES)
        if not inflate.eof:
            raise SnapshotFormatError("a snapshot that is cut off or too large")
        return json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        if isinstance(error, SnapshotFormatError):
            raise
        raise SnapshotFormatError(f"a snapshot that is not whole: {error}") from error
