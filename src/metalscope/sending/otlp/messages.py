"""The messages of OTLP that are the same for all it carries: as JSON, and what a peer answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalscope.errors import MissingExtraError
from metalscope.sending.result import ExportResult, Reason

try:
    from google.protobuf import json_format
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import DecodeError
    from google.protobuf.unknown_fields import UnknownFieldSet
except ImportError as missing:
    raise MissingExtraError("OTLP", "otlp", cause=str(missing)) from missing

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from metalscope.sending.otlp.service import OtlpService

__all__ = [
    "JSON",
    "PROTOBUF",
    "GarbageError",
    "Status",
    "json_of",
    "response_from",
    "result_of",
    "status_from",
]

JSON: Final = "application/json"
PROTOBUF: Final = "application/x-protobuf"

_RETRY_INFO: Final = "google.rpc.RetryInfo"
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})


class GarbageError(ValueError):
    """What a peer answered is no message of OTLP."""


def json_of(request: Message) -> bytes:
    """A request in OTLP's own mapping to JSON.

    OTLP specification, "JSON Protobuf Encoding": protobuf's mapping (64-bit integers as text),
    but enums are numbers, and the ids of traces and spans hexadecimal.
    """
    message = json_format.MessageToDict(request, use_integers_for_enums=True)
    _in_hexadecimal(message)
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def _in_hexadecimal(node: Any) -> None:
    # Names of attributes are values in OTLP, never names in its JSON, so these are no attribute's.
    if isinstance(node, list):
        for part in node:
            _in_hexadecimal(part)
    elif isinstance(node, dict):
        for name, part in node.items():
            if name in _IDS:
                node[name] = base64.b64decode(part).hex()
            elif isinstance(part, (dict, list)):
                _in_hexadecimal(part)


def response_from(service: OtlpService, body: bytes, content_type: str) -> Message:
    """Read the body of a success.

    Raises:
        GarbageError: it is none.
    """
    try:
        if content_type.partition(";")[0].strip().lower() == JSON:
            message = json.loads(body.decode() or "{}")
            if not isinstance(message, dict):
                raise GarbageError("it is no object")
            return json_format.ParseDict(message, service.response(), ignore_unknown_fields=True)
        return service.response.FromString(body)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        raise GarbageError(str(error)) from error


def result_of(service: OtlpService, response: Message, count: int, says: str = "") -> ExportResult:
    """What a success means for a request of ``count`` points, spans or records.

    A peer that took none of them refused the whole. ``says`` is its message, fit to be shown; it
    may come with a full success too (OTLP specification, "Partial Success").
    """
    refused = service.rejected_in(response, count)
    if refused and refused == count:
        return ExportResult.rejected(
            Reason.SCHEMA, f"the peer refused every {service.one}{': ' + says if says else ''}"
        )
    return ExportResult.delivered(count - refused, rejected_points=refused, detail=says)


class Status(NamedTuple):
    """A ``google.rpc.Status``: what a peer says of a failure, and when to come again."""

    message: str = ""
    retry_after: timedelta | None = None


def status_from(body: bytes) -> Status:
    """Read a ``google.rpc.Status`` (google/rpc/status.proto); an empty one where it is none."""
    message, retry_after = "", None
    try:
        for number, value in _fields(body):
            if number == 2:
                message = value.decode("utf-8", "replace")
            elif number == 3:
                # google.protobuf.Any: its type's URL, and the message.
                detail = dict(_fields(value))
                if detail.get(1, b"").decode("utf-8", "replace").endswith(f"/{_RETRY_INFO}"):
                    retry_after = _retry_delay(detail.get(2, b""))
    except DecodeError:
        return Status()
    return Status(message, retry_after)


def _retry_delay(info: bytes) -> timedelta | None:
    # google/rpc/error_details.proto: RetryInfo has one field, retry_delay.
    for number, value in _fields(info):
        if number == 1:
            delay: timedelta = Duration.FromString(value).ToTimedelta()
            return max(delay, timedelta())
    return timedelta()


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that are bytes, text or messages, without its description."""
    length_delimited = 2
    found: Any = UnknownFieldSet(Empty.FromString(message))
    for field in found:
        if field.wire_type == length_delimited:
            yield field.field_number, field.data
