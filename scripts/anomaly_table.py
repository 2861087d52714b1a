"""Write what the benchmark of anomaly detection found into docs/anomalies.md.

python bench/anomalies.py --json FILE
python scripts/anomaly_table.py FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from page_tables import write_tables

PAGE = Path(__file__).parents[1] / "docs" / "anomalies.md"
BEGIN = "<!-- anomalies benchmark -->"
END = "<!-- end of anomalies benchmark -->"


def main(arguments: list[str]) -> int:
    """Write the page; the exit code is 0 where it has become current."""
    results = [json.loads(Path(name).read_text(encoding="utf-8")) for name in arguments]
    result = results[0]
    for other in results[1:]:
        result["raw"] |= other["raw"]
        result["rows"] += [row for row in other["rows"] if row not in result["rows"]]
    return write_tables(PAGE, tables(result), begin=BEGIN, end=END, script="anomaly_table.py")


def tables(result: dict[str, Any]) -> str:
    """Of every set a summary by detector and a table by shape, and what a look costs."""
    facts, sets = result["facts"], result["raw"]
    parts = [_conditions(facts), _summary(facts["detectors"], sets, _costs(result["rows"]))]
    parts.append(_goals(result["rows"]))
    parts += [_by_shape(of, facts["detectors"], shapes) for of, shapes in sets.items()]
    return "\n".join(["", "\n\n".join(parts), ""])


def _conditions(facts: dict[str, Any]) -> str:
    length, seeds = facts["days"], facts["seeds"]
    return f"""\
`python bench/anomalies.py` shows every detector the same streams of snapshots, with real
histograms: operations with log-normal durations, a Pareto tail, slow wandering of speed and of
load, Poisson counts, a background of failures, and twice a day one bad tick in which a tenth of all
calls take ten times as long. Streams last {length:g} simulated day(s) at a tick of 10 s, some of
**open** also a twelfth of that at a tick of 1 s; streams of each shape in each set: {seeds}.

- **open** is the set that detectors may be tuned on. **closed** has other seeds, other programs,
  other sizes and times and softer edges; nobody tuned on it. **recorded** is 19 minutes of a real
  MLX loop on a busy Linux machine, with a sleep in a kernel after ten minutes, and failing calls
  (`bench/incidents/record.py`); what else that machine did is not labelled.
- An incident is **found** where an anomaly of a fitting kind begins between its start and five
  minutes after its end; the time is the median from its start on. An anomaly that begins anywhere
  else is a **false** alarm, counted by simulated day; one that comes back within a minute is the
  same one. **right word** is the share of incidents for which the best kind was told too.
- `river` is the other detector, of `pip install 'metalscope[ml]'`: river's online statistics, the
  Page-Hinkley test for shifts and spikes, ADWIN and a bound on Poisson counts for failures, the
  correlation of memory's floors with time for leaks. Who wrote it wrote the streams too; who wrote
  `robust` did not.
- `original` is the rule of the system metalscope follows: more than 3 of the last 10 samples beyond
  mean + 2 sigma of 15 minutes, for mean durations, error rate and memory; a tenth of all operations
  failed; more than 7 of the last 10 readings of memory above 85 %. It looks at each tick here. With
  `--detectors original-5m` it looks every five minutes, which is its default.
- Cost is CPU time of one `observe` by the number of operations and readings."""


def _costs(rows: list[dict[str, Any]]) -> dict[str, float]:
    mark = ": CPU time of a series a tick"
    return {r["what"].removesuffix(mark): r["median"] for r in rows if r["what"].endswith(mark)}


def _summary(detectors: list[str], sets: dict[str, Any], costs: dict[str, float]) -> str:
    lines = [
        "| set, detector | found | recall | right word | precision | false alarms a day | "
        "µs a series a tick |",
        "|---|---|---|---|---|---|---|",
    ]
    for of, shapes in sets.items():
        for name in detectors:
            total = _added([by[name] for by in shapes.values()])
            lines.append(
                f"| {of}, `{name}` | {total['found']} of {total['incidents']} | "
                f"{_ratio(total['found'], total['incidents'])} | "
                f"{_ratio(total['named'], total['incidents'])} | "
                f"{_ratio(total['episodes'] - total['false'], total['episodes'])} | "
                f"{total['false'] / total['days']:.2f} | {costs[name]:.0f} |"
            )
    return "\n".join(lines)


def _goals(rows: list[dict[str, Any]]) -> str:
    lines = ["| goal | | |", "|---|---|---|"]
    for row in rows:
        if row["goal"]:
            met = "met" if row["met"] else "**missed**"
            lines.append(f"| {row['what']} {row['goal']} | {row['median']:.3g} | {met} |")
    return "\n".join(lines)


def _added(scores: list[dict[str, Any]]) -> dict[str, float]:
    total = {
        key: sum(score[key] for score in scores)
        for key in ("days", "incidents", "found", "episodes", "false")
    }
    total["named"] = round(sum((s["named"] or 0.0) * s["incidents"] for s in scores))
    return total


def _ratio(part: float, whole: float) -> str:
    return f"{part / whole:.3f}" if whole else ""


def _by_shape(of: str, detectors: list[str], shapes: dict[str, Any]) -> str:
    lines = [
        f"| {of}: shape | " + " | ".join(f"`{name}`" for name in detectors) + " |",
        "|---" * (len(detectors) + 1) + "|",
    ]
    lines += [
        f"| {shape} | " + " | ".join(_cell(by[name]) for name in detectors) + " |"
        for shape, by in shapes.items()
    ]
    return "\n".join(lines)


def _cell(score: dict[str, Any]) -> str:
    false = f"{score['false_per_day']:.2g} false"
    if not score["incidents"]:
        return false
    delay = score["median_delay_seconds"]
    took = "" if delay is None else f" in {_spoken(delay)}"
    return f"{score['found']} of {score['incidents']}{took}; {false}"


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 300 else f"{seconds / 60:.0f} min"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
