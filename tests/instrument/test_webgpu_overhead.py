"""Runs the benchmark as a person would, with counts too small to measure anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.webgpu

BENCH = Path(__file__).parents[2] / "bench"


def test_the_benchmark_measures_every_loop_by_both_clocks(tmp_path: Path) -> None:
    output = tmp_path / "webgpu.json"
    program = [sys.executable, BENCH / "webgpu_overhead.py", "--quick", "--rounds=2"]
    ran = subprocess.run(
        [*program, "--output", output], capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    content = json.loads(output.read_text())
    assert len(content["raw"]) == 4 * 2
    for loop in content["raw"].values():
        assert {name: len(rounds) for name, rounds in loop["seconds"].items()} == {
            "bare": 2,
            "instrumented": 2,
        }
    for row in content["rows"]:
        assert f"| {row['what']} |" in ran.stdout
