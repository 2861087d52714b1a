"""The format ``ecs``: the fields of the Elastic Common Schema, as its logging libraries write them.

https://www.elastic.co/guide/en/ecs/8.11/ecs-field-reference.html. ``@timestamp``, ``log.level`` and
``message`` come first, and ``log.level`` and ``ecs.version`` are written with their dots, as the
specification of ECS logging asks; all others are nested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from metalscope import attributes as names
from metalscope.logs.formats.json_text import json_members, json_text, quoted, without_surrogates
from metalscope.logs.formats.moment_text import millis_text
from metalscope.logs.record import LogRecord, Severity

__all__ = ["DATASET", "ECS_VERSION", "ecs_lines"]

ECS_VERSION: Final = "8.11.0"
DATASET: Final = "metalscope.log"
"""``event.dataset`` of all records."""

_HAVE_A_PLACE: Final = frozenset({names.ERROR_TYPE, names.CORRELATION_ID})
_OWN: Final = ("metal.", "metalscope.")

# From OpenTelemetry's resource conventions to ECS.
_OF_RESOURCE: Final = {
    "service.name": ("service", "name"),
    "service.version": ("service", "version"),
    "service.instance.id": ("service", "node", "name"),
    "deployment.environment": ("service", "environment"),
    "deployment.environment.name": ("service", "environment"),
    "host.name": ("host", "name"),
    "host.id": ("host", "id"),
    "host.arch": ("host", "architecture"),
    "os.type": ("host", "os", "type"),
    "os.name": ("host", "os", "name"),
    "os.version": ("host", "os", "version"),
    "os.description": ("host", "os", "full"),
    "process.pid": ("process", "pid"),
    "process.executable.name": ("process", "name"),
    "process.executable.path": ("process", "executable"),
}

_LEVEL: Final = {one: f'","log.level":"{one.text}","message":' for one in Severity}


def ecs_lines(resource: Mapping[str, str | int]) -> Callable[[LogRecord], str]:
    """Makes lines of records.

    Attributes of our own keep their names, ``metal.*`` and ``metalscope.*``, and their types;
    ``error.type``, the kind of error of an operation, is ``error.code`` here, where ``error.type``
    is an exception's class. What an application adds goes to ``labels``, whose values ECS keeps as
    text, so that of two programs that disagree on a field's type none has its records refused.
    """
    speaker = _speaker(resource)
    process = json_members(speaker.pop("process", {}))
    process = f'"process":{{{process}{"," if process else ""}"thread":{{"name":'
    end = f',"ecs.version":"{ECS_VERSION}"' + ("," + json_members(speaker) if speaker else "") + "}"

    def line(record: LogRecord) -> str:
        text = (
            f'{{"@timestamp":"{millis_text(record.timestamp_ns)}{_LEVEL[record.severity]}'
            f'{quoted(record.body)},"log":{{"logger":{quoted(record.logger)}}},'
            f"{process}{quoted(record.thread)}}}}},{_event(record)}"
        )
        if record.trace_id is not None:
            text += f',"trace":{{"id":{quoted(record.trace_id)}}}'
            if record.span_id is not None:
                text += f',"span":{{"id":{quoted(record.span_id)}}}'
        error = _error(record)
        if error:
            text += f',"error":{{{json_members(error)}}}'
        if record.correlation_id is not None:
            text += f',"{names.CORRELATION_ID}":{quoted(record.correlation_id)}'
        if record.attributes:
            own, labels = _sorted_out(record.attributes)
            if own:
                text += "," + json_members(own)
            if labels:
                text += f',"labels":{{{json_members(labels)}}}'
        return without_surrogates(text + end)

    return line


def _event(record: LogRecord) -> str:
    action = f'"action":{quoted(record.event)},' if record.event else ""
    return (
        f'"event":{{"kind":"event","module":"metalscope","dataset":"{DATASET}",{action}'
        f'"sequence":{record.sequence},"severity":{record.severity.value}}}'
    )


def _error(record: LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if names.ERROR_TYPE in record.attributes:
        found["code"] = _keyword(record.attributes[names.ERROR_TYPE])
    error = record.exception
    if error is not None:
        found |= {"type": error.type, "message": error.message}
        if error.stacktrace:
            found["stack_trace"] = error.stacktrace
    return found


def _sorted_out(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of our namespaces, and the others as labels."""
    own: dict[str, Any] = {}
    labels: dict[str, Any] = {}
    for name, value in attributes.items():
        if value is None or name in _HAVE_A_PLACE:
            continue
        if name.startswith(_OWN):
            own[name] = value
            continue
        # ECS, "labels": no nested objects, values are keywords; a dot in a name would nest.
        label = name.replace(".", "_")
        while label in labels:
            label += "_"
        labels[label] = (
            [_keyword(one) for one in value] if isinstance(value, list | tuple) else _keyword(value)
        )
    return own, labels


def _keyword(value: Any) -> str:
    return (
        value if type(value) is str else repr(value) if type(value) is float else json_text(value)
    )


def _speaker(resource: Mapping[str, str | int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for theirs, path in _OF_RESOURCE.items():
        value = resource.get(theirs)
        if value is None:
            continue
        inner = found
        for step in path[:-1]:
            inner = inner.setdefault(step, {})
        # ECS, "host.os.type", has macos among its expected values; OpenTelemetry says darwin.
        inner[path[-1]] = "macos" if (theirs, value) == ("os.type", "darwin") else value
    host = found.get("host", {})
    if "name" in host:
        host["hostname"] = host["name"]
    return found
