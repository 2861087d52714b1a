"""``metalscope serve``: a host with no program, with programs, and as a service."""

from __future__ import annotations

import configparser
import json
import plistlib
import re
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from command import Running, environment, metalscope
from prometheus_client.parser import text_string_to_metric_families

from metalscope.cli.service import UnitKind, hidden_home, unit
from metalscope.doctor import State
from metalscope.doctor.process import check_process
from peers import free_port, require_peer

Start = Callable[..., Running]

WORKER = """
    import metalscope
    tel = metalscope.add_metal_telemetry(tick_interval=0.05)
    for _ in range(100):
        tel.record("execute", "k", duration_ns=1000)
    tel.export_now()
    print("ready", flush=True)
    input()
    tel.record("execute", "last", duration_ns=1000)
"""


def scrape(url: str) -> dict[str, list[Any]]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    samples: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)
    return samples


def snapshot(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/api/v1/snapshot", timeout=20) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def worker(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment({"METALSCOPE_PROCESSES_DIRECTORY": str(directory)}),
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def pools(samples: dict[str, list[Any]]) -> list[str]:
    return sorted(one.labels["pool"] for one in samples["metal_host_memory_usage_bytes"])


def end(running: Running, number: signal.Signals = signal.SIGTERM) -> None:
    running.process.send_signal(number)
    assert running.end() == 0
    assert "Traceback" not in running.stderr
    assert "error" not in running.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_host_is_served_with_no_program(start: Start, number: signal.Signals):
    running = start("serve", "--port", "0")
    samples = scrape(running.url())
    assert pools(samples) == ["process_resident", "used"]
    (limit,) = samples["metal_host_memory_limit_bytes"]
    assert limit.value > 2**20
    assert len(samples["metal_host_cpu_utilization_ratio"]) == 1
    assert "metal_operations_total" not in samples
    end(running, number)
    assert running.stdout == b""


def test_a_host_with_programs_shows_each_figure_once(start: Start, tmp_path: Path):
    running = start("serve", "--processes", tmp_path, "--port", "0")
    url = running.url()

    # No program yet: the host's figures, nothing of the exporter's own.
    samples = scrape(url)
    assert pools(samples) == ["used"]
    assert len(samples["metal_host_cpu_utilization_ratio"]) == 1
    seen = snapshot(url)
    assert seen["total_operations"] == 0
    assert seen["health_status"] == "healthy" or seen["health"]["components"]
    assert seen["system"]["pid"] == running.process.pid

    # Two programs: theirs added up, the host's still once.
    workers = [worker(tmp_path) for _ in range(2)]
    samples = scrape(url)
    assert pools(samples) == ["process_resident", "used"]
    assert len(samples["metal_host_memory_limit_bytes"]) == 1
    assert sum(one.value for one in samples["metal_operations_total"]) == 200
    resident = next(
        one.value
        for one in samples["metal_host_memory_usage_bytes"]
        if one.labels["pool"] == "process_resident"
    )
    own = [one for one in snapshot(url)["resources"] if one["name"] == "process_resident"]
    assert len(own) == 1
    assert resident > 0

    # One killed, one ended: what they counted stays, and the host's figures too.
    workers[0].kill()
    workers[0].communicate()
    workers[1].communicate("end\n")
    samples = scrape(url)
    assert pools(samples) == ["used"]
    assert sum(one.value for one in samples["metal_operations_total"]) == 201
    end(running)


def test_the_live_page_of_a_host_with_programs_has_its_sensors(start: Start, tmp_path: Path):
    running = start("serve", "--processes", tmp_path, "--port", "0")
    updates = 0
    with urllib.request.urlopen(f"{running.url()}/api/v1/events", timeout=30) as stream:
        event = ""
        for raw in stream:
            line = raw.decode()
            if line.startswith("event: "):
                event = line.removeprefix("event: ").strip()
            elif line.startswith("data: ") and event == "snapshot":
                resources = json.loads(line.removeprefix("data: "))["resources"]
                assert [one["name"] for one in resources if one["kind"] == "cpu_utilization"] == [
                    "host"
                ]
                updates += 1
            if updates == 3:  # the first, and two of ticks
                break
    end(running)


@pytest.mark.parametrize("together", [False, True])
def test_the_doctor_finds_a_host_alive_and_ticking(start: Start, tmp_path: Path, together: bool):
    more = ["--processes", tmp_path] if together else []
    running = start("serve", "--port", "0", *more)
    found = {one.name: one for one in check_process(running.url(), True, 20.0)}
    assert set(found) == {"alive", "tick", "metrics", "internal errors"}
    assert {one.state for one in found.values()} == {State.WORKS}
    assert found["alive"].facts["pid"] == running.process.pid
    end(running)


def test_the_directory_may_come_from_the_options(start: Start, tmp_path: Path):
    config = tmp_path / "options.toml"
    config.write_text(
        f"processes_directory = {str(tmp_path / 'shared')!r}\n[server]\nport = {free_port()}\n"
    )
    running = start("serve", "--config", config)
    url = running.url()
    process = worker(tmp_path / "shared")
    assert snapshot(url)["total_operations"] == 100
    with urllib.request.urlopen(f"{url}/api/v1/report?format=text", timeout=20) as answer:
        assert b"100" in answer.read()
    process.communicate("end\n")
    end(running)


def test_alerts_are_raised_over_the_programs_and_the_host_together(start: Start, tmp_path: Path):
    config = tmp_path / "options.toml"
    config.write_text(
        """
        [alerts]
        evaluation_interval = "100ms"
        sampling_interval = "100ms"
        [[alerts.rules]]
        name = "ManyRuns"
        expr = "sum(metal_operations_total) >= 200 and on () max(metal_host_memory_limit_bytes) > 0"
        """
    )
    running = start("serve", "--processes", tmp_path / "shared", "--port", "0", "--config", config)
    url = running.url()
    workers = [worker(tmp_path / "shared") for _ in range(2)]
    until = monotonic() + 20
    while not (alerts := snapshot(url)["alerts"]) and monotonic() < until:
        sleep(0.05)
    assert [one["rule"] for one in alerts] == ["ManyRuns"]
    assert alerts[0]["link"] == f"{url}/#alert={alerts[0]['id']}"
    done = metalscope("alerts", "--url", url, "--json")
    assert [one["id"] for one in json.loads(done.stdout)["alerts"]] == [alerts[0]["id"]]
    for process in workers:
        process.communicate("end\n")
    end(running)


def test_a_sensor_that_fails_is_counted_once_and_the_rest_is_there(start: Start, tmp_path: Path):
    (tmp_path / "lab.py").write_text(
        "class Lab:\n    name = 'lab'\n    def read(self): raise OSError('unplugged')\n"
    )
    metadata = tmp_path / "lab-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[metalscope.sensors]\nlab = lab:Lab\n")
    # The command runs in this folder, and Python looks there.
    running = start("serve", "--processes", tmp_path / "shared", "--port", "0", cwd=tmp_path)
    seen = snapshot(running.url())
    assert seen["internals"]["errors"]["sensor.lab"] >= 1
    assert "host" in {one["name"] for one in seen["resources"]}
    running.process.terminate()
    assert running.end() == 0


@pytest.mark.parametrize("more", [[], ["--processes"]])
def test_what_cannot_be_served_is_one_line_and_nothing_is_started(more: list[str], tmp_path: Path):
    more = [*more, str(tmp_path)] if more else []
    done = metalscope("serve", "--host", "0.0.0.0", *more)
    assert (done.returncode, done.stdout) == (2, b"")
    text = done.stderr.decode()
    assert text.startswith("metalscope: error: ")
    assert text.count("\n") == 1


def test_a_directory_that_cannot_be_used_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = metalscope("serve", "--port", "0", "--processes", tmp_path / "file" / "x")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_a_used_port_is_one_line(start: Start, tmp_path: Path):
    running = start("serve", "--port", "0")
    port = running.url().rpartition(":")[2]
    for more in ([], ["--processes", str(tmp_path)]):
        done = metalscope("serve", "--port", port, *more)
        assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
        assert b"in use" in done.stderr
    end(running)


# -- the past of a fleet ---------------------------------------------------------------------------


@pytest.mark.parametrize("together", [False, True])
def test_the_page_of_a_fleet_says_where_it_is_read_from(
    start: Start, tmp_path: Path, together: bool
):
    source = f"prometheus=http://127.0.0.1:{free_port()}"
    more = ["--processes", tmp_path] if together else []
    running = start("serve", "--port", "0", "--source", source, *more)
    with urllib.request.urlopen(f"{running.url()}/api/v1/past", timeout=20) as answer:
        told = json.load(answer)
    # Nothing listens there yet: the page is served all the same.
    assert (told["source"], told["live"]) == ("prometheus", False)
    assert source.partition("=")[2].removeprefix("http://") in told["why"]
    end(running)
    assert f"/metrics  source {source}\n" in running.stderr


@pytest.mark.parametrize("source", ["http://db:9090", "prometheus=http://ada:hunter2@db:9090"])
def test_a_source_that_is_none_is_one_line_by_its_name(source: str):
    done = metalscope("serve", "--port", "0", "--source", source)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert done.stderr.startswith(
        b"metalscope: error: --source = 'http"
        if source[0] == "h"
        else b"metalscope: error: --source = 'prometheus=http"
    )
    assert b"hunter2" not in done.stderr


def test_a_unit_has_the_source_it_was_printed_with():
    text = printed("systemd", "--source", "prometheus=http://db:9090")
    assert unit_of(text)["Service"]["ExecStart"].endswith(" --source prometheus=http://db:9090")


# -- service files ---------------------------------------------------------------------------------


def printed(*args: str) -> str:
    done = metalscope("serve", "--print-unit", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path):
    analyze = require_peer("systemd-analyze")
    file = tmp_path / "metalscope.service"
    file.write_text(printed("systemd", "--port", "9500"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", file], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "metalscope" in line]
    assert (done.returncode, ours) == (0, [])


def test_systemd_finds_the_unit_little_exposed(tmp_path: Path):
    analyze = require_peer("systemd-analyze")
    file = tmp_path / "metalscope.service"
    file.write_text(printed("systemd"))
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def unit_of(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def test_the_unit_starts_what_printed_it_with_the_same_options(tmp_path: Path):
    service = unit_of(printed("systemd", "--port", "9500", "--config", str(tmp_path / "a b.toml")))
    command = service["Service"]["ExecStart"]
    assert command.endswith(
        f' serve --processes /run/metalscope --config "{tmp_path}/a b.toml" --port 9500'
    )
    program = Path(command.split(" ")[0])
    assert program.is_absolute()
    assert program.exists()
    assert service["Service"]["Type"] == "exec"
    assert service["Service"]["DynamicUser"] == "yes"
    assert service["Service"]["RuntimeDirectory"] == "metalscope"


def test_the_property_list_starts_what_printed_it_and_keeps_it_alive(tmp_path: Path):
    text = printed("launchd", "--port", "9500", "--processes", str(tmp_path / "a & b"))
    agent = plistlib.loads(text.encode())
    program, *arguments = agent["ProgramArguments"]
    assert Path(program).is_absolute()
    assert arguments[-5:] == ["serve", "--processes", f"{tmp_path}/a & b", "--port", "9500"]
    assert (agent["KeepAlive"], agent["RunAtLoad"]) == (True, True)
    assert agent["Label"] == "metalscope.serve"
    assert agent["StandardErrorPath"] == str(Path.home() / "Library" / "Logs" / "metalscope.log")
    # launchd.plist(5); what it does not know it passes over, without a word.
    known = {
        "Label", "ProgramArguments", "RunAtLoad", "KeepAlive", "ThrottleInterval", "ProcessType",
        "StandardErrorPath",
    }  # fmt: skip
    assert set(agent) == known
    assert "UserName" in text  # said in the comment, for a daemon


def test_the_command_that_is_printed_serves(tmp_path: Path):
    agent = plistlib.loads(printed("launchd", "--port", "0").encode())
    process = subprocess.Popen(
        agent["ProgramArguments"], stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stderr
    found = re.search(r"metrics (http\S+)/metrics", process.stderr.readline())
    assert found
    assert "metal_host_memory_usage_bytes" in scrape(found[1])
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain", "plain"),
        ("a b", '"a b"'),
        ("100%", "100%%"),
        ("$HOME", "$$HOME"),
        ('say "x"', '"say \\"x\\""'),
        ("", '""'),
    ],
)
def test_words_are_written_as_systemd_reads_them_back(word: str, written: str):
    command = unit_of(unit(UnitKind.SYSTEMD, ["/bin/x", word]))["Service"]["ExecStart"]
    assert command == f"/bin/x {written}"


@pytest.mark.parametrize(
    ("command", "python", "hidden"),
    [
        ("/home/me/.venv/bin/metalscope", "/usr/bin/python3", "/home/me/.venv/bin/metalscope"),
        ("/root/venv/bin/metalscope", "/usr/bin/python3", "/root/venv/bin/metalscope"),
        ("/opt/m/bin/metalscope", "/root/.pyenv/bin/python3", "/root/.pyenv/bin/python3"),
        ("/opt/m/bin/metalscope", "/usr/bin/python3", None),
        ("/homestead/bin/metalscope", "/usr/bin/python3", None),
    ],
)
def test_what_lies_in_a_home_is_warned_of(monkeypatch, command, python, hidden):
    monkeypatch.setattr("sys.executable", python)
    monkeypatch.setattr(Path, "resolve", lambda path: path)
    assert hidden_home([command]) == hidden
