"""What endpoints of type prometheus are taken to mean."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from contexts import context

from metalscope.errors import ConfigurationError
from metalscope.export.prometheus_endpoint import meaning, prometheus_exporter
from metalscope.export.pushgateway import PushgatewayExporter
from metalscope.export.remote_write import RemoteWriteExporter
from metalscope.export_options import ExporterOptions


def of(endpoint: str | None, protocol: str | None = None) -> Any:
    return meaning(ExporterOptions(type="prometheus", endpoint=endpoint, protocol=protocol))


@pytest.mark.parametrize(
    ("endpoint", "protocol", "url"),
    [
        (None, "scrape", None),
        ("http://127.0.0.1:9464/metrics", "scrape", None),
        ("http://localhost:9464", "scrape", None),
        ("http://[::1]:9464/", "scrape", None),
        ("http://prometheus:9090/api/v1/write", "remote_write", ...),
        ("http://127.0.0.1:9090/api/v1/write", "remote_write", ...),
        ("https://mimir/api/v1/push", "remote_write", ...),
        ("https://prometheus-prod-01.grafana.net/api/prom/push", "remote_write", ...),
        ("http://thanos:19291/api/v1/receive", "remote_write", ...),
        ("http://vm:8480/insert/0/prometheus/api/v1/write", "remote_write", ...),
        ("http://prometheus:9090", "remote_write", "http://prometheus:9090/api/v1/write"),
        ("http://prometheus:9090/", "remote_write", "http://prometheus:9090/api/v1/write"),
        ("http://prometheus:9090/metrics", "remote_write", "http://prometheus:9090/api/v1/write"),
        ("http://pushgateway:9091", "pushgateway", ...),
        ("http://pushgateway:9091/metrics", "pushgateway", ...),
        ("http://127.0.0.1:9099/metrics/job/nightly", "pushgateway", ...),
        ("https://push.example/metrics/job@base64/YQ", "pushgateway", ...),
    ],
)
def test_the_endpoint_tells_the_protocol(endpoint: str | None, protocol: str, url: object) -> None:
    meant = of(endpoint)
    assert meant.protocol == protocol
    assert meant.url == (endpoint if url is ... else url)


@pytest.mark.parametrize(
    ("endpoint", "protocol", "url"),
    [
        ("http://prometheus:9090/metrics", "scrape", None),
        ("http://127.0.0.1:9091", "pushgateway", "http://127.0.0.1:9091"),
        ("http://127.0.0.1:9090", "remote_write", "http://127.0.0.1:9090/api/v1/write"),
        ("http://vm:8428/insert", "remote_write", "http://vm:8428/insert"),
        ("http://pushgateway:9091", "remote_write", "http://pushgateway:9091/api/v1/write"),
    ],
)
def test_a_protocol_that_is_set_wins_over_the_endpoint(
    endpoint: str, protocol: str, url: str | None
) -> None:
    meant = of(endpoint, protocol)
    assert (meant.protocol, meant.url, meant.note) == (protocol, url, "")


def test_a_note_says_that_the_page_of_a_prometheus_takes_no_data() -> None:
    note = of("http://prometheus:9090/metrics?key=secret").note
    assert "http://prometheus:9090/api/v1/write" in note
    assert "--web.enable-remote-write-receiver" in note
    assert "protocol: scrape" in note
    assert "secret" not in note


@pytest.mark.parametrize(("port", "protocol"), [(9090, "remote_write"), (9091, "pushgateway")])
def test_a_note_says_that_a_port_of_this_machine_is_taken_for_this_programs_own(
    port: int, protocol: str
) -> None:
    meant = of(f"http://localhost:{port}/metrics")
    assert meant.protocol == "scrape"
    assert f"set protocol: {protocol}" in meant.note


@pytest.mark.parametrize(
    "endpoint", [None, "http://127.0.0.1:9464/metrics", "http://prometheus:9090/api/v1/write"]
)
def test_what_leaves_no_doubt_has_no_note(endpoint: str | None) -> None:
    assert of(endpoint).note == ""


@pytest.mark.parametrize(
    ("endpoint", "protocol", "said"),
    [
        (None, "remote_write", "must be set"),
        (None, "pushgateway", "must be set"),
        ("http://vm:8428/prometheus", None, "set protocol"),
        ("udp://prometheus:9090", None, "http or https"),
        ("file:///tmp/metrics", None, "http or https"),
    ],
)
def test_an_endpoint_that_cannot_be_is_told(
    endpoint: str | None, protocol: str | None, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"'prometheus'.*{said}"):
        of(endpoint, protocol)


def test_a_scrape_needs_no_exporter() -> None:
    assert prometheus_exporter(context("prometheus")) is None
    scraped = context("prometheus", endpoint="http://prometheus:9090/metrics", protocol="scrape")
    assert prometheus_exporter(scraped) is None


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        ("http://prometheus:9090/metrics", RemoteWriteExporter),
        ("http://pushgateway:9091", PushgatewayExporter),
    ],
)
def test_the_exporter_is_that_of_the_protocol(endpoint: str, kind: type) -> None:
    assert isinstance(prometheus_exporter(context("prometheus", endpoint=endpoint)), kind)


@pytest.mark.parametrize("library", ["google.protobuf", "cramjam"])
def test_remote_write_says_which_extra_brings_its_libraries(library: str) -> None:
    program = f"""
import sys
sys.modules[{library!r}] = None
sys.path[:0] = {sys.path!r}
from contexts import context
from metalscope.errors import MissingExtraError
from metalscope.export.prometheus_endpoint import prometheus_exporter
assert prometheus_exporter(context("prometheus", endpoint="http://gateway:9091"))
try:
    prometheus_exporter(context("prometheus", endpoint="http://prometheus:9090"))
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'metalscope[prometheus]'" in done.stdout
