from __future__ import annotations

import sys
from pathlib import Path

import pytest
from programs import BENCH, measured, medians

sys.path.insert(0, str(BENCH))

from imports import brought_along


def test_the_imports_program_times_fresh_processes_and_finds_nothing_heavy(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    content = measured("imports", tmp_path, "--rounds=2")
    assert content["facts"]["loaded"] == []
    assert "import metalscope, above the bare process" in medians(content)
    assert {len(rounds) for rounds in content["raw"]["seconds"].values()} == {2}


def test_a_heavy_library_that_is_loaded_is_named() -> None:
    assert brought_along("import prometheus_client") == ["prometheus_client"]
