"""The rules for a Prometheus and an Alertmanager, which look at many processes.

Each of the three functions gives a file's text: rules, unit tests of these rules for ``promtool
test rules``, and a configuration of Alertmanager to begin with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from metalscope.alerts.builtin import built_in_names, builtin_inhibitions, rules_of
from metalscope.alerts.links import RUNBOOKS
from metalscope.alerts.prometheus.alertmanager import alertmanager_example
from metalscope.alerts.prometheus.document import yaml_text
from metalscope.alerts.prometheus.rules import DEFAULT_TARGETS, prometheus_rules
from metalscope.alerts.prometheus.unit_tests import prometheus_tests

if TYPE_CHECKING:
    from metalscope.alert_options import AlertRuleOptions, AlertsOptions

__all__ = [
    "DEFAULT_TARGETS",
    "RULES_FILE",
    "alertmanager_text",
    "rules_text",
    "unit_tests_text",
]

RULES_FILE: Final = "metalscope.rules.yml"
"""What the unit tests call the file of rules beside them, where nothing else is said."""


def rules_text(options: AlertsOptions, *, targets: Sequence[str] = DEFAULT_TARGETS) -> str:
    """A rules file for Prometheus 2.42 and later.

    Args:
        options: the built-in rules are made with their thresholds, and with their own beside them.
        targets: the labels that tell one process from another.

    Raises:
        ConfigurationError: a rule has no form in Prometheus; the text names it.
    """
    document = prometheus_rules(
        _with_runbooks(options, targets), interval=options.evaluation_interval, targets=targets
    )
    return yaml_text(document, comment=_comment("rules export", "rules for Prometheus 2.42 on"))


def unit_tests_text(
    options: AlertsOptions,
    *,
    targets: Sequence[str] = DEFAULT_TARGETS,
    rules_file: str = RULES_FILE,
) -> str:
    """Unit tests of that file, in which each built-in alert fires and is over."""
    rules = _with_runbooks(options, targets)
    document = prometheus_tests(rules, options, rules_file=rules_file, targets=targets)
    comment = _comment("rules export --tests", f"promtool test rules, beside {rules_file}")
    return yaml_text(document, comment=comment)


def alertmanager_text(options: AlertsOptions, *, targets: Sequence[str] = DEFAULT_TARGETS) -> str:
    """A configuration of Alertmanager to begin with; who is told is for you to fill in."""
    inhibitions = (*builtin_inhibitions(), *options.inhibitions)
    document = alertmanager_example(rules_of(options), options, inhibitions, targets=targets)
    comment = _comment("rules export --alertmanager", "Alertmanager 0.25 on; put your receivers in")
    return yaml_text(document, comment=comment)


def _with_runbooks(options: AlertsOptions, targets: Sequence[str]) -> list[AlertRuleOptions]:
    """The rules; built-in ones without a page of runbooks have that of the program scraped."""
    ours = built_in_names(options) if "instance" in targets else frozenset()
    return [
        rule.model_copy(update={"runbook": f"http://{{instance}}/{RUNBOOKS}#{rule.name.lower()}"})
        if rule.name in ours and not rule.runbook
        else rule
        for rule in rules_of(options)
    ]


def _comment(command: str, what: str) -> list[str]:
    return [f"Made by metalscope {command} ({what})."]
