"""The shipped dashboards as a test reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metalscope.dashboards.shipped import NAMES, shipped

LABEL = re.compile(r"\{\{(\w+)\}\}")
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")


@dataclass(frozen=True)
class Asked:
    """A query of a dashboard: where it is, and whether it is of a moment."""

    where: str
    expr: str
    instant: bool = False
    labels: frozenset[str] = frozenset()
    """Those that its series must have, to be named or to fill a column."""


def documents() -> dict[str, dict[str, Any]]:
    return {name: json.loads(shipped(name)) for name in NAMES}


def panels(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that show something: no headings of rows."""
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Asked]:
    """Every query of every panel, and of every annotation."""
    for name, document in documents().items():
        for panel in panels(document):
            for target in panel.get("targets", ()):
                where = f"{name}, {panel['title']}, {target['refId']}"
                named = frozenset(LABEL.findall(target.get("legendFormat", "")))
                yield Asked(where, target["expr"], target["instant"], named)
        for annotation in document["annotations"]["list"]:
            if "expr" in annotation:
                words = annotation["titleFormat"] + annotation["textFormat"]
                where = f"{name}, annotation {annotation['name']}"
                yield Asked(where, annotation["expr"], labels=frozenset(LABEL.findall(words)))


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """The text as Grafana sends it; a variable that is not known is an error."""
    return VARIABLE.sub(lambda found: values[found[1] or found[2]], text)
