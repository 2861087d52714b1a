from __future__ import annotations

from pathlib import Path

from programs import measured, medians


def test_the_exemplars_program_sets_each_way_against_the_others(tmp_path: Path) -> None:
    content = measured("exemplars", tmp_path, "--quick", "--rounds", "2", "--operations", "500")
    found = medians(content)
    assert len(found) == 9
    assert all(value > 0 for value in found.values())
