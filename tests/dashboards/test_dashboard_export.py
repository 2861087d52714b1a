"""``metalscope dashboards export``, and the files of ``--stack``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dashboard_files import panels
from dashboards_command import run

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.dashboards.shipped import NAMES, shipped
from metalscope.errors import ConfigurationError
from missing import without
from peers import require_peer


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    assert run("export", "--stack", "--output", tmp_path) == 0
    return tmp_path


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text("utf-8"))


def test_the_command_writes_the_dashboards_that_are_shipped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("export", "--output", tmp_path / "new") == 0
    for name in NAMES:
        assert (tmp_path / "new" / f"{name}.json").read_text("utf-8") == shipped(name)
    said = capfd.readouterr().out.splitlines()
    assert said == [str(tmp_path / "new" / f"{name}.json") for name in NAMES]


def test_only_those_that_are_named_are_written(tmp_path: Path) -> None:
    run("export", "--output", tmp_path, "--name", "metalscope-slo", "--name", "metalscope")
    assert {file.name for file in tmp_path.iterdir()} == {"metalscope-slo.json", "metalscope.json"}


def test_a_name_that_is_none_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean metalscope-fleet\?"):
        run("export", "--name", "metalscope-flet")


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandFailed, match="cannot write") as refused:
        run("export", "--output", tmp_path / "file")
    assert refused.value.code == ExitCode.USAGE


def test_with_options_the_thresholds_are_theirs(tmp_path: Path) -> None:
    config = tmp_path / "metal.yaml"
    config.write_text("alerts: {high_gpu_utilization_threshold: 60}")
    assert run("export", "--stack", "--config", config, "--output", tmp_path) == 0
    text = (tmp_path / "grafana" / "dashboards" / "metalscope.json").read_text("utf-8")
    (panel,) = (p for p in panels(json.loads(text)) if p["title"] == "Utilisation")
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 60, 95]
    assert "> 60" in (tmp_path / "prometheus" / "metalscope.rules.yml").read_text("utf-8")


def test_the_shipped_ones_need_no_library_and_ones_own_thresholds_say_which(
    tmp_path: Path,
) -> None:
    def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "metalscope", "dashboards", "export", *arguments],
            env={"PATH": "", **without("grafana_foundation_sdk")},
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    done = in_a_process("--name", "metalscope")
    assert (done.returncode, done.stdout) == (0, "metalscope.json\n")
    (tmp_path / "metal.toml").write_text("")
    done = in_a_process("--config", "metal.toml")
    assert done.returncode == ExitCode.MISSING_EXTRA
    assert "pip install 'metalscope[dashboards]'" in done.stderr


def test_what_was_changed_by_hand_is_kept_and_what_is_made_is_replaced(
    stack: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine, old = stack / "compose.yaml", stack / "grafana" / "dashboards" / "metalscope.json"
    mine.write_text("mine")
    old.write_text("old")
    capfd.readouterr()
    run("export", "--stack", "--output", stack)
    assert mine.read_text() == "mine"
    assert old.read_text("utf-8") == shipped("metalscope")
    assert f"{mine} (kept: it is there, and differs)" in capfd.readouterr().out


def test_prometheus_reads_its_configuration_and_the_rules(stack: Path) -> None:
    promtool = require_peer("promtool")
    config = stack / "prometheus" / "prometheus.yml"
    done = subprocess.run([promtool, "check", "config", config], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_reads_its_configuration(stack: Path) -> None:
    amtool = require_peer("amtool")
    config = stack / "alertmanager" / "alertmanager.yml"
    done = subprocess.run([amtool, "check-config", config], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_port_is_open_to_this_machine_alone(stack: Path) -> None:
    services = read(stack / "compose.yaml")["services"]
    ports = [port for one in services.values() for port in one["ports"]]
    assert len(ports) == 5
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_images_are_named_by_a_version(stack: Path) -> None:
    for service in read(stack / "compose.yaml")["services"].values():
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])


def test_grafana_has_no_password_unless_one_is_given(stack: Path) -> None:
    # ${NAME:?why} is an error of compose where NAME is not set or is empty.
    variables = read(stack / "compose.yaml")["services"]["grafana"]["environment"]
    given = variables["GF_SECURITY_ADMIN_PASSWORD"]
    assert re.fullmatch(r"\$\{GRAFANA_ADMIN_PASSWORD:\?[^}]+\}", given)
    assert "GF_AUTH_ANONYMOUS_ENABLED" not in variables
    text = "".join(file.read_text("utf-8") for file in stack.rglob("*.y*ml"))
    assert not re.search(r"password: *\w", text, re.IGNORECASE)


def test_every_file_that_is_mounted_is_there(stack: Path) -> None:
    compose = read(stack / "compose.yaml")
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source, target, *mode = volume.split(":")
            if source.startswith("./"):
                assert (stack / source).exists(), volume
                assert mode == ["ro"]
            else:
                assert source in compose["volumes"]
                assert target.startswith("/")


def test_the_parts_name_each_other_as_they_are_called(stack: Path) -> None:
    services = read(stack / "compose.yaml")["services"]
    prometheus = read(stack / "prometheus" / "prometheus.yml")
    collector = read(stack / "collector" / "config.yaml")
    (managers,) = prometheus["alerting"]["alertmanagers"]
    peers = [*managers["static_configs"], *prometheus["scrape_configs"][0]["static_configs"]]
    assert [one["targets"] for one in peers] == [["alertmanager:9093"], ["collector:8889"]]
    assert {"alertmanager", "collector", "prometheus"} <= services.keys()
    assert collector["exporters"]["prometheus"]["endpoint"].endswith(":8889")
    # Else the names that the dashboards ask for would get units put after them.
    assert collector["exporters"]["prometheus"]["add_metric_suffixes"] is False
    used = collector["service"]["pipelines"]["metrics"]
    assert set(used["receivers"]) == set(collector["receivers"])
    assert set(used["exporters"]) == set(collector["exporters"])
    sources = read(stack / "grafana" / "provisioning" / "datasources" / "metalscope.yaml")
    urls = {one["type"]: one["url"] for one in sources["datasources"]}
    assert urls == {
        "prometheus": "http://prometheus:9090",
        "alertmanager": "http://alertmanager:9093",
    }


def test_grafana_finds_the_dashboards_where_they_are_mounted(stack: Path) -> None:
    grafana = read(stack / "compose.yaml")["services"]["grafana"]
    mounted = {v.split(":")[1]: v.split(":")[0] for v in grafana["volumes"]}
    provisioning = stack / mounted["/etc/grafana/provisioning"]
    (provider,) = read(provisioning / "dashboards" / "metalscope.yaml")["providers"]
    folder = stack / mounted[provider["options"]["path"]]
    assert {file.stem for file in folder.glob("*.json")} == set(NAMES)
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (folder / home.name).exists()
    assert str(home.parent) == provider["options"]["path"]
