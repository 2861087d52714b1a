"""Pages of one's own, described in YAML files that ``server.page.descriptions`` names."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationError

from metalscope.config.files import SyntaxProblem
from metalscope.config.problems import explain
from metalscope.errors import ConfigurationError
from metalscope.option_base import Options
from metalscope.page.panels import Panel

__all__ = ["PageDescription", "load_descriptions"]

_OPTION: Final = "server.page.descriptions"
_SUFFIXES: Final = frozenset({".yml", ".yaml"})

_ID: Final = "[a-z0-9-]{1,40}"
_MOST_PAGES: Final = 50
_MOST_BYTES: Final = 256 * 1024
_MOST_PROBLEMS: Final = 20
"""Of one file, that are told; whoever mends these sees the others next."""


def _id(value: str) -> str:
    if not re.fullmatch(_ID, value):
        raise ValueError("must be 1 to 40 of the characters a-z, 0-9 and -")
    return value


def _not_empty(panels: tuple[Panel, ...]) -> tuple[Panel, ...]:
    if not panels:
        raise ValueError("must not be empty")
    return panels


class PageDescription(Options):
    """A page of one's own: panels, in the order they are written in."""

    id: Annotated[str, AfterValidator(_id)] = Field(
        description="What its address ends with: 1 to 40 of a-z, 0-9 and -; else the file's name.",
        json_schema_extra={"pattern": f"^{_ID}$"},
    )
    title: str = Field(min_length=1, max_length=120, description="What it is called.")
    # Pydantic's own check would take panels that are wrong for none at all.
    panels: Annotated[tuple[Panel, ...], AfterValidator(_not_empty)] = Field(
        max_length=40,
        description="What it shows, from the top left on.",
        json_schema_extra={"minItems": 1},
    )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data: what is needed to draw it, without what is asked for."""
        return {
            "id": self.id,
            "title": self.title,
            "panels": [panel.to_dict() for panel in self.panels],
        }


def load_descriptions(paths: Iterable[Path]) -> tuple[PageDescription, ...]:
    """The pages that files describe, in the order of the paths; those of a directory by name.

    Of a directory these are the files in it that end in ``.yml`` or ``.yaml``, without hidden
    ones; what lies deeper is not looked at. A file that is named twice is read once.

    Raises:
        ConfigurationError: A file is missing, too large or no YAML, a value in it is wrong, two
            pages have one id, or there are more than 50. The text has a line for each problem,
            with the option, the file, the key, the value and what was expected.
    """
    problems: list[str] = []
    pages: dict[str, tuple[Path, PageDescription]] = {}
    files = _files(paths, problems)
    if len(files) > _MOST_PAGES:
        raise ConfigurationError(
            f"{_OPTION}: there must be at most {_MOST_PAGES} pages, there are {len(files)}"
        )
    for file in files:
        try:
            page = _page(file)
        except _Refused as refused:
            problems += (f"{file}{line}" for line in refused.lines)
            continue
        other = pages.setdefault(page.id, (file, page))[0]
        if other != file:
            problems.append(f"{file}: id = {page.id!r}: must be another one; {other} has it")
    if problems:
        raise ConfigurationError("\n".join(f"{_OPTION}: {problem}" for problem in problems))
    return tuple(page for _, page in pages.values())


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """What is wrong with one file, each behind the file's name."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines


def _files(paths: Iterable[Path], problems: list[str]) -> list[Path]:
    """The files that are meant; what cannot be looked at becomes a problem."""
    files: dict[Path, Path] = {}
    for path in (Path(path).expanduser() for path in paths):
        try:
            if path.is_dir():
                found = sorted(
                    file
                    for file in path.iterdir()
                    if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
                )
            else:
                found = [path]
            for file in found:
                files.setdefault(file.resolve(), file)
        except (OSError, RuntimeError) as error:
            problems.append(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")
    return list(files.values())


def _page(file: Path) -> PageDescription:
    data = _data(file)
    if not isinstance(data, Mapping):
        has = "is empty" if data is None else f"is {_form(data)}"
        raise _Refused(f": must be a table with title and panels; it {has}")
    named = {} if "id" in data else {("id",): "id (the file's name)"}
    try:
        return PageDescription.model_validate({"id": file.stem, **data})
    except ValidationError as error:
        raise _Refused(*_problems(error, named)) from None


def _problems(error: ValidationError, origins: Mapping[Any, str]) -> Iterator[str]:
    lines = explain(PageDescription, error, origins)
    yield from (f": {line}" for line in islice(lines, _MOST_PROBLEMS))
    if (more := error.error_count() - _MOST_PROBLEMS) > 0:
        yield f": and {more} more"


def _form(value: object) -> str:
    return "a list" if isinstance(value, list) else "a single value"


def _data(file: Path) -> Any:
    from metalscope.config.yaml_text import parse_yaml  # noqa: PLC0415 - a megabyte and more

    text = _text(file)
    try:
        return parse_yaml(text, aliases=False)
    except RecursionError:
        raise _Refused(": is nested too deeply") from None
    except SyntaxProblem as problem:
        raise _Refused(f"{problem.place}: {problem}") from None


def _text(file: Path) -> str:
    if file.suffix.lower() not in _SUFFIXES:
        raise _Refused(": the description of a page ends in .yml or .yaml; this one does not")
    try:
        # To open a pipe would wait for who writes to it.
        if not stat.S_ISREG(file.stat().st_mode):
            raise _Refused(": is no file")
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise _Refused(f": cannot be read: {error.strerror or error}") from None
    if len(content) > _MOST_BYTES:
        raise _Refused(f": must have at most {_MOST_BYTES // 1024} KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Refused(
            f": is not UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from None
