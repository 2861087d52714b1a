"""AlertRule: options of a rule with its expressions ready to be evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from metalscope.alerts.expression import Expression, compile_expression
from metalscope.operation import Component, ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alert_options import AlertRuleOptions

__all__ = ["AlertRule", "Level"]


@dataclass(frozen=True, slots=True)
class Level:
    """What makes an alert as grave as ``severity``."""

    severity: ErrorSeverity
    expression: Expression


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule.

    ``levels`` are gravest first, the last is the rule's own. ``hold``, ``keep_for`` are in s.
    ``title`` and ``description`` have placeholders, ``{value}`` and ``{label}``.
    """

    name: str
    levels: tuple[Level, ...]
    hold: float = 0.0
    keep_while: Expression | None = None
    keep_for: float = 0.0
    title: str = ""
    description: str = ""
    component: Component | None = None
    labels: tuple[tuple[str, str], ...] = ()
    actions: tuple[str, ...] = ()
    runbook: str = ""

    @classmethod
    def of(cls, options: AlertRuleOptions) -> Self:
        """The rule of checked options."""
        levels = {
            options.severity: options.expr,
            **options.severities,
        }
        return cls(
            name=options.name,
            levels=tuple(
                Level(severity, compile_expression(levels[severity]))
                for severity in sorted(levels, key=lambda one: one.rank, reverse=True)
            ),
            hold=options.hold.total_seconds(),
            keep_while=(
                compile_expression(options.keep_firing_while) if options.keep_firing_while else None
            ),
            keep_for=options.keep_firing_for.total_seconds(),
            title=options.summary or options.name,
            description=options.description,
            component=options.component,
            labels=tuple(sorted(options.labels.items())),
            actions=options.actions,
            runbook=options.runbook,
        )

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """All of them."""
        keep = (self.keep_while,) if self.keep_while is not None else ()
        return (*(level.expression for level in self.levels), *keep)
