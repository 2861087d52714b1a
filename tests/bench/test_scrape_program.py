from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from programs import BENCH, measured, medians

from metalscope import MetalTelemetryManager

sys.path.insert(0, str(BENCH))

from scrape import STEP_NS, Native, same_as_collected, same_as_native, some_series


def test_the_scrape_program_times_both_sides_and_finds_no_difference(tmp_path: Path) -> None:
    content = measured("scrape", tmp_path, "--rounds=2", "--series=40")
    found = medians(content)
    different = {what: value for what, value in found.items() if "that differ" in what}
    assert list(different.values()) == [0, 0]
    # 40 of operations, 40 histograms of 23 lines, the errors and the four categories.
    assert content["facts"]["samples_in_common"] > 40 * (1 + 23)
    assert all(len(rounds) == 2 for rounds in content["raw"]["seconds"].values())
    assert len(content["raw"]["seconds"]) == 4


def test_a_text_that_says_something_else_is_seen_as_different() -> None:
    tel, native = MetalTelemetryManager(), Native()
    for position, series in enumerate(some_series(12)):
        kind, name, device, outcome = series
        tel.record(
            kind,
            name,
            duration_ns=position * STEP_NS,
            error=None if outcome == "ok" else outcome,
            device=device,
        )
        native.record(series, position * STEP_NS)
    snapshot = tel.get_snapshot()
    samples, differing = same_as_native(snapshot, native)
    assert samples > 12 * 24
    assert differing == 0
    assert same_as_collected(snapshot) == 0
    native.record(("execute", "kernel_0000", "gpu0", "ok"), STEP_NS)
    assert same_as_native(snapshot, native)[1] > 0
    assert same_as_native(replace(snapshot, operations=snapshot.operations[1:]), native)[1] > 24
