"""``metalscope doctor`` as a person and as a program call it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer
from command import Running, anew, environment, metalscope

from metalscope.cli import app
from missing import HEAVY, without, without_heavy
from peers import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "doctor.md"

KEYS = {"group", "name", "state", "what", "why", "remedy", "facts"}


def doctor(*args: str | Path, env: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    done = metalscope("doctor", "--json", *args, env=without_heavy(env))
    assert done.stderr == b"", done.stderr
    return done.returncode, json.loads(done.stdout)


def named(found: dict[str, Any], group: str, name: str) -> dict[str, Any]:
    (one,) = [one for one in found["diagnoses"] if (one["group"], one["name"]) == (group, name)]
    return one  # type: ignore[no-any-return]


def on(port: int) -> dict[str, str]:
    return {"METALSCOPE_SERVER__PORT": str(port)}


@pytest.fixture(scope="module")
def alone() -> tuple[int, dict[str, Any]]:
    """What is found where nothing runs, with every library there is."""
    done = anew("doctor", "--json", env=on(free_port()))
    assert done.stderr == b"", done.stderr
    return done.returncode, json.loads(done.stdout)


def test_where_nothing_runs_nothing_is_broken(alone: tuple[int, dict[str, Any]]):
    code, found = alone
    broken = [one for one in found["diagnoses"] if one["state"] == "broken"]
    assert (code, found["healthy"], found["counts"]["broken"], broken) == (0, True, 0, [])
    assert named(found, "process", "alive")["state"] == "absent"
    groups = list(dict.fromkeys(one["group"] for one in found["diagnoses"]))
    assert groups == [
        "recorder", "extras", "options", "exporters", "alerts", "logs", "traces", "processes",
        "drivers", "instruments",
        "sensors", "server", "process",
    ]  # fmt: skip
    assert all(set(one) == KEYS for one in found["diagnoses"])
    states = [one["state"] for one in found["diagnoses"]]
    assert found["counts"] == {
        state: states.count(state) for state in ("works", "absent", "broken")
    }
    for group, name in [
        ("extras", "server"),
        ("drivers", "mlx"),
        ("instruments", "mlx"),
        ("sensors", "host"),
    ]:
        assert named(found, group, name)["state"] == "works"


def test_every_part_that_can_be_named_is_looked_at(alone: tuple[int, dict[str, Any]]):
    from metalscope.drivers.registry import driver_names
    from metalscope.instrument import instruments
    from metalscope.sensors.registry import sensor_names

    _, found = alone
    seen = {(one["group"], one["name"].partition(":")[0]) for one in found["diagnoses"]}
    for group, names in [
        ("drivers", {*driver_names(), "auto"}),
        ("instruments", set(instruments())),
        ("sensors", set(sensor_names())),
    ]:
        assert {name for kind, name in seen if kind == group} == names


def test_what_does_not_work_says_why(alone: tuple[int, dict[str, Any]]):
    _, found = alone
    assert all(one["why"] for one in found["diagnoses"] if one["state"] != "works")


def test_the_host_is_told_and_its_id_is_not(alone: tuple[int, dict[str, Any]]):
    _, found = alone
    assert found["host"]["host.arch"] in {"amd64", "arm64"}
    assert found["host"]["process.runtime.name"] == sys.implementation.name
    assert "host.id" not in found["host"]


@pytest.mark.parametrize("command", ["doctor", "serve"])
def test_the_help_fits_an_eighty_column_terminal(command: str):
    lines = metalscope(command, "--help").stdout.decode().splitlines()
    assert any(line.startswith(f"  metalscope {command} [OPTIONS]") for line in lines)
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 45


def test_a_running_program_is_found_alive_with_its_metrics(
    start: Callable[..., Running], tmp_path: Path
):
    (tmp_path / "work.py").write_text(
        "import time, metalscope\n"
        "tel = metalscope.get_telemetry()\n"
        "while True:\n"
        "    tel.record('execute', 'k', duration_ns=1000)\n"
        "    time.sleep(0.01)\n"
    )
    running = start("run", "--port", "0", "--no-instrument", tmp_path / "work.py")
    url = running.url()
    code, found = doctor("--url", url, env=on(int(url.rpartition(":")[2])))
    assert code == 0, found
    alive = named(found, "process", "alive")
    assert (alive["state"], alive["facts"]["pid"]) == ("works", running.process.pid)
    metrics = named(found, "process", "metrics")
    assert metrics["facts"]["operations"][1] > metrics["facts"]["operations"][0]
    (port,) = [one for one in found["diagnoses"] if one["group"] == "server"]
    assert port["what"].startswith("in use by metalscope ")


def test_a_port_that_another_server_has_is_broken():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n<h1>not a metalscope</h1>")
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        code, found = doctor(env=on(port))
    assert (code, found["healthy"]) == (1, False)
    one = named(found, "server", f"port {port}")
    assert (one["state"], "--port" in one["remedy"]) == ("broken", True)
    # Nobody said that a process should be there.
    assert named(found, "process", "alive")["state"] == "absent"


def test_an_address_where_nothing_is_and_something_should_be_is_broken():
    url = f"http://127.0.0.1:{free_port()}"
    code, found = doctor("--url", url, env=on(free_port()))
    assert code == 1
    assert named(found, "process", "alive")["why"] == f"{url}: nothing listens there"


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://user:secret@x"])
def test_a_bad_address_is_bad_usage(url: str):
    done = metalscope("doctor", "--url", url)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"metalscope: error: --url must")


def test_a_broken_options_file_is_said_and_the_rest_is_looked_at(tmp_path: Path):
    file = tmp_path / "options.yaml"
    file.write_text("tick_intervall: 1s\nserver:\n  port: many\n")
    code, found = doctor("--config", file)
    assert code == 1
    broken = [one for one in found["diagnoses"] if one["state"] == "broken"]
    assert {one["group"] for one in broken} <= {"options", "server"}
    reasons = [one["why"] for one in broken if one["group"] == "options"]
    assert len(reasons) == 2
    assert "the nearest is tick_interval" in reasons[0]
    assert named(found, "sensors", "host")["state"] == "works"


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Installs a sensor of another package; the environment in which it is there."""

    def install(body: str) -> dict[str, str]:
        (tmp_path / "lab.py").write_text(f"import time\ndef open_sensor():\n    {body}\n")
        metadata = tmp_path / "lab-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text("[metalscope.sensors]\nlab = lab:open_sensor\n")
        return {"PYTHONPATH": str(tmp_path), **on(free_port())}

    return install


def test_a_sensor_of_another_package_that_raises_is_broken_without_a_traceback(plugin):
    env = plugin("raise RuntimeError('no fuse\\x1b[31mred\\x07')")
    done = metalscope("doctor", env=without_heavy(env))
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (1, b"")
    assert "Traceback" not in text
    # Nor does a control character of others reach the terminal.
    assert "\x1b" not in text
    assert "lab: opening it raised RuntimeError: no fuse\ufffd[31mred\ufffd" in " ".join(
        text.split()
    )
    assert re.search(r"\d+ work, \d+ absent, 1 broken\n\Z", text)


def test_a_sensor_of_another_package_that_hangs_is_cut_and_the_rest_is_there(plugin):
    # Long enough for the others on a machine that is busy; the one that hangs uses it up.
    code, found = doctor("--timeout", "8", env=plugin("time.sleep(600)"))
    assert code == 1
    one = named(found, "sensors", "lab")
    assert (one["state"], one["why"]) == ("broken", "no answer within 8 s")
    assert "add lab to disabled_sensors" in one["remedy"]
    assert named(found, "sensors", "host")["state"] == "works"


def test_a_library_that_is_not_there_is_absent_with_the_line_to_type():
    code, found = doctor(env={**without("mlx", *HEAVY), **on(free_port())})
    assert code == 0
    for group in ("drivers", "instruments"):
        one = named(found, group, "mlx")
        assert (one["state"], one["why"]) == ("absent", "mlx is not installed")
        assert one["remedy"] == "pip install --upgrade 'metalscope[mlx]'"
    assert named(found, "drivers", "auto")["state"] == "absent"


def test_a_room_that_does_not_load_is_broken_and_no_traceback_is_shown():
    done = metalscope("doctor", "--json", env={**without("psutil", *HEAVY), **on(free_port())})
    assert (done.returncode, done.stderr) == (1, b"")
    found = json.loads(done.stdout)
    one = named(found, "instruments", "instruments")
    assert (one["state"], "ModuleNotFoundError" in one["why"]) == ("broken", True)
    assert named(found, "sensors", "host")["state"] == "broken"
    assert named(found, "drivers", "mlx")["state"] == "works"


def test_an_extra_that_is_not_met_is_absent_and_one_too_old_is_broken(tmp_path: Path):
    for name, version, more in [
        (
            "metalscope",
            "9",
            "Provides-Extra: a\nProvides-Extra: b\n"
            "Requires-Dist: no-such-lib; extra == 'a'\nRequires-Dist: oldlib>=2; extra == 'b'\n",
        ),
        ("oldlib", "1", ""),
    ]:
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}"
        )
    code, found = doctor(env={"PYTHONPATH": str(tmp_path), **on(free_port())})
    assert code == 1
    assert named(found, "extras", "a")["state"] == "absent"
    assert named(found, "extras", "b")["why"] == "oldlib 1 is not >=2"


def test_a_person_reads_lines_that_fit_with_what_to_do():
    done = metalscope("doctor", env=without_heavy(on(free_port())))
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert max(map(len, lines)) <= 80
    assert lines[0] == "recorder"
    assert any(line.startswith("  works   host: ") for line in lines)
    assert any(line.startswith("            to do: start one: ") for line in lines)
    assert re.fullmatch(r"\d+ work, \d+ absent, 0 broken", lines[-1])


def test_ctrl_c_ends_it_on_one_line(plugin):
    process = subprocess.Popen(
        [sys.executable, "-m", "metalscope", "doctor", "--timeout", "600"],
        env=environment(without_heavy(plugin("time.sleep(600)"))),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def hangs() -> bool:
        # The last check that is left is the one that hangs.
        return len(psutil.Process(process.pid).children()) == 1

    steady = 0
    while steady < 10:
        steady = steady + 1 if hangs() else 0
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"metalscope: error: interrupted\n")


def test_the_pages_say_what_there_is(alone: tuple[int, dict[str, Any]]):
    page = PAGE.read_text(encoding="utf-8")
    _, found = alone
    for key in ("schema_version", "healthy", "counts", "host", "diagnoses", *KEYS):
        assert f"`{key}`" in page
    for group in {one["group"] for one in found["diagnoses"]}:
        assert f"`{group}`" in page
    cli = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for command in ("doctor", "serve"):
        section = re.search(rf"^## {command}\n(.*?)(?=^## )", cli, re.MULTILINE | re.DOTALL)
        assert section
        described = re.findall(r"^\| `(-[\w-]+)[` ]", section[1], re.MULTILINE)
        described += re.findall(r"`, `(--[\w-]+) [A-Z]+` \|", section[1])
        parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
        real = [one.opts[0] for one in parameters if one.param_type_name == "option"]
        assert sorted(described) == sorted(real)
