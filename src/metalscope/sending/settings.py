"""The ``settings`` of an exporter or a sink, read strictly: what only one protocol knows."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from metalscope.durations import parse_duration
from metalscope.errors import ConfigurationError
from metalscope.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["Settings"]


class _Configured(Protocol):
    @property
    def who(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...


class Settings:
    """The settings of one exporter or sink.

    Args:
        options: whose.
        known: the names it has.

    Raises:
        ConfigurationError: there is one of another name.
    """

    def __init__(self, options: _Configured, known: Collection[str]) -> None:
        self._who = options.who
        self._given = options.settings
        for name in self._given:
            if name not in known:
                near = nearest(name, known)
                raise self.wrong(
                    name,
                    f"is unknown; there are {', '.join(sorted(known)) or 'none'}"
                    + (f"; the nearest is {near}" if near else ""),
                )

    def get(self, name: str) -> Any:
        """The value as it is given, or ``None``."""
        return self._given.get(name)

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self._given.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, f"must be true or false, not {value!r}")
        return value

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self._given.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(name, f"must be a whole number from {least} to {most}, not {value!r}")
        return value

    def text(self, name: str, pattern: str, *, such_as: str) -> str | None:
        """Text that matches the whole of a regular expression; ``None`` where none is given."""
        value = self._given.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self.wrong(name, f"must be text such as {such_as!r}, not {value!r}")
        return value

    def duration(self, name: str, default: timedelta) -> timedelta:
        """A duration longer than zero."""
        value = self._given.get(name, default)
        try:
            duration = parse_duration(value)
        except ValueError as error:
            raise self.wrong(name, f"{error}, not {value!r}") from None
        if duration <= timedelta():
            raise self.wrong(name, f"must be longer than zero, not {value!r}")
        return duration

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of these words; the first where none is given."""
        value = self._given.get(name, choices[0])
        if value not in choices:
            raise self.wrong(name, f"must be one of {', '.join(choices)}, not {value!r}")
        return str(value)

    def wrong(self, name: str, what: str) -> ConfigurationError:
        """The error that says what is wrong with a setting."""
        return ConfigurationError(f"{self._who}: settings.{name} {what}")
