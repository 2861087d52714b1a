"""The audit: who did what, from where, and what became of it."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from metalscope.access.audit_chain import Chain
from metalscope.access.audit_entry import AuditEntry, AuditResult
from metalscope.errors import ConfigurationError, MetalscopeError
from metalscope.fork import reset_in_child
from metalscope.moments import rfc3339, utc_now

if TYPE_CHECKING:
    from metalscope.access.audit_file import AuditFile
    from metalscope.access.decision import Decision
    from metalscope.access_options import AccessOptions

__all__ = ["AuditEntry", "AuditLog", "AuditLostError"]

MOST_WAITING: Final = 10_000
"""Records that wait for the disk; more are counted, and the count is recorded."""

MOST_STRANGERS: Final = 100
"""Refusals of those who are not known that are recorded at once; then one a second. The rest are
counted: or whoever has no key could have the files roll on until nothing else was in them."""

SUMMARY_SECONDS: Final = 10.0
"""The least time between two records of such counts."""

_BATCH: Final = 50
_PAUSE_SECONDS: Final = 1.0


class AuditLostError(MetalscopeError):
    """Records of the audit were lost; the text says how many, and why."""


class AuditLog:
    """Writes the audit on a thread of its own; made by :meth:`of`. For all threads.

    Args:
        make_file: makes what is written to, and makes it anew in a forked child.
        reads: whether what was only read is recorded.
        on_error: told where records cannot be written.
    """

    def __init__(
        self,
        make_file: Callable[[], AuditFile],
        *,
        reads: bool,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._make_file = make_file
        self._reads = reads
        self._on_error = on_error
        self._closed = False
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """In a child: what waits is written by the parent."""
        self._file = self._make_file()
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[AuditEntry] = deque()
        self._thread: threading.Thread | None = None
        self._accepted = self._written = 0
        self._dropped = self._untold = 0
        self._told_at = float("-inf")
        self._strangers = float(MOST_STRANGERS)
        self._strangers_at = monotonic()

    @classmethod
    def of(
        cls, options: AccessOptions, *, on_error: Callable[[BaseException], None]
    ) -> AuditLog | None:
        """The audit the options ask for; ``None`` where they ask for none.

        Raises:
            ConfigurationError: the file cannot be written, or its key is not there.
            MissingExtraError: the key is in the keyring, and the library for it is not installed.
        """
        if options.audit_file is None:
            return None
        from metalscope.access.audit_file import AuditFile  # noqa: PLC0415 - only where it is on
        from metalscope.access.audit_key import audit_key  # noqa: PLC0415

        path = options.audit_file.expanduser()
        _check(path)
        chain = Chain(audit_key(options.audit_key, options.audit_key_from, "server.access"))

        def make_file() -> AuditFile:
            return AuditFile(
                path,
                chain,
                max_bytes=options.audit_max_bytes,
                backups=options.audit_backups,
                sync=options.audit_sync,
            )

        return cls(make_file, reads=options.audit_reads, on_error=on_error)

    @property
    def dropped(self) -> int:
        """How many records were not written, for there were too many."""
        with self._changed:
            return self._dropped

    def wants(self, decision: Decision) -> bool:
        """Whether a request is recorded: refusals and changes always, probes and pages never."""
        if not decision.allowed or decision.changes:
            return True
        return self._reads and not decision.is_open

    def record(self, decision: Decision, *, method: str, address: str | None, status: int) -> None:
        """Record a request that was answered with ``status``, where such are. Never waits."""
        if not self.wants(decision):
            return
        result: AuditResult = "allowed" if status < 400 else "failed"
        entry = AuditEntry(
            event="change" if decision.changes else "access",
            result=result if decision.allowed else "refused",
            who=decision.principal,
            address=address,
            method=method,
            route=decision.route,
            target=decision.target,
            status=status,
            reason=decision.reason,
        )
        self.write(entry)

    def write(self, entry: AuditEntry) -> None:
        """Record something. Never raises and never waits for the disk; after the close, nothing."""
        with self._changed:
            if self._closed:
                return
            if len(self._waiting) >= MOST_WAITING or not self._is_heard(entry):
                self._dropped += 1
                self._untold += 1
            else:
                self._waiting.append(entry)
                self._accepted += 1
            try:
                self._start()
            except RuntimeError as error:  # no thread to be had: the next record tries again
                failure: RuntimeError | None = error
            else:
                failure = None
            self._changed.notify_all()
        if failure is not None:
            self._on_error(failure)

    def flush(self, timeout: float) -> bool:
        """Wait until all that was recorded is written; whether it is, after ``timeout`` seconds."""
        with self._changed:
            wanted = self._accepted
            return self._changed.wait_for(lambda: self._written >= wanted, timeout)

    def close(self, timeout: float = 2.0) -> None:
        """Write what waits, and end. Idempotent; waits for at most ``timeout`` seconds."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is None or thread is threading.current_thread():
            return
        thread.join(timeout)
        with self._changed:
            left = self._accepted - self._written
        if left:
            self._on_error(AuditLostError(f"{left} records of the audit were not written in time"))

    def _is_heard(self, entry: AuditEntry) -> bool:
        if entry.result != "refused" or entry.who is not None:
            return True
        now = monotonic()
        self._strangers = min(MOST_STRANGERS, self._strangers + now - self._strangers_at)
        self._strangers_at = now
        if self._strangers < 1:
            return False
        self._strangers -= 1
        return True

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="metalscope-audit", daemon=True)
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, self._pause())
                batch = [self._waiting[i] for i in range(min(_BATCH, len(self._waiting)))]
                untold = self._untold if self._may_tell() else 0
                closed = self._closed
                ending = closed and len(batch) == len(self._waiting)
            if not self._done(batch, untold):
                if closed:
                    return
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, _PAUSE_SECONDS)
            elif ending:
                self._force()
                return

    def _has_work(self) -> bool:
        return bool(self._waiting) or self._closed or (self._untold > 0 and self._may_tell())

    def _may_tell(self) -> bool:
        return self._closed or monotonic() - self._told_at >= SUMMARY_SECONDS

    def _pause(self) -> float | None:
        """How long to wait where nothing is to be written; ``None`` for ever."""
        due = [] if (sync := self._file.sync_due()) is None else [sync]
        if self._untold:
            due.append(max(0.0, self._told_at + SUMMARY_SECONDS - monotonic()))
        return min(due, default=None)

    def _done(self, batch: list[AuditEntry], untold: int) -> bool:
        """Write a batch; what could not be written waits on."""
        try:
            records = [entry.fields() for entry in batch]
            if untold:
                records.append(_summary(untold))
            if records:
                self._file.append(records)
            elif self._file.sync_due() == 0.0:
                self._file.sync()
        except Exception as error:  # noqa: BLE001 - law: nothing of ours reaches the program
            self._on_error(error)
            return False
        with self._changed:
            for _ in batch:
                self._waiting.popleft()
            self._written += len(batch)
            if untold:
                self._untold -= untold
                self._told_at = monotonic()
            self._changed.notify_all()
        return True

    def _force(self) -> None:
        try:
            self._file.sync()
        except Exception as error:  # noqa: BLE001 - the records are written
            self._on_error(error)


def _summary(count: int) -> dict[str, Any]:
    why = "not recorded one by one: more than the disk took, or than strangers may cause"
    return {"time": rfc3339(utc_now()), "event": "dropped", "count": count, "reason": why}


def _check(path: Path) -> None:
    """Find out at the start what would fail with each record."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"server.access.audit_file = {path}: must be a regular file")
        # One that is there keeps its mode: its owner may let auditors read it.
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        why = error.strerror or error
        raise ConfigurationError(
            f"server.access.audit_file = {path}: cannot be written ({why})"
        ) from None
