"""What is wrong with options, in one line a problem: where, which value, what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from metalscope.config.schema import Keys, dotted, is_secret, nearest_option
from metalscope.durations import format_duration
from metalscope.errors import ConfigurationError
from metalscope.option_types import shown_endpoint

__all__ = ["explain", "from_code", "unknown_option"]

_LONGEST_SHOWN: Final = 60

# By Pydantic's error type; the braces are filled from the error's own context.
_EXPECTED: Final[Mapping[str, str]] = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a table of names and values",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number within reach",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "missing": "is required",
    "model_type": "must be a group of options",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "too_long": "must have at most {max_length}",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
    "value_error": "{error}",
}

# Follows from another problem, which is told.
_ECHO: Final = "default_factory_not_called"


def unknown_option(place: str, near: str | None) -> str:
    """The line for a key that is no option; its value is not shown, as it may be a secret."""
    return f"{place}: unknown option" + (f"; the nearest is {near}" if near else "")


def explain(
    model: type[BaseModel], error: ValidationError, origins: Mapping[Keys, str]
) -> Iterator[str]:
    """A line for each problem Pydantic found; ``origins`` says where options were given."""
    for detail in error.errors(include_url=False):
        if detail["type"] == _ECHO:
            continue
        keys = detail["loc"]
        place = _place(keys, origins)
        if detail["type"] == "extra_forbidden":
            near = nearest_option(model, keys[:-1], str(keys[-1]))
            yield unknown_option(place, dotted(near) if near else None)
            continue
        value = "" if detail["type"] == "missing" else _shown(model, keys, detail["input"])
        yield f"{place}{value}: {_expected(detail)}"


def from_code(model: type[BaseModel], error: ValidationError) -> ConfigurationError:
    """The error of a model that was built in code with bad values."""
    return ConfigurationError(
        "\n".join(f"{model.__name__}: {line}" for line in explain(model, error, {}))
    )


def _place(keys: Keys, origins: Mapping[Keys, str]) -> str:
    for length in range(len(keys), 0, -1):
        if origin := origins.get(keys[:length]):
            rest = dotted(keys[length:])
            return f"{origin}.{rest}" if rest else origin
    return dotted(keys)


def _shown(model: type[BaseModel], keys: Keys, value: Any) -> str:
    if isinstance(value, SecretStr) or is_secret(model, keys):
        return " = '**********'"
    if isinstance(value, bool):
        return f" = {str(value).lower()}"
    if isinstance(value, timedelta):
        return f" = {format_duration(value)}"
    if isinstance(value, str):
        text = shown_endpoint(value) if "://" in value else value
        return f" = {text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + '…'!r}"
    if isinstance(value, int | float):
        return f" = {value!r:.60}"
    # A table or a list may hold secrets.
    return ""


def _expected(detail: ErrorDetails) -> str:
    form = _EXPECTED.get(detail["type"])
    if form is None:
        return detail["msg"]
    context = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in detail.get("ctx", {}).items()
    }
    return form.format(**context)
