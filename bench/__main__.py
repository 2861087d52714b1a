"""Run every benchmark, print one table, write one JSON file.

    python bench [--quick] [--output PATH]

See bench/README.md for what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from goals import RESULTS, Row, at_most, table
from timing import Comparison, Machine

HERE = Path(__file__).parent

PROGRAMS = (
    "recording", "scrape", "export", "exemplars", "traces", "logging_lines", "correlation",
    "memory", "imports",
)  # fmt: skip
LOOP_GOAL = at_most(1.005, "x")
"""Less than 0.5 % slower, for a loop of 1,000 operations a second or more."""


def run(program: str, output: Path, arguments: Sequence[str], *, pure: bool = False) -> Any:
    """Run one program as a process of its own and read what it wrote."""
    output.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"METALSCOPE_PURE_PYTHON": "1" if pure else "0"}
    subprocess.run(
        [sys.executable, HERE / f"{program}.py", "--output", output, *arguments],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    return json.loads(output.read_text())


def loop_rows(overhead: dict[str, Any], implementation: str) -> list[dict[str, Any]]:
    """The rows of the real loop, from what overhead.py wrote."""
    rows = []
    for loop in overhead["loops"]:
        comparison = Comparison(loop["seconds"])
        per_second = loop["steps"] / comparison.spread("bare").median
        rows.append(
            Row(
                f"{implementation}: MLX {loop['size']}x{loop['size']} matmul, "
                f"{per_second:,.0f} a second, instrumented / bare",
                comparison.ratio("instrumented", to="bare"),
                "x",
                LOOP_GOAL,
            ).to_dict()
        )
    return rows


def overhead(folder: Path, *, quick: bool) -> dict[str, Any]:
    arguments = ["--rounds=3", "--seconds=0.1"] if quick else ["--rounds=81", "--seconds=0.05"]
    found, rows = {}, []
    for implementation in ("compiled", "pure"):
        output = folder / f"overhead-{implementation}.json"
        found[implementation] = run("overhead", output, arguments, pure=implementation == "pure")
        rows += loop_rows(found[implementation], implementation)
    return {"title": "a real MLX loop, time on the wall", "rows": rows, "raw": found}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a rough look, in seconds")
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS / "bench.json",
        help="where to write the numbers as JSON; each program's own lie beside it",
    )
    arguments = parser.parse_args(argv)
    folder = arguments.output.parent
    quick = ["--quick"] if arguments.quick else []
    print(f"{Machine.here()}\n", flush=True)

    began = perf_counter()
    results = {}
    for program in PROGRAMS:
        results[program] = run(program, folder / f"{program}.json", quick)
        print(table(results[program]["title"], results[program]["rows"]), "\n", flush=True)
    try:
        import mlx.core  # noqa: F401
    except ImportError:
        print("MLX is not installed: the loop of real work is left out.\n")
    else:
        results["overhead"] = overhead(folder, quick=arguments.quick)
        print(table(results["overhead"]["title"], results["overhead"]["rows"]), "\n")

    rows = [row for result in results.values() for row in result["rows"]]
    goals = [row for row in rows if row["met"] is not None]
    met = sum(row["met"] for row in goals)
    print(f"{met} of {len(goals)} goals met, in {perf_counter() - began:.0f} s.")
    content = {"machine": Machine.here().to_dict(), "quick": arguments.quick, "programs": results}
    arguments.output.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
