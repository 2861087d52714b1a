"""Making, rotating and revoking keys: each change is one replacement of the whole file."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace as with_changes
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from metalscope.access import key_file, replacing
from metalscope.access.key_file import LONGEST_NAME, MOST_KEYS, KeysFileError
from metalscope.access.keys import PREFIX, ApiKey, GivenKey, Hashed, new_id, new_secret
from metalscope.access.roles import Role
from metalscope.moments import utc_now

__all__ = ["KeyChanges", "UnknownKeyError"]

_PATIENCE_SECONDS: Final = 5.0


class UnknownKeyError(KeysFileError):
    """No key has the id, or several begin so."""


class KeyChanges:
    """Changes the keys of one file; running servers see each change with the next request.

    Args:
        path: the file; made, for its owner alone, with the first key.
    """

    def __init__(self, path: Path) -> None:
        # A link is followed, so that what it points to is replaced and not the link.
        self._path = path.expanduser().resolve()

    def listed(self) -> list[ApiKey]:
        """All keys, in the order in which they were made.

        Raises:
            KeysFileError: the file cannot be read.
        """
        return list(key_file.read(self._path).values())

    def create(
        self, name: str, role: Role, *, expires_in: timedelta | None = None
    ) -> tuple[ApiKey, GivenKey]:
        """Make a key; return it, and what is shown once.

        Args:
            name: what it is for.
            role: what it may do.
            expires_in: for how long it is good; ``None`` for ever.

        Raises:
            KeysFileError: the name is not usable, or the file cannot be read or written.
        """
        checked = _name(name)
        now = utc_now()
        with self._changing() as keys:
            _make_room(keys, now)
            key, given = _made(keys, checked, role, now, expires_in)
            keys[key.id] = key
        return key, given

    def rotate(self, wanted: str, *, grace: timedelta) -> tuple[ApiKey, GivenKey]:
        """Make a key in place of another, with its name, role and length of life.

        Args:
            wanted: the id of the other, or how it begins.
            grace: for how long the other stays good, should it not end before.

        Raises:
            UnknownKeyError: there is no such key.
            KeysFileError: it has ended, or the file cannot be read or written.
        """
        now = utc_now()
        with self._changing() as keys:
            old = _one(keys, wanted)
            if old.ended_at(now) is not None:
                raise KeysFileError(f"key {old.id} is {old.state(now)}; create a new one")
            if old.replaced_by is not None:
                raise KeysFileError(f"key {old.id} was rotated already, to {old.replaced_by}")
            _make_room(keys, now)
            life = None if old.expires_at is None else old.expires_at - old.created_at
            key, given = _made(keys, old.name, old.role, now, life)
            end = now + grace
            if old.expires_at is not None:
                end = min(end, old.expires_at)
            keys[old.id] = with_changes(old, expires_at=end, replaced_by=key.id)
            keys[key.id] = key
        return key, given

    def revoke(self, wanted: str) -> ApiKey:
        """Take a key back, now; one that is revoked already stays as it is.

        Raises:
            UnknownKeyError: there is no such key.
            KeysFileError: the file cannot be read or written.
        """
        with self._changing() as keys:
            key = _one(keys, wanted)
            if key.revoked_at is None:
                key = keys[key.id] = with_changes(key, revoked_at=utc_now())
        return key

    def note_uses(self, uses: dict[str, datetime]) -> None:
        """Keep when keys were last used, by id; those that are gone are passed over.

        Raises:
            KeysFileError: the file cannot be read or written.
        """
        with self._changing() as keys:
            for identity, used in uses.items():
                key = keys.get(identity)
                if key is not None and (key.last_used_at is None or key.last_used_at < used):
                    keys[identity] = with_changes(key, last_used_at=used)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, ApiKey]]:
        try:
            with replacing.held(self._path, timeout=_PATIENCE_SECONDS):
                keys = key_file.read(self._path)
                before = dict(keys)
                yield keys
                if keys != before:
                    replacing.replace(self._path, key_file.dump(keys.values()))
        except TimeoutError as error:
            raise KeysFileError(f"{self._path}: {error}") from None
        except OSError as error:
            why = error.strerror or error
            raise KeysFileError(f"{self._path}: cannot be written ({why})") from None


def _made(
    keys: dict[str, ApiKey], name: str, role: Role, now: datetime, life: timedelta | None
) -> tuple[ApiKey, GivenKey]:
    identity = new_id()
    while identity in keys:
        identity = new_id()
    given = GivenKey(identity, new_secret())
    expires_at = None if life is None else now + life
    return ApiKey(identity, name, role, now, Hashed.of(given.secret), expires_at), given


def _make_room(keys: dict[str, ApiKey], now: datetime) -> None:
    """In a full file the key that ended longest ago is forgotten."""
    if len(keys) < MOST_KEYS:
        return
    ended = [(end, key.id) for key in keys.values() if (end := key.ended_at(now)) is not None]
    if not ended:
        raise KeysFileError(f"there are {MOST_KEYS} keys already, none of which has ended")
    del keys[min(ended)[1]]


def _one(keys: dict[str, ApiKey], wanted: str) -> ApiKey:
    # Who pastes a key in, or a part of it, means its id; the rest is not to be in an error.
    wanted = wanted.removeprefix(PREFIX).partition("_")[0]
    found = [key for key in keys.values() if wanted and key.id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    which = "several keys have ids that begin" if found else "no key has an id that begins"
    raise UnknownKeyError(f"{which} with {wanted[:40]!r}; see metalscope keys list")


def _name(name: str) -> str:
    # Cs: half a surrogate pair, which is no text.
    bad = any(unicodedata.category(c) == "Cs" for c in name) or not name.isprintable()
    name = name.strip()
    if bad or not 0 < len(name) <= LONGEST_NAME:
        raise KeysFileError(
            f"name must be 1 to {LONGEST_NAME} printable characters, not {name[:40]!r}"
        )
    return name
