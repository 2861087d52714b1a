"""``metalscope demo``: real work, live while it runs, with its report at the end."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest
from command import URL, Running, environment, metalscope

from missing import without

pytest.importorskip("mlx.core")

SAMPLE = re.compile(r"(metal_\w+)\{([^}]*)\} (\S+)")


def total(text: str, metric: str, **labels: str) -> float:
    """The sum of a metric's samples that carry the labels."""
    wanted = [f'{name}="{value}"' for name, value in labels.items()]
    return sum(
        float(value)
        for name, given, value in SAMPLE.findall(text)
        if name == metric and all(label in given for label in wanted)
    )


def by_kind(report: dict[str, Any]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for operation in report["snapshot"]["operations"]:
        kind = operation["kind"]
        counts[kind] = counts.get(kind, 0) + operation["executions"]
    return counts


@pytest.fixture(scope="module")
def headless() -> tuple[dict[str, Any], str]:
    done = metalscope(
        "demo", "--seconds", "3", "--headless", "--port", "0", "--report-format", "json"
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout), done.stderr.decode()


def test_the_report_counts_each_kind_of_work_the_demo_does(headless):
    report, _ = headless
    counts = by_kind(report)
    assert counts.keys() >= {"allocate", "compile", "execute", "synchronize", "transfer"}
    assert counts["execute"] > 10
    assert report["snapshot"]["total_operations"] == sum(counts.values())


def test_the_report_finds_the_failures_and_the_slow_step(headless):
    report, _ = headless
    snapshot = report["snapshot"]
    assert snapshot["errors"]["invalid_argument"] >= 1
    if sys.platform == "linux":
        assert snapshot["errors"]["device_unavailable"] >= 1
    assert sum(operation["categories"]["very_slow"] for operation in snapshot["operations"]) >= 1
    assert 0 < snapshot["error_rate"] < 0.5
    assert report["recommendations"]


def test_the_report_has_the_demos_own_metric_and_events(headless):
    report, _ = headless
    snapshot = report["snapshot"]
    phases = {metric["labels"]["phase"]: metric["value"] for metric in snapshot["custom"]}
    assert phases.keys() == {"forward", "train", "generate"}
    assert all(tokens > 0 for tokens in phases.values())
    names = [event["name"] for event in snapshot["events"]]
    assert {"demo_started", "demo_failure", "demo_finished"} <= set(names)


def test_the_end_says_how_much_was_done_in_agreement_with_the_report(headless):
    report, stderr = headless
    said = re.search(r"(\d+) steps, (\d+) tokens .* (\d+) failed on purpose", stderr)
    assert said
    snapshot = report["snapshot"]
    assert int(said[2]) == sum(metric["value"] for metric in snapshot["custom"])
    assert int(said[3]) == snapshot["total_errors"]
    assert "\x1b" not in stderr


def test_metrics_are_served_while_it_works(start: Callable[..., Running]):
    running = start("demo", "--seconds", "30", "--headless", "--port", "0")
    url = running.url()
    seen = []
    while len(seen) < 3:
        with urlopen(f"{url}/metrics", timeout=10) as response:
            count = total(response.read().decode(), "metal_operations_total", kind="execute")
        if count and count not in seen:
            seen.append(count)
        assert running.process.poll() is None
    assert seen == sorted(seen)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_it_still_prints_its_report(start, number: int, code: int):
    running: Running = start("demo", "--seconds", "600", "--headless", "--port", "0")
    url = running.url()
    count = 0.0
    while not count:
        with urlopen(f"{url}/metrics", timeout=10) as response:
            count = total(response.read().decode(), "metal_operations_total")
    os.kill(running.process.pid, number)
    assert running.end() == code
    assert running.stdout.startswith(b"Metal production report")
    assert "Traceback" not in running.stderr


def test_it_keeps_serving_where_asked_to(start):
    running: Running = start("demo", "--seconds", "1", "--keep", "--port", "0")
    url = running.url()
    running.wait_for("serving on")
    with urlopen(f"{url}/api/v1/report?format=text", timeout=10) as response:
        assert b"Metal production report" in response.read()
    os.kill(running.process.pid, signal.SIGINT)
    assert running.end() == 0


def test_a_terminal_shows_a_progress_bar_and_a_pipe_gets_the_report_alone():
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "metalscope", "demo", "--seconds", "1", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(),
    )
    os.close(theirs)
    assert process.stdout
    report = process.stdout.read()
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(60) == 0
    assert report.startswith(b"Metal production report")
    assert b"\x1b" not in report
    assert "━".encode() in shown
    assert re.search(rb"dashboard .*http://127\.0\.0\.1:\d+/", shown)


def test_a_used_port_is_named_before_any_work():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = metalscope("demo", "--seconds", "1", "--port", str(port))
    assert (done.returncode, done.stdout) == (2, b"")
    assert re.fullmatch(rf"metalscope: error: [^\n]*{port}[^\n]*\n", done.stderr.decode())


@pytest.mark.parametrize(
    ("packages", "extra"), [(("mlx",), "mlx"), (("starlette", "uvicorn"), "server")]
)
def test_a_missing_extra_is_named_with_its_pip_line(packages, extra: str):
    done = metalscope("demo", "--seconds", "1", "--port", "0", env=without(*packages))
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.decode().count("\n") == 1
    assert f"pip install 'metalscope[{extra}]'" in done.stderr.decode()
    assert not URL.search(done.stderr.decode())
