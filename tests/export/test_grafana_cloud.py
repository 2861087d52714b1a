"""Grafana Cloud: real servers of its protocols behind a door that asks for instance id and token.

The stack itself is not here: a Prometheus stands for its Mimir, and a reader of OTLP for its
gateway.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from contexts import context
from faulty_server import Request, answer_by, faulty_server
from forwarding import forwarding
from otlp_receiver import points
from snapshots import full

from metalscope.errors import ConfigurationError
from metalscope.export.grafana_cloud import grafana_cloud_exporter
from metalscope.sending.result import Reason, Verdict
from prometheus_server import running_prometheus

USER, TOKEN = "123456", "glc_eyJvIjoiMSJ9"
BASIC = "Basic " + base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()

WAYS_TO_SAY_IT: list[dict[str, Any]] = [
    {"user": USER, "api_key": TOKEN},
    {"api_key": f"{USER}:{TOKEN}"},
    {"user": USER, "api_key_from": "env:GRAFANA_TOKEN"},
    {"headers": {"Authorization": BASIC}},
]
IDS = ["user and key", "in the key", "key from", "header"]


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)


def exporter(endpoint: str, **options: Any) -> Any:
    return grafana_cloud_exporter(context("grafana_cloud", endpoint=endpoint, **options))


def otlp_gateway(request: Request) -> tuple[int, Mapping[str, str], bytes]:
    if request.headers.get("authorization") != BASIC:
        return 401, {}, b'{"status":"error","error":"authentication error: invalid token"}'
    return 200, {"Content-Type": "application/x-protobuf"}, b""


@pytest.mark.server
@pytest.mark.parametrize("options", WAYS_TO_SAY_IT, ids=IDS)
def test_remote_write_arrives_through_basic_authentication(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    arguments = ["--web.enable-remote-write-receiver"]
    at = datetime.now(UTC)
    snapshot = replace(full(), timestamp=at)
    with running_prometheus(
        directory=tmp_path, arguments=arguments, prefix="/api/prom"
    ) as prometheus:

        def mimir(request: Request) -> tuple[int, Mapping[str, str], bytes]:
            # Mimir has its write API at another path, and its query API at the same.
            path = request.path.replace("/api/prom/push", "/api/prom/api/v1/write")
            host = prometheus.url.removesuffix("/api/prom")
            return forwarding(host, authorization=BASIC).answer(replace(request, path=path))

        with faulty_server(answer_by(mimir)) as stack:
            one = exporter(f"{stack.url}/api/prom/push", **options)
            assert one.export(snapshot).ok
            read_back = one.read_back(snapshot)
        found = prometheus.query("metalscope_retired_operations_total", at.timestamp())
    assert [value for _, value in found] == [10]
    assert read_back is not None
    assert read_back.arrived


@pytest.mark.parametrize("options", WAYS_TO_SAY_IT, ids=IDS)
def test_otlp_arrives_through_basic_authentication(options: dict[str, Any]) -> None:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    with faulty_server(answer_by(otlp_gateway)) as gateway:
        assert exporter(f"{gateway.url}/otlp", **options).export(full()).ok
    assert {request.path for request in gateway.requests} == {"/otlp/v1/metrics"}
    received = points(
        ExportMetricsServiceRequest.FromString(request.content) for request in gateway.requests
    )
    assert received[("metalscope_retired_operations_total", ())].value == 10


@pytest.mark.parametrize("path", ["/otlp", "/api/prom/push"])
def test_a_wrong_token_waits_for_the_right_one_and_is_not_shown(path: str) -> None:
    with faulty_server(answer_by(otlp_gateway)) as gateway:
        one = exporter(gateway.url + path, api_key=f"{USER}:glc_wrong")
        result = one.export(full())
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.UNAUTHORIZED)
    assert "glc_wrong" not in result.detail
    assert gateway.requests


@pytest.mark.parametrize(
    ("endpoint", "protocol", "path"),
    [
        ("", None, "/otlp/v1/metrics"),
        ("", "otlp", "/otlp/v1/metrics"),
        ("", "remote_write", "/api/prom/push"),
        ("/otlp", None, "/otlp/v1/metrics"),
        ("/api/prom/push", None, "/api/prom/push"),
    ],
)
def test_the_path_and_the_protocol_tell_each_other(
    endpoint: str, protocol: str | None, path: str
) -> None:
    with faulty_server(answer_by(otlp_gateway)) as gateway:
        one = exporter(gateway.url + endpoint, protocol=protocol, user=USER, api_key=TOKEN)
        assert one.export(full()).ok
    assert {request.path for request in gateway.requests} == {path}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": None}, "endpoint must be the URL"),
        ({"user": None}, "user must be the instance id"),
        ({"user": None, "api_key": f":{TOKEN}"}, "user must be the instance id"),
        ({"user": None, "api_key": None, "api_key_from": "env:GRAFANA_TOKEN"}, "user must be"),
        ({"api_key": None}, "api_key or api_key_from must"),
    ],
)
def test_what_is_missing_is_told_without_the_token(options: dict[str, Any], said: str) -> None:
    given = {"endpoint": "https://otlp-gateway.grafana.net/otlp", "user": USER, "api_key": TOKEN}
    with pytest.raises(ConfigurationError, match=f"'stack'.*{said}") as raised:
        exporter(**(given | {"name": "stack"} | options))
    assert TOKEN not in str(raised.value)
