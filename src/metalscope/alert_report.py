"""What alerts say: their states, evidence, silences, and how the channels are doing.

These are parts of the snapshot and of notifications: frozen, made of plain values, read by
consumers of every kind. What raises them is :mod:`metalscope.alerts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from metalscope.export_status import BreakerState
from metalscope.moments import rfc3339, rfc3339_or_none
from metalscope.operation import Component, ErrorSeverity

__all__ = [
    "ALERT_NAME",
    "Acknowledgement",
    "Alert",
    "AlertEvidence",
    "AlertState",
    "ChannelStatus",
    "Figure",
    "Labels",
    "Matcher",
    "MatcherOperator",
    "Silence",
]

Labels = tuple[tuple[str, str], ...]
"""Label names with their values, sorted by name."""

ALERT_NAME: Final = "alertname"
"""The label that holds the rule's name, as in Prometheus and Alertmanager."""

_NOTHING: Mapping[str, int] = MappingProxyType({})


class AlertState(StrEnum):
    """Where an alert is in its life."""

    PENDING = "pending"
    """Its condition holds, and not yet for as long as the rule asks."""
    FIRING = "firing"
    RESOLVED = "resolved"


class MatcherOperator(StrEnum):
    """How a matcher compares, as in Prometheus and Alertmanager."""

    EQUAL = "="
    NOT_EQUAL = "!="
    MATCHES = "=~"
    NOT_MATCHES = "!~"


_MATCHER: Final = re.compile(
    r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^"\s,{}]*))\s*',
    re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label. A label that is not there is empty; regular expressions are whole.

    Raises:
        ValueError: the value is to be a regular expression and is none.
    """

    name: str
    operator: MatcherOperator
    value: str

    def __post_init__(self) -> None:
        if self.operator in {MatcherOperator.MATCHES, MatcherOperator.NOT_MATCHES}:
            try:
                re.compile(self.value)
            except re.error as error:
                raise ValueError(
                    f"{self.name}{self.operator}: {self.value!r} is no regular expression: {error}"
                ) from None

    @classmethod
    def parse(cls, text: str) -> Self:
        """A matcher written as Alertmanager's are: ``severity="high"``, ``name=~"attention.*"``.

        Raises:
            ValueError: it is no matcher.
        """
        found = _MATCHER.fullmatch(text)
        if found is None:
            raise ValueError(
                f"must be a matcher such as 'severity=\"high\"' or 'name=~\"att.*\"', not {text!r}"
            )
        name, operator, quoted, bare = found.groups()
        value = bare if quoted is None else re.sub(r"\\(.)", _unescaped, quoted, flags=re.DOTALL)
        return cls(name, MatcherOperator(operator), value)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil it."""
        value = labels.get(self.name, "")
        match self.operator:
            case MatcherOperator.EQUAL:
                return value == self.value
            case MatcherOperator.NOT_EQUAL:
                return value != self.value
            case MatcherOperator.MATCHES:
                return re.fullmatch(self.value, value) is not None
            case MatcherOperator.NOT_MATCHES:
                return re.fullmatch(self.value, value) is None

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.operator}"{escaped}"'


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[0])


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that fulfil all ``matchers`` tell nobody from ``starts_at`` until ``ends_at``."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str = ""

    def is_active(self, now: datetime) -> bool:
        """Whether it holds at a moment."""
        return self.starts_at <= now < self.ends_at

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert of these labels is meant."""
        return all(one.matches(labels) for one in self.matchers)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "id": self.id,
            "matchers": [str(one) for one in self.matchers],
            "starts_at": rfc3339(self.starts_at),
            "ends_at": rfc3339(self.ends_at),
            "created_by": self.created_by,
            "comment": self.comment,
        }


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody looks after it: no repeats and no escalation until it gets worse or is over."""

    by: str
    at: datetime
    comment: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {"by": self.by, "at": rfc3339(self.at), "comment": self.comment}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that speaks for an alert; ``unit`` is that of the metric, empty for a count."""

    name: str
    value: float
    unit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {"name": self.name, "value": self.value, "unit": self.unit}


@dataclass(frozen=True, slots=True)
class AlertEvidence:
    """What an alert shows for itself, as of when it last got worse.

    ``operations`` are those most concerned, in words and numbers. ``trace_ids`` are of traces in
    which such operations ran, lower-case hex (W3C Trace Context); ``correlation_ids`` those of the
    program's own log.
    """

    figures: tuple[Figure, ...] = ()
    operations: tuple[str, ...] = ()
    trace_ids: tuple[str, ...] = ()
    correlation_ids: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "figures": [one.to_dict() for one in self.figures],
            "operations": list(self.operations),
            "trace_ids": list(self.trace_ids),
            "correlation_ids": list(self.correlation_ids),
        }


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong, from the moment its condition holds until it is resolved.

    ``id`` is of this one incident, ``fingerprint`` of the rule and the labels, so the same trouble
    another day has the same. ``labels`` are those of the expression and of the rule, without
    ``alertname`` and ``severity``. ``active_since`` is when the condition began to hold,
    ``last_seen`` when it last did, ``count`` at how many evaluations. ``value`` is what the
    expression gave last. ``silenced_by`` names silences and maintenance windows, ``inhibited_by``
    the fingerprints of the alerts that explain this one. ``resolution`` says why it is over.
    """

    id: str
    fingerprint: str
    rule: str
    labels: Labels
    severity: ErrorSeverity
    state: AlertState
    title: str
    active_since: datetime
    last_seen: datetime
    description: str = ""
    component: Component | None = None
    value: float | None = None
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    count: int = 1
    evidence: AlertEvidence = field(default_factory=AlertEvidence)
    actions: tuple[str, ...] = ()
    runbook: str = ""
    link: str = ""
    acknowledged: Acknowledgement | None = None
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    flapping: bool = False
    resolution: str = ""

    @property
    def all_labels(self) -> dict[str, str]:
        """Its labels with ``alertname``, ``severity`` and ``component``: what matchers look at."""
        named = {ALERT_NAME: self.rule, "severity": self.severity.value}
        component = {"component": self.component.value} if self.component else {}
        return component | dict(self.labels) | named

    @property
    def is_muted(self) -> bool:
        """Whether a silence, a maintenance window or another alert keeps it quiet."""
        return bool(self.silenced_by or self.inhibited_by)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "id": self.id,
            "fingerprint": self.fingerprint,
            "rule": self.rule,
            "labels": dict(self.labels),
            "severity": self.severity.value,
            "state": self.state.value,
            "title": self.title,
            "description": self.description,
            "component": self.component.value if self.component else None,
            "value": self.value,
            "active_since": rfc3339(self.active_since),
            "last_seen": rfc3339(self.last_seen),
            "fired_at": rfc3339_or_none(self.fired_at),
            "resolved_at": rfc3339_or_none(self.resolved_at),
            "count": self.count,
            "evidence": self.evidence.to_dict(),
            "actions": list(self.actions),
            "runbook": self.runbook,
            "link": self.link,
            "acknowledged": self.acknowledged.to_dict() if self.acknowledged else None,
            "silenced_by": list(self.silenced_by),
            "inhibited_by": list(self.inhibited_by),
            "flapping": self.flapping,
            "resolution": self.resolution,
        }


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """How one channel of notifications is doing, in counts since it was started.

    ``delivered`` counts messages, ``failures`` attempts by reason, ``dropped`` messages that will
    never arrive by reason. ``waiting`` is how many wait now. ``last_error`` holds no secret; it is
    empty once a message arrived again.
    """

    name: str
    type: str = ""
    state: BreakerState = BreakerState.CLOSED
    delivered: int = 0
    failures: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    dropped: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    waiting: int = 0
    last_success: datetime | None = None
    last_error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "name": self.name,
            "type": self.type,
            "state": self.state.value,
            "delivered": self.delivered,
            "failures": dict(self.failures),
            "dropped": dict(self.dropped),
            "waiting": self.waiting,
            "last_success": rfc3339_or_none(self.last_success),
            "last_error": self.last_error,
        }
