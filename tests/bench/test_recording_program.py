from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from programs import BENCH, measured, medians

sys.path.insert(0, str(BENCH))

from goals import Row, at_least, at_most, exactly, table
from implementations import has_compiled_core, implementation
from recording import COMPILED, PURE, above_the_loop, inexact_series, make
from timing import Comparison, Spread

IMPLEMENTATIONS = [
    pytest.param(
        COMPILED, marks=pytest.mark.skipif(not has_compiled_core(), reason="no compiled core")
    ),
    PURE,
]


def test_the_recording_program_measures_every_contender_and_every_goal(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    content = measured(
        "recording", tmp_path, "--rounds=2", "--operations=1000", "--thread-operations=4000"
    )
    found = medians(content)
    here = [COMPILED, PURE] if content["facts"]["compiled_core"] else [PURE]
    for rival in (
        "floor: two clock reads, one append",
        "empty with",
        "prometheus_client, cached children",
        "prometheus_client, labels()",
        "OpenTelemetry SDK, counter + histogram",
        "OpenTelemetry SDK, span, no processor",
    ):
        assert rival in found
    for name in here:
        for way in ("with tel.operation(kind, name)", "tel.record(…)"):
            assert f"{name}: {way} / floor" in found
            assert f"{name}: disabled, {way} / floor" in found
            assert f"OpenTelemetry SDK, counter + histogram / {name}: {way}" in found
        assert f"{name}: 4 threads / 1 thread, CPU" in found
        exact = [row for what, row in found.items() if what.startswith(f"{name}: 4 threads, inex")]
        assert exact == [0]
        assert len(content["raw"]["threads"][name]["4 threads"]) == 2
    assert {len(rounds) for rounds in content["raw"]["one thread"].values()} == {2}


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_four_threads_and_a_reader_leave_every_series_exact(name: str) -> None:
    series, inexact = inexact_series(name, operations=40_000)
    assert series == 1800
    assert inexact == 0


@pytest.mark.skipif(not has_compiled_core(), reason="no compiled core")
def test_both_implementations_run_in_one_process_out_of_each_others_sight() -> None:
    for pure in (False, True, False):
        with implementation(pure=pure) as package:
            here = package.recorder.IMPLEMENTATION
            assert here == (PURE if pure else COMPILED)
    compiled, pure_python = make(COMPILED), make(PURE)
    assert type(compiled) is not type(pure_python)
    with compiled.operation("execute", "one"):
        pass
    assert compiled.get_snapshot().total_operations == 1
    assert pure_python.get_snapshot().total_operations == 0


def test_importing_a_copy_leaves_the_imported_package_and_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import metalscope.manager

    monkeypatch.setenv("METALSCOPE_PURE_PYTHON", "0")
    before = sys.modules["metalscope.manager"]
    with implementation(pure=True) as package:
        assert package is not metalscope
    assert sys.modules["metalscope.manager"] is before
    assert os.environ["METALSCOPE_PURE_PYTHON"] == "0"


def test_the_loops_own_time_is_taken_off_round_by_round() -> None:
    above = above_the_loop(Comparison({"empty loop": [1.0, 2.0], "floor": [3.0, 7.0]}))
    assert above.seconds == {"floor": [2.0, 5.0]}


def test_a_goal_is_kept_at_its_limit_and_a_miss_is_said() -> None:
    rows = [
        exactly("a", 3, "x", at_least(3, "x faster")).to_dict(),
        exactly("b", 25.1, "MB", at_most(25, "MB")).to_dict(),
        exactly("c", 1, "ns").to_dict(),
    ]
    assert [row["met"] for row in rows] == [True, False, None]
    text = table("what", rows)
    assert "| a | 3 x | ≥ 3 x faster | met |" in text
    assert "| b | 25.1 MB | ≤ 25 MB | **missed** |" in text
    assert "| c | 1 ns |  |  |" in text


def test_a_limit_inside_the_spread_is_said_to_be_unsure() -> None:
    row = Row("a", Spread(0.9, 0.8, 1.1), "x", at_most(1, "x floor"))
    assert "| a | 0.9 x (0.8 to 1.1) | ≤ 1 x floor | met, within the spread |" in table(
        "what", [row.to_dict()]
    )
