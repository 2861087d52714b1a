"""What a rule's expressions say at one moment: for which labels they hold, and how grave it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from metalscope.alert_report import ALERT_NAME, Labels
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alerts.expression.samples import Samples
    from metalscope.alerts.rule import AlertRule

__all__ = ["Holding", "fingerprint_of", "finite", "holdings", "kept"]


@dataclass(frozen=True, slots=True)
class Holding:
    """A rule holds for these labels. ``severities`` are those whose expression holds, and milder.

    ``value`` is what the rule's own expression gave.
    """

    labels: Labels
    value: float
    severities: frozenset[ErrorSeverity]

    @property
    def severity(self) -> ErrorSeverity:
        """The gravest."""
        return max(self.severities, key=lambda one: one.rank)


def fingerprint_of(rule: str, labels: Labels) -> str:
    """The same for the same rule and labels, whatever the severity: 16 hex digits."""
    named = repr((rule, labels)).encode("utf-8", "backslashreplace")
    return sha256(named).hexdigest()[:16]


def holdings(rule: AlertRule, samples: Samples, at: float) -> list[Holding]:
    """Where a rule holds at a moment, in s since the epoch.

    The expressions of graver severities are looked at only where the rule's own gives something.
    """
    *graver, base = rule.levels
    found = base.expression.evaluate(samples, at)
    if not found:
        return []
    values: dict[Labels, float] = {}
    for labels, value in found.items():
        own = _labels(labels, rule)
        # The rule's labels may make two series one; then the greater value speaks.
        if own not in values or not values[own] >= value:
            values[own] = value
    held: dict[Labels, set[ErrorSeverity]] = {one: {base.severity} for one in values}
    milder = {base.severity}
    for level in reversed(graver):
        milder.add(level.severity)
        for labels in level.expression.evaluate(samples, at):
            severities = held.get(_labels(labels, rule))
            if severities is not None:
                severities |= milder
    return [Holding(one, value, frozenset(held[one])) for one, value in values.items()]


def kept(rule: AlertRule, samples: Samples, at: float) -> frozenset[Labels]:
    """For which labels that is so which keeps alerts of a rule firing."""
    if rule.keep_while is None:
        return frozenset()
    return frozenset(_labels(one, rule) for one in rule.keep_while.evaluate(samples, at))


def finite(value: float) -> float | None:
    """A value as alerts tell it: what is no finite number is none."""
    return value if math.isfinite(value) else None


def _labels(labels: Iterable[tuple[str, str]], rule: AlertRule) -> Labels:
    """As in Prometheus the rule's labels stand above the series', and empty ones are none."""
    if not rule.labels:
        # Nearly always, and what an expression gives is sorted already.
        return tuple(
            (name, value)
            for name, value in labels
            if value and name not in {ALERT_NAME, "severity"}
        )
    merged: Mapping[str, str] = {**dict(labels), **dict(rule.labels)}
    return tuple(
        sorted(
            (name, value)
            for name, value in merged.items()
            if value and name not in {ALERT_NAME, "severity"}
        )
    )
