from __future__ import annotations

from pathlib import Path

from programs import measured, medians


def test_the_correlation_program_sets_each_way_against_the_others(tmp_path: Path) -> None:
    content = measured("correlation", tmp_path, "--quick", "--rounds", "2", "--operations", "200")
    found = medians(content)
    assert len(found) == 11 + 6 + 7
    assert found["Thread: start and join"] > 0
