"""The format ``json``: one flat object a line, with names in snake_case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from metalscope.logs.formats.json_text import json_members, quoted, without_surrogates
from metalscope.logs.formats.moment_text import micros_text
from metalscope.logs.record import LoggedException, LogRecord, Severity

__all__ = ["RESERVED", "json_lines"]

RESERVED: Final = frozenset(
    {
        "timestamp", "severity", "message", "event", "logger", "thread", "sequence",
        "correlation_id", "trace_id", "span_id", "sampled",
        "exception_type", "exception_message", "exception_stacktrace",
        "service_name", "service_version", "service_instance_id", "environment",
        "host_name", "process_pid",
    }
)  # fmt: skip
"""The names of our own fields. An attribute of such a name gets a ``_`` at its end."""

_OF_RESOURCE: Final = {
    "service.name": "service_name",
    "service.version": "service_version",
    "service.instance.id": "service_instance_id",
    "deployment.environment.name": "environment",
    "deployment.environment": "environment",
    "host.name": "host_name",
    "process.pid": "process_pid",
}

_EVENT: Final = ',"event":'
_ID: Final = ',"correlation_id":'
_SEVERITY: Final = {one: f'","severity":"{one.text}","message":' for one in Severity}


def json_lines(resource: Mapping[str, str | int]) -> Callable[[LogRecord], str]:
    """Makes lines of records; all end with who speaks, by ``resource``."""
    speaker = {
        ours: resource[theirs] for theirs, ours in _OF_RESOURCE.items() if theirs in resource
    }
    end = ("," + json_members(speaker) if speaker else "") + "}"

    def line(record: LogRecord) -> str:
        event, correlation_id = record.event, record.correlation_id
        attributes, exception = record.attributes, record.exception
        if attributes and not RESERVED.isdisjoint(attributes):
            attributes = renamed(attributes, RESERVED)
        return without_surrogates(
            f'{{"timestamp":"{micros_text(record.timestamp_ns)}{_SEVERITY[record.severity]}'
            f"{quoted(record.body)}"
            f"{_EVENT + quoted(event) if event else ''}"
            f',"logger":{quoted(record.logger)},"thread":{quoted(record.thread)}'
            f"{_ID + quoted(correlation_id) if correlation_id else ''}"
            f"{_trace(record) if record.trace_id else ''}"
            f"{_exception(exception) if exception else ''}"
            f"{',' + json_members(attributes) if attributes else ''}"
            f',"sequence":{record.sequence}{end}'
        )

    return line


def _trace(record: LogRecord) -> str:
    text = f',"trace_id":{quoted(str(record.trace_id))}'
    if record.span_id is not None:
        text += f',"span_id":{quoted(record.span_id)}'
    return text + ',"sampled":true' if record.sampled else text


def _exception(error: LoggedException) -> str:
    text = f',"exception_type":{quoted(error.type)},"exception_message":{quoted(error.message)}'
    if error.stacktrace:
        text += f',"exception_stacktrace":{quoted(error.stacktrace)}'
    return text


def renamed(attributes: Mapping[str, Any], reserved: frozenset[str]) -> dict[str, Any]:
    """``attributes`` with ``_`` after names that are reserved, until they are nobody else's."""
    free: dict[str, Any] = {}
    for name, value in attributes.items():
        own = name
        while own in reserved or (own != name and (own in attributes or own in free)):
            own += "_"
        free[own] = value
    return free
