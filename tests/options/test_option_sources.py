import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metalscope.config import load_options, override
from metalscope.config.schema import options_of
from metalscope.durations import format_duration
from metalscope.errors import ConfigurationError
from metalscope.options import (
    AlertsOptions,
    ExporterOptions,
    ExportOptions,
    MetalTelemetryOptions,
    ServerOptions,
)

SECRET = "hush-5d1c"


def refusal(**sources: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_options(**{"env": {}} | sources)
    return str(caught.value).splitlines()


def test_nothing_given_leaves_the_defaults() -> None:
    assert load_options(env={}) == MetalTelemetryOptions()


# -- the environment -------------------------------------------------------------------------


def test_variables_reach_options_groups_and_lists() -> None:
    options = load_options(
        env={
            "METALSCOPE_TICK_INTERVAL": "250ms",
            "METALSCOPE_ENABLED": "false",
            "METALSCOPE_HIGH_GPU_UTILIZATION_THRESHOLD": "61.5",
            "METALSCOPE_SERVER__PORT": "9500",
            "METALSCOPE_HEALTH_MONITOR__MAX_HEALTH_EVENTS": "7",
            "METALSCOPE_EXPORT__EXPORTERS": '[{"Type": "DataDog", "headers": {"X-Key": "k"}}]',
            "METALSCOPE_ALERTS__NOTIFICATION_ENDPOINTS": '["ops@example.com"]',
            "METALSCOPE_LOGGING": '{"use_json_format": true}',
            "PATH": "/bin",
        }
    )
    assert options.tick_interval == timedelta(milliseconds=250)
    assert options.enabled is False
    assert options.high_gpu_utilization_threshold == 61.5
    assert options.server.port == 9500
    assert options.health_monitor.max_health_events == 7
    assert options.export.exporters[0].headers["X-Key"].get_secret_value() == "k"
    assert options.alerts.notification_endpoints[0].get_secret_value() == "ops@example.com"
    assert options.logging.use_json_format is True


def test_the_environment_of_the_process_is_read_by_default(monkeypatch: Any) -> None:
    monkeypatch.setenv("METALSCOPE_SERVER__PORT", "9501")
    assert load_options().server.port == 9501


def test_a_variable_set_to_nothing_and_the_reserved_ones_are_no_options() -> None:
    env = {"METALSCOPE_TICK_INTERVAL": " ", "METALSCOPE_CONFIG": "", "METALSCOPE_PURE_PYTHON": "1"}
    assert load_options(env=env) == MetalTelemetryOptions()


def test_a_bad_variable_is_named_with_its_value_or_the_nearest_there_is() -> None:
    env = {
        "METALSCOPE_EXPORT__EXPORTERS": SECRET,
        "METALSCOPE_SERVER": '{"prt": 1}',
        "METALSCOPE_SERVER_PORT": "1",
        "METALSCOPE_SERVER__PORT": "70000",
        "METALSCOPE_TICK_INTERVAL__SECONDS": "1",
        "METALSCOPE_TIK_INTERVAL": "1",
    }
    assert refusal(env=env) == [
        "environment METALSCOPE_EXPORT__EXPORTERS: must be JSON, as it is a list or a table",
        "environment METALSCOPE_SERVER.prt: unknown option; the nearest is METALSCOPE_SERVER__PORT",
        "environment METALSCOPE_SERVER_PORT: unknown option; "
        "the nearest is METALSCOPE_SERVER__PORT",
        "environment METALSCOPE_TICK_INTERVAL__SECONDS: unknown option; "
        "the nearest is METALSCOPE_TICK_INTERVAL",
        "environment METALSCOPE_TIK_INTERVAL: unknown option; "
        "the nearest is METALSCOPE_TICK_INTERVAL",
        "environment METALSCOPE_SERVER__PORT = '70000': must be at most 65535",
    ]


def test_a_variable_and_the_json_of_its_group_may_not_disagree() -> None:
    env = {"METALSCOPE_SERVER": '{"port": 1}', "METALSCOPE_SERVER__PORT": "2"}
    assert refusal(env=env) == [
        "environment METALSCOPE_SERVER__PORT: is given twice, "
        "also as environment METALSCOPE_SERVER.port"
    ]


def test_the_file_that_the_environment_names_is_read(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text("max_events = 3")
    assert load_options(env={"METALSCOPE_CONFIG": str(file)}).max_events == 3


def test_a_path_in_code_wins_over_the_file_the_environment_names(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text("max_events = 3")
    env = {"METALSCOPE_CONFIG": str(tmp_path / "gone.toml")}
    assert load_options(str(file), env=env).max_events == 3


def test_a_file_that_the_environment_names_wrongly_is_blamed_on_it(tmp_path: Path) -> None:
    (line,) = refusal(env={"METALSCOPE_CONFIG": str(tmp_path / "gone.toml")})
    assert line.startswith("environment METALSCOPE_CONFIG: ")
    assert "gone.toml: cannot be read: No such file" in line


# -- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        {"server__port": 5, "server__enabled": True},
        {"server": {"port": 5, "enabled": True}},
        {"server": {"port": 5}, "server__enabled": True},
        {"server": ServerOptions(port=5, enabled=True)},
        {"ServerOptions": {"Port": 5, "Enabled": True}},
    ],
)
def test_arguments_may_be_nested_flat_or_ready_groups(overrides: dict[str, Any]) -> None:
    options = load_options(env={}, overrides=overrides)
    assert options.server == ServerOptions(port=5, enabled=True)


def test_a_ready_group_leaves_to_others_what_it_does_not_set() -> None:
    options = load_options(
        env={"METALSCOPE_SERVER__PORT": "7"}, overrides={"server": ServerOptions(enabled=True)}
    )
    assert options.server == ServerOptions(port=7, enabled=True)


def test_ready_exporters_are_taken() -> None:
    exporter = ExporterOptions(type="prometheus", name="P")
    options = load_options(env={}, overrides={"export__exporters": [exporter]})
    assert options.export == ExportOptions(exporters=(exporter,))


def test_bad_arguments_are_named_as_they_were_written() -> None:
    overrides = {
        "server__prt": 1,
        "alerts": {"error_rate_windw": 1, "error_rate_window": -1},
        "server__port": None,
        "nonsense": 1,
    }
    assert refusal(overrides=overrides) == [
        "argument server__prt: unknown option; the nearest is server__port",
        "argument alerts.error_rate_windw: unknown option; "
        "the nearest is alerts__error_rate_window",
        "argument nonsense: unknown option",
        "argument alerts.error_rate_window = -1: must be longer than zero",
        "argument server__port: must be a whole number",
    ]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"server": 5, "server__port": 1}, "server__port: is given twice, also as argument server"),
        ({"server__port": 1, "server": 5}, "server: is given twice, also as argument server__port"),
        (
            {"server": {"port": 1}, "server__port": 2},
            "server__port: is given twice, also as argument server.port",
        ),
        ({5: 1}, "5: unknown option"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(
    overrides: dict[Any, Any], line: str
) -> None:
    assert refusal(overrides=overrides)[0] == f"argument {line}"


def test_ready_options_are_overridden_and_checked_as_a_whole() -> None:
    ready = MetalTelemetryOptions(
        max_events=3, server=ServerOptions(port=5), alerts=AlertsOptions(cleanup_interval="2h")
    )
    changed = override(ready, {"server__enabled": True, "max_events": 4})
    assert changed == MetalTelemetryOptions(
        max_events=4,
        server=ServerOptions(port=5, enabled=True),
        alerts=AlertsOptions(cleanup_interval="2h"),
    )
    assert ready.max_events == 3
    with pytest.raises(ConfigurationError, match="history_window = 15m: must be at least two"):
        override(ready, {"tick_interval": "1h"})


def test_ready_options_are_overridden_without_the_environment(monkeypatch: Any) -> None:
    monkeypatch.setenv("METALSCOPE_MAX_EVENTS", "9")
    assert override(MetalTelemetryOptions(), {"server__port": 1}).max_events == 1000


# -- all together ----------------------------------------------------------------------------


def test_all_problems_of_all_sources_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("server: {port: 70000}\nmax_events: 0\nlogging: 5\n")
    lines = refusal(
        path=file,
        env={"METALSCOPE_TICK_INTERVAL": "never"},
        overrides={"high_gpu_utilization_threshold": 850},
    )
    assert [line.replace(f"{tmp_path}/", "").partition(" =")[0] for line in lines] == [
        "environment METALSCOPE_TICK_INTERVAL",
        "argument high_gpu_utilization_threshold",
        "m.yaml: max_events",
        "m.yaml: logging",
        "m.yaml: server.port",
    ]


def test_a_problem_is_blamed_on_the_source_that_won(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text('export.exporters = [{type = "datadog"}]\nserver.port = 1')
    lines = refusal(
        path=file,
        env={"METALSCOPE_EXPORT__EXPORTERS": '[{"name": "x"}]'},
        overrides={"server__port": -1},
    )
    assert lines == [
        "environment METALSCOPE_EXPORT__EXPORTERS[0].type: is required",
        "argument server__port = -1: must be at least 0",
    ]


def test_a_weak_value_that_does_not_count_is_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text("server.port = -1")
    assert load_options(file, env={}, overrides={"server__port": 1}).server.port == 1


def test_a_list_is_taken_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text('export.exporters = [{type = "datadog"}, {type = "custom"}]')
    env = {"METALSCOPE_EXPORT__EXPORTERS": '[{"type": "prometheus"}]'}
    (exporter,) = load_options(file, env=env).export.exporters
    assert exporter.type == "prometheus"


NUMBERS = {"max_events", "port", "high_gpu_utilization_threshold", "circuit_breaker_threshold"}
DURATIONS = {"cleanup_interval", "reporting_interval", "buffer_flush_interval"}
SOME_OPTIONS = [
    ".".join(keys)
    for keys, _ in options_of(MetalTelemetryOptions)
    if keys[-1] in NUMBERS | DURATIONS
]


def value_of(options: MetalTelemetryOptions, option: str) -> object:
    value: Any = options
    for key in option.split("."):
        value = getattr(value, key)
    return value


def nested(values: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for option, value in values.items():
        *groups, name = option.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = value
    return tree


def toml(values: dict[str, Any]) -> str:
    return "\n".join(f"{option} = {json.dumps(value)}" for option, value in values.items())


@st.composite
def layers(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """For file, environment and arguments, some options each, with values that all differ."""
    given: dict[str, dict[str, Any]] = {}
    for layer, base in (("file", 1), ("environment", 31), ("arguments", 61)):
        chosen = draw(st.sets(st.sampled_from(SOME_OPTIONS)))
        given[layer] = {
            option: base + draw(st.integers(0, 29))
            if option.split(".")[-1] in NUMBERS
            else format_duration(timedelta(seconds=base + draw(st.integers(0, 29))))
            for option in sorted(chosen)
        }
    return given


WRITERS = {
    "toml": toml,
    "yaml": lambda v: yaml.dump(nested(v)),
    "json": lambda v: json.dumps(nested(v)),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_in=layers(), suffix=st.sampled_from(sorted(WRITERS)), flat=st.booleans())
def test_arguments_beat_environment_beats_file_beats_defaults(
    tmp_path: Path, given_in: dict[str, dict[str, Any]], suffix: str, flat: bool
) -> None:
    file = tmp_path / f"m.{suffix}"
    file.write_text(WRITERS[suffix](given_in["file"]))
    arguments = given_in["arguments"]
    options = load_options(
        file,
        env={
            "METALSCOPE_" + option.replace(".", "__").upper(): str(value)
            for option, value in given_in["environment"].items()
        },
        overrides={o.replace(".", "__"): v for o, v in arguments.items()}
        if flat
        else nested(arguments),
    )
    defaults = MetalTelemetryOptions()
    for keys, _ in options_of(MetalTelemetryOptions):
        option = ".".join(keys)
        won = next(
            (
                given_in[layer][option]
                for layer in ("arguments", "environment", "file")
                if option in given_in[layer]
            ),
            None,
        )
        if won is None:
            assert value_of(options, option) == value_of(defaults, option)
        elif isinstance(won, str):
            value = value_of(options, option)
            assert isinstance(value, timedelta)
            assert format_duration(value) == won
        else:
            assert value_of(options, option) == won


def test_no_error_shows_a_secret(tmp_path: Path) -> None:
    exporters = [
        {"type": "datadog", "api_key": [SECRET], "headers": {"X": [SECRET]}},
        {"type": "custom", "api_kye": SECRET, "endpoint": f"https://u:{SECRET}@h/?k={SECRET}"},
        {
            "type": "custom",
            "endpoint": f"nohttp://h/?key={SECRET}",
            "headers": {"a": f"\n{SECRET}"},
        },
        {"type": "custom", "headers": SECRET},
        {"type": "custom", "headers": {f"Authorization: {SECRET}": ""}},
    ]
    bad = {
        "export": {"exporters": exporters},
        "alerts": {"notification_endpoints": [SECRET, 5]},
    }
    file = tmp_path / "m.json"
    file.write_text(json.dumps(bad))
    told = [
        "\n".join(refusal(path=file)),
        "\n".join(refusal(overrides=bad)),
        "\n".join(refusal(env={"METALSCOPE_EXPORT__EXPORTERS": json.dumps(exporters)})),
        "\n".join(refusal(env={"METALSCOPE_ALERTS__NOTIFICATION_ENDPOINTS": f'["{SECRET}'})),
    ]
    with pytest.raises(ConfigurationError) as caught:
        MetalTelemetryOptions(**bad)
    told.append(str(caught.value))
    with pytest.raises(ConfigurationError) as caught:
        AlertsOptions(notification_endpoints=SECRET)
    told.append(str(caught.value))
    assert [text.count("\n") + 1 for text in told] == [10, 10, 8, 1, 10, 1]
    assert SECRET not in "\n".join(told)


def test_importing_metalscope_loads_nothing_that_options_need() -> None:
    code = (
        "import metalscope, sys; "
        "print(*sorted({'pydantic', 'yaml', 'tomllib', 'metalscope.options'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert ran.stdout.strip() == ""
