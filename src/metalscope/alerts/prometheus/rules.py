"""The rules of metalscope as recording and alerting rules of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from metalscope.alerts.expression import compile_expression
from metalscope.alerts.expression.ast import Binary, Node
from metalscope.alerts.expression.printing import duration_text, to_text
from metalscope.alerts.expression.words import SET_OPERATORS
from metalscope.alerts.prometheus.increases import Increases
from metalscope.alerts.prometheus.shape import implies, labels_given
from metalscope.alerts.prometheus.translation import Translation
from metalscope.alerts.prometheus.wording import literally, template
from metalscope.errors import ConfigurationError
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from datetime import timedelta

    from metalscope.alert_options import AlertRuleOptions

__all__ = ["DEFAULT_TARGETS", "GROUP", "alert_labels", "prometheus_rules"]

DEFAULT_TARGETS: Final = ("job", "instance")
"""The labels that Prometheus puts on whatever it scrapes."""

GROUP: Final = "metalscope"

_STATE_LABELS: Final = ("alertname", "alertstate", "severity")


def prometheus_rules(
    rules: Sequence[AlertRuleOptions],
    *,
    interval: timedelta,
    targets: Sequence[str] = DEFAULT_TARGETS,
) -> dict[str, Any]:
    """The document of a rules file.

    Args:
        rules: those to export.
        interval: time between two evaluations.
        targets: the labels that tell one process from another.

    Raises:
        ConfigurationError: a rule has no form in Prometheus; the text names it.
    """
    parts = [_Parts(one) for one in rules]
    increases = Increases((node for part in parts for node in part.nodes), targets)
    translation = Translation(targets, increases)
    recorded = [{"record": one.name, "expr": one.expr} for one in increases.recordings()]
    alerts = [alert for part in parts for alert in _alerts(part, translation)]
    group = {
        "name": GROUP,
        "interval": duration_text(interval.total_seconds()),
        "rules": [*recorded, *alerts],
    }
    return {"groups": [group]}


class _Parts:
    """A rule with its expressions read. ``levels`` are mildest first."""

    def __init__(self, rule: AlertRuleOptions) -> None:
        self.rule = rule
        texts = {rule.severity: rule.expr, **rule.severities}
        self.levels: dict[ErrorSeverity, Node] = {
            severity: compile_expression(texts[severity]).node
            for severity in ErrorSeverity
            if severity in texts
        }
        self.keep = (
            compile_expression(rule.keep_firing_while).node if rule.keep_firing_while else None
        )

    @property
    def nodes(self) -> Iterator[Node]:
        yield from self.levels.values()
        if self.keep is not None:
            yield self.keep


def alert_labels(rule: AlertRuleOptions) -> dict[str, str]:
    """The labels that the rule itself puts on its alerts, without the severity."""
    given = labels_given(compile_expression(rule.expr).node)
    # As in metalscope, a series that says what it is about says it better than the rule.
    speaks_itself = given is not None and "component" in given
    component = {"component": rule.component.value} if rule.component else {}
    return ({} if speaks_itself else component) | dict(rule.labels)


def _alerts(parts: _Parts, translation: Translation) -> Iterator[dict[str, Any]]:
    rule = parts.rule
    own = alert_labels(rule)
    for severity, expr in _expressions(parts, translation, sorted(own)).items():
        alert: dict[str, Any] = {"alert": rule.name, "expr": expr}
        if rule.hold:
            alert["for"] = duration_text(rule.hold.total_seconds())
        if rule.keep_firing_for:
            alert["keep_firing_for"] = duration_text(rule.keep_firing_for.total_seconds())
        labels = {name: literally(value) for name, value in own.items()}
        alert["labels"] = {"severity": severity.value, **labels}
        alert["annotations"] = dict(_annotations(rule))
        yield alert


def _annotations(rule: AlertRuleOptions) -> Iterator[tuple[str, str]]:
    yield "summary", template(rule.summary) if rule.summary else literally(rule.name)
    if rule.description:
        yield "description", template(rule.description)
    if rule.actions:
        yield "actions", literally("\n".join(f"- {one}" for one in rule.actions))
    if rule.runbook:
        yield "runbook_url", template(rule.runbook)


def _expressions(
    parts: _Parts, translation: Translation, own: Sequence[str]
) -> Mapping[ErrorSeverity, str]:
    """What fires at each severity.

    An alert of metalscope's holds where the rule's own expression does, is as grave as it ever was,
    and goes on while ``keep_firing_while`` holds. Prometheus has an alert for each severity, so
    each looks at whether it fires itself.
    """
    name = parts.rule.name
    try:
        levels = {severity: translation.of(node) for severity, node in parts.levels.items()}
        keep = None if parts.keep is None else translation.of(parts.keep)
    except ValueError as error:
        raise ConfigurationError(f"rule {name}: {error}") from None
    (first, base), *_ = levels.items()
    found: dict[ErrorSeverity, str] = {}
    for severity, node in levels.items():
        text = to_text(node)
        if severity is not first and not implies(node, base):
            text = f"{_grouped(node)}\nand {_grouped(base)}"
        keeps = _keeps(base, keep, is_first=severity is first)
        if keeps:
            fires = f'alertname="{name}",alertstate="firing",severity="{severity.value}"'
            text += (
                f"\nor (\n  {keeps}\n  and ignoring ({', '.join([*_STATE_LABELS, *own])})\n"
                f"  ALERTS{{{fires}}}\n)"
            )
        found[severity] = text
    return found


def _keeps(base: Node, keep: Node | None, *, is_first: bool) -> str:
    """What keeps an alert of one severity firing that fires already."""
    if keep is None:
        return "" if is_first else _grouped(base)
    if is_first or implies(base, keep):
        return _grouped(keep)
    return f"({to_text(keep)} or {to_text(base)})"


def _grouped(node: Node) -> str:
    text = to_text(node)
    is_set = isinstance(node, Binary) and node.operator in SET_OPERATORS
    return f"({text})" if is_set else text
