"""``metalscope run --log``: what went wrong, tied to its work, and nothing lost at the end."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from textwrap import dedent
from typing import Any

from command import Running, metalscope

PROGRAM = """
    import threading
    import metalscope
    from metalscope.correlating import correlation

    tel = metalscope.add_metal_telemetry()

    def work():
        tel.record("execute", "slow", duration_ns=200_000_000)

    with correlation("order-17"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    tel.record("execute", "outside", duration_ns=1, error="timeout")
"""


def program(tmp_path: Path, text: str = PROGRAM) -> Path:
    path = tmp_path / "app.py"
    path.write_text(dedent(text))
    return path


def records(log: Path) -> dict[str, dict[str, Any]]:
    """Those with an event, by its name."""
    lines = map(json.loads, log.read_text().splitlines())
    return {one["event"]: one for one in lines if "event" in one}


def test_what_was_slow_or_failed_is_in_the_file_with_the_work_it_was_part_of(tmp_path: Path):
    log = tmp_path / "app.log"
    done = metalscope("run", "--no-server", "--log", log, program(tmp_path))
    assert done.returncode == 0, done.stderr
    found = records(log)
    assert found["metal.operation.slow"]["correlation_id"] == "order-17"
    assert "correlation_id" not in found["metal.operation.error"]
    assert found["metalscope.stopped"]["metal.errors"] == 1


def test_a_program_takes_up_the_work_it_was_started_for(tmp_path: Path):
    log = tmp_path / "app.log"
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    started_for = {"METALSCOPE_CORRELATION_ID": "night-run", "TRACEPARENT": parent}
    done = metalscope("run", "--no-server", "--log", log, program(tmp_path), env=started_for)
    assert done.returncode == 0, done.stderr
    error = records(log)["metal.operation.error"]
    assert (error["correlation_id"], error["trace_id"]) == ("night-run", "ab" * 16)


def test_a_dash_is_standard_error_in_words(tmp_path: Path):
    done = metalscope("run", "--no-server", "--log", "-", program(tmp_path))
    assert done.returncode == 0
    (line,) = [one for one in done.stderr.decode().splitlines() if "metal.operation.slow" in one]
    assert " WARNING " in line
    assert line.endswith("[order-17]")


def test_a_program_that_is_ended_by_sigterm_has_logged_all_before(tmp_path: Path):
    log = tmp_path / "app.log"
    path = program(
        tmp_path,
        """
        import time
        import metalscope
        tel = metalscope.add_metal_telemetry()
        for number in range(300):
            tel.log.info("line", number=number)
        import sys; print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
        """,
    )
    running = Running("run", "--no-server", "--quiet", "--log", log, path)
    running.wait_for("ready")
    os.kill(running.process.pid, signal.SIGTERM)
    assert running.end() == -signal.SIGTERM
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["number"] for one in lines if "number" in one] == list(range(300))
    assert lines[-1]["event"] == "metalscope.stopped"


def test_a_log_that_cannot_be_written_is_said_before_the_program_runs(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = metalscope(
        "run", "--no-server", "--log", tmp_path / "file" / "app.log", program(tmp_path)
    )
    assert done.returncode == 2, done.stderr
    assert b"log sink file" in done.stderr
