"""One layer of options, a file, the environment or arguments, brought to the options' own keys.

A layer keeps beside each value where it was given and how its key was written there, because that
is what the person who has to mend it needs to read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from metalscope.config.problems import unknown_option
from metalscope.config.schema import (
    Keys,
    dotted,
    field_named,
    group_of,
    item_group_of,
    nearest_option,
    pascal,
    takes_structure,
)
from metalscope.options import MetalTelemetryOptions

__all__ = ["Layer", "argument_layer", "environment_layer", "file_layer"]

_PREFIX: Final = "METALSCOPE_"
RESERVED: Final = frozenset(
    f"{_PREFIX}{name}" for name in ("API_KEY", "CONFIG", "CORRELATION_ID", "PURE_PYTHON")
)
"""Variables that are no options: the key that commands send, the options file, the work a program
is started for, and a switch read at import."""

_BELOW: Final = "__"


def file_layer(name: str, data: Mapping[Any, Any]) -> Layer:
    """The options of a file; ``name`` is the file as the user knows it."""
    given = [_Given(str(key), value, f"{name}: {key}") for key, value in data.items()]
    return Layer(given, spell=_spell_like_its_file)


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """The ``METALSCOPE_*`` variables. One that is set to nothing counts as not set."""
    given = [
        _nested(variable.removeprefix(_PREFIX), value, f"environment {variable}", only_text=True)
        for variable, value in sorted(environment.items())
        if variable.startswith(_PREFIX) and variable not in RESERVED and value.strip()
    ]
    return Layer(given, spell=_spell_as_variable)


def argument_layer(arguments: Mapping[str, Any]) -> Layer:
    """Options given in code, nested or with double underscores."""
    given = [_nested(str(key), value, f"argument {key}") for key, value in arguments.items()]
    return Layer(given, spell=_spell_as_argument)


@dataclass(frozen=True, slots=True)
class _Given:
    """A value under a key as it was written; ``label`` says in an error where that was.

    ``only_text`` where the source has no lists and tables, so that they come as JSON.
    """

    key: str
    value: Any
    label: str
    only_text: bool = False


def _nested(key: str, value: Any, label: str, *, only_text: bool = False) -> _Given:
    first, below, rest = key.partition(_BELOW)
    if below:
        value = _nested(rest, value, label, only_text=only_text)
    return _Given(first, value, label, only_text)


class Layer:
    """Options under their own names in ``tree``; the origin of each; what was wrong with keys."""

    def __init__(self, given: Iterable[_Given], *, spell: Callable[[Keys, str], str]) -> None:
        self.tree: dict[str, Any] = {}
        self.origins: dict[Keys, str] = {}
        self.problems: list[str] = []
        self._spell = spell
        self._adopt(given, self.tree, MetalTelemetryOptions, ())

    def _adopt(
        self, given: Iterable[_Given], node: dict[str, Any], model: type[BaseModel], at: Keys
    ) -> None:
        for one in given:
            name = field_named(model, one.key)
            if name is None:
                near = nearest_option(MetalTelemetryOptions, at, one.key)
                self._unknown(one, near)
                continue
            keys = (*at, name)
            group = group_of(model, name)
            if group is None and isinstance(one.value, _Given):
                self._unknown(one, keys)
                continue
            value = self._decoded(one, model, name)
            members = None if group is None else _members(value, one.label)
            if group is not None and members is not None and keys not in self.origins:
                self._adopt(members, node.setdefault(name, {}), group, keys)
            elif earlier := self._origin_at_or_below(keys):
                self.problems.append(f"{one.label}: is given twice, also as {earlier}")
            else:
                self.origins[keys] = one.label
                node[name] = self._items(value, item_group_of(model, name), keys, one.label)

    def _origin_at_or_below(self, keys: Keys) -> str | None:
        below = (origin for at, origin in self.origins.items() if at[: len(keys)] == keys)
        return next(below, None)

    def _items(self, value: Any, group: type[BaseModel] | None, keys: Keys, label: str) -> Any:
        """Of a list of groups, each with its keys brought to their own names."""
        if group is None or not isinstance(value, list | tuple):
            return value
        items: list[Any] = []
        for index, item in enumerate(value):
            place, label_here = (*keys, index), f"{label}[{index}]"
            self.origins[place] = label_here
            members = _members(item, label_here)
            if members is None:
                items.append(item)
            else:
                node: dict[str, Any] = {}
                self._adopt(members, node, group, place)
                items.append(node)
        return items

    def _decoded(self, one: _Given, model: type[BaseModel], name: str) -> Any:
        if not one.only_text or isinstance(one.value, _Given) or not takes_structure(model, name):
            return one.value
        try:
            return json.loads(one.value)
        except (json.JSONDecodeError, RecursionError):
            self.problems.append(f"{one.label}: must be JSON, as it is a list or a table")
            return {} if group_of(model, name) else []

    def _unknown(self, one: _Given, near: Keys | None) -> None:
        self.problems.append(
            unknown_option(one.label, self._spell(near, one.key) if near else None)
        )


def _members(value: Any, label: str) -> Iterator[_Given] | None:
    """What a group holds, where the value is one; a group left empty in YAML is ``None``."""
    if isinstance(value, _Given):
        return iter((value,))
    if value is None:
        return iter(())
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return (_Given(str(key), member, f"{label}.{key}") for key, member in value.items())
    return None


def _spell_like_its_file(keys: Keys, written: str) -> str:
    in_net_style = written[:1].isupper() and "_" not in written
    return pascal(keys) if in_net_style else dotted(keys)


def _spell_as_variable(keys: Keys, _: str) -> str:
    # The parts of a list's items stand in JSON; only what is above is a variable's name.
    names = [key for key in keys if isinstance(key, str)]
    return dotted(keys) if len(names) < len(keys) else _PREFIX + _BELOW.join(names).upper()


def _spell_as_argument(keys: Keys, _: str) -> str:
    names = [key for key in keys if isinstance(key, str)]
    return dotted(keys) if len(names) < len(keys) else _BELOW.join(names)
