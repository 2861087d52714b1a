from __future__ import annotations

from pathlib import Path

from programs import measured, medians


def test_the_health_program_sets_each_look_against_the_snapshot_alone(tmp_path: Path) -> None:
    content = measured("health", tmp_path, "--quick", "--rounds", "2", "--ticks", "3")
    found = medians(content)
    assert len(found) == 10
    assert all(value > 0 for value in found.values())
