"""``metalscope run --trace``: a timeline of a program, for a viewer."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Running, metalscope

Start = Callable[..., Running]

PROGRAM = """
import threading
import metalscope

tel = metalscope.get_telemetry()

def work():
    with tel.span("batch", attributes={"size": 3, "api_key": "hush-hush-1234"}):
        for _ in range(3):
            with tel.operation("execute", "matmul", nbytes=64):
                pass

thread = threading.Thread(target=work, name="worker")
thread.start()
thread.join()
try:
    with tel.operation("compile", "broken"):
        raise MemoryError
except MemoryError:
    pass
print("done")
"""
WAITING = """
import sys, time
import metalscope

with metalscope.get_telemetry().operation("execute", "matmul"):
    pass
print("working", file=sys.stderr, flush=True)
while True:
    time.sleep(0.05)
"""


def spans(path: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(path.read_text()):
        if one["ph"] == "X":
            found.setdefault(one["name"], []).append(one)
    return found


def test_every_operation_is_in_the_file_under_the_span_it_ran_in(tmp_path: Path):
    (tmp_path / "app.py").write_text(PROGRAM)
    done = metalscope("run", "--no-server", "--trace", "out.json", "app.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"done\n"), done.stderr.decode()
    found = spans(tmp_path / "out.json")
    assert {name: len(ones) for name, ones in found.items()} == {
        "batch": 1,
        "execute matmul": 3,
        "compile broken": 1,
    }
    [batch] = found["batch"]
    for kernel in found["execute matmul"]:
        assert kernel["args"]["parent_id"] == batch["args"]["span_id"]
        assert kernel["tid"] == batch["tid"]
        assert kernel["ts"] >= batch["ts"]
        assert kernel["ts"] + kernel["dur"] <= batch["ts"] + batch["dur"]
    assert found["compile broken"][0]["cname"] == "terrible"
    assert found["compile broken"][0]["tid"] != batch["tid"]
    names = {
        one["args"]["name"]
        for one in json.loads((tmp_path / "out.json").read_text())
        if one["name"] in {"process_name", "thread_name"}
    }
    assert names == {"app.py", "worker", "MainThread"}
    assert "hush-hush" not in (tmp_path / "out.json").read_text()


def test_of_a_share_of_nothing_what_failed_is_left(tmp_path: Path):
    (tmp_path / "app.py").write_text(PROGRAM)
    done = metalscope(
        *("run", "--no-server", "--trace", "out.json", "--trace-ratio", "0", "app.py"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert set(spans(tmp_path / "out.json")) == {"compile broken"}


def test_sigterm_ends_the_file(start: Start, tmp_path: Path):
    (tmp_path / "app.py").write_text(WAITING)
    run = start("run", "--no-server", "--trace", "out.json", "app.py", cwd=tmp_path)
    run.wait_for("working")
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == -signal.SIGTERM
    assert set(spans(tmp_path / "out.json")) == {"execute matmul"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trace", "no/out.json"], "traces.file"),
        (["--trace", "app.py"], "what is there is no trace of ours"),
        (["--trace-ratio", "0.5"], "--trace-ratio needs --trace"),
        (["--trace", "out.json", "--trace-ratio", "1.5"], "less than or equal to 1"),
    ],
)
def test_what_cannot_be_is_said_before_the_program_starts(
    tmp_path: Path, options: list[str], said: str
):
    (tmp_path / "app.py").write_text(PROGRAM)
    done = metalscope("run", "--no-server", *options, "app.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
    assert (tmp_path / "app.py").read_text() == PROGRAM
