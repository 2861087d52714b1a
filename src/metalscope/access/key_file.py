"""The file of keys: JSON that a person can read, checked line by line when it is read."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from metalscope.access.keys import ApiKey, Hashed
from metalscope.access.roles import Role
from metalscope.errors import MetalscopeError
from metalscope.moments import rfc3339, rfc3339_or_none

__all__ = ["LONGEST_NAME", "MOST_KEYS", "KeysFileError", "dump", "load", "read"]

MOST_KEYS: Final = 1000
LONGEST_NAME: Final = 100

_VERSION: Final = 1
_LARGEST: Final = 4 * 1024 * 1024
_REQUIRED: Final = {"id", "name", "role", "created_at", "salt", "hash"}
_TIMES: Final = ("expires_at", "revoked_at", "last_used_at")
_KNOWN: Final = _REQUIRED | {*_TIMES, "replaced_by"}


class KeysFileError(MetalscopeError):
    """The file of keys cannot be used; the text says which, and why. Nothing was changed."""


def read(path: Path) -> dict[str, ApiKey]:
    """The keys in a file by id; none where there is no file.

    Raises:
        KeysFileError: it cannot be read, is not what this program writes, or others may write it.
    """
    try:
        data = _bytes(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KeysFileError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        return load(data)
    except ValueError as error:
        raise KeysFileError(
            f"{path}: is no file of keys, or is damaged: {error}; put it right, or restore it "
            "from a copy"
        ) from None


def _bytes(path: Path) -> bytes:
    # O_NONBLOCK: should it be a pipe, opening it must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KeysFileError(f"{path}: must be a regular file")
        if found.st_mode & 0o022:
            raise KeysFileError(
                f"{path}: others may write it, and so make keys; run: chmod 600 {path}"
            )
        if found.st_size > _LARGEST:
            raise KeysFileError(f"{path}: is larger than {_LARGEST} bytes, so no file of keys")
        return file.read(_LARGEST)


def load(data: bytes) -> dict[str, ApiKey]:
    """The keys in the content of a file.

    Raises:
        ValueError: it is not what :func:`dump` makes; the text says where.
    """
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(whole, dict) or whole.get("version") != _VERSION:
        raise ValueError(f"it must be an object with version {_VERSION}")
    listed = whole.get("keys")
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise ValueError(f"keys must be a list of at most {MOST_KEYS}")
    keys: dict[str, ApiKey] = {}
    for index, one in enumerate(listed):
        key = _key(f"keys[{index}]", one)
        if key.id in keys:
            raise ValueError(f"keys[{index}] has the id of another, {key.id}")
        keys[key.id] = key
    return keys


def dump(keys: Iterable[ApiKey]) -> bytes:
    """The content of a file with these keys."""
    return (
        json.dumps({"version": _VERSION, "keys": [_plain(key) for key in keys]}, indent=1) + "\n"
    ).encode()


def _plain(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.value,
        "created_at": rfc3339(key.created_at),
        **{name: rfc3339_or_none(getattr(key, name)) for name in _TIMES},
        "replaced_by": key.replaced_by,
        "salt": key.hashed.salt.hex(),
        "hash": key.hashed.digest.hex(),
    }


def _key(where: str, data: object) -> ApiKey:
    if not isinstance(data, dict) or not _REQUIRED <= data.keys() <= _KNOWN:
        raise ValueError(f"{where} must have {', '.join(sorted(_REQUIRED))}")
    roles = list(Role)
    if data["role"] not in roles:
        raise ValueError(f"{where}.role must be one of {', '.join(roles)}")
    name = data["name"]
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(f"{where}.name must be text of 1 to {LONGEST_NAME} characters")
    return ApiKey(
        id=_shaped(where, "id", data, r"[0-9a-f]{12}"),
        name=name,
        role=Role(data["role"]),
        created_at=_time(where, "created_at", data),
        hashed=Hashed(
            bytes.fromhex(_shaped(where, "salt", data, r"[0-9a-f]{32}")),
            bytes.fromhex(_shaped(where, "hash", data, r"[0-9a-f]{64}")),
        ),
        expires_at=_time_or_none(where, "expires_at", data),
        revoked_at=_time_or_none(where, "revoked_at", data),
        last_used_at=_time_or_none(where, "last_used_at", data),
        replaced_by=(
            None
            if data.get("replaced_by") is None
            else _shaped(where, "replaced_by", data, r"[0-9a-f]{12}")
        ),
    )


def _shaped(where: str, field: str, data: Mapping[str, Any], shape: str) -> str:
    value = data[field]
    if not isinstance(value, str) or not re.fullmatch(shape, value):
        raise ValueError(f"{where}.{field} must have the shape {shape}")
    return value


def _time(where: str, field: str, data: Mapping[str, Any]) -> datetime:
    value = data[field]
    try:
        time = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(f"{where}.{field} must be a time with its zone")
    return time


def _time_or_none(where: str, field: str, data: Mapping[str, Any]) -> datetime | None:
    return None if data.get(field) is None else _time(where, field, data)
