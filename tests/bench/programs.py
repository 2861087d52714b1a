"""Runs a benchmark program as a person would, with counts too small to measure anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parents[2] / "bench"


def measured(program: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run it to its end; return the JSON it wrote, having checked that the table says the same."""
    output = folder / f"{program}.json"
    ran = subprocess.run(
        [sys.executable, BENCH / f"{program}.py", "--output", output, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    content: dict[str, Any] = json.loads(output.read_text())
    assert content["machine"]["processors"]
    for row in content["rows"]:
        assert f"| {row['what']} |" in ran.stdout
        assert (row["met"] is None) == (row["goal"] is None)
    return content


def medians(content: dict[str, Any]) -> dict[str, float]:
    """The median of each row, by what it is of."""
    return {row["what"]: row["median"] for row in content["rows"]}
