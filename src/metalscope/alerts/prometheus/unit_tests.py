"""Unit tests of exported rules for ``promtool test rules``: each alert fires, and is over."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from metalscope import semconv
from metalscope.alerts.engine.text import PLACEHOLDER
from metalscope.alerts.expression.printing import duration_text
from metalscope.alerts.prometheus.rules import DEFAULT_TARGETS, alert_labels
from metalscope.alerts.prometheus.scenarios import Course, Scenario, scenarios
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alert_options import AlertRuleOptions, AlertsOptions

__all__ = ["prometheus_tests"]

_SHORTEST_STEP: Final = 0.001


def prometheus_tests(
    rules: Sequence[AlertRuleOptions],
    options: AlertsOptions,
    *,
    rules_file: str,
    targets: Sequence[str] = DEFAULT_TARGETS,
) -> dict[str, Any]:
    """The document of a file of unit tests; of rules of one's own there are none.

    Args:
        rules: those that were exported.
        options: what the built-in ones were made with.
        rules_file: where the rules are, relative to the tests.
        targets: the labels that tell one process from another.
    """
    own = {one.name for one in options.rules}
    known = scenarios(options)
    step = options.evaluation_interval.total_seconds()
    return {
        "rule_files": [rules_file],
        "evaluation_interval": duration_text(step),
        "tests": [
            _test(rule, known[rule.name](rule), step=step, targets=targets)
            for rule in rules
            if rule.name in known and rule.name not in own
        ],
    }


def _test(
    rule: AlertRuleOptions, scenario: Scenario, *, step: float, targets: Sequence[str]
) -> dict[str, Any]:
    sampled = max(_SHORTEST_STEP, min(15.0, step))
    # The process is known for the whole window, and what begins has been sampled when it is due.
    due = _whole(scenario.quiet, step) + 3 * step
    begins = due - sampled
    fires = due + _whole(scenario.lasts, step)
    ends = fires + step
    over = _whole(ends + scenario.lingers, step) + 2 * step
    times = (0.0, begins, ends, over + step)
    shown = dict.fromkeys(targets, "test")
    series = [Course(semconv.START_TIME.name, 0, 0, 0), *scenario.courses]
    return {
        "name": f"{rule.name} fires, and is over",
        "interval": duration_text(sampled),
        "input_series": [
            {"series": _named(one.series, shown), "values": _values(one, times, sampled)}
            for one in series
        ],
        "alert_rule_test": [
            _expected(rule.name, due - step, []),
            _expected(rule.name, fires, list(_alerts(rule, scenario, shown))),
            _expected(rule.name, over, []),
        ],
    }


def _expected(name: str, at: float, alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"eval_time": duration_text(at), "alertname": name, "exp_alerts": list(alerts)}


def _alerts(
    rule: AlertRuleOptions, scenario: Scenario, shown: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    for severity in ErrorSeverity:
        if severity is rule.severity or severity in rule.severities:
            labels = {**shown, **scenario.labels}
            annotations = {
                "summary": _said(rule.summary, labels, scenario.value),
                "description": _said(rule.description, labels, scenario.value),
                "actions": "\n".join(f"- {one}" for one in rule.actions),
                "runbook_url": _said(rule.runbook, labels, scenario.value),
            }
            yield {
                "exp_labels": {"severity": severity.value} | alert_labels(rule) | labels,
                "exp_annotations": {name: text for name, text in annotations.items() if text},
            }


def _named(series: str, shown: Mapping[str, str]) -> str:
    more = ",".join(f'{name}="{value}"' for name, value in shown.items())
    if not more:
        return series
    if series.endswith("}"):
        return f"{series.removesuffix('}')},{more}}}"
    return f"{series}{{{more}}}"


def _values(course: Course, times: Sequence[float], sampled: float) -> str:
    """The values from each of the times to the next, in promtool's words."""
    parts: list[str] = []
    values = (course.before, course.during, course.after)
    for value, (begin, end) in zip(values, pairwise(times), strict=True):
        # The same way for each border, so that they meet.
        first, last = (math.ceil(one / sampled - 1e-9) for one in (begin, end))
        if first >= last:
            continue
        more = last - first - 1
        if value is None:
            # A scrape without it ends a series, as it does in metalscope.
            parts += ["stale", *([f"_x{more}"] if more else [])] if parts else [f"_x{more + 1}"]
        elif course.ahead:
            parts.append(f"{value + first * sampled:g}+{sampled:g}x{more}")
        else:
            parts.append(f"{value:g}x{more}")
    return " ".join(parts)


def _said(text: str, labels: Mapping[str, str], value: float) -> str:
    def placed(found: re.Match[str]) -> str:
        name, form, before = found.groups()
        if name is None:
            return found[0][0]
        said = _FORMATS[form or ""](value) if name == "value" else labels.get(name, "")
        return (before or "") + said if said else ""

    return PLACEHOLDER.sub(placed, text)


def _lasting(seconds: float) -> str:
    """As Prometheus's ``humanizeDuration``."""
    whole = int(seconds)
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (whole % 60, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{count}{unit}" for count, unit in parts)


# As metalscope.alerts.prometheus.wording has them, done in Go.
_FORMATS: Final = {
    "": lambda value: f"{value:.5g}",
    "percent": lambda value: f"{value:.3g} %",
    "ratio": lambda value: f"{100 * value:.4g}%",
    "duration": _lasting,
}


def _whole(seconds: float, step: float) -> float:
    """The first multiple of a step that is no less."""
    return math.ceil(seconds / step - 1e-9) * step
