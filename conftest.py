"""Settings of the whole suite; the Python in the README and the docs is run, page by page."""

from __future__ import annotations

import gc
import os
import sys

import pytest
from hypothesis import settings
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

# How long an example takes depends on what else the machine does.
# Other examples each time: half as many a run find as much over two.
settings.register_profile("metalscope", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("metalscope")

# Hundreds of processes that compile each module anew would take most of the time of the tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Threads for work so small only take the processors from the other tests, here and in children.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# A worker takes whole files; one that gets a long file last keeps the others waiting.
LONGEST_FIRST = [
    "tests/cli/test_cli_record.py",
    "tests/cli/test_cli_doctor.py",
    "tests/tui/test_tui_view.py",
    "tests/export/test_fault_matrix.py",
    "tests/cli/test_cli_export.py",
    "tests/cli/test_cli_run.py",
    "tests/instrument/test_torch_compiled.py",
    "tests/browser/test_browser_page.py",
    "tests/export/test_spool_disk.py",
    "tests/instrument/test_torch_run.py",
    "tests/cli/test_cli_serve.py",
    "tests/doctor/test_exporters.py",
    "tests/script/test_with_telemetry.py",
    "tests/cli/test_cli_usage.py",
    "tests/export/test_application_insights.py",
    "tests/session/test_session_file.py",
    "tests/export/test_ndjson_file.py",
    "tests/export/test_remote_write.py",
    "tests/bench/test_export_program.py",
    "tests/export/test_prometheus_mlx.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, each as it is."""
    place = {file: number for number, file in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))


def pytest_collection_finish() -> None:
    """Nothing of what was collected is garbage; not to look at it makes ``gc.collect()`` quick."""
    gc.collect()
    gc.freeze()


pytest_collect_file = Sybil(
    parsers=[SkipParser(), PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md"],
).pytest()
