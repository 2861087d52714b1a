import math
import pickle
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from metalscope.config import load_options
from metalscope.config.schema import options_of
from metalscope.errors import ConfigurationError
from metalscope.option_types import is_loopback, shown_endpoint
from metalscope.options import (
    AlertsOptions,
    ExporterOptions,
    ExporterType,
    ExportOptions,
    HealthMonitorOptions,
    LoggingOptions,
    MetalTelemetryOptions,
    PerformanceCountersOptions,
    ServerOptions,
)

SECRET = "hush-5d1c"


def test_the_defaults_are_those_of_the_original_system() -> None:
    options = MetalTelemetryOptions()
    assert options.reporting_interval == timedelta(minutes=5)
    assert options.cleanup_interval == timedelta(minutes=15)
    assert options.metrics_retention_period == timedelta(hours=24)
    assert options.auto_export_metrics is True
    assert options.slow_operation_threshold_ms == 100
    assert options.high_gpu_utilization_threshold == 85
    assert options.high_memory_utilization_threshold == 80
    assert options.high_resource_utilization_threshold == 85
    assert options.performance_counters == PerformanceCountersOptions(
        enable_continuous_sampling=True,
        sampling_interval=timedelta(seconds=10),
        slow_allocation_threshold_ms=50,
        slow_kernel_threshold_ms=100,
    )
    assert options.health_monitor == HealthMonitorOptions(
        health_check_interval=timedelta(minutes=1),
        anomaly_detection_interval=timedelta(minutes=5),
        anomaly_detection_window=timedelta(minutes=15),
        event_retention_period=timedelta(hours=24),
        max_health_events=1000,
        circuit_breaker_threshold=5,
        circuit_breaker_timeout=timedelta(minutes=2),
        anomaly_error_rate_threshold=0.1,
    )
    assert options.logging == LoggingOptions(
        enable_buffering=True,
        enable_correlation_tracking=True,
        enable_performance_logging=True,
        enable_stack_trace_logging=False,
        use_json_format=False,
        buffer_flush_interval=timedelta(seconds=10),
        max_buffer_size=1000,
        slow_operation_threshold_ms=100,
        external_log_endpoints=(),
    )
    assert options.export == ExportOptions(
        export_timeout=timedelta(seconds=30), auto_export_interval=timedelta(), exporters=()
    )
    assert options.alerts == AlertsOptions(
        evaluation_interval=timedelta(minutes=1),
        cleanup_interval=timedelta(hours=1),
        alert_retention_period=timedelta(days=7),
        enable_notifications=False,
        notification_endpoints=(),
        memory_allocation_failure_threshold=3,
        memory_allocation_failure_window=timedelta(minutes=5),
        kernel_execution_failure_threshold=5,
        kernel_execution_failure_window=timedelta(minutes=5),
        slow_operation_threshold_ms=100,
        slow_operation_alert_threshold=10,
        high_gpu_utilization_threshold=90,
        high_memory_utilization_threshold=85,
        high_resource_utilization_threshold=85,
        error_rate_alert_threshold=10,
        error_rate_window=timedelta(minutes=10),
    )


def test_the_defaults_of_our_own_options_serve_nobody_and_are_bounded() -> None:
    options = MetalTelemetryOptions()
    assert options.enabled is True
    assert options.tick_interval == timedelta(seconds=1)
    assert options.history_window == timedelta(minutes=15)
    assert (options.max_operation_names, options.max_custom_series, options.max_events) == (
        1000,
        1000,
        1000,
    )
    assert options.server == ServerOptions(
        enabled=False, host="127.0.0.1", port=9464, insecure_no_auth=False
    )


def test_every_option_says_what_it_means() -> None:
    options = dict(options_of(MetalTelemetryOptions))
    assert len(options) > 50
    assert [keys for keys, field in options.items() if not field.description] == []


def test_every_number_and_duration_tells_its_unit() -> None:
    for keys, field in options_of(MetalTelemetryOptions):
        if field.annotation in {int, float}:
            words = ("ms", "percent", "count", "bytes", "0 to 1", "port", "utilisation")
            assert any(word in (field.description or "") for word in words), keys


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (MetalTelemetryOptions, "enabled", False),
        (ServerOptions, "port", 1),
        (ExportOptions, "exporters", ()),
    ],
)
def test_options_do_not_change_once_made(model: type[BaseModel], name: str, value: Any) -> None:
    options = model()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(options, name, value)


def test_options_copy_pickle_and_compare() -> None:
    options = MetalTelemetryOptions(
        tick_interval=timedelta(seconds=2),
        export=ExportOptions(exporters=(ExporterOptions(type="datadog", api_key=SecretStr("k")),)),
    )
    assert deepcopy(options) == options
    assert pickle.loads(pickle.dumps(options)) == options
    assert options != MetalTelemetryOptions()


def test_options_written_as_json_load_again_the_same() -> None:
    options = MetalTelemetryOptions(
        metrics_retention_period=timedelta(days=800, microseconds=7),
        export=ExportOptions(exporters=(ExporterOptions(type="prometheus", name="P"),)),
    )
    written = options.model_dump(mode="json")
    assert written["metrics_retention_period"] == "800d7us"
    assert load_options(env={}, overrides=written) == options


BAD = [
    ("reporting_interval", -1, "must be longer than zero"),
    ("reporting_interval", 0, "must be longer than zero"),
    ("cleanup_interval", "soon", "must be a duration"),
    ("metrics_retention_period", "200000d", "must be at most 100 years"),
    ("tick_interval", "1ms", "must be at least 10ms"),
    ("tick_interval", None, "must be a duration"),
    ("tick_interval", True, "must be a duration"),
    ("history_window", "1s", "must be at least two ticks; the tick_interval is 1s"),
    ("slow_operation_threshold_ms", 0, "must be more than 0"),
    ("slow_operation_threshold_ms", "fast", "must be a number"),
    ("slow_operation_threshold_ms", math.nan, "must be a finite number"),
    ("slow_operation_threshold_ms", math.inf, "must be a finite number"),
    ("high_gpu_utilization_threshold", 101, "must be at most 100"),
    ("high_gpu_utilization_threshold", -0.1, "must be at least 0"),
    ("high_gpu_utilization_threshold", [85], "must be a number"),
    ("max_operation_names", 0, "must be at least 1"),
    ("max_operation_names", 10**7, "must be at most 1000000"),
    ("max_operation_names", 1.5, "must be a whole number"),
    ("max_operation_names", True, "must be a number, not true or false"),
    ("enabled", "perhaps", "must be true or false"),
    ("enabled", 2, "must be true or false"),
    ("server__port", 65536, "must be at most 65535"),
    ("server__port", -1, "must be at least 0"),
    ("server__port", "http", "must be a whole number"),
    ("server__host", "", "must be a host name or an IP address"),
    ("server__host", "a b", "must be a host name or an IP address"),
    ("server__host", "http://localhost", "must be a host name or an IP address"),
    ("server__host", "127.0.0.1:80", "must be a host without a port"),
    ("server__host", "0.0.0.0", "can be reached from other machines"),
    ("server__host", "::", "can be reached from other machines"),
    ("server__host", "gpu-box", "can be reached from other machines"),
    ("health_monitor__anomaly_error_rate_threshold", 1.1, "must be at most 1"),
    ("export__auto_export_interval", -1, "must not be negative"),
    ("export__exporters", "prometheus", "must be a list"),
    ("export__exporters", ["prometheus"], "must be a group of options"),
    ("export__exporters", [{"type": "prometheus"}, {"type": "Prometheus"}], "given twice"),
    ("export__exporters", [{"name": "x"}], "is required"),
    ("export__exporters", [{"type": "custom", "endpoint": "prometheus:9090"}], "must be a URL"),
    ("export__exporters", [{"type": "custom", "endpoint": "http://h:99999"}], "must be a URL"),
    ("export__exporters", [{"type": "custom", "endpoint": "http://u:p@h"}], "user or password"),
    ("export__exporters", [{"type": "custom", "name": ""}], "must not be empty"),
    ("export__exporters", [{"type": "datadog", "api_key": ""}], "must not be empty"),
    ("export__exporters", [{"type": "datadog", "headers": {"a b": "c"}}], "HTTP header names"),
    ("export__exporters", [{"type": "datadog", "headers": {"a": "b\r\nc"}}], "control characters"),
    ("alerts__notification_endpoints", ["nobody"], "the URL of a webhook, e-mail addresses"),
    ("logging__external_log_endpoints", ["elastic"], "must be a URL"),
    ("server", 9464, "must be a group of options"),
]


@pytest.mark.parametrize(("option", "value", "expected"), BAD)
def test_a_bad_value_is_refused_in_one_line_that_begins_with_its_key(
    option: str, value: object, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_options(env={}, overrides={option: value})
    (line,) = str(caught.value).splitlines()
    assert line.startswith((f"argument {option}", "history_window"))
    assert expected in line


@pytest.mark.parametrize("option", [keys for keys, _ in options_of(MetalTelemetryOptions)])
def test_no_option_takes_a_value_of_a_wrong_type(option: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="argument " + "__".join(option)):
        load_options(env={}, overrides={"__".join(option): {"un": {"heard": "of"}}})


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "::1", "[::1]"]
)
def test_a_loopback_host_needs_no_flag(host: str) -> None:
    assert ServerOptions(host=host).host == host.strip("[]")
    assert is_loopback(host)


def test_another_host_is_served_only_with_the_flag() -> None:
    with pytest.raises(ConfigurationError, match="insecure_no_auth"):
        ServerOptions(host="192.0.2.7")
    assert ServerOptions(host="192.0.2.7", insecure_no_auth=True).host == "192.0.2.7"


def test_a_model_made_in_code_names_what_is_wrong_and_the_nearest_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        MetalTelemetryOptions(server={"prt": 1}, tick_interval=-1)  # type: ignore[arg-type]
    assert str(caught.value).splitlines() == [
        "MetalTelemetryOptions: tick_interval = -1: must be longer than zero",
        "MetalTelemetryOptions: server.prt: unknown option; the nearest is server.port",
    ]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Prometheus", ExporterType.PROMETHEUS),
        ("OpenTelemetry", ExporterType.OPENTELEMETRY),
        ("ApplicationInsights", ExporterType.APPLICATION_INSIGHTS),
        ("DataDog", ExporterType.DATADOG),
        ("GrafanaCloud", ExporterType.GRAFANA_CLOUD),
        ("Custom", ExporterType.CUSTOM),
        ("grafana_cloud", ExporterType.GRAFANA_CLOUD),
        ("PROMETHEUS", ExporterType.PROMETHEUS),
    ],
)
def test_exporter_types_are_known_whatever_their_case(written: str, meant: ExporterType) -> None:
    exporter = ExporterOptions(type=written)
    assert exporter.type is meant
    assert exporter.name == meant.value


def test_an_unknown_exporter_type_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"'Promtheus': .*; the nearest is prometheus$"):
        ExporterOptions(type="Promtheus")


def test_a_type_that_another_package_registers_is_taken(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "acme_metrics-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-metrics\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[metalscope.exporters]\nacme = acme:Exporter\n")
    with pytest.raises(ConfigurationError):
        ExporterOptions(type="acme")
    monkeypatch.syspath_prepend(tmp_path)
    assert ExporterOptions(type="acme").type == "acme"


def test_secrets_show_in_no_repr_dump_or_text() -> None:
    options = MetalTelemetryOptions(
        export=ExportOptions(
            exporters=(
                ExporterOptions(
                    type="datadog",
                    endpoint=f"https://example.com/v1?api_key={SECRET}",
                    headers={"X-Key": SecretStr(SECRET)},
                    api_key=SecretStr(SECRET),
                ),
            )
        ),
        alerts=AlertsOptions(
            notification_endpoints=(SecretStr(f"https://hooks.example.com/{SECRET}"),)
        ),
    )
    (exporter,) = options.export.exporters
    assert exporter.api_key is not None
    assert exporter.api_key.get_secret_value() == SECRET
    for shown in (repr(options), str(options), repr(exporter), f"{options.alerts}"):
        assert SECRET not in shown
        assert "**********" in shown
    dumped = options.model_dump_json(exclude={"export": {"exporters": {"__all__": {"endpoint"}}}})
    assert SECRET not in dumped


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/x", "https://h/x"),
        ("https://h/x?key=hush", "https://h/x?…"),
        ("https://h/x#hush", "https://h/x?…"),
        ("https://hush:hush@h/x", "https://…@h/x"),
        ("https://hush:hu/sh@h/x", "https://…@h/x"),
        ("https://hush:hu?sh@h/x?key=hush", "https://…@h/x?…"),
    ],
)
def test_an_endpoint_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert shown_endpoint(url) == shown
