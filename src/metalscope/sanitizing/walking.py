"""Fields to any depth: each value judged by its name, then by its look, within bounds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from metalscope.sanitizing.external import ExternalFields
from metalscope.sanitizing.hashing import MASK, Put, redacted
from metalscope.sanitizing.keys import Globs, Naming, SecretNames, is_number_of
from metalscope.sanitizing.plain import Parts, Secret, decoded, taken_apart
from metalscope.sanitizing.texts import TextCleaner

__all__ = ["Walk"]

_DEEPEST: Final = 6
_MOST_ITEMS: Final = 100
_MOST_VALUES: Final = 2000
_PLAIN_WHOLE: Final = 2**63
_TOO_DEEP: Final = "<too deep>"
_CYCLE: Final = "<cycle>"
_MORE: Final = "<more>"
# Fields of ids: hexadecimal digits in number are theirs.
_IDS: Final = (
    "trace_id", "span_id", "parent_id", "correlation_id", "request_id", "trace.id", "span.id",
)  # fmt: skip


class Walk:
    """One walk through the fields of one record or span.

    Args:
        cleaner: of the texts.
        names: tells which names are those of secrets.
        put: gives what is put in place of what was found.
        keep: fields that are left as they are as far as they are no secrets.
        external: which fields may be sent; ``None`` for all.
    """

    def __init__(
        self,
        cleaner: TextCleaner,
        names: SecretNames,
        put: Put,
        keep: Globs,
        external: ExternalFields | None,
    ) -> None:
        self._cleaner = cleaner
        self._names = names
        self._put = put
        self._keep = keep
        self._external = external
        self._values = 0
        self._open: list[int] = []
        self.left_out = 0
        """Fields that may not be sent to this audience."""

    def fields(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """The fields, sanitized."""
        return self._mapping(attributes.items(), "", asked=self._external is not None)

    def _mapping(
        self, items: Iterable[tuple[Any, Any]], path: str, *, asked: bool
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        pairs = list(islice(items, _MOST_ITEMS + 1))
        more = len(pairs) > _MOST_ITEMS
        if more:
            del pairs[_MOST_ITEMS - 1 :]
        for key, value, of in _with_named(pairs, self._names):
            # Judged as it will be read: what is masked in a name says nothing any more.
            name = self._cleaner.cleaned(key if type(key) is str else _name(key))
            here = f"{path}.{name}" if path else name
            if asked and not self._may_be_sent(here, name):
                self.left_out += 1
                continue
            if self._values >= _MOST_VALUES:
                more = True
                break
            found[_free(name, found)] = self._named(of or name, here, value)
        if more:
            found[_MORE] = _MORE
        return found

    def _may_be_sent(self, path: str, name: str) -> bool:
        external = self._external
        return external is None or external.looks_within(path) or external.allows(path, name)

    def _named(self, name: str, path: str, value: Any) -> Any:
        said = self._names.naming(name, path)
        keep = bool(self._keep) and self._keep.match(name, path)
        if said is not Naming.NOTHING and not (keep and said is Naming.CHOSEN):
            if value is None or isinstance(value, bool):
                return value
            number = said in {Naming.MEASURE, Naming.WEAK} and is_number_of(value)
            if not number:
                return self._instead(value)
        return self._value(value, path, keep=keep, is_id=name.endswith(_IDS))

    def _instead(self, value: Any) -> str:
        if type(value) is str:
            return self._put(value)
        # What is not needed is not asked for: to be shown may take an object long.
        return MASK if self._put is redacted else self._put(_text_of(value))

    def _value(self, value: Any, path: str, *, keep: bool = False, is_id: bool = False) -> Any:
        self._values += value is not _MORE
        kind = type(value)
        if kind is bool or (kind is int and -_PLAIN_WHOLE < value < _PLAIN_WHOLE):
            return value
        if kind is not str:
            value = taken_apart(value)
        if isinstance(value, str):
            if is_id and _is_hex(value):
                return self._cleaner.known_only(value)
            return self._cleaner.kept(value) if keep else self._cleaner.cleaned(value)
        if isinstance(value, Secret):
            return self._instead(value.value)
        if isinstance(value, Parts):
            return self._parts(value, path, keep=keep)
        return value

    def _parts(self, parts: Parts, path: str, *, keep: bool) -> Any:
        identity = id(parts.owner)
        if identity in self._open:
            return _CYCLE
        if len(self._open) >= _DEEPEST:
            return _TOO_DEEP
        self._open.append(identity)
        try:
            if parts.named:
                asked = self._external is not None and self._external.looks_within(path)
                return self._mapping(parts.items, path, asked=asked)
            return self._list(parts.items, path, keep=keep)
        except Exception as error:  # noqa: BLE001 - a mapping of the program's may do anything
            return f"<unprintable: {type(error).__name__}>"
        finally:
            self._open.pop()

    def _list(self, items: Iterable[Any], path: str, *, keep: bool) -> list[Any]:
        values = list(islice(items, _MOST_ITEMS + 1))
        more = len(values) > _MOST_ITEMS
        if more:
            del values[_MOST_ITEMS - 1 :]
        found: list[Any] = []
        before = ""
        for place, value in enumerate(values):
            if self._values >= _MOST_VALUES:
                more = True
                break
            # A header as a pair, and an argument after its option.
            if before and ((len(values) == 2 and place == 1) or before.startswith("-")):
                found.append(self._named(before, path, value))
            else:
                found.append(self._value(value, path, keep=keep))
            before = _name(value) if isinstance(value, str | bytes) else ""
        if more:
            found.append(_MORE)
        return found


def _free(name: str, found: Mapping[str, Any]) -> str:
    # Two names may be the same once they are masked.
    free, number = name, 1
    while free in found:
        number += 1
        free = f"{name} ({number})"
    return free


def _with_named(pairs: list[tuple[Any, Any]], names: SecretNames) -> list[tuple[Any, Any, str]]:
    """The pairs; with the name that a pair next to ``value`` gives, as ``{"name", "value"}``."""
    of = ""
    if 2 <= len(pairs) <= 4:
        by_key = {key: value for key, value in pairs if isinstance(key, str)}
        for key in ("name", "key", "Name", "Key"):
            said = by_key.get(key)
            if isinstance(said, str) and names.naming(said) is not Naming.NOTHING:
                of = said
    return [(key, value, of if key in {"value", "Value"} else "") for key, value in pairs]


def _name(key: Any) -> str:
    if isinstance(key, bytes):
        return decoded(key)
    plain = taken_apart(key)
    if isinstance(plain, Secret | Parts):
        return f"<{type(key).__name__}>" if isinstance(plain, Secret) else _text_of(key)
    return plain if isinstance(plain, str) else str(plain)


def _is_hex(text: str) -> bool:
    return len(text) <= 128 and not text.strip("0123456789abcdefABCDEF-")


def _text_of(value: Any) -> str:
    """A text that is the same for equal values; it is hashed, never shown."""
    plain = taken_apart(value)
    if isinstance(plain, str):
        return plain
    try:
        return json.dumps(value, sort_keys=True, default=str, skipkeys=True)
    except Exception:  # noqa: BLE001 - law: no object of the program may harm it through us
        return f"<unprintable {type(value).__name__}>"
