"""What the lines of a panel are called: by a template, or by what tells them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import Formatter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from metalscope.page.source import Line, Measure
from metalscope.spelling import nearest

if TYPE_CHECKING:
    from metalscope.page.panels import Series

__all__ = ["label_of", "label_of_answer", "parts_of_label"]

_FIELDS: Final = ("kind", "name", "device", "host", "measure")

_WORDS: Final[Mapping[Measure, str]] = MappingProxyType(
    {
        "operations": "operations",
        "errors": "errors",
        "error_rate": "error rate",
        "duration_ms": "mean",
        "p50_ms": "p50",
        "p90_ms": "p90",
        "p95_ms": "p95",
        "p99_ms": "p99",
        "p999_ms": "p99.9",
        "resource": "resource",
        "custom": "custom",
    }
)
"""The measures as they are called in a label."""


def parts_of_label(template: str) -> Iterator[tuple[str, str | None]]:
    """Text and the field behind it, ``None`` at the end; ``{{`` and ``}}`` stand for braces.

    Raises:
        ValueError: a brace stands alone, or holds what is no field.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        raise ValueError("must have each brace in a pair; {{ and }} stand for braces") from None
    for text, field, form, conversion in parts:
        # A form or a conversion would be one more language, and can make a line of any length.
        if field is not None and (field not in _FIELDS or form or conversion):
            near = None if field in _FIELDS else nearest(field, _FIELDS)
            raise ValueError(
                f"may have {', '.join(f'{{{known}}}' for known in _FIELDS)}, as they stand here"
                + (f"; the nearest to {{{field:.40}}} is {{{near}}}" if near else "")
            )
        yield text, field


def label_of(line: Line, series: Series, *, with_measure: bool) -> str:
    """What a line of a series is called.

    ``with_measure`` where the panel has more than one, so that those of one operation differ.
    """
    measure = _WORDS[series.measure] if series.measure else ""
    if series.label:
        values = {
            "kind": line.kind,
            "name": line.name,
            "device": line.device,
            "host": line.host,
            "measure": measure,
        }
        made = "".join(
            text + (values[field] if field else "") for text, field in parts_of_label(series.label)
        )
        if made.strip():
            return made
    what = line.name if line.kind == "custom" else f"{line.kind} {line.name}".strip()
    if not what:
        # Several operations together: by what they have in common.
        of = " ".join(pattern for pattern in (series.kind, series.name) if pattern != "*")
        what = f"{measure} of {of}" if of else measure
    elif with_measure and series.measure not in {"resource", "custom"}:
        what = f"{measure} of {what}"
    # The name of a custom metric has its labels in it.
    if line.device and line.kind != "custom":
        what += f" on {line.device}"
    return f"{what} at {line.host}" if line.host else what


def label_of_answer(line: Line, *, otherwise: str) -> str:
    """What a line of a query's answer is called: its labels, as Prometheus writes them."""
    if not line.labels:
        return line.name or otherwise
    labels = dict(line.labels)
    name = labels.pop("__name__", line.name)
    inside = ",".join(f'{label}="{_escaped(value)}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
