from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from contexts import context
from faulty_server import answer, faulty_server
from snapshots import full

from metalscope.errors import ConfigurationError
from metalscope.export.otlp.environment import completed
from metalscope.export.otlp.exporter import OtlpExporter
from metalscope.export_options import ExporterOptions, HistogramForm, Temporality

PREFIX = "OTEL_EXPORTER_OTLP_"


def options(environment: dict[str, str], **given: Any) -> ExporterOptions:
    return completed(ExporterOptions(type="opentelemetry", **given), environment)


def headers(made: ExporterOptions) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in made.headers.items()}


def test_with_nothing_said_it_is_a_collector_on_this_machine() -> None:
    made = options({})
    assert (made.endpoint, made.protocol) == ("http://localhost:4318", "http/protobuf")
    assert made.settings == {"path": "/v1/metrics", "compression": "gzip"}
    assert (made.temporality, made.histograms) == (Temporality.CUMULATIVE, HistogramForm.CLASSIC)
    made = options({f"{PREFIX}PROTOCOL": "grpc"})
    assert (made.endpoint, made.protocol) == ("http://localhost:4317", "grpc")


@pytest.mark.parametrize("path", ["", "/", "/otlp", "/otlp/"])
def test_the_path_of_metrics_comes_after_the_endpoint_of_all_signals(path: str) -> None:
    made = options({f"{PREFIX}ENDPOINT": f"https://collector:4318{path}"})
    assert (made.endpoint, made.settings["path"]) == (
        f"https://collector:4318{path}",
        "/v1/metrics",
    )


def test_the_endpoint_of_metrics_is_used_as_it_is_and_goes_before() -> None:
    said = {f"{PREFIX}ENDPOINT": "http://a:1", f"{PREFIX}METRICS_ENDPOINT": "http://b:2/my/own"}
    made = options(said)
    assert (made.endpoint, made.settings["path"]) == ("http://b:2/my/own", "")


def test_every_variable_holds_for_what_the_options_do_not_say() -> None:
    made = options(
        {
            f"{PREFIX}PROTOCOL": "http/json",
            f"{PREFIX}ENDPOINT": "https://collector:4318",
            f"{PREFIX}HEADERS": "X-Scope = a%20b , api-key=k=v",
            f"{PREFIX}TIMEOUT": "2500",
            f"{PREFIX}COMPRESSION": "none",
            f"{PREFIX}CERTIFICATE": "/ca.pem",
            f"{PREFIX}CLIENT_CERTIFICATE": "/cert.pem",
            f"{PREFIX}CLIENT_KEY": "/key.pem",
            f"{PREFIX}METRICS_TEMPORALITY_PREFERENCE": "Delta",
            f"{PREFIX}METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
        }
    )
    assert (made.protocol, made.endpoint) == ("http/json", "https://collector:4318")
    assert headers(made) == {"x-scope": "a b", "api-key": "k=v"}
    assert made.timeout == timedelta(seconds=2.5)
    assert made.settings["compression"] == "none"
    assert (made.tls.ca_file, made.tls.cert_file, made.tls.key_file) == (
        Path("/ca.pem"), Path("/cert.pem"), Path("/key.pem"),
    )  # fmt: skip
    assert (made.temporality, made.histograms) == (Temporality.DELTA, HistogramForm.EXPONENTIAL)


@pytest.mark.parametrize(
    ("name", "general", "own"),
    [
        ("PROTOCOL", "grpc", "http/json"),
        ("ENDPOINT", "http://a:1", "http://b:2"),
        ("HEADERS", "a=1", "b=2"),
        ("TIMEOUT", "1", "2"),
        ("COMPRESSION", "gzip", "none"),
        ("CERTIFICATE", "/a", "/b"),
        ("CLIENT_CERTIFICATE", "/a", "/b"),
    ],
)
def test_a_variable_of_metrics_goes_before_that_of_all_signals(
    name: str, general: str, own: str
) -> None:
    both = options({f"{PREFIX}{name}": general, f"{PREFIX}METRICS_{name}": own})
    assert both == options({f"{PREFIX}METRICS_{name}": own})
    assert both != options({f"{PREFIX}{name}": general})


def test_options_go_before_variables() -> None:
    given: dict[str, Any] = {
        "endpoint": "http://mine:1",
        "protocol": "http/json",
        "headers": {"mine": "1"},
        "timeout": 3,
        "temporality": "cumulative",
        "histograms": "classic",
        "tls": {"ca_file": "/mine.pem", "cert_file": "/mine.crt"},
        "settings": {"compression": "gzip", "path": "/x"},
    }
    said = {
        f"{PREFIX}METRICS_ENDPOINT": "http://other:2/y",
        f"{PREFIX}PROTOCOL": "grpc",
        f"{PREFIX}HEADERS": "other=2",
        f"{PREFIX}TIMEOUT": "1",
        f"{PREFIX}COMPRESSION": "none",
        f"{PREFIX}CERTIFICATE": "/other.pem",
        f"{PREFIX}CLIENT_CERTIFICATE": "/other.crt",
        f"{PREFIX}CLIENT_KEY": "/other.key",
        f"{PREFIX}METRICS_TEMPORALITY_PREFERENCE": "delta",
        f"{PREFIX}METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
    }
    assert options(said, **given) == ExporterOptions(type="opentelemetry", **given)


def test_to_complete_twice_is_to_complete_once() -> None:
    said = {f"{PREFIX}METRICS_ENDPOINT": "http://b:2/own", f"{PREFIX}HEADERS": "a=1"}
    once = options(said)
    assert completed(once, said) == once


def test_a_key_of_the_options_is_not_joined_by_one_of_the_environment() -> None:
    made = options({f"{PREFIX}HEADERS": "authorization=Bearer other,x=1"}, api_key="mine")
    assert headers(made) == {"x": "1"}


def test_a_platforms_own_exporter_takes_nothing_from_these_variables() -> None:
    grafana = ExporterOptions(type="grafana_cloud", endpoint="https://a.example.com")
    assert completed(grafana, {f"{PREFIX}HEADERS": "authorization=secret"}) is grafana


@pytest.mark.parametrize(
    ("target", "more", "endpoint"),
    [
        ("collector:4317", {}, "https://collector:4317"),
        ("collector:4317", {"INSECURE": "true"}, "http://collector:4317"),
        ("collector:9", {"PROTOCOL": "grpc", "METRICS_INSECURE": "TRUE"}, "http://collector:9"),
    ],
)
def test_a_target_of_grpc_is_secure_unless_it_is_said_not_to_be(
    target: str, more: dict[str, str], endpoint: str
) -> None:
    said = {f"{PREFIX}{name}": value for name, value in more.items()}
    made = options({f"{PREFIX}ENDPOINT": target, **said})
    assert (made.endpoint, made.protocol) == (endpoint, "grpc")


@pytest.mark.parametrize("endpoint", ["http://a:4317", "grpc://a:1", "grpcs://a:1", "unix:///a"])
def test_an_endpoint_that_is_grpcs_says_the_protocol(endpoint: str) -> None:
    assert options({}, endpoint=endpoint).protocol == "grpc"


def test_the_time_of_the_periodic_reader_holds_where_otlp_has_none() -> None:
    assert options({"OTEL_METRIC_EXPORT_TIMEOUT": "700"}).timeout == timedelta(milliseconds=700)
    said = {"OTEL_METRIC_EXPORT_TIMEOUT": "700", f"{PREFIX}TIMEOUT": "500"}
    assert options(said).timeout == timedelta(milliseconds=500)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ENDPOINT", "collector:4318", "must be a URL"),
        ("METRICS_ENDPOINT", "ftp://collector", "must be a URL"),
        ("ENDPOINT", "http://user:pa55word@collector", "must not hold a user or password"),
        ("PROTOCOL", "thrift", "must be one of grpc, http/protobuf, http/json, not 'thrift'"),
        ("TIMEOUT", "10s", "must be a number of milliseconds above 0, not '10s'"),
        ("METRICS_TIMEOUT", "0", "must be a number of milliseconds above 0"),
        ("COMPRESSION", "zstd", "must be one of gzip, none, not 'zstd'"),
        ("HEADERS", "pa55word", "must be 'name=value' pairs"),
        ("HEADERS", "na me=pa55word", "must have names that are HTTP header names"),
        ("HEADERS", "a=pa55%0Aword", "must have values without control characters"),
        ("CLIENT_KEY", "/key.pem", "needs OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
        ("METRICS_TEMPORALITY_PREFERENCE", "both", "must be one of cumulative, delta, lowmemory"),
        (
            "METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "drop",
            "must be one of explicit_bucket_histogram, base2_exponential_bucket_histogram",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_variable(
    name: str, value: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        options({f"{PREFIX}{name}": value})
    assert str(refused.value).startswith(f"{PREFIX}{name} {expected}")
    assert "pa55" not in str(refused.value)


def test_a_value_of_insecure_that_is_neither_is_refused() -> None:
    said = {f"{PREFIX}ENDPOINT": "collector:4317", f"{PREFIX}INSECURE": "maybe"}
    with pytest.raises(ConfigurationError, match=f"{PREFIX}INSECURE must be one of true, false"):
        options(said)


def test_an_empty_variable_is_as_good_as_none() -> None:
    empty = {f"{PREFIX}{name}": " " for name in ("ENDPOINT", "PROTOCOL", "HEADERS", "TIMEOUT")}
    assert options(empty) == options({})


def test_the_exporter_goes_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_server(answer(200)) as server:
        monkeypatch.setenv(f"{PREFIX}METRICS_ENDPOINT", f"{server.url}/my/own")
        monkeypatch.setenv(f"{PREFIX}HEADERS", "x-scope=tenant%201")
        monkeypatch.setenv(f"{PREFIX}COMPRESSION", "none")
        exporter = OtlpExporter(context("opentelemetry"))
        assert exporter.export(full()).ok
        exporter.shutdown()
        [request] = server.requests
        assert (request.path, request.headers["x-scope"]) == ("/my/own", "tenant 1")
        assert "content-encoding" not in request.headers


def test_the_exporter_waits_as_long_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from faulty_server import NEVER_ANSWERS

    monkeypatch.setenv(f"{PREFIX}TIMEOUT", "300")
    with faulty_server(NEVER_ANSWERS) as server:
        exporter = OtlpExporter(context("opentelemetry", endpoint=server.url))
        assert "within 0.3 s" in exporter.export(full()).detail
        exporter.shutdown()
