"""A batch as bytes: how it waits in a spool, over the end of the process too.

A head of 4 bytes, of which the last is the version of the format; the length of the id (8 bit) and
the id; how many records there are (32 bit); and of each its length (32 bit) and its bytes. Numbers
are little-endian.
"""

from __future__ import annotations

import struct
from typing import Final

from metalscope.sending.shipping.base import Batch

__all__ = ["pack", "unpack", "weigh"]

MAGIC: Final = b"\xa5mb\x01"

_NUMBER: Final = struct.Struct("<I")
_ID_AT: Final = len(MAGIC) + 1


def pack(batch: Batch) -> bytes:
    """Its bytes. The id is ASCII, 255 characters at most."""
    name = batch.id.encode("ascii")
    parts = [MAGIC, bytes((len(name),)), name, _NUMBER.pack(len(batch.records))]
    for record in batch.records:
        parts.append(_NUMBER.pack(len(record)))
        parts.append(record)
    return b"".join(parts)


def unpack(data: bytes) -> Batch | None:
    """The batch; ``None`` where these are not the bytes of one, whole and of this version."""
    count = _count(data)
    if count is None:
        return None
    at = _ID_AT + data[len(MAGIC)]
    try:
        name = data[_ID_AT:at].decode("ascii")
    except UnicodeDecodeError:
        return None
    at += _NUMBER.size
    records = []
    for _ in range(count):
        if at + _NUMBER.size > len(data):
            return None
        begin = at + _NUMBER.size
        at = begin + _NUMBER.unpack_from(data, at)[0]
        records.append(data[begin:at])
    return Batch(name, tuple(records)) if at == len(data) else None


def weigh(data: bytes) -> int:
    """How many records are in a packed batch; 1 for any other bytes."""
    return _count(data) or 1


def _count(data: bytes) -> int | None:
    if len(data) <= _ID_AT or data[: len(MAGIC)] != MAGIC:
        return None
    at = _ID_AT + data[len(MAGIC)]
    if at + _NUMBER.size > len(data):
        return None
    count: int = _NUMBER.unpack_from(data, at)[0]
    # Each has its length: bytes that say more are damaged.
    most = (len(data) - at - _NUMBER.size) // _NUMBER.size
    return count if 0 < count <= most else None
