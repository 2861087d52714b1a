"""The rules metalscope brings: what they say, and what the options make of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metalscope.alert_options import AlertRuleOptions, AlertsOptions
from metalscope.alert_report import Matcher
from metalscope.alerts.builtin import (
    builtin_inhibitions,
    builtin_rules,
    rules_of,
    runbook_of,
)
from metalscope.alerts.engine.text import PLACEHOLDER
from metalscope.alerts.expression import compile_expression
from metalscope.alerts.prometheus.rules import alert_labels
from metalscope.alerts.prometheus.shape import labels_given
from metalscope.errors import ConfigurationError
from metalscope.families import family
from metalscope.operation import ErrorSeverity
from metalscope.semconv import OBJECTIVE_BURNING
from metalscope.snapshot import HealthReport, MetalTelemetrySnapshot, ObjectiveStatus

DEFAULTS = AlertsOptions()
RULES = {rule.name: rule for rule in builtin_rules(DEFAULTS)}
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks.md"

each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))


def with_options(name: str, **options: object) -> AlertRuleOptions:
    made = {rule.name: rule for rule in builtin_rules(AlertsOptions(**options))}  # type: ignore[arg-type]
    return made[name]


@each_rule
def test_a_rule_says_what_is_wrong_and_what_to_do(rule: AlertRuleOptions) -> None:
    assert re.fullmatch(r"Metal[A-Z][a-zA-Z]+", rule.name)
    assert rule.summary
    assert not rule.summary.endswith(".")
    assert rule.description.endswith(".")
    assert 1 <= len(rule.actions) <= 4
    assert all(action.endswith(".") for action in rule.actions)


@each_rule
def test_what_its_texts_ask_for_are_labels_that_its_alerts_have(rule: AlertRuleOptions) -> None:
    labels = labels_given(compile_expression(rule.expr).node)
    assert labels is not None
    said = rule.summary + rule.description
    asked = {found[1] for found in PLACEHOLDER.finditer(said)} - {"value", None}
    assert asked <= labels | {*alert_labels(rule)}


@each_rule
def test_all_expressions_of_a_rule_give_the_same_labels(rule: AlertRuleOptions) -> None:
    keep = [rule.keep_firing_while] if rule.keep_firing_while else []
    texts = [rule.expr, *rule.severities.values(), *keep]
    assert len({labels_given(compile_expression(text).node) for text in texts}) == 1


@each_rule
def test_each_rule_has_a_runbook(rule: AlertRuleOptions) -> None:
    assert f"## {rule.name}" in RUNBOOKS.read_text().splitlines()


def test_there_is_no_runbook_of_what_is_no_rule() -> None:
    found = re.findall(r"^## (Metal\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert sorted(found) == sorted(RULES)


@pytest.mark.parametrize(
    ("page", "url"),
    [
        ("", ""),
        ("https://x.org/runbooks", "https://x.org/runbooks#metaldevicelost"),
        ("https://x.org/runbooks#", "https://x.org/runbooks#metaldevicelost"),
        ("https://x.org/runbooks/", "https://x.org/runbooks/metaldevicelost"),
        ("https://x.org/?page=", "https://x.org/?page=metaldevicelost"),
    ],
)
def test_the_runbook_is_where_the_options_say(page: str, url: str) -> None:
    assert runbook_of("MetalDeviceLost", page) == url
    assert with_options("MetalDeviceLost", runbook_url=page).runbook == url


# -- thresholds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        (
            "MetalAllocationFailures",
            {
                "memory_allocation_failure_threshold": 7,
                "memory_allocation_failure_window": timedelta(minutes=90),
            },
            '(increase(metal_errors_total{kind="allocate"}[1h30m])) >= 7',
        ),
        (
            "MetalKernelFailures",
            {
                "kernel_execution_failure_threshold": 9,
                "kernel_execution_failure_window": timedelta(seconds=1.5),
            },
            '(increase(metal_errors_total{kind="execute"}[1s500ms])) >= 9',
        ),
        ("MetalSlowOperations", {"slow_operation_alert_threshold": 3}, ">= 3"),
        ("MetalSlowOperations", {"slow_operation_threshold_ms": 0.3}, 'le="0.5"'),
        ("MetalSlowOperations", {"slow_operation_threshold_ms": 101}, 'le=~"250(\\\\.0)?"'),
        ("MetalGpuSaturated", {"high_gpu_utilization_threshold": 72.5}, "> 72.5"),
        ("MetalMemoryHigh", {"high_memory_utilization_threshold": 60}, "> 60"),
        ("MetalHostMemoryHigh", {"high_resource_utilization_threshold": 60}, "> 60"),
        ("MetalKernelErrors", {"error_rate_alert_threshold": 4}, ">= 4"),
        ("MetalDeviceLost", {"error_rate_window": timedelta(hours=2)}, "[2h]"),
    ],
)
def test_the_options_are_in_the_rule(name: str, options: dict[str, object], part: str) -> None:
    assert part in with_options(name, **options).expr
    assert part not in RULES[name].expr


def test_memory_gets_graver_in_steps() -> None:
    rule = RULES["MetalMemoryHigh"]
    assert rule.severity is ErrorSeverity.MEDIUM
    assert rule.expr.endswith("> 85")
    assert {one: expr.split("> ")[-1] for one, expr in rule.severities.items()} == {
        ErrorSeverity.HIGH: "90",
        ErrorSeverity.CRITICAL: "95",
    }
    assert rule.keep_firing_while is not None
    assert rule.keep_firing_while.endswith(">= 68")


@pytest.mark.parametrize(
    ("threshold", "severity", "graver"),
    [(90, "high", {"critical"}), (92, "high", {"critical"}), (95, "critical", set())],
)
def test_a_threshold_above_a_step_is_as_grave_as_that_step(
    threshold: float, severity: str, graver: set[str]
) -> None:
    rule = with_options("MetalMemoryHigh", high_memory_utilization_threshold=threshold)
    assert rule.severity == severity
    assert set(rule.severities) == graver


def test_no_rule_counts_what_is_slower_than_the_histogram_goes() -> None:
    names = {one.name for one in builtin_rules(AlertsOptions(slow_operation_threshold_ms=30_001))}
    assert names == set(RULES) - {"MetalSlowOperations"}


@pytest.mark.parametrize(
    "option",
    [
        "memory_allocation_failure_window",
        "kernel_execution_failure_window",
        "slow_operation_window",
        "high_gpu_utilization_window",
        "error_rate_window",
    ],
)
def test_a_window_longer_than_samples_are_kept_is_refused_by_name(option: str) -> None:
    assert builtin_rules(AlertsOptions(**{option: timedelta(days=31)}))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=rf"alerts\.{option}: must be at most 31d.*32d"):
        builtin_rules(AlertsOptions(**{option: timedelta(days=32)}))  # type: ignore[arg-type]


def test_the_share_that_raises_an_alert_is_said_as_people_say_it() -> None:
    rule = with_options("MetalKernelFailures", failing_share_threshold=0.07)
    assert ">= 0.07 * sum by" in rule.expr
    assert "and 7 % of its runs" in rule.description


def test_how_urgently_an_objective_burns_is_a_metric() -> None:
    objective = ObjectiveStatus("quick", 0.99, 60.0, 60.0, 1, 2, burning=ErrorSeverity.HIGH)
    now = datetime.fromtimestamp(0, UTC)
    snapshot = MetalTelemetrySnapshot(now, now, health=HealthReport(objectives=(objective,)))
    assert dict(family(OBJECTIVE_BURNING, snapshot).values) == {
        ("quick", "low"): 0,
        ("quick", "medium"): 0,
        ("quick", "high"): 1,
        ("quick", "critical"): 0,
    }


# -- which rules ---------------------------------------------------------------------------------


def test_rules_are_disabled_by_globs() -> None:
    left = {
        one.name
        for one in rules_of(AlertsOptions(disabled_rules=("MetalGpu*", "MetalKernelErrors")))
    }
    assert set(RULES) - left == {"MetalGpuSaturated", "MetalGpuRestarted", "MetalKernelErrors"}


def test_a_rule_of_ones_own_takes_the_place_of_a_built_in_one() -> None:
    own = AlertRuleOptions(name="MetalKernelErrors", expr="metal_errors_total > 1")
    rules = [
        one for one in rules_of(AlertsOptions(rules=(own,))) if one.name == "MetalKernelErrors"
    ]
    assert rules == [own]


def test_a_rule_of_ones_own_that_is_off_is_not_looked_at_nor_is_the_one_it_replaces() -> None:
    own = AlertRuleOptions(name="MetalKernelErrors", expr="metal_errors_total > 1", enabled=False)
    assert "MetalKernelErrors" not in {one.name for one in rules_of(AlertsOptions(rules=(own,)))}


# -- inhibition ----------------------------------------------------------------------------------


def named(matchers: tuple[str, ...]) -> set[str]:
    (matcher,) = (one for one in map(Matcher.parse, matchers) if one.name == "alertname")
    return {name for name in RULES if matcher.matches({"alertname": name})}


def test_inhibitions_name_rules_there_are() -> None:
    for one in builtin_inhibitions():
        for matchers in (one.source, one.target):
            (text,) = (m.value for m in map(Matcher.parse, matchers) if m.name == "alertname")
            assert set(text.split("|")) == named(matchers)


def test_no_two_alerts_keep_each_other_quiet() -> None:
    explains = {
        (source, target)
        for one in builtin_inhibitions()
        for source in named(one.source)
        for target in named(one.target)
    }
    assert not {(a, b) for a, b in explains if (b, a) in explains}


def test_a_lost_device_is_told_once() -> None:
    quiet = set().union(
        *(
            named(one.target)
            for one in builtin_inhibitions()
            if "MetalDeviceLost" in named(one.source)
        )
    )
    assert quiet >= {
        "MetalKernelFailures",
        "MetalKernelErrors",
        "MetalUnhealthy",
        "MetalBreakerOpen",
        "MetalErrorRateAnomaly",
    }
