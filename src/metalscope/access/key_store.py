"""The keys as a server looks them up: in memory, read anew when their file changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from metalscope.access import key_file
from metalscope.access.key_changes import KeyChanges
from metalscope.access.key_file import KeysFileError
from metalscope.access.keys import ApiKey, GivenKey, Hashed, new_secret
from metalscope.fork import reset_in_child
from metalscope.moments import utc_now
from metalscope.sending.http.watched import file_version

__all__ = ["KeyStore"]

USE_STEP: Final = timedelta(hours=1)
"""How exactly the last use of a key is kept: a file that is written with each request is none."""

# Compared with where no key has the id, so that the answer takes as long as for one that has.
_NOBODY: Final = Hashed.of(new_secret())


class KeyStore:
    """Finds the key that somebody sent. For all threads; a forked child reads anew.

    Args:
        path: the file of keys.
        on_error: told where the file cannot be read, or a last use not be written.
    """

    def __init__(self, path: Path, *, on_error: Callable[[BaseException], None]) -> None:
        self._path = path.expanduser()
        self._on_error = on_error
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Know nothing, with a lock that nobody holds."""
        self._lock = threading.Lock()
        self._version: tuple[int, ...] | None = None
        self._keys: dict[str, ApiKey] = {}
        self._broken: KeysFileError | None = None
        self._noted: dict[str, datetime] = {}

    def check(self) -> int:
        """Read the file; return how many keys are in it.

        Raises:
            KeysFileError: it cannot be used.
        """
        return len(self._current())

    def find(self, given: GivenKey) -> ApiKey | None:
        """The active key that was sent; ``None`` where there is none, for whatever reason.

        Raises:
            KeysFileError: the file cannot be used; then nobody is let through, since a key that
                was to be revoked in it may be among those that were known before.
        """
        now = utc_now()
        key = self._current().get(given.id)
        fits = (key.hashed if key else _NOBODY).fits(given.secret)
        if key is None or not fits or key.ended_at(now) is not None:
            return None
        self._note_use(key.id, now)
        return key

    def is_active(self, identity: str) -> bool:
        """Whether a key that was let through still would be.

        Raises:
            KeysFileError: the file cannot be used.
        """
        key = self._current().get(identity)
        return key is not None and key.ended_at(utc_now()) is None

    def _current(self) -> dict[str, ApiKey]:
        with self._lock:
            version = file_version(self._path)
            if self._version is None or version != self._version:
                self._version, self._keys, self._broken = version, {}, None
                try:
                    self._keys = key_file.read(self._path)
                except KeysFileError as error:
                    self._broken = error
                    self._on_error(error)
                self._noted = {
                    key.id: key.last_used_at for key in self._keys.values() if key.last_used_at
                }
            if self._broken is not None:
                raise KeysFileError(str(self._broken))
            return self._keys

    def _note_use(self, identity: str, now: datetime) -> None:
        hour = now.replace(minute=0, second=0, microsecond=0)
        with self._lock:
            noted = self._noted.get(identity)
            if noted is not None and hour < noted + USE_STEP:
                return
            self._noted[identity] = hour
        # On a thread of its own: a disk may be slow, and another process may hold the file.
        writer = threading.Thread(
            target=self._write_use, args=(identity, hour), name="metalscope-key-use", daemon=True
        )
        try:
            writer.start()
        except RuntimeError as error:  # no thread to be had
            self._on_error(error)

    def _write_use(self, identity: str, hour: datetime) -> None:
        try:
            KeyChanges(self._path).note_uses({identity: hour})
        except Exception as error:  # noqa: BLE001 - a file that is read only is no reason to refuse
            self._on_error(error)
