"""The events that are logged, each with its fields: what a reader of the log may rely on.

``docs/logging-events.md`` and the JSON Schema in ``assets/schema/log-v1.schema.json`` are written
from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from metalscope import attributes as names

__all__ = ["EVENTS", "Event", "Field", "event_schema"]

FieldType = Literal["string", "integer", "number", "array", "object"]


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute of an event. ``always`` says whether each record has it."""

    name: str
    type: FieldType
    meaning: str
    always: bool = True


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of record. ``severity`` is as documented: one word, or from what it follows."""

    name: str
    severity: str
    when: str
    fields: tuple[Field, ...]


def _sometimes(name: str, type: FieldType, meaning: str) -> Field:  # noqa: A002 - as the field's
    return Field(name, type, meaning, always=False)


_OPERATION: Final = (
    Field(names.OPERATION_KIND, "string", "allocate, compile, execute, synchronize or transfer"),
    Field(names.OPERATION_NAME, "string", "the kernel or call"),
    _sometimes(names.DEVICE, "string", "which device it ran on, where that was said"),
)
_SUPPRESSED: Final = _sometimes(
    names.SUPPRESSED, "integer", "records like this one that were left out since the last"
)
_RESULT: Final = (
    Field(names.OPERATION_OUTCOME, "string", "`ok`, or the MetalError"),
    _sometimes(names.OPERATION_DURATION, "number", "how long it took, ms"),
    _sometimes(names.OPERATION_GPU, "number", "how long the device was busy with it, ms"),
    _sometimes(names.OPERATION_BYTES, "integer", "bytes it moved or allocated"),
)
_MEMORY: Final = (
    _sometimes(names.MEMORY_USED, "integer", "device memory in use, at the last tick"),
    _sometimes(names.MEMORY_LIMIT, "integer", "its limit"),
    _sometimes(names.MEMORY_PRESSURE, "string", "low, medium, high or critical"),
)
_RECEIVER: Final = (
    Field(names.RECEIVER, "string", "the name of the exporter, channel or sink"),
    Field(names.RECEIVER_TYPE, "string", "what it is"),
    Field(names.RECEIVER_ROLE, "string", "exporter, channel, log sink or span exporter"),
    Field(names.RECEIVER_WAITING, "integer", "what waits for it"),
)
_ALERT: Final = (
    Field(names.ALERT_ID, "string", "the incident"),
    Field(names.ALERT_RULE, "string", "the rule"),
    Field(names.ALERT_SEVERITY, "string", "low, medium, high or critical"),
    Field(names.ALERT_STATE, "string", "pending, firing or resolved"),
    Field(names.ALERT_LABELS, "object", "its labels"),
    _sometimes(names.ALERT_VALUE, "number", "what the rule's expression gave"),
    _sometimes(names.HEALTH_COMPONENT, "string", "memory, device, kernel, compiler or system"),
    _sometimes(names.ALERT_RUNBOOK, "string", "what to do"),
)

EVENTS: Final[tuple[Event, ...]] = (
    Event(
        "metalscope.started",
        "info",
        "telemetry begins",
        (Field(names.VERSION, "string", "the version of metalscope"),),
    ),
    Event(
        "metalscope.stopped",
        "info",
        "telemetry ends",
        (
            Field(names.OPERATIONS, "integer", "operations recorded"),
            Field(names.ERRORS, "integer", "of them failed"),
        ),
    ),
    Event(
        "metal.operation.start",
        "debug",
        "an operation begins; only with `logging.log_operations`",
        _OPERATION,
    ),
    Event(
        "metal.operation.end",
        "debug",
        "an operation is over; only with `logging.log_operations`",
        (*_OPERATION, *_RESULT),
    ),
    Event(
        "metal.operation.slow",
        "warning",
        "an operation took longer than `logging.slow_operation_threshold_ms`",
        (
            *_OPERATION,
            *_RESULT,
            Field(names.OPERATION_THRESHOLD, "number", "from where on it is slow, ms"),
            *_MEMORY,
            _SUPPRESSED,
        ),
    ),
    Event(
        "metal.operation.error",
        "error",
        "an operation failed",
        (
            *_OPERATION,
            *_RESULT,
            Field(names.ERROR_TYPE, "string", "the MetalError"),
            _sometimes(names.DEVICE_BACKEND, "string", "metal, mlx, webgpu or torch"),
            *_MEMORY,
            _sometimes(
                names.OPERATIONS_BEFORE,
                "array",
                "the last operations of its thread before it, the latest last, in words",
            ),
            _SUPPRESSED,
        ),
    ),
    Event(
        "metal.memory.pressure",
        "info where it falls to low or medium, warning at high, error at critical",
        "the system's memory pressure changed",
        (
            Field(names.MEMORY_PRESSURE, "string", "low, medium, high or critical"),
            Field(names.MEMORY_PRESSURE_BEFORE, "string", "what it was"),
            _sometimes(names.MEMORY_USED, "integer", "device memory in use"),
            _sometimes(names.MEMORY_LIMIT, "integer", "its limit"),
        ),
    ),
    Event(
        "metal.health.changed",
        "info where it is healthy, warning where degraded or unknown, error where critical",
        "the status of the whole, or of a component, changed",
        (
            Field(names.HEALTH_STATUS, "string", "healthy, degraded, critical or unknown"),
            Field(names.HEALTH_STATUS_BEFORE, "string", "what it was"),
            _sometimes(names.HEALTH_COMPONENT, "string", "the component; absent for the whole"),
            _sometimes(names.HEALTH_REASONS, "array", "why, in words"),
        ),
    ),
    Event(
        "metal.health.event",
        "info for low, warning for medium and high, error for critical",
        "an anomaly began or ended, a breaker changed, something is predicted",
        (
            Field(names.HEALTH_EVENT, "string", "its kind"),
            _sometimes(names.HEALTH_COMPONENT, "string", "the component it is about"),
            _sometimes(names.EVENT_PROPERTIES, "object", "its properties"),
        ),
    ),
    Event(
        "metal.alert.firing",
        "warning for low and medium, error for high and critical",
        "an alert fires, or its severity rose",
        _ALERT,
    ),
    Event(
        "metal.alert.resolved",
        "info",
        "an alert is over",
        (*_ALERT, _sometimes(names.ALERT_RESOLUTION, "string", "why it is over")),
    ),
    Event(
        "metal.alert.acknowledged",
        "info",
        "somebody has taken an alert on",
        (*_ALERT, Field(names.ALERT_BY, "string", "who")),
    ),
    Event(
        "metalscope.export.failed",
        "warning",
        "an exporter, a channel of alerts or a sink begins to fail",
        _RECEIVER,
    ),
    Event("metalscope.export.recovered", "info", "it works again", _RECEIVER),
    Event(
        "metal.custom",
        "info",
        "`record_custom_event` was called; the body is the event's name",
        (_sometimes(names.EVENT_PROPERTIES, "object", "its properties"),),
    ),
)
"""Every event, in the order of the documentation."""

_JSON_TYPES: Final[Mapping[str, Any]] = MappingProxyType(
    {"array": {"type": "array", "items": {"type": "string"}}}
)


def event_schema(event: Event) -> dict[str, Any]:
    """The JSON Schema of the attributes of an event's records; further ones may be there."""
    return {
        "title": event.name,
        "description": f"Logged when {event.when}.",
        "type": "object",
        "properties": {
            field.name: {**_JSON_TYPES.get(field.type, {"type": field.type}),
                         "description": field.meaning}
            for field in event.fields
        },
        "required": [field.name for field in event.fields if field.always],
    }  # fmt: skip
