"""Once a program logs or traces, SIGTERM ends it no sooner than that is written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

START = """
    import os, signal, sys, time
    import metalscope
    path = sys.argv[1]
    tel = metalscope.add_metal_telemetry(
        logging={"sinks": [{"type": "file", "endpoint": f"file://{path}", "format": "json"}]},
        traces={"enabled": True, "sample_ratio": 1, "file": path + ".json"},
    )
    for number in range(200):
        with tel.span("step"):
            tel.log.info("line", number=number)
"""
WAIT = """
    print("ready", flush=True)
    time.sleep(60)
"""


def ended_by_sigterm(text: str, log: Path) -> int:
    program = subprocess.Popen(
        [sys.executable, "-c", dedent(text), str(log)], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    os.kill(program.pid, signal.SIGTERM)
    program.stdout.read()
    return program.wait(60)


def test_all_that_was_logged_and_traced_is_there_and_it_dies_of_the_signal(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    assert ended_by_sigterm(START + WAIT, log) == -signal.SIGTERM
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["number"] for one in lines if "number" in one] == list(range(200))
    spans = json.loads((tmp_path / "app.log.json").read_text())
    assert sum(one["name"] == "step" for one in spans) == 200


def test_a_program_that_handles_the_signal_goes_on_handling_it(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    handles = """
    def handler(number, frame):
        sys.exit(7)
    signal.signal(signal.SIGTERM, handler)
    """
    assert ended_by_sigterm(START + handles + WAIT, log) == 7
    assert len(log.read_text().splitlines()) >= 200


def test_without_logs_and_traces_the_signal_is_left_alone(tmp_path: Path) -> None:
    program = """
    import signal
    import metalscope
    metalscope.add_metal_telemetry()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    """
    done = subprocess.run([sys.executable, "-c", dedent(program)], cwd=tmp_path, check=False)
    assert done.returncode == 0
