from __future__ import annotations

from pathlib import Path

from programs import measured, medians


def test_the_traces_program_sets_each_way_against_the_others(tmp_path: Path) -> None:
    content = measured("traces", tmp_path, "--quick", "--rounds", "2", "--operations", "2000")
    found = medians(content)
    assert len(found) == 20
    assert all(value > 0 for value in found.values())
