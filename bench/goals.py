"""What the benchmark programs share: rows with goals, one table, one form of JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from timing import Machine, Spread

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Goal:
    """A limit that a median keeps or misses."""

    limit: float
    text: str
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def at_most(limit: float, text: str) -> Goal:
    return Goal(limit, f"≤ {limit:g} {text}".rstrip())


def at_least(limit: float, text: str) -> Goal:
    return Goal(limit, f"≥ {limit:g} {text}".rstrip(), at_least=True)


@dataclass(frozen=True)
class Row:
    """One measured thing; ``goal`` where one is set for it. Values are in ``unit``."""

    what: str
    measured: Spread
    unit: str
    goal: Goal | None = None

    @property
    def met(self) -> bool | None:
        return self.goal.met_by(self.measured.median) if self.goal else None

    @property
    def within_spread(self) -> bool:
        """Whether the limit lies between the quartiles, so that another run may say otherwise."""
        return self.goal is not None and self.measured.low < self.goal.limit < self.measured.high

    def to_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "median": self.measured.median,
            "low": self.measured.low,
            "high": self.measured.high,
            "unit": self.unit,
            "goal": self.goal.text if self.goal else None,
            "met": self.met,
            "within_spread": self.within_spread,
        }


def exactly(what: str, value: float, unit: str, goal: Goal | None = None) -> Row:
    """A row for what is counted, not timed, and so has no spread."""
    return Row(what, Spread(value, value, value), unit, goal)


@dataclass(frozen=True)
class Result:
    """What one program found. ``facts`` say under what conditions, ``raw`` is every round."""

    title: str
    rows: Sequence[Row]
    facts: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "machine": Machine.here().to_dict(),
            "facts": self.facts,
            "rows": [row.to_dict() for row in self.rows],
            "raw": self.raw,
        }


def table(title: str, rows: Sequence[dict[str, Any]]) -> str:
    """Rows as ``Row.to_dict()`` gives them, in Markdown."""
    lines = [f"| {title} | median (quartiles) | goal | |", "|---|---|---|---|"]
    for row in rows:
        met = {True: "met", False: "**missed**", None: ""}[row["met"]]
        met += ", within the spread" if row["within_spread"] else ""
        lines.append(f"| {row['what']} | {_value(row)} | {row['goal'] or ''} | {met} |")
    return "\n".join(lines)


def _value(row: dict[str, Any]) -> str:
    median, low, high = (_number(row[key]) for key in ("median", "low", "high"))
    spread = "" if row["low"] == row["high"] else f" ({low} to {high})"
    return f"{median} {row['unit']}{spread}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def parser(doc: str | None, *, name: str) -> argparse.ArgumentParser:
    """The options every program takes."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--quick", action="store_true", help="a rough look, in seconds")
    made.add_argument("--rounds", type=int, help="rounds of each (default: 15, quick: 3)")
    made.add_argument(
        "--output",
        type=Path,
        default=RESULTS / f"{name}.json",
        help="where to write the numbers as JSON",
    )
    return made


def rounds_of(arguments: argparse.Namespace) -> int:
    rounds = arguments.rounds or (3 if arguments.quick else 15)
    if rounds < 2:
        raise SystemExit("--rounds must be 2 or more")
    return int(rounds)


def publish(result: Result, output: Path) -> None:
    """Print the table and write the JSON."""
    content = result.to_dict()
    print(table(result.title, content["rows"]), flush=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
