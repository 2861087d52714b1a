"""When an error budget burns too fast: several windows, several rates.

The rules are those of Google's SRE Workbook, chapter 5, "6: Multiwindow, Multi-Burn-Rate Alerts"
(https://sre.google/workbook/alerting-on-slos/), with the step in between, 3 over a day, that its
table 5-4 has. A rule speaks where the burn rate is above its factor over the long window, so that
enough of the budget is gone to matter, and over the short one, so that it still goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from metalscope.health_report import burn_rate
from metalscope.objectives.checkpoints import Counted
from metalscope.operation import ErrorSeverity

__all__ = [
    "BURN_RATE_SECONDS",
    "MIN_FAILURES",
    "MIN_OPERATIONS",
    "RULES",
    "BurnRule",
    "burning",
    "rules_for",
]

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR
WORKBOOK_WINDOW_SECONDS: Final = 30 * _DAY

BURN_RATE_SECONDS: Final = (
    300.0, 1800.0, _HOUR, 2 * _HOUR, 6 * _HOUR, _DAY, 3 * _DAY,
)  # fmt: skip
"""The windows over which burn rates are told, in s, where the objective's is as long."""

MIN_OPERATIONS: Final = 10
"""Fewer operations than this in the long window say nothing; health's rules hold it so too."""

MIN_FAILURES: Final = 3
"""Fewer that went badly in the long window are chance: with a target of 99.9 %, one failure in
twelve operations is a burn rate of 83."""


@dataclass(frozen=True, slots=True)
class BurnRule:
    """A burn rate above ``factor`` over both windows, in s, is of this severity."""

    severity: ErrorSeverity
    factor: float
    long: float
    short: float


RULES: Final = (
    BurnRule(ErrorSeverity.CRITICAL, 14.4, _HOUR, 300.0),
    BurnRule(ErrorSeverity.HIGH, 6.0, 6 * _HOUR, 1800.0),
    BurnRule(ErrorSeverity.MEDIUM, 3.0, _DAY, 2 * _HOUR),
    BurnRule(ErrorSeverity.LOW, 1.0, 3 * _DAY, 6 * _HOUR),
)
"""For a window of 30 days: 2, 5, 10 and 10 % of the budget gone, most urgent first."""


def rules_for(window: float) -> tuple[BurnRule, ...]:
    """The rules for an objective over ``window`` s.

    Rates stay and both windows shrink or grow with the objective's, so the share of the budget that
    is gone when a rule speaks, factor × long / window, is the workbook's whatever the window.
    """
    scale = window / WORKBOOK_WINDOW_SECONDS
    return tuple(
        BurnRule(rule.severity, rule.factor, rule.long * scale, rule.short * scale)
        for rule in RULES
    )


def burning(
    over: Callable[[float], Counted], target: float, rules: tuple[BurnRule, ...]
) -> ErrorSeverity | None:
    """The severity of the most urgent rule that speaks.

    None does before its short window is known whole, or on fewer than :data:`MIN_OPERATIONS`
    operations or :data:`MIN_FAILURES` failures in the long one.
    """
    for rule in rules:
        long = over(rule.long)
        if long.covered < rule.short or long.total < MIN_OPERATIONS or long.bad < MIN_FAILURES:
            continue
        rates = (_rate(long, target), _rate(over(rule.short), target))
        if all(rate is not None and rate > rule.factor for rate in rates):
            return rule.severity
    return None


def _rate(counted: Counted, target: float) -> float | None:
    return burn_rate(counted.bad, counted.total, target)
