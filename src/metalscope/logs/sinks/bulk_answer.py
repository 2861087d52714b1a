"""What the answer to a bulk request means for each of its records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.shipping.base import Refusal, Shipment

__all__ = ["FILTER_PATH", "shipment_of"]

FILTER_PATH: Final = (
    "errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
)
"""What is asked for of the answer: the rest is what was sent, once more."""

# What a person or time can mend: the record waits. All other 4xx are about the record itself.
_AGAIN: Final = {
    401: Reason.UNAUTHORIZED,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    408: Reason.SERVER_ERROR,
    429: Reason.RATE_LIMITED,
}
# Should a proxy or version have another status with them: the queue of the node is full.
_BUSY: Final = {"es_rejected_execution_exception", "rejected_execution_exception"}


def shipment_of(
    answer: object, count: int, peer: str, shown: Callable[[str], str]
) -> Shipment | ExportResult | None:
    """What became of ``count`` records; ``None`` where all arrived.

    A conflict (409) counts as arrived: a document of that id is there, from an earlier try.
    """
    items = answer.get("items") if isinstance(answer, Mapping) else None
    if not isinstance(items, list) or len(items) != count:
        what = "is no answer to a bulk request of so many documents"
        return ExportResult.retry(Reason.GARBAGE, f"{peer}: what came back {what}")
    again: list[int] = []
    refused: list[Refusal] = []
    reason, detail = Reason.PARTIAL, ""
    for place, item in enumerate(items):
        status, error = _of(item)
        if status is None:
            return ExportResult.retry(Reason.GARBAGE, f"{peer}: an item has no status")
        if 200 <= status < 300 or status == 409:
            continue
        says = f"{peer} answered {status} for one document"
        says = shown(f"{says}: {_words(error)}" if error else says)
        kind = _kind(status, error)
        if kind is None:
            why = Reason.TOO_LARGE if status == 413 else Reason.SCHEMA
            refused.append(Refusal(place, why, says))
            continue
        again.append(place)
        if not detail:
            reason, detail = kind, says
    if not again and not refused:
        return None
    return Shipment(tuple(again), tuple(refused), reason, detail)


def _of(item: object) -> tuple[int | None, Mapping[str, Any]]:
    """The status and the error of one item, ``{"create": {"status": 201}}``."""
    if not isinstance(item, Mapping) or len(item) != 1:
        return None, {}
    (result,) = item.values()
    if not isinstance(result, Mapping):
        return None, {}
    status, error = result.get("status"), result.get("error")
    return (
        status if isinstance(status, int) and not isinstance(status, bool) else None,
        error if isinstance(error, Mapping) else {},
    )


def _kind(status: int, error: Mapping[str, Any]) -> Reason | None:
    """Why the record is to be sent again; ``None`` where it never arrives."""
    if status in _AGAIN:
        return _AGAIN[status]
    if status // 100 != 4:
        return Reason.SERVER_ERROR
    if str(error.get("reason", "")).startswith("pipeline with id "):
        return Reason.CONFIGURATION
    return Reason.RATE_LIMITED if error.get("type") in _BUSY else None


def _words(error: Mapping[str, Any]) -> str:
    cause = error.get("caused_by")
    words = [error.get("type"), error.get("reason")]
    if isinstance(cause, Mapping):
        words.append(cause.get("reason"))
    return ": ".join(str(word) for word in words if word)
