"""An Alertmanager's configuration to begin with: grouping and inhibition as metalscope has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from metalscope.alert_report import ALERT_NAME, Matcher, MatcherOperator
from metalscope.alerts.expression import compile_expression
from metalscope.alerts.expression.printing import duration_text
from metalscope.alerts.prometheus.rules import DEFAULT_TARGETS, alert_labels
from metalscope.alerts.prometheus.shape import labels_given
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alert_options import AlertRuleOptions, AlertsOptions, InhibitionOptions

__all__ = ["EXAMPLE_RECEIVER", "alertmanager_example"]

EXAMPLE_RECEIVER: Final = "http://127.0.0.1:5001/"
"""Where the example sends to. Nothing of one's own channels is in it, as their URLs are secret."""

_NEVER: Final = "8760h"
"""A year: Alertmanager has no word for never."""


def alertmanager_example(
    rules: Sequence[AlertRuleOptions],
    options: AlertsOptions,
    inhibitions: Sequence[InhibitionOptions],
    *,
    targets: Sequence[str] = DEFAULT_TARGETS,
) -> dict[str, Any]:
    """The document of an Alertmanager's configuration.

    Args:
        rules: those that were exported.
        options: how alerts are grouped, and when they are told again.
        inhibitions: which alerts keep others quiet.
        targets: the labels that tell one process from another.
    """
    labels = {rule.name: _labels(rule) for rule in rules}
    group_by = list(dict.fromkeys((*options.group_by, *targets)))
    repeat = options.repeat_interval.total_seconds()
    return {
        "route": {
            "receiver": "somebody",
            "group_by": group_by,
            "group_wait": duration_text(options.group_wait.total_seconds()),
            # Alertmanager refuses 0.
            "group_interval": duration_text(max(1.0, options.group_interval.total_seconds())),
            "repeat_interval": duration_text(repeat) if repeat else _NEVER,
        },
        "inhibit_rules": [
            *_milder(rules, labels, targets),
            *(
                rule
                for inhibition in inhibitions
                for rule in _inhibit_rules(inhibition, rules, labels, targets)
            ),
        ],
        "receivers": [
            {
                "name": "somebody",
                "webhook_configs": [{"url": EXAMPLE_RECEIVER, "send_resolved": True}],
            }
        ],
    }


def _labels(rule: AlertRuleOptions) -> frozenset[str] | None:
    """The labels its alerts can have; ``None`` where that is not known before there are any."""
    given = labels_given(compile_expression(rule.expr).node)
    return None if given is None else given | frozenset(alert_labels(rule))


def _milder(
    rules: Sequence[AlertRuleOptions],
    labels: Mapping[str, frozenset[str] | None],
    targets: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """A graver alert of a rule keeps the milder ones of the same trouble quiet."""
    stepped = [rule.name for rule in rules if rule.severities]
    if not stepped:
        return
    # A label that neither alert has is the same in both.
    known = {name for rule in stepped for name in labels[rule] or ()}
    equal = [ALERT_NAME, *targets, *sorted(known)]
    ordered = [severity.value for severity in ErrorSeverity]
    for rank in range(len(ordered) - 1, 0, -1):
        yield {
            "source_matchers": [_named(stepped), f'severity="{ordered[rank]}"'],
            "target_matchers": [_named(stepped), f'severity=~"{"|".join(ordered[:rank])}"'],
            "equal": equal,
        }


def _inhibit_rules(
    inhibition: InhibitionOptions,
    rules: Sequence[AlertRuleOptions],
    labels: Mapping[str, frozenset[str] | None],
    targets: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """The same in Alertmanager, where a label that one alert lacks is not the same in both.

    So alerts are told apart by which of the labels both have.
    """
    sources = _meant(inhibition.source, rules)
    quiet = _meant(inhibition.target, rules)
    by_labels: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for source in sources:
        compared: dict[tuple[str, ...], list[str]] = {}
        for target in quiet:
            both = tuple(
                one
                for one in inhibition.equal
                if _has(labels[source], one) and _has(labels[target], one)
            )
            compared.setdefault(both, []).append(target)
        for both, names in compared.items():
            by_labels.setdefault((both, tuple(names)), []).append(source)
    for (both, quietened), causes in by_labels.items():
        yield {
            "source_matchers": [_named(causes), *_others(inhibition.source)],
            "target_matchers": [_named(quietened), *_others(inhibition.target)],
            "equal": [*targets, *both],
        }


def _has(labels: frozenset[str] | None, name: str) -> bool:
    return labels is None or name in labels


def _meant(matchers: Sequence[str], rules: Sequence[AlertRuleOptions]) -> list[str]:
    """The rules whose alerts can fulfil matchers, by what is known of them before."""
    named = [one for one in map(Matcher.parse, matchers) if one.name == ALERT_NAME]
    return [
        rule.name for rule in rules if all(one.matches({ALERT_NAME: rule.name}) for one in named)
    ]


def _others(matchers: Sequence[str]) -> list[str]:
    return [str(one) for one in map(Matcher.parse, matchers) if one.name != ALERT_NAME]


def _named(names: Sequence[str]) -> str:
    if len(names) == 1:
        return str(Matcher(ALERT_NAME, MatcherOperator.EQUAL, names[0]))
    return str(Matcher(ALERT_NAME, MatcherOperator.MATCHES, "|".join(names)))
