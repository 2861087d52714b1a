"""What a dashboard is, said without any library: rows of panels, each with its queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Dashboard", "Kind", "Level", "Panel", "Query", "Row", "Shown"]

Kind = Literal["graph", "stat", "heatmap", "timeline", "table", "text"]
"""How a panel shows what its queries give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query of PromQL. ``legend`` names its series, or its column in a table.

    ``instant`` asks for the last value alone. ``buckets`` says that its series are the buckets of
    a histogram.
    """

    expr: str
    legend: str = ""
    instant: bool = False
    buckets: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """From ``value`` on, what is shown has this colour."""

    value: float
    colour: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The word and the colour in place of a number."""

    text: str
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Args:
        title: above it.
        about: what it shows, in a sentence or two; a person finds it under the title's mark.
        kind: how it shows it.
        queries: what it asks; a panel of text has none.
        unit: of its values, as Grafana calls it, such as ``ms``.
        levels: from which value on what is how grave.
        base: the colour below the first of them.
        values: words for numbers, where they stand for states.
        low: the least value of the axis.
        high: the greatest.
        stacked: series one upon the other.
        logarithmic: the axis goes by powers of ten.
        continuous: colours run from ``low`` to ``high``, in place of ``levels``.
        columns: of a table: a label to its heading; in their order.
        units: of a table: a heading to its unit.
        tints: of a table: a heading to the levels of its colours.
        words: of a table: a heading to words for its numbers.
        runbook: the built-in alert whose runbook it links to.
        link: a URL that each series or row links to.
        text: of a panel of text, in Markdown.
        width: of 24 columns.
        height: in rows of the grid, 30 pixels each.
    """

    title: str
    about: str
    kind: Kind = "graph"
    queries: tuple[Query, ...] = ()
    unit: str = "short"
    levels: tuple[Level, ...] = ()
    base: str = "green"
    values: Mapping[int, Shown] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None
    stacked: bool = False
    logarithmic: bool = False
    continuous: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    tints: Mapping[str, tuple[Level, ...]] = field(default_factory=dict)
    words: Mapping[str, Mapping[int, Shown]] = field(default_factory=dict)
    runbook: str = ""
    link: str = ""
    text: str = ""
    width: int = 12
    height: int = 8


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard. ``name`` is its file and its uid, which never changes.

    ``variables`` are those a person chooses by, beside the data source.
    """

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    variables: tuple[str, ...] = ("job", "instance")
