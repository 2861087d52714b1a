"""The file of the audit: only ever appended to, by one process at a time, and moved when full."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, Final

from metalscope.access.audit_chain import BEGINNING, LONGEST_LINE, Chain, Link
from metalscope.access_options import AuditSync
from metalscope.moments import rfc3339, utc_now
from metalscope.sending.files.lines import append, begin_of_last_line, ends_whole
from metalscope.sending.files.rotation import Rotation
from metalscope.sending.files.shared import SharedFile

__all__ = ["AuditFile"]

_PATIENCE_SECONDS: Final = 5.0
_SYNC_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Tail:
    """The last record: its number and its hash."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the file ended when it was left: as long as that is so, nobody else wrote to it."""

    inode: int
    size: int


_NOTHING: Final = _Tail(0, BEGINNING)


class AuditFile:
    """Appends records to a file, each in its place of the chain. For one thread.

    Other processes may append to it as well: who writes takes up the chain where it ends then.
    What it knows itself it does not forget: where the end of the file was cut off, or the file
    deleted, the next record goes on from what was there, so that the gap can be seen.

    Args:
        path: the file; made for its owner alone.
        chain: makes the records.
        max_bytes: the size beyond which it is moved to ``.1``, that to ``.2``, and so on; what is
            appended at once may be larger.
        backups: how many of those are kept.
        sync: when what was written is forced to the disk.
    """

    def __init__(
        self, path: Path, chain: Chain, *, max_bytes: int, backups: int, sync: AuditSync
    ) -> None:
        self._path = path
        self._chain = chain
        self._shared = SharedFile(path, timeout=_PATIENCE_SECONDS)
        self._max_bytes = max_bytes
        self._rotation = Rotation(backups)
        self._sync = sync
        self._tail = _NOTHING
        self._place: _Place | None = None
        self._synced_at = float("-inf")
        self._unsynced = False

    def append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write records; all of them, or, where that fails, none.

        Raises:
            TimeoutError: another process holds the file.
            OSError: it cannot be written.
        """
        while not self._written(entries):
            pass  # It was full, and is now out of the way.

    def sync_due(self) -> float | None:
        """Seconds until what was written is to be forced to the disk; ``None`` for nothing."""
        if not self._unsynced or self._sync == "never":
            return None
        return max(0.0, self._synced_at + _SYNC_SECONDS - monotonic())

    def sync(self) -> None:
        """Force what was written to the disk.

        Raises:
            TimeoutError: another process holds the file.
            OSError: it cannot be.
        """
        if self._sync != "never" and self._unsynced:
            with self._shared.held() as file:
                self._force(file)
                fcntl.flock(file, fcntl.LOCK_UN)

    def _written(self, entries: Sequence[Mapping[str, Any]]) -> bool:
        with self._shared.held() as file:
            try:
                before = self._look(file)
                if before is None:
                    return False
                size, tail, notes = before
                data, tail = self._sealed([*notes, *entries], tail)
                # A file that has only its first record is not moved, however small its limit.
                if size and size + len(data) > self._max_bytes:
                    self._force(file)
                    self._rotation.move(self._path)
                    self._place = None
                    return False
                append(file, data, size)
                self._tail = tail
                self._place = _Place(os.fstat(file).st_ino, size + len(data))
                self._unsynced = True
                due = self.sync_due()
                if self._sync == "always" or due == 0.0:
                    self._force(file)
            finally:
                # A child forked meanwhile has the file open too, and must not hold the lock on.
                fcntl.flock(file, fcntl.LOCK_UN)
        return True

    def _force(self, file: int) -> None:
        if self._unsynced and self._sync != "never":
            os.fsync(file)
        self._unsynced = False
        self._synced_at = monotonic()

    def _sealed(self, entries: Sequence[Mapping[str, Any]], tail: _Tail) -> tuple[bytes, _Tail]:
        lines: list[bytes] = []
        for fields in entries:
            line, own = self._chain.seal(tail.seq + 1, fields, tail.hash)
            lines.append(line)
            tail = _Tail(tail.seq + 1, own)
        return b"".join(lines), tail

    def _look(self, file: int) -> tuple[int, _Tail, list[dict[str, Any]]] | None:
        """Its size, the record to go on from, and what is to be said first.

        ``None`` where it was moved out of the way, for it ends in what is no record of ours.
        """
        found = os.fstat(file)
        size, notes = found.st_size, list[dict[str, Any]]()
        if self._place == _Place(found.st_ino, size):
            return size, self._tail, notes
        if not ends_whole(file, size):
            size = self._cut_off(file, size, notes)
        if not size:
            tail, why = self._before()
            return size, tail, [self._first(tail, why), *notes]
        tail_here = self._last(file, size)
        if tail_here is None:
            # Kept even where no full file is: it is evidence.
            Rotation(max(1, self._rotation.backups)).move(self._path)
            return None
        return size, max(tail_here, self._tail, key=lambda tail: tail.seq), notes

    def _cut_off(self, file: int, size: int, notes: list[dict[str, Any]]) -> int:
        """Take away the half of a record that a process left when it was killed, and say so."""
        begin = begin_of_last_line(file, size)
        half = os.pread(file, min(size - begin, LONGEST_LINE), begin)
        os.ftruncate(file, begin)
        what = (
            f"{size - begin} bytes of a record without its end, SHA-256 {sha256(half).hexdigest()}"
        )
        notes.append(_note("unfinished", what))
        return begin

    def _last(self, file: int, size: int) -> _Tail | None:
        begin = begin_of_last_line(file, size - 1)
        link = Link.parse(os.pread(file, min(size - begin, LONGEST_LINE), begin))
        if link is None or not self._chain.fits(link):
            return None
        return _Tail(link.seq, link.hash)

    def _before(self) -> tuple[_Tail, str]:
        """The record that a new file goes on from, and why the file begins."""
        there: _Tail | None = _NOTHING
        moved = self._path.with_name(f"{self._path.name}.1")
        try:
            file = os.open(moved, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            pass
        else:
            try:
                size = os.fstat(file).st_size
                there = self._last(file, size) if size and ends_whole(file, size) else None
            finally:
                os.close(file)
        if there is None and not self._tail.seq:
            return _NOTHING, "new: the file before cannot be gone on from"
        tail = max(there or _NOTHING, self._tail, key=lambda tail: tail.seq)
        return tail, "continued" if tail.seq else "new"

    def _first(self, tail: _Tail, why: str) -> dict[str, Any]:
        # By it a file whose first records were cut off is told from a whole one.
        chain = {} if tail.seq else {"chain": secrets.token_hex(8)}
        return _note("file", why) | {"algorithm": self._chain.algorithm, **chain}


def _note(event: str, reason: str) -> dict[str, Any]:
    return {"time": rfc3339(utc_now()), "event": event, "reason": reason}
