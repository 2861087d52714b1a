"""Reading an options file: TOML, YAML or JSON by suffix, strictly, with clear refusals."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from metalscope.errors import ConfigurationError
from metalscope.spelling import plain

__all__ = ["read_file"]

_PYPROJECT: Final = "pyproject.toml"

# The top key of the .NET form. Beside it, the file's other keys belong to other programs.
_SECTION: Final = plain("MetalTelemetry")


def read_file(path: Path) -> Mapping[Any, Any]:
    """The options in a file, as they are written there.

    Of a ``pyproject.toml`` this is the table ``[tool.metalscope]``; of a file with the top key
    ``MetalTelemetry`` what stands below it; else the whole file. An empty file has no options.

    Raises:
        ConfigurationError: The file cannot be read, is not UTF-8, is not of the form its suffix
            promises, names a key twice, or holds no table of options.
    """
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise ConfigurationError(
            f"{path}: an options file ends in .toml, .yaml, .yml or .json; this one does not"
        )
    try:
        # Editors on Windows begin JSON files with a byte order mark.
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: is not UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from None
    try:
        data = parse(text)
    except RecursionError:
        raise ConfigurationError(f"{path}: is nested too deeply") from None
    except SyntaxProblem as problem:
        raise ConfigurationError(f"{path}{problem.place}: {problem}") from None
    return _options_in(path, data)


def _options_in(path: Path, data: Any) -> Mapping[Any, Any]:
    where = str(path)
    if path.name == _PYPROJECT:
        where = f"{path}: [tool.metalscope]"
        tools = data.get("tool")
        if not isinstance(tools, Mapping) or "metalscope" not in tools:
            raise ConfigurationError(f"{path}: has no table [tool.metalscope]")
        data = tools["metalscope"]
    elif isinstance(data, Mapping):
        sections = [key for key in data if plain(str(key)) == _SECTION]
        if len(sections) > 1:
            raise ConfigurationError(f"{path}: {' and '.join(sections)} are the same section")
        if sections:
            where = f"{path}: {sections[0]}"
            data = data[sections[0]]
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{where}: must be a table of options, is {_kind(data)}")
    return data


def _kind(value: object) -> str:
    kinds = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), f"a {type(value).__name__}")


class SyntaxProblem(Exception):  # noqa: N818 - never leaves this package
    """What is wrong with the text, and ``place``, such as ``" line 3, column 7"``."""

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        self.place = place


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # "Invalid value (at line 3, column 8)": the only form Python 3.11 gives the place in.
        message, _, place = str(error).removesuffix(")").partition(" (at ")
        raise SyntaxProblem(f"is not TOML: {message}", f" {place}" if place else "") from None


def _json(text: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text, object_pairs_hook=_each_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise SyntaxProblem(
            f"is not JSON: {error.msg}", f" line {error.lineno}, column {error.colno}"
        ) from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise SyntaxProblem(f"the key {key!r} stands twice in one object")
        members[key] = value
    return members


def _no_constant(name: str) -> Any:
    raise SyntaxProblem(f"is not JSON: {name} is no JSON value")


def _yaml(text: str) -> Any:
    from metalscope.config.yaml_text import parse_yaml  # noqa: PLC0415 - a megabyte and more

    return parse_yaml(text)


_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    ".toml": _toml,
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
}
