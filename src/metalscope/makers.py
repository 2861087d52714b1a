"""What is made by the name of its type: our own by module, others' by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from metalscope.errors import ConfigurationError
from metalscope.plugins import entry_points_of, load_entry_point
from metalscope.spelling import nearest, plain

__all__ = ["Makers"]


@dataclass(frozen=True, slots=True)
class Makers:
    """The factories of one kind of thing.

    ``what`` is what they make, for errors; ``room`` the package of our own modules; ``own`` names
    module and factory, as ``"slack:SlackNotifier"``, by type, and none is loaded before it is
    wanted; ``group`` is the entry point group of other packages.
    """

    what: str
    room: str
    own: Mapping[str, str]
    group: str

    def known(self, given: str, who: str) -> str:
        """The type that is meant, whatever its case.

        Raises:
            ConfigurationError: there is none; the text says who wants it, and which there are.
        """
        for known in self.own:
            if plain(given) == plain(known):
                return known
        registered = entry_points_of(self.group)
        if given in registered:
            return given
        names = [*self.own, *sorted(registered)]
        near = nearest(given, names)
        raise ConfigurationError(
            f"{who}: type must be one of {', '.join(names)}, not {given!r}"
            + (f"; the nearest is {near}" if near else "")
        )

    def factory(self, kind: str, who: str) -> Any:
        """What makes one of a type.

        Raises:
            ConfigurationError: no package has it, or it cannot be loaded.
        """
        own = self.own.get(kind)
        if own is not None:
            module, _, name = own.partition(":")
            return getattr(import_module(f"{self.room}.{module}"), name)
        entry_point = entry_points_of(self.group).get(kind)
        if entry_point is None:
            raise ConfigurationError(f"{who}: no installed package has a {self.what} {kind!r}")
        return load_entry_point(entry_point, who)
