"""The names of attributes of log records and spans, decided once.

Where OpenTelemetry's semantic conventions have a name it is theirs; the others are in a namespace
of our own, by their rules for names (lower case, dots between namespaces).
"""

from __future__ import annotations

from typing import Final

OPERATION_KIND: Final = "metal.operation.kind"
OPERATION_NAME: Final = "metal.operation.name"
OPERATION_OUTCOME: Final = "metal.operation.outcome"
OPERATION_DURATION: Final = "metal.operation.duration_ms"
OPERATION_GPU: Final = "metal.operation.gpu_ms"
OPERATION_BYTES: Final = "metal.operation.bytes"
OPERATION_THRESHOLD: Final = "metal.operation.threshold_ms"
OPERATIONS_BEFORE: Final = "metal.operation.before"
DEVICE: Final = "metal.device.name"
DEVICE_BACKEND: Final = "metal.device.backend"
MEMORY_USED: Final = "metal.memory.used_bytes"
MEMORY_LIMIT: Final = "metal.memory.limit_bytes"
MEMORY_PRESSURE: Final = "metal.memory.pressure"
MEMORY_PRESSURE_BEFORE: Final = "metal.memory.pressure_before"
HEALTH_STATUS: Final = "metal.health.status"
HEALTH_STATUS_BEFORE: Final = "metal.health.status_before"
HEALTH_COMPONENT: Final = "metal.health.component"
HEALTH_REASONS: Final = "metal.health.reasons"
HEALTH_EVENT: Final = "metal.health.event"
ALERT_ID: Final = "metal.alert.id"
ALERT_RULE: Final = "metal.alert.rule"
ALERT_SEVERITY: Final = "metal.alert.severity"
ALERT_STATE: Final = "metal.alert.state"
ALERT_VALUE: Final = "metal.alert.value"
ALERT_LABELS: Final = "metal.alert.labels"
ALERT_RUNBOOK: Final = "metal.alert.runbook"
ALERT_BY: Final = "metal.alert.by"
ALERT_RESOLUTION: Final = "metal.alert.resolution"
RECEIVER: Final = "metalscope.receiver.name"
RECEIVER_TYPE: Final = "metalscope.receiver.type"
RECEIVER_ROLE: Final = "metalscope.receiver.role"
RECEIVER_WAITING: Final = "metalscope.receiver.waiting"
SUPPRESSED: Final = "metalscope.suppressed"
VERSION: Final = "metalscope.version"
EVENT_PROPERTIES: Final = "metal.event.properties"
OPERATIONS: Final = "metal.operations"
ERRORS: Final = "metal.errors"

CORRELATION_ID: Final = "metalscope.correlation_id"

ERROR_TYPE: Final = "error.type"
"""OpenTelemetry semantic conventions, "Error attributes": here a
:class:`~metalscope.operation.MetalError`."""

__all__ = [name for name in dir() if name.isupper()]
