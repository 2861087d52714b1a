"""Whether the files of an audit are as they were written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalscope.access.audit_chain import BEGINNING, LONGEST_LINE, Chain, Link
from metalscope.errors import MetalscopeError

__all__ = ["AuditFault", "Verified", "verify"]


class AuditFault(MetalscopeError):  # noqa: N818 - what was found; an error would be not to look
    """The first place where the files are not as they were written.

    Attributes:
        path: the file.
        line: its line, from 1; 0 for the file as a whole.
        what: what is wrong there.
    """

    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(path, line, what)
        self.path = path
        self.line = line
        self.what = what

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.what}"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found whole.

    Attributes:
        records: how many.
        first: the number of the first; above 1 where older files were not looked at.
        last: the number of the last.
        begins_at: the time of the first.
        ends_at: the time of the last.
        head: the hash of the last. Kept elsewhere, it shows later that nothing was cut off.
        dropped: how many records are only counted in them.
    """

    records: int
    first: int
    last: int
    begins_at: str
    ends_at: str
    head: str
    dropped: int


def verify(paths: Sequence[Path], chain: Chain, *, expect: str | None = None) -> Verified:
    """Look through the files of one audit, in any order, from the oldest record to the newest.

    Args:
        paths: the files.
        chain: with the key, where they were written with one.
        expect: a hash that was the head once, and so must be of one of the records.

    Raises:
        AuditFault: a byte differs, or a record is missing or out of its place.
        OSError: a file cannot be read.
    """
    found = _Finding(chain, expect)
    for path in sorted(paths, key=_first_number):
        found.file(path)
    return found.result(paths[-1])


class _Finding:
    """How far it was found whole."""

    def __init__(self, chain: Chain, expect: str | None) -> None:
        self._chain = chain
        self._expect = expect
        self._is_met = expect is None
        self._first: Link | None = None
        self._last: Link | None = None
        self._records = self._dropped = 0

    def file(self, path: Path) -> None:
        """Go on with a file."""
        number = 0
        for number, line in enumerate(_lines(path), 1):
            link = Link.parse(line)
            if link is None:
                raise AuditFault(path, number, _no_record(line))
            fields = link.fields()
            if number == 1:
                self._check_first(path, link, fields)
            if not self._chain.fits(link):
                raise AuditFault(path, number, f"record {link.seq} is not as it was written")
            self._check_place(path, number, link)
            if fields.get("event") == "dropped" and isinstance(fields.get("count"), int):
                self._dropped += fields["count"]
            self._is_met = self._is_met or link.hash == self._expect
            self._first = self._first or link
            self._last = link
            self._records += 1
        if not number:
            raise AuditFault(path, 0, "holds no record")

    def result(self, path: Path) -> Verified:
        """What was found, if it is all that is expected."""
        if self._first is None or self._last is None:
            raise AuditFault(path, 0, "holds no record")
        if not self._is_met:
            raise AuditFault(
                path, 0, "no record has the expected hash: records were cut off, or made anew"
            )
        return Verified(
            self._records,
            self._first.seq,
            self._last.seq,
            str(self._first.fields().get("time")),
            str(self._last.fields().get("time")),
            self._last.hash,
            self._dropped,
        )

    def _check_first(self, path: Path, link: Link, fields: dict[str, Any]) -> None:
        algorithm = fields.get("algorithm")
        if algorithm in {"sha256", "hmac-sha256"} and algorithm != self._chain.algorithm:
            needs = "needs its key" if algorithm == "hmac-sha256" else "was written without a key"
            raise AuditFault(path, 1, f"the file {needs}")
        if fields.get("event") != "file":
            raise AuditFault(path, 1, f"records before {link.seq} are missing")
        if self._last is None and (link.seq == 1) != (link.prev == BEGINNING):
            raise AuditFault(path, 1, f"record {link.seq} cannot be the first")

    def _check_place(self, path: Path, number: int, link: Link) -> None:
        last = self._last
        if last is None or (link.seq == last.seq + 1 and link.prev == last.hash):
            return
        if link.seq == 1:
            what = f"another chain begins after record {last.seq}"
        elif link.seq > last.seq + 1:
            what = f"records {last.seq + 1} to {link.seq - 1} are missing"
        elif link.seq == last.seq + 1:
            what = f"record {link.seq} follows another record {last.seq} than the one before it"
        else:
            what = f"record {link.seq} comes after record {last.seq}"
        raise AuditFault(path, number, what)


def _lines(path: Path) -> Iterator[bytes]:
    """The lines with their ends; of one that is longer than any, the beginning."""
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            yield line


def _first_number(path: Path) -> int:
    with path.open("rb") as file:
        link = Link.parse(file.readline(LONGEST_LINE))
    return link.seq if link is not None else 0


def _no_record(line: bytes) -> str:
    if not line.endswith(b"\n"):
        return "the last record has no end"
    return "it is no record"
