"""From which value on what is how grave: the numbers of the alert rules, and words for states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from metalscope.alerts.builtin import builtin_rules, runbook_of
from metalscope.alerts.expression import compile_expression
from metalscope.alerts.expression.ast import Binary, Node, Number
from metalscope.alerts.links import RUNBOOKS
from metalscope.dashboards.model import Level, Shown
from metalscope.errors import ConfigurationError
from metalscope.export_status import BreakerState
from metalscope.health_report import HealthStatus
from metalscope.objectives.burning import RULES
from metalscope.operation import ErrorSeverity
from metalscope.readings import MemoryPressure, ThermalState

if TYPE_CHECKING:
    from metalscope.options import MetalTelemetryOptions

__all__ = [
    "BREAKERS",
    "BURNING",
    "BURN_RATES",
    "CRITICAL",
    "GOOD",
    "HEALTH",
    "HIGH",
    "LOW",
    "MEDIUM",
    "PRESSURE",
    "SEVERITIES",
    "THERMAL",
    "Levels",
    "States",
]

GOOD: Final = "green"
LOW: Final = "blue"
MEDIUM: Final = "yellow"
HIGH: Final = "orange"
CRITICAL: Final = "red"
_UNKNOWN: Final = "gray"

_RUNBOOKS: Final = f"http://127.0.0.1:9464/{RUNBOOKS}"

_COLOURS: Final = {
    ErrorSeverity.LOW: LOW,
    ErrorSeverity.MEDIUM: MEDIUM,
    ErrorSeverity.HIGH: HIGH,
    ErrorSeverity.CRITICAL: CRITICAL,
}


@dataclass(frozen=True, slots=True)
class States:
    """States something can be in, best first, each with its number."""

    shown: dict[str, Shown]

    @property
    def codes(self) -> tuple[tuple[str, int], ...]:
        """Each state's label with its number."""
        return tuple((state, code) for code, state in enumerate(self.shown))

    @property
    def values(self) -> dict[int, Shown]:
        """Each number's word and colour."""
        return dict(enumerate(self.shown.values()))


HEALTH: Final = States(
    {
        HealthStatus.HEALTHY.value: Shown("healthy", GOOD),
        HealthStatus.UNKNOWN.value: Shown("unknown", _UNKNOWN),
        HealthStatus.DEGRADED.value: Shown("degraded", HIGH),
        HealthStatus.CRITICAL.value: Shown("critical", CRITICAL),
    }
)
BREAKERS: Final = States(
    {
        BreakerState.CLOSED.value: Shown("closed", GOOD),
        BreakerState.HALF_OPEN.value: Shown("half open", MEDIUM),
        BreakerState.OPEN.value: Shown("open", CRITICAL),
    }
)
_BY_DEGREE: Final = (GOOD, MEDIUM, HIGH, CRITICAL)
THERMAL: Final = States(
    {
        state.name.lower(): Shown(state.name.lower(), colour)
        for state, colour in zip(ThermalState, _BY_DEGREE, strict=True)
    }
)
PRESSURE: Final = States(
    {
        level.name.lower(): Shown(level.name.lower(), colour)
        for level, colour in zip(MemoryPressure, _BY_DEGREE, strict=True)
    }
)
SEVERITIES: Final = States(
    {severity.value: Shown(severity.value, _COLOURS[severity]) for severity in ErrorSeverity}
)
BURNING: Final[tuple[tuple[str, int], ...]] = tuple(
    (severity.value, code) for code, severity in enumerate(ErrorSeverity, 1)
)
"""How urgently a budget burns; 0 is not at all."""

BURN_RATES: Final = tuple(
    Level(rule.factor, _COLOURS[rule.severity]) for rule in sorted(RULES, key=lambda r: r.factor)
)


class Levels:
    """The levels that depend on options: those from which on the alert rules fire."""

    def __init__(self, options: MetalTelemetryOptions) -> None:
        self._options = options
        self._rules = {rule.name: rule for rule in builtin_rules(options.alerts)}

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of the built-in alerts."""
        return tuple(self._rules)

    @property
    def runbooks(self) -> str:
        """What a built-in alert's name, in lower case, is put after to have its runbook's URL."""
        return runbook_of("", self._options.alerts.runbook_url or _RUNBOOKS)

    def memory(self) -> tuple[Level, ...]:
        """Of device memory, in percent of its limit."""
        return self._of("MetalMemoryHigh")

    def host_memory(self) -> tuple[Level, ...]:
        """Of the host's memory, in percent."""
        return self._of("MetalHostMemoryHigh")

    def utilization(self) -> tuple[Level, ...]:
        """Of how busy the GPU is, in percent."""
        return self._of("MetalGpuSaturated")

    def latency(self) -> tuple[Level, ...]:
        """Of how long an operation takes, in ms."""
        return (Level(self._options.alerts.slow_operation_threshold_ms, MEDIUM),)

    def errors(self) -> tuple[Level, ...]:
        """Of the share of operations that fail, 0 to 1."""
        alerts, health = self._options.alerts, self._options.health_monitor
        found = {
            alerts.failing_share_threshold: MEDIUM,
            health.anomaly_error_rate_threshold: HIGH,
        }
        return tuple(Level(value, colour) for value, colour in sorted(found.items()) if value > 0)

    def _of(self, name: str) -> tuple[Level, ...]:
        rule = self._rules[name]
        texts = {rule.severity: rule.expr, **rule.severities}
        found = [
            Level(_threshold(name, compile_expression(text).node), _COLOURS[severity])
            for severity, text in texts.items()
        ]
        return tuple(sorted(found, key=lambda level: level.value))


def _threshold(name: str, node: Node) -> float:
    """The number that a rule compares with."""
    match node:
        case Binary("and", left=left):
            return _threshold(name, left)
        case Binary(">" | ">=", right=Number(value)):
            return value
        case _:
            raise ConfigurationError(f"rule {name} compares with no number")
