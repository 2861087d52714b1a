"""What an alert shows for itself: figures, the operations most concerned, and their traces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from metalscope.alert_report import Alert, AlertEvidence, Figure
from metalscope.alerts.engine.text import plain_number
from metalscope.alerts.engine.thresholds import measured_by
from metalscope.amounts import amount
from metalscope.operation import OK, Component, MetalError, OperationKind

if TYPE_CHECKING:
    from metalscope.alerts.rule import AlertRule
    from metalscope.notable import NotableOperation
    from metalscope.snapshot import Exemplar, MetalTelemetrySnapshot, OperationMetrics

__all__ = ["EvidenceSource"]

MOST_OPERATIONS: Final = 5
MOST_IDS: Final = 5
_BY_DURATION: Final = ("metal_operation_duration_ms", "metal_operations_by_category")
_ERRORS: Final = frozenset(error.value for error in MetalError)


class EvidenceSource:
    """Draws evidence from one snapshot, for as many alerts as fire at one evaluation.

    What it has looked up or written for one alert it has ready for the next.
    """

    def __init__(self, snapshot: MetalTelemetrySnapshot) -> None:
        self._operations = snapshot.operations
        self._notable = snapshot.notable
        self._by_name: dict[str, list[OperationMetrics]] | None = None
        self._slowest: Sequence[OperationMetrics] | None = None
        self._texts: dict[int, str] = {}

    def of(self, rule: AlertRule, alert: Alert) -> AlertEvidence:
        """The evidence of an alert as it is now."""
        labels = dict(alert.labels)
        slow = any(metric.startswith(_BY_DURATION) for one in rule.levels
                   for metric in one.expression.metrics)  # fmt: skip
        concerned = self._concerned(alert, labels, slow=slow)[:MOST_OPERATIONS]
        notable = self._notable_of(concerned, labels, slow=slow)
        traces = [*_trace_ids(concerned, labels, slow=slow), *(one.trace_id for one in notable)]
        return AlertEvidence(
            figures=_figures(rule, alert),
            operations=tuple(map(self._in_words, concerned)),
            trace_ids=_first(traces),
            correlation_ids=_first(one.correlation_id for one in notable),
        )

    def _notable_of(
        self, concerned: Iterable[OperationMetrics], labels: Mapping[str, str], *, slow: bool
    ) -> list[NotableOperation]:
        """Single operations of those, the slowest first, or the latest that failed."""
        series = {(one.kind, one.name, one.device) for one in concerned}
        error = _error_of(labels)
        found = [
            one
            for one in self._notable
            if (one.kind, one.name, one.device) in series
            and (slow or one.failed)
            and (not error or one.outcome == error)
        ]
        if slow:
            return sorted(found, key=lambda one: one.duration_ms or 0.0, reverse=True)
        return found[::-1]

    def _concerned(
        self, alert: Alert, labels: Mapping[str, str], *, slow: bool
    ) -> Sequence[OperationMetrics]:
        """The operations the labels name; else those that speak most of the alert's component."""
        named = self._named(labels)
        error = _error_of(labels)
        if "name" in labels:
            return sorted(named, key=_errors(error), reverse=True)
        # Anomalies call an operation so.
        subject = [one for one in named if _called(one) == labels.get("subject")]
        if subject:
            return subject
        candidates = named or self._operations
        if slow:
            among = set(map(id, candidates))
            return [one for one in self._by_duration() if id(one) in among]
        failed = _most(candidates, _errors(error))
        if failed or alert.component is not Component.MEMORY:
            return failed
        # Nothing has failed yet: who takes the memory.
        allocating = [one for one in candidates if one.kind is OperationKind.ALLOCATE]
        return _most(allocating, lambda one: one.nbytes)

    def _named(self, labels: Mapping[str, str]) -> Sequence[OperationMetrics]:
        """Operations with the same values of those labels that are of operations."""
        if self._by_name is None:
            self._by_name = {}
            for one in self._operations:
                self._by_name.setdefault(one.name, []).append(one)
        candidates: Sequence[OperationMetrics] = (
            self._by_name.get(labels["name"], []) if "name" in labels else self._operations
        )
        wanted = {"kind": labels.get("kind"), "device": labels.get("device")}
        return [
            one
            for one in candidates
            if wanted["kind"] in {None, one.kind.value} and wanted["device"] in {None, one.device}
        ]

    def _by_duration(self) -> Sequence[OperationMetrics]:
        if self._slowest is None:
            timed = [(one.durations.quantile_ms(0.95), one) for one in self._operations]
            known = [(p95, one) for p95, one in timed if p95 is not None]
            known.sort(key=lambda pair: pair[0], reverse=True)
            self._slowest = [one for _, one in known]
        return self._slowest

    def _in_words(self, operation: OperationMetrics) -> str:
        text = self._texts.get(id(operation))
        if text is None:
            text = self._texts[id(operation)] = _in_words(operation)
        return text


def _figures(rule: AlertRule, alert: Alert) -> tuple[Figure, ...]:
    if alert.value is None:
        return ()
    measured = measured_by(rule, alert.severity)
    if measured.is_flag and alert.value == 1:
        return ()
    return (Figure(measured.in_words, alert.value, measured.unit),)


def _error_of(labels: Mapping[str, str]) -> str:
    """The error an alert is about; empty where it is about none in particular."""
    subject = labels.get("subject", "")
    return labels.get("type") or labels.get("outcome") or (subject if subject in _ERRORS else "")


def _called(operation: OperationMetrics) -> str:
    where = f" on {operation.device}" if operation.device else ""
    return f"{operation.kind.value} {operation.name}{where}"


def _errors(error: str) -> Callable[[OperationMetrics], int]:
    """How often an operation failed: of one error where that is named, else of any."""

    def count(operation: OperationMetrics) -> int:
        return sum(
            one.count
            for one in operation.outcomes
            if one.outcome != OK and (not error or one.outcome == error)
        )

    return count


def _most(
    operations: Iterable[OperationMetrics], count: Callable[[OperationMetrics], int]
) -> list[OperationMetrics]:
    counted = [(count(one), one) for one in operations]
    found = [(number, one) for number, one in counted if number]
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [one for _, one in found]


def _in_words(operation: OperationMetrics) -> str:
    """Such as ``execute attention on m1: 7 of 120 failed (timeout 7), p95 12.5 ms``."""
    errors = {error.value: count for error, count in operation.errors.items() if count}
    if errors:
        most = sorted(errors.items(), key=lambda item: item[1], reverse=True)
        said = ", ".join(f"{error} {count}" for error, count in most)
        parts = [f"{operation.error_count} of {operation.executions} failed ({said})"]
    else:
        parts = [f"{operation.executions} times"]
    p95 = operation.durations.quantile_ms(0.95)
    if p95 is not None:
        parts.append(f"p95 {plain_number(p95)} ms")
    if operation.kind is OperationKind.ALLOCATE and operation.nbytes:
        parts.append(f"{amount(operation.nbytes, 'bytes')} in all")
    return f"{_called(operation)}: {', '.join(parts)}"


def _trace_ids(
    operations: Iterable[OperationMetrics], labels: Mapping[str, str], *, slow: bool
) -> tuple[str, ...]:
    """Traces in which those operations ran: of the slowest, or of the latest that failed."""
    error = _error_of(labels)
    exemplars: list[tuple[bool, Exemplar]] = []
    for operation in operations:
        for outcome in operation.outcomes:
            failed = outcome.outcome != OK and (not error or outcome.outcome == error)
            exemplars += ((failed, one) for one in outcome.exemplars)
    if slow:
        exemplars.sort(key=lambda pair: pair[1].value_ms, reverse=True)
    else:
        if any(failed for failed, _ in exemplars):
            exemplars = [pair for pair in exemplars if pair[0]]
        exemplars.sort(key=lambda pair: pair[1].timestamp, reverse=True)
    return _first(one.trace_id for _, one in exemplars)


def _first(ids: Iterable[str | None]) -> tuple[str, ...]:
    """The first few different ones."""
    return tuple(dict.fromkeys(one for one in ids if one is not None))[:MOST_IDS]
