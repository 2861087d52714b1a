from datetime import timedelta
from pathlib import Path

import pytest

from metalscope.config import load_options
from metalscope.errors import ConfigurationError
from metalscope.options import ExporterType, MetalTelemetryOptions

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

# The form of the original system's configuration file, to the letter.
APPSETTINGS = """\
{
  "MetalTelemetry": {
    "ReportingInterval": "00:05:00",
    "SlowOperationThresholdMs": 100.0,
    "HighGpuUtilizationThreshold": 85.0,
    "ExportOptions": {
      "Exporters": [
        {
          "Name": "Prometheus",
          "Type": "Prometheus",
          "Endpoint": "http://prometheus:9090/metrics",
          "Enabled": true
        }
      ]
    },
    "AlertsOptions": {
      "EnableNotifications": true,
      "NotificationEndpoints": ["https://hooks.slack.com/webhook"]
    }
  }
}
"""


def load(folder: Path, name: str, text: str | bytes) -> MetalTelemetryOptions:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_options(path, env={})


def refusal(folder: Path, name: str, text: str | bytes) -> str:
    """The lines that loading the file ends with, without the folder."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, name, text)
    return str(caught.value).replace(f"{folder}/", "")


def test_the_original_systems_file_loads_unchanged(tmp_path: Path) -> None:
    options = load(tmp_path, "appsettings.json", APPSETTINGS)
    assert options.reporting_interval == timedelta(minutes=5)
    assert options.slow_operation_threshold_ms == 100
    assert options.high_gpu_utilization_threshold == 85
    (exporter,) = options.export.exporters
    assert exporter.name == "Prometheus"
    assert exporter.type is ExporterType.PROMETHEUS
    assert exporter.endpoint == "http://prometheus:9090/metrics"
    assert exporter.enabled is True
    assert options.alerts.enable_notifications is True
    (target,) = options.alerts.notification_endpoints
    assert target.get_secret_value() == "https://hooks.slack.com/webhook"


def test_every_value_of_that_file_is_bound_and_not_only_some(tmp_path: Path) -> None:
    changed = (
        APPSETTINGS.replace("00:05:00", "1.00:00:07")
        .replace("100.0", "7.5")
        .replace("85.0", "61.5")
        .replace('"Enabled": true', '"Enabled": false')
        .replace('"EnableNotifications": true', '"EnableNotifications": false')
    )
    options = load(tmp_path, "appsettings.json", changed)
    assert options.reporting_interval == timedelta(days=1, seconds=7)
    assert options.slow_operation_threshold_ms == 7.5
    assert options.high_gpu_utilization_threshold == 61.5
    assert options.export.exporters[0].enabled is False
    assert options.alerts.enable_notifications is False


def test_all_groups_have_their_original_names(tmp_path: Path) -> None:
    options = load(
        tmp_path,
        "appsettings.json",
        """{"MetalTelemetry": {
            "LoggingOptions": {"UseJsonFormat": true},
            "HealthMonitorOptions": {"HealthCheckInterval": "00:00:30"},
            "PerformanceCountersOptions": {"SamplingInterval": "00:00:20"},
            "AlertsOptions": {"AlertRetentionPeriod": "7.00:00:00"},
            "ExportOptions": {"ExportTimeout": "00:00:10"}}}""",
    )
    assert options.logging.use_json_format is True
    assert options.health_monitor.health_check_interval == timedelta(seconds=30)
    assert options.performance_counters.sampling_interval == timedelta(seconds=20)
    assert options.alerts.alert_retention_period == timedelta(days=7)
    assert options.export.export_timeout == timedelta(seconds=10)


def test_other_programs_sections_beside_ours_are_left_alone(tmp_path: Path) -> None:
    options = load(
        tmp_path,
        "appsettings.json",
        """{"Logging": {"LogLevel": {"Default": "Information"}}, "AllowedHosts": "*",
            "MetalTelemetry": {"TickInterval": "2s"}}""",
    )
    assert options == MetalTelemetryOptions(tick_interval=timedelta(seconds=2))


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    marked = b"\xef\xbb\xbf" + APPSETTINGS.encode()
    assert load(tmp_path, "a.json", marked) == load(tmp_path, "b.json", APPSETTINGS)


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    toml = load(
        tmp_path,
        "m.toml",
        """
        tick_interval = "2s"
        reporting_interval = 00:05:00  # a TOML time of day
        [server]
        port = 9500
        [[export.exporters]]
        type = "prometheus"
        headers = { X-Scope = "a" }
        """,
    )
    yaml = load(
        tmp_path,
        "m.yaml",
        """
tick_interval: 2s
reporting_interval: 00:05:00
server: {port: 9500}
export:
  exporters:
    - type: prometheus
      headers: {X-Scope: a}
logging:
""",
    )
    json = load(
        tmp_path,
        "m.json",
        """{"tick_interval": 2, "reporting_interval": "PT5M", "server": {"port": "9500"},
            "export": {"exporters": [{"type": "prometheus", "headers": {"X-Scope": "a"}}]}}""",
    )
    assert toml == yaml == json
    assert (toml.server.port, toml.tick_interval) == (9500, timedelta(seconds=2))


def test_the_examples_in_the_docs_load() -> None:
    toml = load_options(EXAMPLES / "metalscope.toml", env={})
    assert toml.server.enabled is True
    assert toml == load_options(EXAMPLES / "metalscope.yaml", env={})
    assert (EXAMPLES / "appsettings.json").read_text() == APPSETTINGS


def test_pyproject_gives_its_tool_table(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\n[tool.metalscope.server]\nport = 1\n'
    assert load(tmp_path, "pyproject.toml", text).server.port == 1


@pytest.mark.parametrize("name", ["m.toml", "m.yaml", "m.yml", "m.json", "M.YAML"])
@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_file_leaves_the_defaults(tmp_path: Path, name: str, text: str) -> None:
    assert load(tmp_path, name, text) == MetalTelemetryOptions()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        (
            "m.ini",
            "x",
            "m.ini: an options file ends in .toml, .yaml, .yml or .json; this one does not",
        ),
        ("m", "", "m: an options file ends in .toml, .yaml, .yml or .json; this one does not"),
        ("m.toml", "a = 1\nb = = 2", "m.toml line 2, column 5: is not TOML: Invalid value"),
        (
            "m.toml",
            "enabled = true\nenabled = true\n",
            "m.toml line 2, column 15: is not TOML: Cannot overwrite a value",
        ),
        ("m.json", '{\n "a": }', "m.json line 2, column 7: is not JSON: Expecting value"),
        (
            "m.json",
            '{"server": {"port": 1, "port": 2}}',
            "m.json: the key 'port' stands twice in one object",
        ),
        ("m.json", '{"tick_interval": NaN}', "m.json: is not JSON: NaN is no JSON value"),
        ("m.json", "[1]", "m.json: must be a table of options, is a list"),
        ("m.json", '"x"', "m.json: must be a table of options, is text"),
        (
            "m.json",
            '{"MetalTelemetry": 5}',
            "m.json: MetalTelemetry: must be a table of options, is a number",
        ),
        (
            "m.json",
            '{"MetalTelemetry": {}, "metalTelemetry": {}}',
            "m.json: MetalTelemetry and metalTelemetry are the same section",
        ),
        ("m.json", "[" * 100_000, "m.json: is nested too deeply"),
        (
            "m.yaml",
            "a: 1\na: 2",
            "m.yaml line 2, column 1: the key 'a' stands twice in one mapping",
        ),
        (
            "m.yaml",
            "a: [1",
            "m.yaml line 1, column 6: is not YAML: expected ',' or ']', but got '<stream end>'",
        ),
        ("m.yaml", "a: *hush", "m.yaml line 1, column 4: is not YAML: an alias without its anchor"),
        (
            "m.yaml",
            "a: !hush",
            "m.yaml line 1, column 4: is not YAML: a tag or a key that cannot be used here",
        ),
        (
            "m.yaml",
            "? [1]\n: 2",
            "m.yaml line 1, column 3: is not YAML: a tag or a key that cannot be used here",
        ),
        (
            "m.yaml",
            "a: 1\n---\nb: 2",
            "m.yaml line 2, column 1: is not YAML: a second document begins here",
        ),
        (
            "m.yaml",
            "a: \x01",
            "m.yaml character 3: is not YAML: a character that YAML does not allow",
        ),
        ("m.yaml", "a: 2020-13-45", "m.yaml: is not YAML: month must be in 1..12"),
        ("m.yaml", "- a", "m.yaml: must be a table of options, is a list"),
        ("m.toml", b"a = '\xff'", "m.toml: is not UTF-8 text: byte 5 is 0xff"),
        ("pyproject.toml", "[project]\n", "pyproject.toml: has no table [tool.metalscope]"),
        ("pyproject.toml", "tool = 1\n", "pyproject.toml: has no table [tool.metalscope]"),
        (
            "pyproject.toml",
            "[tool]\nmetalscope = 1\n",
            "pyproject.toml: [tool.metalscope]: must be a table of options, is a number",
        ),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_in_one_line(
    tmp_path: Path, name: str, text: str | bytes, line: str
) -> None:
    assert refusal(tmp_path, name, text) == line


def test_yaml_merge_keys_still_work(tmp_path: Path) -> None:
    text = "<<: {tick_interval: 5s, max_events: 3}\ntick_interval: 2s\n"
    options = load(tmp_path, "m.yaml", text)
    assert (options.tick_interval, options.max_events) == (timedelta(seconds=2), 3)


def test_a_file_that_is_not_there_or_is_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.toml: cannot be read: No such file"):
        load_options(tmp_path / "gone.toml", env={})
    (tmp_path / "dir.toml").mkdir()
    with pytest.raises(ConfigurationError, match=r"dir\.toml: cannot be read: Is a directory"):
        load_options(tmp_path / "dir.toml", env={})


def test_a_bad_key_in_a_file_is_told_as_it_is_written_there(tmp_path: Path) -> None:
    text = """{"MetalTelemetry": {"SlowOperationTresholdMs": 1, "ExportOptions": {"Exporters": [
        {"Type": "DataDog", "ApiKye": "hush"}, {"Typ": "x", "type": "custom"}]},
        "AlertsOptions": {"EvaluationIntervall": 1}, "Port": 1, "ServerOptions": {"Port": -5}}}"""
    assert refusal(tmp_path, "a.json", text).splitlines() == [
        "a.json: SlowOperationTresholdMs: unknown option; the nearest is SlowOperationThresholdMs",
        "a.json: ExportOptions.Exporters[0].ApiKye: unknown option; "
        "the nearest is ExportOptions.Exporters[0].ApiKey",
        "a.json: ExportOptions.Exporters[1].Typ: unknown option; "
        "the nearest is ExportOptions.Exporters[1].Type",
        "a.json: AlertsOptions.EvaluationIntervall: unknown option; "
        "the nearest is AlertsOptions.EvaluationInterval",
        "a.json: Port: unknown option; the nearest is ServerOptions.Port",
        "a.json: ServerOptions.Port = -5: must be at least 0",
    ]


def test_what_a_suggestion_names_is_taken(tmp_path: Path) -> None:
    text = '{"MetalTelemetry": {"ServerOptions": {"Port": 5}, "SlowOperationThresholdMs": 1}}'
    options = load(tmp_path, "a.json", text)
    assert (options.server.port, options.slow_operation_threshold_ms) == (5, 1)


def test_one_option_in_two_spellings_is_given_twice(tmp_path: Path) -> None:
    text = "tick_interval = 1\nTickInterval = 2\n"
    assert refusal(tmp_path, "m.toml", text) == (
        "m.toml: TickInterval: is given twice, also as m.toml: tick_interval"
    )


def test_keys_that_are_no_text_are_unknown(tmp_path: Path) -> None:
    assert refusal(tmp_path, "m.yaml", "1: 2") == "m.yaml: 1: unknown option"
