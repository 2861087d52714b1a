"""Write the tables of all options into docs/configuration.md; ``--check`` only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from metalscope.config.schema import group_of, item_group_of
from metalscope.durations import format_duration
from metalscope.options import MetalTelemetryOptions
from page_tables import write_tables

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
BEGIN = "<!-- options: written by scripts/option_table.py -->\n"
END = "<!-- options: end -->\n"


def tables() -> str:
    """All groups, each with its table."""
    return "\n".join(
        [_table("Telemetry", MetalTelemetryOptions), *_below(MetalTelemetryOptions, "")]
    )


def _below(model: type[BaseModel], above: str) -> Iterator[str]:
    """The tables of the groups in a group, and of the groups in its lists."""
    for name in model.model_fields:
        group, items = group_of(model, name), item_group_of(model, name)
        within = group or items
        if within is not None:
            is_list = get_origin(model.model_fields[name].annotation) is tuple
            place = f"{above}{name}[]" if is_list else f"{above}{name}"
            yield _table(f"`{place}`", within)
            yield from _below(within, f"{place}.")


def _table(title: str, model: type[BaseModel]) -> str:
    about = (model.__doc__ or "").split("\n\n")[0]
    lines = [f"### {title}\n", f"{about}\n", "| option | default | takes | |", "|---|---|---|---|"]
    # What it has of others comes last.
    own = model.__annotations__
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] not in own):
        if group_of(model, name) is None:
            meaning = field.description or ""
            lines.append(f"| `{name}` | {_default(field)} | {_takes(field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: Any = field.default
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, timedelta):
        return f"`{format_duration(default)}`"
    if isinstance(default, float):
        return f"`{default:g}`"
    if isinstance(default, int):
        return f"`{default}`"
    return f"`{default}`" if isinstance(default, str) else "none"


def _takes(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if isinstance(annotation, UnionType):
        # One that need not be set.
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(annotation)
    if annotation in {int, float}:
        bounds = {
            sign: f"{getattr(one, sign):g}" if annotation is float else str(getattr(one, sign))
            for one in field.metadata
            for sign in ("gt", "ge", "le")
            if getattr(one, sign, None) is not None
        }
        if "le" in bounds:
            return f"{bounds['ge']} to {bounds['le']}"
        return f"above {bounds['gt']}"
    names: dict[Any, str] = {bool: "true, false", timedelta: "duration"}
    origins: dict[Any, str] = {tuple: "list", dict: "table"}
    return names.get(annotation) or origins.get(get_origin(annotation)) or "text"


def main() -> int:
    """Rewrite the page, or say that it is not current."""
    return write_tables(PAGE, tables(), begin=BEGIN, end=END, script="option_table.py")


if __name__ == "__main__":
    sys.exit(main())
