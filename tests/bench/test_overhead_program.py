from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def test_the_overhead_program_measures_and_writes_every_round(tmp_path: Path) -> None:
    pytest.importorskip("mlx.core")
    output = tmp_path / "overhead.json"
    program = subprocess.run(
        [sys.executable, BENCH / "overhead.py", "--rounds=3", "--seconds=0.05", "--output", output],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    results = json.loads(output.read_text())
    for loop in results["loops"]:
        assert loop["steps"] > 0
        assert {name: len(rounds) for name, rounds in loop["seconds"].items()} == {
            "bare": 3,
            "instrumented": 3,
        }
    assert len(results["one_operation"]["seconds"]["floor"]) == 3
    assert results["machine"]["processors"]
    assert "| one operation | ns |" in program.stdout
