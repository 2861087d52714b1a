"""The examples for Kubernetes and launchd: of the right form, and asking for what there is."""

from __future__ import annotations

import os
import plistlib
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml
from starlette.testclient import TestClient

from health_source import Source
from metalscope.cli.health import ProbeName
from metalscope.health_grpc import service_name
from metalscope.operation import Component
from metalscope.server import start_server
from metalscope.server.app import create_app
from metalscope.server.health import HEALTH_SECONDS

EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples"
MANIFESTS: Final = sorted((EXAMPLES / "kubernetes").glob("*.yaml"))
PLISTS: Final = sorted((EXAMPLES / "launchd").glob("*.plist"))
PROBES: Final = ("startupProbe", "livenessProbe", "readinessProbe")

LAUNCHD_KEYS: Final = {
    "Label": str,
    "ProgramArguments": list,
    "RunAtLoad": bool,
    "KeepAlive": bool,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "StartInterval": int,
    "ProcessType": str,
}
"""Of launchd.plist(5): the keys that the examples may use, with their types."""


def container(manifest: Path) -> dict[str, Any]:
    data = yaml.safe_load(manifest.read_text())
    return data["spec"]["template"]["spec"]["containers"][0]  # type: ignore[no-any-return]


def probes(manifest: Path) -> Iterator[dict[str, Any]]:
    for name in PROBES:
        yield container(manifest)[name]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: one.stem)
@pytest.mark.parametrize("version", ["1.27", kubernetes_validate.latest_version()])
def test_a_manifest_is_what_kubernetes_says_a_deployment_is(manifest: Path, version: str) -> None:
    data = yaml.safe_load(manifest.read_text())
    kubernetes_validate.validate(data, version, strict=True)


def test_there_is_a_manifest_for_each_kind_of_probe() -> None:
    kinds = {kind for one in MANIFESTS for probe in probes(one) for kind in probe}
    assert {"exec", "grpc", "httpGet"} <= kinds


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: one.stem)
def test_no_probe_gives_up_before_a_check_has(manifest: Path) -> None:
    for probe in probes(manifest):
        assert probe["timeoutSeconds"] > HEALTH_SECONDS


def test_what_is_asked_over_http_answers_to_what_kubernetes_sends() -> None:
    inner = create_app(Source())
    asked = 0
    with TestClient(inner, base_url="http://10.1.2.3:8000", client=("10.1.2.1", 1)) as http:
        for probe in probes(EXAMPLES / "kubernetes" / "http-probes.yaml"):
            get = probe["httpGet"]
            headers = {one["name"]: one["value"] for one in get["httpHeaders"]}
            path = get["path"].removeprefix("/telemetry")
            asked += 1
            assert http.get(path, headers=headers).status_code == 200
    assert asked == len(PROBES)


def test_what_is_run_in_the_container_is_a_command_there_is() -> None:
    asked = [p["exec"]["command"] for p in probes(EXAMPLES / "kubernetes" / "exec-probes.yaml")]
    assert [one[:3] for one in asked] == [["metalscope", "health", "--probe"]] * len(PROBES)
    assert {one[3] for one in asked} <= set(ProbeName)


def test_what_is_asked_by_grpc_is_a_service_there_is() -> None:
    services = {
        probe["grpc"].get("service", "")
        for probe in probes(EXAMPLES / "kubernetes" / "grpc-probes.yaml")
    }
    assert services <= {"", *(service_name(component) for component in Component)}


@pytest.mark.parametrize("plist", PLISTS, ids=lambda one: one.stem)
def test_a_property_list_has_launchds_keys_and_is_named_after_its_label(plist: Path) -> None:
    data = plistlib.loads(plist.read_bytes())
    assert {key: type(value) for key, value in data.items()} == {
        key: kind for key, kind in LAUNCHD_KEYS.items() if key in data
    }
    assert data["Label"] == plist.stem


@pytest.mark.parametrize("alive", [True, False])
def test_the_watch_restarts_a_program_that_does_not_answer_and_no_other(
    alive: bool, tmp_path: Path
) -> None:
    watch, app = (
        plistlib.loads((EXAMPLES / "launchd" / f"com.example.app{name}.plist").read_bytes())
        for name in (".watch", "")
    )
    server = start_server(Source(), host="127.0.0.1", port=0)
    if not alive:
        server.stop()
    shell, flag, script = watch["ProgramArguments"]
    script = script.replace(":9464/", f":{server.port}/").replace("--retry-delay 5", "--retry 0")
    asked = tmp_path / "asked"
    launchctl = tmp_path / "launchctl"
    launchctl.write_text(f'#!/bin/sh\necho "$@" > {asked}\n')
    launchctl.chmod(launchctl.stat().st_mode | stat.S_IXUSR)

    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path}
    done = subprocess.run([shell, flag, script], env=env, timeout=60, check=False)
    server.stop()

    assert done.returncode == 0
    assert asked.exists() is not alive
    if not alive:
        assert asked.read_text() == f"kickstart -k gui/{os.getuid()}/{app['Label']}\n"
