"""Writes one snapshot after the other, through a file that fills the disk, breaks or goes away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from metalscope.history.differences import State, difference
from metalscope.history.figures import OperationFigures
from metalscope.history.store import Store, run_of
from metalscope.sqlite_file.keeping import KeptOpen
from metalscope.sqlite_file.opening import OwnFile, is_damage

if TYPE_CHECKING:
    from metalscope.health_options import HistoryOptions
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Writer"]

ROOM: Final = "history"
"""Under which its failures are counted."""

_LATEST: Final = timedelta(minutes=1)


class Writer:
    """Keeps a file open and writes to it what each snapshot adds. One thread at a time.

    What a snapshot adds is counted from the last that was written, so what could not be written is
    in the next that can.

    Where ``only_from_now``, what a run counted more than a minute before its first snapshot here is
    left out, for no one can say when it was.

    Raises:
        ConfigurationError: as :class:`~metalscope.history.history.History`.
    """

    def __init__(
        self,
        file: OwnFile,
        options: HistoryOptions,
        *,
        on_error: Callable[[str, BaseException], None],
        elapsed: Callable[[], float],
        now: Callable[[], datetime],
        only_from_now: bool = False,
    ) -> None:
        self._on_error = on_error
        self._only_from_now = only_from_now
        self._written: State | None = None
        self._overflowed = 0
        self._kept: KeptOpen[Store] = KeptOpen(
            file,
            lambda: Store(file, options, elapsed=elapsed),
            room=ROOM,
            on_error=on_error,
            now=now,
            dropped=self._count_overflowed,
        )
        self.unwritten = 0
        """Snapshots that could not be written."""
        self._kept.start()

    @property
    def overflowed(self) -> int:
        """How often something was left out of a tick since ``max_series`` others are kept."""
        return self._overflowed + (self._store.overflowed if self._store else 0)

    def write(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Write what a snapshot adds; what goes wrong is told of and raised no further."""
        try:
            self._write(snapshot)
        except Exception as error:  # noqa: BLE001 - law: the host program must not notice
            self.unwritten += 1
            self._on_error(ROOM, error)

    def close(self) -> None:
        """Let go of the file."""
        self._kept.close()

    def leave(self) -> object:
        """In a forked child: forget the file without touching it; what must be kept alive."""
        return self._kept.leave()

    # -- inside ------------------------------------------------------------------------------

    def _write(self, snapshot: MetalTelemetrySnapshot) -> None:
        now = State.of(snapshot)
        if self._written is not None and _came_late(self._written, now):
            return
        try:
            self._commit(self._kept.get(), snapshot, now)
        except Exception as error:
            if not is_damage(error):
                raise
            self._kept.begin_anew(error)
            self._commit(self._kept.get(), snapshot, now)

    def _commit(self, store: Store, snapshot: MetalTelemetrySnapshot, now: State) -> None:
        run = run_of(now.started_at)
        tick = difference(self._written, now, snapshot)
        if self._written is None and (store.run() == run or self._began_long_ago(now)):
            # An earlier history of this same run has counted up to some point.
            tick = replace(tick, seconds=0.0, everything=OperationFigures(), operations={})
        store.commit(tick, run=run)
        self._written = now
        try:
            store.keep_limits(now.timestamp)
        except Exception as error:  # noqa: BLE001 - the tick is written; law as above
            if is_damage(error):
                self._kept.begin_anew(error)
            else:
                self._on_error(ROOM, error)

    def _began_long_ago(self, now: State) -> bool:
        return self._only_from_now and now.timestamp - now.started_at > _LATEST

    @property
    def _store(self) -> Store | None:
        return self._kept.current

    def _count_overflowed(self, store: Store) -> None:
        self._overflowed += store.overflowed


def _came_late(written: State, now: State) -> bool:
    """Whether a later snapshot of the run, taken by another thread, was written before this one.

    All that it counts is in that one. Taken for a reset, it would be counted once more.
    """
    return (
        written.started_at == now.started_at
        and timedelta() < written.timestamp - now.timestamp < _LATEST
        and now.total_operations < written.total_operations
    )
