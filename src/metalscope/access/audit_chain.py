"""The chain of the audit: each record holds the hash of the one before, and its own.

A record is one line of JSON in ASCII::

    {"seq":2,"time":"...",...,"prev":"<hash of record 1>","hash":"<hash>"}

The hash is SHA-256 over the bytes before ``,"hash":``, or HMAC-SHA-256 where there is a key.
Compared are bytes and not what they mean, so no byte can differ unnoticed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["BEGINNING", "LONGEST_LINE", "Chain", "Link"]

BEGINNING: Final = "0" * 64
"""What stands for the hash before the first record."""

LONGEST_LINE: Final = 64 * 1024
"""Bytes; what the audit writes is far shorter."""

_LINE: Final = re.compile(
    rb'(\{"seq":([1-9][0-9]{0,17}),[ -~]*,"prev":"([0-9a-f]{64})"),"hash":"([0-9a-f]{64})"\}\n'
)


@dataclass(frozen=True, slots=True)
class Link:
    """A record's place in the chain.

    Attributes:
        seq: its number, from 1.
        prev: the hash of the record before.
        hash: its own, as it says.
        signed: the bytes that hash is of.
    """

    seq: int
    prev: str
    hash: str
    signed: bytes

    @classmethod
    def parse(cls, line: bytes) -> Link | None:
        """Read a line with its end; ``None`` where it is no record."""
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        return cls(int(found[2]), found[3].decode(), found[4].decode(), found[1])

    def fields(self) -> dict[str, Any]:
        """What the record says; empty where it is no JSON."""
        try:
            found = json.loads(self.signed + b"}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class Chain:
    """Makes records and checks them.

    Args:
        key: for HMAC; without one whoever can write the file can make the whole chain anew.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    @property
    def algorithm(self) -> str:
        """What the hashes are, in a word."""
        return "sha256" if self._key is None else "hmac-sha256"

    def seal(self, seq: int, fields: Mapping[str, Any], prev: str) -> tuple[bytes, str]:
        """A record as a line, and its hash."""
        # ASCII: nothing in a field can end the line, or reach a terminal as a control character.
        body = json.dumps(
            {"seq": seq, **fields, "prev": prev}, separators=(",", ":"), allow_nan=False
        )
        signed = body[:-1].encode("ascii").replace(b"\x7f", b"\\u007f")
        own = self._hash(signed)
        return b'%b,"hash":"%b"}\n' % (signed, own.encode()), own

    def fits(self, link: Link) -> bool:
        """Whether a record's hash is its own."""
        return hmac.compare_digest(self._hash(link.signed), link.hash)

    def _hash(self, signed: bytes) -> str:
        if self._key is None:
            return hashlib.sha256(signed).hexdigest()
        return hmac.digest(self._key, signed, hashlib.sha256).hex()
