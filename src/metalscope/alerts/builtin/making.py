"""What built-in rules are made with: windows and numbers as text, steps, one call a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from metalscope.alert_options import AlertRuleOptions
from metalscope.durations import format_duration
from metalscope.errors import ConfigurationError
from metalscope.operation import Component, ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alert_options import AlertsOptions

__all__ = [
    "LONGEST_WINDOW",
    "Steps",
    "counted",
    "failing",
    "half",
    "in_units",
    "levels_above",
    "made",
    "number",
    "over_below",
    "percent",
    "percent_steps",
    "window",
]

_UNITS: Final = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
# A share that was too high is over below so much of its threshold, as in the original system.
_OVER_BELOW: Final = 0.8

LONGEST_WINDOW: Final = timedelta(days=31)
"""How far an expression may look back."""

Steps = Mapping[ErrorSeverity, float]
"""From which value on something is how grave, mildest first."""


def made(
    name: str,
    levels: Mapping[ErrorSeverity, str],
    *,
    summary: str,
    description: str,
    actions: Sequence[str],
    component: Component | None = None,
    hold: timedelta = timedelta(),
    keep_while: str | None = None,
    keep_for: timedelta = timedelta(),
) -> AlertRuleOptions:
    """A rule of expressions by severity, mildest first."""
    (severity, expr), *graver = levels.items()
    values: dict[str, Any] = {
        "name": name,
        "expr": expr,
        "for": hold,
        "severity": severity,
        "severities": dict(graver),
        "keep_firing_while": keep_while,
        "keep_firing_for": keep_for,
        "summary": summary,
        "description": description,
        "component": component,
        "actions": tuple(actions),
    }
    # Not validated: that would build pydantic's validators in every program. The tests do it.
    return AlertRuleOptions.model_construct(**values)


def percent_steps(
    threshold: float, first: ErrorSeverity, steps: Steps
) -> dict[ErrorSeverity, float]:
    """The threshold of the options with the fixed steps above it.

    A step that is not above it is of no use as one: what passes the threshold has passed the step
    too, so the threshold is then as grave as the highest such step.
    """
    base = first
    for severity, step in steps.items():
        if step <= threshold:
            base = severity
    return {base: threshold} | {
        severity: step for severity, step in steps.items() if step > threshold
    }


def levels_above(steps: Steps, expression: Callable[[str], str]) -> dict[ErrorSeverity, str]:
    """An expression a step, made of its number."""
    return {severity: expression(number(value)) for severity, value in steps.items()}


def window(options: AlertsOptions, name: str) -> str:
    """An option's length of time as expressions have it, to whole ms: ``1h30m``.

    Raises:
        ConfigurationError: it is longer than samples are kept.
    """
    length: timedelta = getattr(options, name)
    if length > LONGEST_WINDOW:
        raise ConfigurationError(
            f"alerts.{name}: must be at most {format_duration(LONGEST_WINDOW)}, as what rules look "
            f"at is kept in memory; got {format_duration(length)}"
        )
    return in_units(length)


def in_units(length: timedelta) -> str:
    """A length of time in whole units, at least 1 ms."""
    rest = max(length, _UNITS["ms"])
    text = ""
    for unit, size in _UNITS.items():
        amount, rest = divmod(rest, size)
        if amount:
            text += f"{amount}{unit}"
    return text


def number(value: float) -> str:
    """A number as expressions have it, exactly: ``85``, ``0.5``."""
    whole = int(value)
    return str(whole) if whole == value else repr(value)


def percent(share: float) -> str:
    """A share, 0 to 1, in percent without its sign."""
    return number(round(100 * share, 6))


def over_below(threshold: float) -> str:
    """The value below which a share that was above its threshold is over."""
    return number(round(_OVER_BELOW * threshold, 6))


def counted(failures: str, among: str, count: float, share: float, matching: str = "") -> str:
    """At least so many, and at least such a share of all: what is rare among many is noise.

    Args:
        failures: the expression that counts those that went badly.
        among: the one that counts all.
        count: how many.
        share: which part, 0 to 1; of 0 there is no such condition.
        matching: how series of the two belong together, where their labels differ.
    """
    enough = f"{failures} >= {number(count)}"
    if not share:
        return enough
    return f"{enough} and {failures} >= {matching}{number(share)} * {among}"


def failing(options: AlertsOptions, kind: str, by: str, count: int, within: str) -> tuple[str, str]:
    """Operations of a kind that fail: what raises an alert, and what keeps it.

    Args:
        options: the share that must fail besides.
        kind: which operations.
        by: the labels by which they are counted.
        count: how many.
        within: the option with the window. It is kept as long as the errors may that it explains.
    """

    def enough(length: str, number_of: float, share: float) -> str:
        def all_of(metric: str) -> str:
            return f'sum by ({by}) (increase({metric}{{kind="{kind}"}}[{length}]))'

        failures, among = all_of("metal_errors_total"), all_of("metal_operations_total")
        return counted(failures, among, number_of, share)

    share = options.failing_share_threshold
    lasting = _longer(options, within, "error_rate_window")
    return (
        enough(window(options, within), count, share),
        enough(lasting, half(count), half(share)),
    )


def half(count: float) -> float:
    """Half of a threshold. Below it errors are over, as in the original system."""
    return count / 2


def _longer(options: AlertsOptions, one: str, other: str) -> str:
    """The longer of two windows, as expressions have it."""
    return window(options, max(one, other, key=lambda name: getattr(options, name)))
