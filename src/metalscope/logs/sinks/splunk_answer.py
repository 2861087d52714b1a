"""What the answers of Splunk's HTTP Event Collector mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from metalscope.sending.http.outcome import HttpAnswer, judge, retry_after_of
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.shipping.base import Refusal, Shipment

__all__ = ["Taken", "read_answer", "read_object"]

# Splunk, "Troubleshoot HTTP Event Collector, possible error codes".
_SUCCESS: Final = {
    0,
    24,  # taken, and the queue is nearly full
    25,  # taken, and the queue of acknowledgements is nearly full
}
_OF_ONE_EVENT: Final = {
    6: "the format of the event",
    12: "an event without the field event",
    13: "an event that is blank",
    15: "the indexed fields of the event",
}
# What a person can mend, so that events wait.
_CONFIGURATION: Final = {
    1: (Reason.FORBIDDEN, "the token is disabled"),
    2: (Reason.UNAUTHORIZED, "there is no token; api_key or api_key_from says it"),
    3: (Reason.UNAUTHORIZED, "the header Authorization is not as Splunk has it"),
    4: (Reason.FORBIDDEN, "it does not know the token"),
    7: (Reason.CONFIGURATION, "the token may not write to the index (settings.index)"),
    10: (Reason.CONFIGURATION, "the data channel is missing"),
    11: (Reason.CONFIGURATION, "the data channel is not valid"),
    14: (Reason.CONFIGURATION, "the token has no acknowledgement (settings.ack)"),
    16: (Reason.UNAUTHORIZED, "a token in the query is not enabled"),
    21: (Reason.FORBIDDEN, "the token is not valid"),
}
_BUSY: Final = {
    8: (Reason.SERVER_ERROR, "it has an internal error"),
    9: (Reason.SERVER_ERROR, "it is busy"),
    18: (Reason.SERVER_ERROR, "its queues are full"),
    19: (Reason.SERVER_ERROR, "its acknowledgement is not available"),
    20: (Reason.SERVER_ERROR, "its queues are full, and its acknowledgement is not available"),
    23: (Reason.SERVER_ERROR, "it is shutting down"),
    26: (Reason.RATE_LIMITED, "its queue is full"),
    27: (Reason.RATE_LIMITED, "its queue of acknowledgements is full"),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """All events were taken; ``ack_id`` is what to ask for, where there is one."""

    ack_id: int | None = None


def read_object(body: bytes) -> Mapping[str, Any] | None:
    """A JSON object; ``None`` for anything else."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def read_answer(
    answer: HttpAnswer, count: int, shown: Callable[[str], str]
) -> Taken | Shipment | ExportResult:
    """What became of ``count`` events sent at once.

    Events before the one that is named were taken, those after it were not looked at.
    """
    said = read_object(answer.body) or {}
    code = _whole(said.get("code"))
    if code is None or (code not in _KNOWN and answer.status != 200):
        return _of_another(judge(answer), answer.peer)
    if code in _SUCCESS:
        return Taken(_whole(said.get("ackId")))
    number = _whole(said.get("invalid-event-number"))
    first = number if number is not None and 0 <= number < count else None
    number = _whole(said.get("invalid-event-number"))
    first = number if number is not None and 0 <= number < count else None
    text = f"code {code}: {shown(str(said.get('text', '')))}"
    if code in _OF_ONE_EVENT:
        return _of_one(first, count, f"{answer.peer} does not take {_OF_ONE_EVENT[code]} ({text})")
    reason, words = (_CONFIGURATION | _BUSY).get(code, (Reason.SERVER_ERROR, "it said no"))
    detail = f"{answer.peer}: {words} (HTTP {answer.status}, {text})"
    later = retry_after_of(answer.headers)
    if first and code in _BUSY:
        # It stopped there.
        again = tuple(range(first, count))
        return Shipment(again, reason=reason, detail=detail, retry_after=later)
    return ExportResult.retry(reason, detail, retry_after=later)


def _of_another(result: ExportResult, peer: str) -> ExportResult:
    """What an answer means that is none of a collector's: nothing about the events."""
    if result.ok:
        what = "answered in a way no HTTP Event Collector does"
        return ExportResult.retry(Reason.GARBAGE, f"{peer} {what}")
    if result.reason is Reason.SCHEMA:
        return ExportResult.retry(Reason.GARBAGE, f"{result.detail}, without a collector's code")
    return result


def _of_one(first: int | None, count: int, detail: str) -> Shipment | ExportResult:
    """What is wrong is one event; the result where it is not said which is that of all."""
    if first is None:
        return ExportResult.rejected(Reason.SCHEMA, detail)
    again = tuple(range(first + 1, count))
    return Shipment(again, (Refusal(first, Reason.SCHEMA, detail),), detail=detail)


_KNOWN: Final = _SUCCESS | _OF_ONE_EVENT.keys() | _CONFIGURATION.keys() | _BUSY.keys()


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
