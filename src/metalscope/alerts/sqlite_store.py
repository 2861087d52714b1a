"""A store of alerts in a file, which survives the program."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Final, Self

from metalscope.alert_report import Alert, AlertState
from metalscope.alerts.store.reading import (
    AlertReader,
    alert_by_id,
    alerts_by_time,
    kept,
    reading,
    what_is_wrong,
)
from metalscope.alerts.store.schema import OPTION, SCHEMA
from metalscope.alerts.store.waiting import Waiting
from metalscope.alerts.store.writer import ROOM, Writer
from metalscope.alerts.storing import Change, Kept
from metalscope.fork import reset_in_child
from metalscope.moments import utc_now
from metalscope.sqlite_file.lock import let_go
from metalscope.sqlite_file.opening import (
    DamagedFileError,
    OwnFile,
    is_damage,
    prepare,
    take_alone,
)

__all__ = ["SqliteStore"]

MAX_BYTES: Final = 64 * 1024**2

RESCUE_SECONDS: Final = 5.0
"""How long one who asks waits until what could be read of a damaged file is in the new one."""

_left_to_the_parent: list[object] = []
"""A connection that came with a fork: closing it would be the parent's to do."""


class SqliteStore:
    """An :class:`~metalscope.alerts.storing.AlertStore` in one SQLite file, which this process
    alone writes.

    :meth:`keep` and :meth:`forget` return at once; a thread, which begins with the first of them,
    writes. What waits is known to all other methods. What cannot be written now waits on, of each
    alert, silence, document and message the newest, and is written when that works again. A file
    that is damaged is set aside; what can be read of it, but for alerts that are over, goes into
    the new one. What is handed over must not be changed any more. In a forked child it is closed
    and knows nothing: the file is the parent's.

    Args:
        path: the file; it and its directory are made for their owner alone.
        on_error: told of what goes wrong inside, as (room, exception).
        now: the time of day, for names of files set aside.
        max_bytes: what it may take. Resolved alerts go first where there is no room, the oldest of
            them first, then samples; alerts that go on, silences and messages never.

    Raises:
        ConfigurationError: the path cannot be used: not a file, not writable, written by another
            process, another program's database, or of a newer version.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        on_error: Callable[[str, BaseException], None],
        now: Callable[[], datetime] = utc_now,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 - links stay what they are
        self._on_error = on_error
        self._is_of_the_parent = False
        file = OwnFile(self.path, OPTION, SCHEMA)
        prepare(file)
        self._lock: int | None = take_alone(file)
        try:
            self._writer = Writer(file, max_bytes, on_error=on_error, now=now, let_go=self._release)
        except BaseException:
            self._release()
            raise
        reset_in_child(self)

    @staticmethod
    def open_readonly(path: Path | str) -> AlertReader:
        """Read the file at ``path``, whoever writes it: what was written, and nothing that waits.

        Its methods raise :class:`~metalscope.alerts.store.reading.AlertStoreError` where it cannot
        be read.
        """
        return AlertReader(Path(path))

    @property
    def dropped(self) -> int:
        """Alerts, messages and samples that went for want of room, in memory or in the file."""
        return self._writer.dropped

    @property
    def failures(self) -> int:
        """How often the file could not be written to."""
        return self._writer.failures

    @property
    def waiting(self) -> int:
        """How many alerts, silences, documents, messages and samples are not in the file yet."""
        return self._writer.waiting

    def load(self) -> Kept:
        """What was kept before: samples in the order of their time, documents as JSON has them."""
        unwritten = self._writer.unwritten()
        broken: list[BaseException] = []
        found = Kept()
        if not self._is_of_the_parent:
            try:
                with reading(self.path) as connection:
                    found = kept(connection, self._tell, broken.append)
                    # An index that is damaged hides rows, and SQLite notices only when asked to.
                    if not broken and (wrong := what_is_wrong(connection)):
                        broken.append(DamagedFileError(wrong))
            except Exception as error:  # noqa: BLE001 - law: the host program must not notice
                broken.append(error)
        if broken:
            self._trouble(broken[0])
            # With what was read of it once more, to be put into the new one.
            unwritten = self._writer.unwritten()
        return _together(found, unwritten)

    def keep(self, change: Change) -> None:
        """Keep something. Returns at once."""
        try:
            self._writer.add(change)
        except Exception as error:  # noqa: BLE001 - law: the host program must not notice
            self._tell(error)

    def history(
        self, *, limit: int = 100, before: datetime | None = None, rule: str | None = None
    ) -> tuple[Alert, ...]:
        """Alerts that have been and are, the latest first; of one moment by their ids."""
        unwritten = self._writer.unwritten()
        most = max(0, limit)
        found = [
            one
            for one in unwritten.alerts.values()
            if one.fired_at is not None
            and (before is None or one.fired_at < before)
            and (rule is None or one.rule == rule)
        ]
        if not self._is_of_the_parent:
            try:
                with reading(self.path) as connection:
                    written = alerts_by_time(connection, self._tell, before=before, rule=rule)
                    found += islice((one for one in written if _stands(one, unwritten)), most)
            except Exception as error:  # noqa: BLE001 - law: the host program must not notice
                self._trouble(error)
        found.sort(key=_latest, reverse=True)
        return tuple(found[:most])

    def find(self, alert_id: str) -> Alert | None:
        """The alert of an id, whatever its state."""
        unwritten = self._writer.unwritten()
        alert = unwritten.alerts.get(alert_id)
        if alert is not None or self._is_of_the_parent:
            return alert
        try:
            with reading(self.path) as connection:
                alert = alert_by_id(connection, self._tell, alert_id)
        except Exception as error:  # noqa: BLE001 - law: the host program must not notice
            self._trouble(error)
            # What could be read of a damaged file waits for the new one.
            self._writer.flush(RESCUE_SECONDS)
            return self._writer.unwritten().alerts.get(alert_id) or self._found_anew(alert_id)
        return alert if alert is not None and _stands(alert, unwritten) else None

    def forget(self, before: datetime) -> None:
        """Let go of alerts that were resolved before a moment, and of silences that ended; and give
        the room they took back to the disk. Returns at once."""
        try:
            self._writer.forget(before)
        except Exception as error:  # noqa: BLE001 - law: the host program must not notice
            self._tell(error)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was kept is written, or cannot be.

        Args:
            timeout: s to wait at most; forever where ``None``.

        Returns:
            Whether it is written.
        """
        return self._writer.flush(timeout)

    def close(self, timeout: float | None = 10.0) -> None:
        """Write what waits, and let go of the file. Idempotent.

        Args:
            timeout: s to wait at most; what is not written by then is given up, and the file is
                let go of when the disk answers. Forever where ``None``.
        """
        self._writer.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start_at_zero(self) -> None:
        """In a forked child: it is closed, and the file is the parent's."""
        # SQLite takes the parent's locks for this process's own (sqlite.org, "How To Corrupt An
        # SQLite Database File", 2.6).
        _left_to_the_parent.append(self._writer.leave())
        self._is_of_the_parent = True
        lock, self._lock = self._lock, None
        if lock is not None:
            # Not let go of: that would let go of the parent's.
            os.close(lock)

    # -- inside ------------------------------------------------------------------------------

    def _found_anew(self, alert_id: str) -> Alert | None:
        try:
            with reading(self.path) as connection:
                return alert_by_id(connection, self._tell, alert_id)
        except Exception:  # noqa: BLE001 - it was told of
            return None

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            let_go(lock)

    def _trouble(self, error: BaseException) -> None:
        if is_damage(error):
            try:
                self._writer.suspect(error)
            except Exception as worse:  # noqa: BLE001 - law: the host program must not notice
                self._tell(worse)
        else:
            self._tell(error)

    def _tell(self, error: BaseException) -> None:
        self._on_error(ROOM, error)


def _stands(alert: Alert, unwritten: Waiting) -> bool:
    """Whether what the file says of an alert is still so."""
    before = unwritten.forgotten_before
    is_forgotten = (
        before is not None and alert.resolved_at is not None and alert.resolved_at < before
    )
    return not (is_forgotten or alert.id in unwritten.alerts or alert.id in unwritten.gone_alerts)


def _latest(alert: Alert) -> tuple[datetime, str]:
    assert alert.fired_at is not None  # noqa: S101 - for the type checker
    return alert.fired_at, alert.id


def _together(found: Kept, unwritten: Waiting) -> Kept:
    """What was in the file, and what is to be."""
    written = Waiting()
    written.add(
        Change(
            alerts=found.alerts,
            silences=found.silences,
            documents=found.documents,
            messages=found.messages,
        )
    )
    all_of_it = written.then(unwritten)
    samples = {(key, at): value for key, at, value in chain(found.samples, *unwritten.samples)}
    since = unwritten.samples_from
    return Kept(
        tuple(one for one in all_of_it.alerts.values() if one.state is not AlertState.RESOLVED),
        tuple(all_of_it.silences.values()),
        all_of_it.documents,
        tuple(all_of_it.messages.values()),
        tuple(
            (key, at, value)
            for (key, at), value in sorted(samples.items(), key=lambda one: one[0][1])
            if since is None or at >= since
        ),
    )
