"""Records that come out as they went in, told quickly: most do, and most texts come again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from metalscope.sanitizing.keys import Naming

if TYPE_CHECKING:
    from metalscope.logs.record import LogRecord
    from metalscope.sanitizing.external import ExternalFields
    from metalscope.sanitizing.keys import Globs, SecretNames
    from metalscope.sanitizing.texts import TextCleaner

__all__ = ["Unchanged"]

_MOST_REMEMBERED: Final = 1024
_MOST_FIELDS: Final = 64
"""Well below the number of which :class:`~metalscope.sanitizing.walking.Walk` leaves some out."""
_MOST_WHOLE: Final = 2**63
# What they hold may be judged by the name that stands next to it.
_JUDGED_BY_OTHERS: Final = frozenset({"value", "Value"})


class Unchanged:
    """Knows of names that are nobody's secret, so that only their values are to be looked at.

    It decides nothing by itself: where it is not certain, the walk through all fields does.

    Args:
        cleaner: of the texts.
        names: tells which names are those of secrets.
        keep: fields that are treated otherwise.
        external: which fields may be sent; ``None`` for all.
        id_of: what becomes of a correlation id.
    """

    def __init__(
        self,
        cleaner: TextCleaner,
        names: SecretNames,
        keep: Globs,
        external: ExternalFields | None,
        id_of: Callable[[str], str],
    ) -> None:
        self._cleaned = cleaner.cleaned
        self._names = names
        self._keep = keep
        self._external = external
        self._id_of = id_of
        self.forget()

    def forget(self) -> None:
        """Look at every name and id anew."""
        self._plain: dict[str, bool] = {}
        self._ids: dict[str, bool] = {}

    def is_record(self, record: LogRecord) -> bool:
        """Whether ``record`` may be sent as it is."""
        if record.exception is not None:
            return False
        cleaned = self._cleaned
        for text in (record.body, record.event, record.logger, record.thread):
            if cleaned(text) != text:
                return False
        correlation_id = record.correlation_id
        if correlation_id and not self._is_id(correlation_id):
            return False
        return self._are_fields(record.attributes)

    def _are_fields(self, fields: Mapping[str, Any]) -> bool:
        if len(fields) > _MOST_FIELDS:
            return False
        plain, cleaned = self._plain, self._cleaned
        for name, value in fields.items():
            known = plain.get(name)
            if known is None:
                known = self._is_plain(name, plain)
            if not known:
                return False
            kind = type(value)
            if kind is str:
                known = cleaned(value) == value
            elif kind is int:
                known = -_MOST_WHOLE <= value < _MOST_WHOLE
            elif kind is float:
                known = isfinite(value)
            else:
                known = value is None or kind is bool
            if not known:
                return False
        return True

    def _is_plain(self, name: str, plain: dict[str, bool]) -> bool:
        if type(name) is not str:
            return False
        external = self._external
        found = (
            name not in _JUDGED_BY_OTHERS
            and self._cleaned(name) == name
            and self._names.naming(name, name) is Naming.NOTHING
            and not (self._keep and self._keep.match(name))
            and (
                external is None
                or (external.allows(name, name) and not external.looks_within(name))
            )
        )
        return _remembered(plain, name, found)

    def _is_id(self, text: str) -> bool:
        ids = self._ids
        found = ids.get(text)
        return _remembered(ids, text, self._id_of(text) == text) if found is None else found


def _remembered(known: dict[str, bool], text: str, found: bool) -> bool:
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
    # What is not plain may itself hold a secret, and is not kept.
    if found and len(text) <= 128:
        known[text] = found
    return found
