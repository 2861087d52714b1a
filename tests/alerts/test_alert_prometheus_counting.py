"""Counters in Prometheus: what the exported recording rules count."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_rules import exported, own, promtool


def counted_at(end: str, directory: Path, **series: str) -> dict[str, float]:
    """What is recorded of counters over 4 minutes, by process, from values each half minute."""
    recorded = "instance:jobs:increase4m"
    (directory / "rules.yml").write_text(exported(own("Mine", "increase(jobs_total[4m]) > 1e9")))
    named = {"jobs": "jobs_total", "start": "metalscope_start_time_seconds"}
    test = {
        "interval": "30s",
        "input_series": [
            {
                "series": f'{named[what]}{{job="test",instance="{instance}"}}',
                "values": values,
            }
            for name, values in series.items()
            for what, instance in [name.split("_")]
        ],
        "promql_expr_test": [{"expr": recorded, "eval_time": end}],
    }
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (directory / "tests.yml").write_text(yaml.safe_dump(document))
    done = promtool("test", "rules", "tests.yml", directory=directory)
    said = done.stdout + done.stderr
    return {
        instance: float(value)
        for instance, value in re.findall(r'instance="(\w+)", job="test"\} (\S+?)(?:,|\n)', said)
    }


def test_what_a_counter_counted_is_known_from_its_first_value_on(tmp_path: Path) -> None:
    assert counted_at(
        "10m",
        tmp_path,
        # It counted before, and three more since.
        start_lived="0x30",
        jobs_lived="4x15 7x14",
        # It came into being with five at once, in a process that ran before.
        start_new="0x30",
        jobs_new="_x16 5x14",
        # The process itself is that new: it began at 7 m, and was first scraped soon after.
        start_young="_x15 420x14",
        jobs_young="_x15 2x14",
        # It counted, and nothing since.
        start_idle="0x30",
        jobs_idle="9x30",
    ) == {"lived": 3, "new": 5, "young": 2, "idle": 0}


def test_a_counter_of_a_process_that_nobody_knew_is_not_taken_for_new(tmp_path: Path) -> None:
    # Prometheus itself was started at 8 m: the 50 are of long ago.
    found = counted_at("10m", tmp_path, start_old="_x16 -9000x14", jobs_old="_x16 50x1 53x12")
    assert 3 <= found["old"] <= 6


def test_over_a_restart_what_is_counted_is_about_right(tmp_path: Path) -> None:
    # 4 of the old process within the window, and 6 of the new one, which began at 8 m.
    found = counted_at("10m", tmp_path, start_a="0x15 480x14", jobs_a="8x12 12x2 6x14")
    assert 6 <= found["a"] <= 11


def test_what_was_counted_is_not_over_because_the_process_is(tmp_path: Path) -> None:
    found = counted_at("10m", tmp_path, start_a="0x17 stale", jobs_a="0x13 5x3 stale")
    assert found["a"] >= 5
    assert counted_at("16m", tmp_path, start_a="0x17 stale", jobs_a="0x13 5x3 stale") == {}
