"""A request of OTLP from spans or log records that are bytes already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from metalscope._version import __version__
from metalscope.errors import MissingExtraError
from metalscope.sending.otlp.values import key_values

try:
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
except ImportError as missing:
    raise MissingExtraError("OTLP", "otlp", cause=str(missing)) from missing

__all__ = ["SCOPE", "Envelope"]

SCOPE: Final = "metalscope"
"""The name of the instrumentation scope."""

# The fields of `ExportTraceServiceRequest`, `ResourceSpans` and `ScopeSpans` have these numbers,
# and those of `ExportLogsServiceRequest`, `ResourceLogs` and `ScopeLogs` the same ones
# (opentelemetry/proto/{trace,logs}/v1). All of them are length-delimited, wire type 2.
_FIRST: Final = b"\x0a"  # resource_spans, resource and scope
_SECOND: Final = b"\x12"  # scope_spans, spans


class Envelope:
    """Who speaks, put round the records of each request.

    Records are not read again: a message within another is its bytes with their length before them
    (Protocol Buffers, "Encoding", "Submessages").
    """

    def __init__(self, resource: Mapping[str, Any]) -> None:
        speaker = Resource(attributes=key_values(resource))
        scope = InstrumentationScope(name=SCOPE, version=__version__)
        self._resource = _field(_FIRST, speaker.SerializeToString())
        self._scope = _field(_FIRST, scope.SerializeToString())

    def around(self, records: Iterable[bytes]) -> bytes:
        """The request that holds these spans, or log records, in their order."""
        of_scope = self._scope + b"".join(_field(_SECOND, record) for record in records)
        return _field(_FIRST, self._resource + _field(_SECOND, of_scope))


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Protocol Buffers, "Encoding", "Base 128 Varints"."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
