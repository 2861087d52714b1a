from __future__ import annotations

from pathlib import Path

from programs import measured, medians


def test_the_alerts_program_says_what_rules_cost_and_how_a_week_ends(tmp_path: Path) -> None:
    arguments = ("--quick", "--rounds", "2", "--ticks", "3", "--days", "0.25")
    found = medians(measured("alerts", tmp_path, *arguments))
    assert found["0.25 days: evaluations"] == 360
    assert found["0.25 days: incidents"] > 0
    for nothing in (
        "incidents of which no alert told",
        "alerts never resolved",
        "alerts that differ after a restart",
        "errors",
    ):
        assert found[f"0.25 days: {nothing}"] == 0
