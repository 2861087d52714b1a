"""The shared directory: one file a process, and one for all that ended.

A process holds a lock on ``ID.lock`` for as long as it lives; the system lets go of it however the
process ends. A file whose lock is free is final, and is added to ``ended.json`` and removed.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from metalscope.errors import ConfigurationError
from metalscope.fork import reset_in_child
from metalscope.processes.merge import counts_of
from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["ProcessDirectory", "ProcessFile", "Processes"]

ENDED: Final = "ended"


@dataclass(frozen=True, slots=True)
class _Ended:
    """What ended processes counted. ``folded`` names files that may not be removed yet."""

    folded: tuple[str, ...]
    counts: MetalTelemetrySnapshot


@dataclass(frozen=True, slots=True)
class Processes:
    """The snapshots of one moment: of living processes by id, and of all that ended, as one."""

    living: dict[str, MetalTelemetrySnapshot]
    ended: MetalTelemetrySnapshot | None


class ProcessFile:
    """This process's own file. In a forked child it is the parent's, and writing does nothing.

    Raises:
        ConfigurationError: the directory cannot be made or written to.
    """

    def __init__(self, directory: Path) -> None:
        name = f"{os.getpid()}-{uuid.uuid4().hex[:12]}"
        _make(directory)
        self.directory = directory
        """Where it is."""
        self._file = directory / f"{name}.json"
        self._new = directory / f"{name}.new"
        try:
            # Alone: a reader that finds the file before its lock is held would take it for one
            # of a process that ended.
            with _alone(directory):
                self._lock: int | None = _take(directory / f"{name}.lock")
        except OSError as error:
            raise _unusable(directory, error) from error
        self._written: datetime | None = None
        self._writing = threading.Lock()
        reset_in_child(self)

    def write(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Put ``snapshot`` in the place of the one before; a reader sees the one or the other."""
        # The tick and a scrape may come at once; the older of the two must not come last.
        with self._writing:
            if self._lock is None or (
                self._written is not None and snapshot.timestamp < self._written
            ):
                return
            self._new.write_bytes(_dump(MetalTelemetrySnapshot, snapshot))
            self._new.replace(self._file)
            self._written = snapshot.timestamp

    def close(self) -> None:
        """Say that this was the last."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def start_at_zero(self) -> None:
        """In a forked child: leave the file to the parent."""
        self._writing = threading.Lock()
        # The parent has the lock still: closing one's own copy does not let go of it.
        self.close()


class ProcessDirectory:
    """All processes' files.

    Args:
        path: the directory; made where it is not there.
        on_error: told, as (room, exception), of files that cannot be read; they are set aside.

    Raises:
        ConfigurationError: the directory cannot be made or written to.
    """

    def __init__(self, path: Path, on_error: Callable[[str, BaseException], None]) -> None:
        self._path = path
        self._on_error = on_error
        _make(path)

    def read(self) -> Processes:
        """Read all files; first add those of processes that ended to the one for all of them."""
        with _alone(self._path):
            ended = self._read(self._path / f"{ENDED}.json", _Ended)
            living: dict[str, MetalTelemetrySnapshot] = {}
            final: dict[str, MetalTelemetrySnapshot] = {}
            for name in self._names():
                # Asked first: what a process that is gone has written is all of it.
                alive = _is_held(self._path / f"{name}.lock")
                if ended is not None and name in ended.folded:
                    # Counted in there; its reader was stopped before it could remove it.
                    self._remove(name)
                    continue
                snapshot = self._read(self._path / f"{name}.json", MetalTelemetrySnapshot)
                if snapshot is not None:
                    (living if alive else final)[name] = snapshot
                elif not alive:
                    self._remove(name)
            if final:
                before = [ended.counts] if ended is not None else []
                ended = _Ended(tuple(final), counts_of([*before, *final.values()]))
                self._write(ended)
                for name in final:
                    self._remove(name)
            return Processes(living, ended.counts if ended is not None else None)

    def _names(self) -> list[str]:
        return sorted(file.stem for file in self._path.glob("*-*.lock"))

    def _read(self, file: Path, kind: Any) -> Any:
        try:
            return _adapter(kind).validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            self._on_error("processes", error)
            with suppress(FileNotFoundError):
                file.replace(file.with_suffix(".unreadable"))
            return None

    def _write(self, ended: _Ended) -> None:
        new = self._path / f"{ENDED}.new"
        new.write_bytes(_dump(_Ended, ended))
        new.replace(self._path / f"{ENDED}.json")

    def _remove(self, name: str) -> None:
        for suffix in (".json", ".new", ".lock"):
            (self._path / name).with_suffix(suffix).unlink(missing_ok=True)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    lock = _take(directory / "directory.lock")
    try:
        yield
    finally:
        os.close(lock)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _dump(kind: Any, value: Any) -> bytes:
    # Read-only mappings are no dicts to pydantic.
    return _adapter(kind).dump_json(value, fallback=dict, warnings=False)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(directory, error) from error


def _unusable(directory: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"processes_directory = {directory}: must be a directory this process can write to "
        f"({error.strerror or error})"
    )


def _take(file: Path) -> int:
    """Lock a file, waiting for it; return the descriptor that holds the lock."""
    import fcntl  # noqa: PLC0415 - not everywhere

    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_held(file: Path) -> bool:
    import fcntl  # noqa: PLC0415 - not everywhere

    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
