"""The exported files as Prometheus's and Alertmanager's own tools see them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from expression_texts import ANY_VECTOR
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_rules import amtool, checked, exported, own, promtool
from snapshots import HOSTILE_NAMES

from metalscope.alert_options import AlertRuleOptions, AlertsOptions
from metalscope.alerts.builtin import builtin_rules, rules_of
from metalscope.alerts.prometheus import alertmanager_text, rules_text, unit_tests_text
from metalscope.alerts.prometheus.scenarios import scenarios
from metalscope.errors import ConfigurationError
from metalscope.operation import Component, ErrorSeverity

DEFAULTS = AlertsOptions()
ASSETS = Path(__file__).parents[2] / "src" / "metalscope" / "assets" / "prometheus"
SHIPPED = {
    "metalscope.rules.yml": ("rules export", rules_text(DEFAULTS)),
    "metalscope.rules.test.yml": ("rules export --tests", unit_tests_text(DEFAULTS)),
    "alertmanager.example.yml": ("rules export --alertmanager", alertmanager_text(DEFAULTS)),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_is_what_is_exported(name: str) -> None:
    command, text = SHIPPED[name]
    if (ASSETS / name).read_text() != text:  # Their difference takes minutes to show.
        pytest.fail(f"make it anew: metalscope {command} --output {ASSETS / name}")


def test_promtool_accepts_the_shipped_rules_and_each_alert_fires_and_is_over() -> None:
    done = promtool("check", "rules", "metalscope.rules.yml", directory=ASSETS)
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("test", "rules", "metalscope.rules.test.yml", directory=ASSETS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_built_in_alert_has_a_unit_test_with_all_its_severities() -> None:
    assert set(scenarios(DEFAULTS)) == {one.name for one in builtin_rules(DEFAULTS)}
    tests = yaml.safe_load(unit_tests_text(DEFAULTS))["tests"]
    for rule, test in zip(rules_of(DEFAULTS), tests, strict=True):
        before, firing, after = test["alert_rule_test"]
        assert not before["exp_alerts"]
        assert not after["exp_alerts"]
        severities = {one["exp_labels"]["severity"] for one in firing["exp_alerts"]}
        assert severities == {rule.severity.value, *(one.value for one in rule.severities)}


def test_alertmanager_accepts_the_shipped_example() -> None:
    done = amtool(ASSETS / "alertmanager.example.yml")
    assert done.returncode == 0, done.stdout + done.stderr


# -- any options ---------------------------------------------------------------------------------


def is_exportable(text: str) -> bool:
    try:
        own("Any", text)
        exported(own("Any", text))
    except ConfigurationError:
        return False
    return True


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [*HOSTILE_NAMES, "{{ $labels.x }}", "{value:bytes} {a} {{b}} }} {", "{{", "{{`", "%s", "yes"]
)
seconds = st.sampled_from([0, 0.5, 15, 90, 3600, 1_000_000])
expressions = st.one_of(
    ANY_VECTOR.map(lambda text: f"({text}) > 1").filter(is_exportable),
    st.sampled_from(
        [
            'increase(a_total{b="{{"}[90s] offset 1m) > 1',
            "rate(a_total[5m]) > 0.1 unless on (b) sum by (b) (rate(a_total[1h])) > 1",
            "metal_health_status == 1",
        ]
    ),
)


@st.composite
def rules(draw: st.DrawFn) -> AlertRuleOptions:
    return AlertRuleOptions(
        name=draw(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,9}", fullmatch=True)),
        expr=draw(expressions),
        severity=ErrorSeverity.LOW,
        severities=draw(
            st.dictionaries(
                st.sampled_from([ErrorSeverity.HIGH, ErrorSeverity.CRITICAL]),
                expressions,
                max_size=1,
            )
        ),
        keep_firing_while=draw(st.none() | expressions),
        keep_firing_for=timedelta(seconds=draw(seconds)),
        summary=draw(texts),
        description=draw(texts),
        component=draw(st.none() | st.sampled_from(Component)),
        labels=draw(st.dictionaries(st.sampled_from(["team", "a", "job"]), texts, max_size=2)),
        actions=draw(st.lists(texts, max_size=2).map(tuple)),
        runbook=draw(texts),
        **{"for": timedelta(seconds=draw(seconds))},
    )


windows = st.sampled_from([timedelta(seconds=s) for s in (0.25, 45, 300, 5400, 86_400, 2_678_400)])
counts = st.integers(1, 1000)
percents = st.sampled_from([0.0, 33.3, 85.0, 92.0, 97.0, 100.0])
options = st.builds(
    AlertsOptions,
    evaluation_interval=st.sampled_from([timedelta(seconds=s) for s in (0.5, 10, 60, 3600)]),
    rules=st.lists(rules(), max_size=6, unique_by=lambda one: one.name).map(tuple),
    memory_allocation_failure_threshold=counts,
    memory_allocation_failure_window=windows,
    kernel_execution_failure_threshold=counts,
    kernel_execution_failure_window=windows,
    slow_operation_threshold_ms=st.sampled_from([0.001, 0.3, 100.0, 30_000.0, 40_000.0]),
    slow_operation_window=windows,
    high_gpu_utilization_threshold=percents,
    high_gpu_utilization_window=windows,
    high_memory_utilization_threshold=percents,
    high_resource_utilization_threshold=percents,
    error_rate_alert_threshold=counts,
    error_rate_window=windows,
    runbook_url=texts,
    group_by=st.lists(st.sampled_from(["alertname", "component", "severity"]), unique=True).map(
        tuple
    ),
    repeat_interval=st.sampled_from([timedelta(), timedelta(hours=1)]),
)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(options, st.sampled_from([(), ("pod",), ("job", "instance")]))
def test_promtool_and_amtool_accept_what_any_options_export(
    tmp_path_factory: pytest.TempPathFactory, made: AlertsOptions, targets: tuple[str, ...]
) -> None:
    directory = tmp_path_factory.mktemp("any")
    assert checked(rules_text(made, targets=targets), directory) == ""
    config = directory / "alertmanager.yml"
    config.write_text(alertmanager_text(made, targets=targets), encoding="utf-8")
    done = amtool(config)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_exported_unit_tests_pass_with_other_thresholds_too(tmp_path: Path) -> None:
    short = timedelta(minutes=2)
    made = AlertsOptions(
        evaluation_interval=timedelta(seconds=30),
        memory_allocation_failure_threshold=1,
        memory_allocation_failure_window=short,
        kernel_execution_failure_threshold=40,
        kernel_execution_failure_window=short,
        slow_operation_threshold_ms=0.3,
        slow_operation_window=short,
        high_gpu_utilization_threshold=97,
        high_gpu_utilization_window=short,
        high_memory_utilization_threshold=92.5,
        high_resource_utilization_threshold=20,
        error_rate_alert_threshold=2,
        error_rate_window=timedelta(minutes=3),
        runbook_url="https://example.com/runbooks",
        disabled_rules=("*Errors", "*Anomaly"),
    )
    (tmp_path / "mine.yml").write_text(rules_text(made, targets=("pod",)))
    (tmp_path / "tests.yml").write_text(
        unit_tests_text(made, targets=("pod",), rules_file="mine.yml")
    )
    done = promtool("test", "rules", "tests.yml", directory=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
