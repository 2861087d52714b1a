import json
import re
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

import metalscope
from metalscope.builder import MetalTelemetryBuilder
from metalscope.errors import ConfigurationError, MetalscopeWarning
from metalscope.options import ExporterType, MetalTelemetryOptions

SECRET = "hush-5d1c"


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    yield
    telemetry = metalscope.get_telemetry()
    if telemetry is not None:
        telemetry.shutdown(10)


def test_a_builder_told_nothing_gives_the_defaults() -> None:
    assert MetalTelemetryBuilder().options() == MetalTelemetryOptions()


def test_the_production_example_of_the_original_system_is_taken_whole() -> None:
    options = (
        MetalTelemetryBuilder()
        .add_prometheus("http://prometheus:9090/metrics")
        .add_application_insights("https://dc.services.visualstudio.com/v2/track", SECRET)
        .with_performance_thresholds(50.0, 80.0, 75.0)
        .enable_alerts("https://hooks.slack.com/webhook", "teams@company.com")
        .options()
    )
    prometheus, insights = options.export.exporters
    assert prometheus.type is ExporterType.PROMETHEUS
    assert prometheus.endpoint == "http://prometheus:9090/metrics"
    assert insights.type is ExporterType.APPLICATION_INSIGHTS
    assert insights.api_key is not None
    assert insights.api_key.get_secret_value() == SECRET
    assert options.slow_operation_threshold_ms == 50
    assert options.high_gpu_utilization_threshold == 80
    assert options.high_memory_utilization_threshold == 75
    assert options.alerts.enable_notifications is True
    assert [target.get_secret_value() for target in options.alerts.notification_endpoints] == [
        "https://hooks.slack.com/webhook",
        "teams@company.com",
    ]
    # That Prometheus is another machine's: nothing is served because of it.
    assert options.server.enabled is False


def test_every_step_reaches_its_options() -> None:
    options = (
        MetalTelemetryBuilder()
        .add_opentelemetry("grpc://collector:4317", {"X-Scope": "a"})
        .add_datadog("https://api.datadoghq.com", "dd")
        .add_grafana_cloud("https://otlp.grafana.net/otlp", SecretStr("gc"), name="gc")
        .add_custom("mine", "https://example.com/metrics", {"Authorization": "b"})
        .set_intervals(
            "1m", 120, tick="2s", retention=timedelta(days=2), history="1h", auto_export=0
        )
        .enable_production_logging(stack_traces=True, endpoints=("https://elastic:9200",))
        .with_server("192.0.2.7", 9500, insecure_no_auth=True)
        .options()
    )
    assert [(e.name, e.type) for e in options.export.exporters] == [
        ("OpenTelemetry", "opentelemetry"),
        ("DataDog", "datadog"),
        ("gc", "grafana_cloud"),
        ("mine", "custom"),
    ]
    assert options.export.exporters[0].headers["X-Scope"].get_secret_value() == "a"
    assert options.reporting_interval == timedelta(minutes=1)
    assert options.cleanup_interval == timedelta(minutes=2)
    assert options.tick_interval == timedelta(seconds=2)
    assert options.metrics_retention_period == timedelta(days=2)
    assert options.history_window == timedelta(hours=1)
    assert options.export.auto_export_interval == timedelta()
    assert options.logging.enabled is True
    assert options.logging.use_json_format is True
    assert options.logging.enable_stack_trace_logging is True
    assert options.logging.external_log_endpoints == ("https://elastic:9200",)
    assert options.server.enabled is True
    assert (options.server.host, options.server.port) == ("192.0.2.7", 9500)


def test_sinks_and_tracing_reach_their_options(tmp_path: Path) -> None:
    options = (
        MetalTelemetryBuilder()
        .add_log_sink("file", f"file://{tmp_path}/app.log", format="ecs")
        .add_log_sink(endpoint="https://splunk:8088/services/collector", api_key=SECRET)
        .enable_tracing("http://a:4318", "http://b:4318", sample_ratio=0.5, file="t.json")
        .options()
    )
    file, splunk = options.logging.sinks
    assert (file.name, file.format) == ("file", "ecs")
    assert splunk.api_key is not None
    assert splunk.api_key.get_secret_value() == SECRET
    assert SECRET not in repr(options)
    traces = options.traces
    assert (traces.enabled, traces.sample_ratio, traces.file) == (True, 0.5, Path("t.json"))
    assert [(one.name, one.endpoint) for one in traces.exporters] == [
        ("otlp", "http://a:4318"), ("otlp-2", "http://b:4318"),
    ]  # fmt: skip


def test_one_exporters_key_reaches_no_other() -> None:
    first, second = (
        MetalTelemetryBuilder()
        .add_datadog("https://api.datadoghq.com", SECRET)
        .add_opentelemetry("https://otel.example.com", {"Authorization": SECRET})
        .options()
        .export.exporters
    )
    assert (first.headers, second.api_key) == ({}, None)


@pytest.mark.parametrize(
    ("endpoint", "host", "port"),
    [
        (None, "127.0.0.1", 9464),
        ("http://127.0.0.1:9500/metrics", "127.0.0.1", 9500),
        ("http://localhost:9500", "localhost", 9500),
        ("http://[::1]:9500/metrics/", "::1", 9500),
        ("http://localhost/metrics", "localhost", 80),
    ],
)
def test_a_prometheus_that_scrapes_here_turns_the_server_on(
    endpoint: str | None, host: str, port: int
) -> None:
    options = MetalTelemetryBuilder().add_prometheus(endpoint).options()
    assert options.server.enabled is True
    assert (options.server.host, options.server.port) == (host, port)
    assert options.export.exporters[0].endpoint == endpoint


@pytest.mark.parametrize(
    ("endpoint", "host", "port", "says"),
    [
        ("http://127.0.0.1:9500", None, 9501, "the endpoint says 127.0.0.1 and port 9500"),
        ("http://127.0.0.1:9500", "::1", None, "the arguments ::1 and port 9500"),
        ("https://localhost:9500/metrics", None, None, "serves http://localhost:9500/metrics"),
        ("http://localhost:9500/other", None, None, "not http://localhost:9500/other"),
        ("http://localhost:95000", None, None, "is not a URL"),
    ],
)
def test_an_endpoint_here_that_cannot_be_served_is_refused_at_once(
    endpoint: str, host: str | None, port: int | None, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        MetalTelemetryBuilder().add_prometheus(endpoint, host=host, port=port)


def test_a_host_for_all_to_reach_needs_the_flag() -> None:
    builder = MetalTelemetryBuilder().add_prometheus(host="0.0.0.0")
    with pytest.raises(ConfigurationError, match=r"argument server__host = '0\.0\.0\.0'"):
        builder.options()
    assert builder.with_server(insecure_no_auth=True).options().server.host == "0.0.0.0"


@pytest.mark.parametrize("endpoint", ["", "prometheus:9090", "http://[::1"])
def test_an_endpoint_that_is_no_url_is_named_when_options_are_made(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match=r"exporters\[0\]\.endpoint = .*must be a URL"):
        MetalTelemetryBuilder().add_prometheus(endpoint).options()


def test_an_empty_key_is_no_key() -> None:
    with pytest.raises(ConfigurationError, match=r"api_key = '\*+': must not be empty"):
        MetalTelemetryBuilder().add_datadog("https://api.datadoghq.com", "").options()


def test_two_exporters_of_one_name_are_refused() -> None:
    builder = MetalTelemetryBuilder().add_prometheus().add_prometheus()
    with pytest.raises(ConfigurationError, match="given twice: Prometheus"):
        builder.options()


def test_targets_of_several_calls_add_up() -> None:
    options = (
        MetalTelemetryBuilder()
        .enable_alerts("a@example.com")
        .enable_alerts("b@example.com")
        .options()
    )
    assert len(options.alerts.notification_endpoints) == 2


def test_a_builder_is_used_again_without_touching_what_it_made_before() -> None:
    builder = MetalTelemetryBuilder().add_opentelemetry("https://a.example.com", {"X-A": "1"})
    first = builder.options()
    again = builder.options()
    assert first == again
    assert first.export.exporters[0].headers is not again.export.exporters[0].headers
    first.export.exporters[0].headers["X-B"] = SecretStr("2")
    builder.add_datadog("https://b.example.com", "k").set_intervals(tick="5s")
    assert len(first.export.exporters) == 1
    assert set(builder.options().export.exporters[0].headers) == {"X-A"}
    assert first.tick_interval == timedelta(seconds=1)


def test_headers_changed_later_by_their_owner_do_not_reach_the_builder() -> None:
    headers = {"X-A": "1"}
    builder = MetalTelemetryBuilder().add_opentelemetry("https://a.example.com", headers)
    headers["X-B"] = "2"
    assert set(builder.options().export.exporters[0].headers) == {"X-A"}


def test_what_a_builder_says_wins_over_the_environment_which_fills_in_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("METALSCOPE_SERVER__PORT", "9501")
    monkeypatch.setenv("METALSCOPE_MAX_EVENTS", "7")
    options = MetalTelemetryBuilder().with_server(port=9502).options()
    assert (options.server.port, options.max_events) == (9502, 7)


def test_nothing_a_builder_shows_holds_a_key() -> None:
    builder = MetalTelemetryBuilder().add_datadog("https://api.datadoghq.com", SECRET)
    builder.enable_alerts(f"https://hooks.example.com/{SECRET}")
    builder.add_custom("c", "https://example.com", {"Authorization": SECRET})
    assert SECRET not in repr(builder) + repr(vars(builder)) + repr(builder.options())


def test_build_starts_telemetry_and_makes_it_the_default() -> None:
    builder = metalscope.MetalTelemetryBuilder().set_intervals(tick="50ms", history="1m")
    telemetry = builder.build()
    assert telemetry.is_running
    assert metalscope.get_telemetry() is telemetry
    with telemetry.operation("execute", "matmul"):
        pass
    assert telemetry.get_snapshot().total_operations == 1
    second = builder.build()
    assert second is not telemetry
    assert not telemetry.is_running
    assert second.get_snapshot().total_operations == 0


def test_build_serves_what_add_prometheus_promises() -> None:
    telemetry = MetalTelemetryBuilder().add_prometheus(port=0).build()
    assert telemetry.server is not None
    telemetry.record("execute", "matmul", duration_ns=1_000_000)
    with urllib.request.urlopen(f"{telemetry.server.url.rstrip('/')}/metrics") as answer:
        assert 'name="matmul"' in answer.read().decode()


def test_build_says_what_a_page_of_prometheus_is_taken_for() -> None:
    builder = MetalTelemetryBuilder().add_prometheus(
        "http://prometheus.invalid:9090/metrics", {"Authorization": SECRET}
    )
    with pytest.warns(MetalscopeWarning, match="metrics are written to .*/api/v1/write") as said:
        telemetry = builder.build()
    assert len(said) == 1
    assert SECRET not in str(said[0].message)
    assert telemetry.is_running
    assert telemetry.exporter is not None
    assert telemetry.exporter.names == ("Prometheus",)


def test_a_local_address_that_takes_data_is_pushed_to_and_serves_nothing() -> None:
    for endpoint, more in (
        ("http://127.0.0.1:9090/api/v1/write", {}),
        ("http://127.0.0.1:9091", {"protocol": "pushgateway"}),
    ):
        options = MetalTelemetryBuilder().add_prometheus(endpoint, **more).options()
        assert not options.server.enabled


def test_every_option_of_an_exporter_can_be_given() -> None:
    options = (
        MetalTelemetryBuilder()
        .add_opentelemetry(protocol="grpc", temporality="delta", labels={"env": "prod"})
        .add_grafana_cloud("https://x.grafana.net/otlp", SECRET, user="12")
        .with_spool("/var/spool/metalscope", max_age="2h")
        .options()
    )
    otlp, grafana = options.export.exporters
    assert (otlp.protocol, otlp.temporality, otlp.labels) == ("grpc", "delta", {"env": "prod"})
    assert grafana.user == "12"
    assert str(options.export.spool.directory) == "/var/spool/metalscope"


def test_history_and_objectives_can_be_said() -> None:
    options = (
        MetalTelemetryBuilder()
        .with_history("/var/lib/x.db", keep_ticks="1h")
        .add_objective("quick", 0.99, operation="execute:*", within_ms=50)
        .add_objective("sure", 0.999, window="7d")
        .options()
    )
    assert (str(options.history.path), options.history.keep_ticks) == (
        "/var/lib/x.db",
        timedelta(hours=1),
    )
    quick, sure = options.health_monitor.objectives
    assert (quick.name, quick.target, quick.operation, quick.within_ms) == (
        "quick",
        0.99,
        "execute:*",
        50.0,
    )
    assert (sure.operation, sure.within_ms, sure.window) == ("*", None, timedelta(days=7))


def test_a_wrong_value_is_found_before_anything_starts() -> None:
    running = MetalTelemetryBuilder().build()
    with pytest.raises(ConfigurationError, match="argument tick_interval = -1"):
        MetalTelemetryBuilder().set_intervals(tick=-1).build()
    assert metalscope.get_telemetry() is running
    assert running.is_running


def test_options_of_a_builder_are_plain_json_but_for_secrets() -> None:
    options = MetalTelemetryBuilder().add_datadog("https://api.datadoghq.com", SECRET).options()
    written = json.loads(options.model_dump_json())
    assert written["export"]["exporters"][0]["api_key"] == "**********"
