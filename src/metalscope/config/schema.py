"""What the option models say of a key: its field, its group, its neighbours, its secrecy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from metalscope.spelling import nearest, plain

__all__ = [
    "Keys",
    "dotted",
    "field_named",
    "group_of",
    "is_secret",
    "item_group_of",
    "nearest_option",
    "options_of",
    "pascal",
    "takes_structure",
]

Keys = tuple[str | int, ...]
"""The way to an option by the fields' own names, with a number for a place in a list."""


def field_named(model: type[BaseModel], key: str) -> str | None:
    """The field a key means, in any style; of a group also with ``Options`` behind it."""
    return _by_spelling(model).get(plain(key))


@cache
def _by_spelling(model: type[BaseModel]) -> dict[str, str]:
    names = {plain(name): name for name in model.model_fields}
    for name in model.model_fields:
        if group_of(model, name) is not None:
            names.setdefault(plain(f"{name}Options"), name)
    return names


def group_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of a field that is a group of options, else ``None``."""
    return _as_model(model.model_fields[name].annotation)


def item_group_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of the items of a list of groups, or of a group that need not be set."""
    models = map(_as_model, get_args(model.model_fields[name].annotation))
    return next((found for found in models if found is not None), None)


def _as_model(annotation: Any) -> type[BaseModel] | None:
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_model else None


def takes_structure(model: type[BaseModel], name: str) -> bool:
    """Whether a field holds a group, a list or a table, which text gives as JSON."""
    annotation = model.model_fields[name].annotation
    within = _as_model(annotation) or item_group_of(model, name)
    return within is not None or get_origin(annotation) in {tuple, dict}


def is_secret(model: type[BaseModel], keys: Keys) -> bool:
    """Whether the value there, or a part of it, must not be shown."""
    at: type[BaseModel] | None = model
    for key in keys:
        if at is None:
            return False
        if isinstance(key, int):
            continue
        field = at.model_fields.get(key)
        if field is None:
            return False
        if _mentions_secret(field.annotation):
            return True
        at = group_of(at, key) or item_group_of(at, key)
    return False


def _mentions_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_mentions_secret, get_args(annotation)))


def options_of(
    model: type[BaseModel], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every single option with the way to it, those of groups after those of the model itself."""
    for name, field in model.model_fields.items():
        if group_of(model, name) is None:
            yield (*above, name), field
    for name in model.model_fields:
        group = group_of(model, name)
        if group is not None:
            yield from options_of(group, (*above, name))


def nearest_option(model: type[BaseModel], at: Keys, key: str) -> Keys | None:
    """The way from the model to the option most like an unknown key given at ``at``.

    Neighbours come first, then options anywhere, by their own name or by the whole way to them.
    """
    words: dict[str, Keys] = {}
    here = _model_at(model, at)
    if here is not None:
        words |= {name: (*at, name) for name in here.model_fields}
    # Of two of the same name the one that lies less deep is meant.
    for keys, _ in sorted(options_of(model), key=lambda option: len(option[0])):
        words.setdefault(keys[-1], keys)
        words.setdefault("_".join(keys), keys)
    near = nearest(key, words)
    return None if near is None else words[near]


def _model_at(model: type[BaseModel], at: Keys) -> type[BaseModel] | None:
    here: type[BaseModel] | None = model
    for key in at:
        if here is None or isinstance(key, int):
            continue
        here = group_of(here, key) or item_group_of(here, key) if key in here.model_fields else None
    return here


def dotted(keys: Keys) -> str:
    """The way as text: ``export.exporters[0].type``."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f".{key}" if text else key
    return text


def pascal(keys: Keys) -> str:
    """The way in the .NET style: ``ExportOptions.Exporters[0].Type``."""
    words = [
        key if isinstance(key, int) else "".join(map(str.capitalize, key.split("_")))
        for key in keys
    ]
    if len(words) > 1:
        words[0] = f"{words[0]}Options"
    return dotted(tuple(words))
