"""The rules metalscope brings, and which of their alerts keep others quiet."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from metalscope.alerts.builtin.device import device_rules
from metalscope.alerts.builtin.health import health_rules
from metalscope.alerts.builtin.inhibitions import builtin_inhibitions
from metalscope.alerts.builtin.memory import memory_rules
from metalscope.alerts.builtin.performance import performance_rules

if TYPE_CHECKING:
    from metalscope.alert_options import AlertRuleOptions, AlertsOptions

__all__ = ["built_in_names", "builtin_inhibitions", "builtin_rules", "rules_of", "runbook_of"]


def builtin_rules(options: AlertsOptions) -> tuple[AlertRuleOptions, ...]:
    """Every built-in rule, with the thresholds and windows of the options.

    Rules that are disabled or replaced are among them: :func:`rules_of` leaves them out.
    """
    rules = (
        *memory_rules(options),
        *performance_rules(options),
        *device_rules(options),
        *health_rules(),
    )
    return tuple(
        rule.model_copy(update={"runbook": runbook_of(rule.name, options.runbook_url)})
        for rule in rules
    )


def rules_of(options: AlertsOptions) -> tuple[AlertRuleOptions, ...]:
    """The rules that are looked at: a rule of one's own takes the place of a built-in one."""
    own = {one.name for one in options.rules}
    built_in = (
        rule
        for rule in builtin_rules(options)
        if rule.name not in own
        and not any(fnmatchcase(rule.name, glob) for glob in options.disabled_rules)
    )
    return tuple(one for one in (*built_in, *options.rules) if one.enabled)


def built_in_names(options: AlertsOptions) -> frozenset[str]:
    """The names of the built-in rules that no rule of one's own replaces."""
    own = {one.name for one in options.rules}
    return frozenset(rule.name for rule in builtin_rules(options)) - own


def runbook_of(name: str, page: str) -> str:
    """Where on a page the runbook of a built-in rule is; empty where there is no page.

    The headings of ``docs/runbooks.md`` are the names of the rules, so their anchors are those in
    lower case.
    """
    if not page:
        return ""
    return page + ("" if page.endswith(("#", "/", "=")) else "#") + name.lower()
