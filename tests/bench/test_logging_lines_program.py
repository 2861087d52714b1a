"""The benchmark of log lines: each contender writes all its lines, and is set against ours."""

from __future__ import annotations

from pathlib import Path

from programs import measured


def test_the_program_sets_ours_against_the_fastest_of_the_others(tmp_path: Path) -> None:
    content = measured("logging_lines", tmp_path, "--quick", "--rounds", "2", "--lines", "300")
    rows = {row["what"]: row for row in content["rows"]}
    assert len([name for name in rows if name.endswith(": caller")]) == 9
    assert len([name for name in rows if name.endswith(": process")]) == 9
    judged = [name for name, row in rows.items() if row["goal"]]
    assert [name.partition(" / ")[0] for name in judged] == [
        "caller: metalscope",
        "process: metalscope",
    ]
    assert content["facts"] == {"lines": 300, "rounds": 2}
