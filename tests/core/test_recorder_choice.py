"""Which of the two recorders a program gets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from metalscope import _recorder_cell, _recorder_pure
from metalscope.manager import MetalTelemetryManager


def implementation(prelude: str = "", **env: str) -> str:
    code = (
        f"{prelude}\nfrom metalscope.recorder import IMPLEMENTATION, Recorder\n"
        "print(IMPLEMENTATION, Recorder.__module__)"
    )
    inherited = {k: v for k, v in os.environ.items() if k != "METALSCOPE_PURE_PYTHON"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=True, env={**inherited, **env},
    ).stdout.strip()  # fmt: skip


def test_the_compiled_recorder_is_used_where_it_is_built():
    found = implementation()
    if found != "compiled metalscope._recorder_compiled":
        if os.environ.get("CI"):
            pytest.fail(f"under CI the compiled recorder must be built; found {found}")
        pytest.skip("the compiled recorder is not built")
    assert implementation(METALSCOPE_PURE_PYTHON="0") == found


def test_the_environment_can_ask_for_the_pure_one():
    assert implementation(METALSCOPE_PURE_PYTHON="1") == "pure metalscope._recorder_pure"


def test_without_the_compiled_one_the_pure_one_serves():
    absent = "import sys; sys.modules['metalscope._core'] = None"
    assert implementation(absent) == "pure metalscope._recorder_pure"


def test_a_manager_of_a_class_with_its_own_operation_uses_that():
    seen = []

    class Mine(MetalTelemetryManager):
        def operation(self, kind, name, **more):
            seen.append(name)
            return super().operation(kind, name, **more)

        def record(self, kind, name, **more):
            seen.append(name)
            super().record(kind, name, **more)

    mine = Mine()
    with mine.operation("execute", "f", nbytes=5):
        pass
    mine.record("execute", "g", duration_ns=1)
    assert seen == ["f", "g"]
    assert mine.get_snapshot().total_operations == 2


def test_the_pure_recorder_counts_what_reaches_a_cell_while_it_is_closed():
    recorder = _recorder_pure.Recorder(max_series=5, on_error=pytest.fail)
    recorder.record("execute", "f", duration_ns=1)
    ((series, cell),) = recorder._cells.items()
    # As a thread holds them between look-up and call.
    append, append_detailed = cell.append, cell.detailed.append
    recorder.evict([series])
    append(5)
    append_detailed((6, 7, 8))
    (totals,) = recorder.collect().values()
    assert (totals.durations.count, totals.durations.sum_ns, totals.nbytes) == (2, 11, 7)
    assert recorder.collect()[series] == totals


def test_the_pure_recorder_holds_only_so_many_durations_back():
    recorder = _recorder_pure.Recorder(max_series=5, on_error=pytest.fail)
    for number in range(5000):
        recorder.record("execute", "f", duration_ns=number)
        recorder.record("execute", "f", duration_ns=number, nbytes=1)
        with recorder.operation("execute", "f"):
            pass
        (cell,) = recorder._cells.values()
        assert len(cell) <= _recorder_cell.PENDING + 1
        assert len(cell.detailed) <= _recorder_cell.PENDING + 1
    assert cell.total() == 15_000
