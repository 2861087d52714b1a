"""What became of one sending, by what the sender said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from metalscope.sending.attempt import tried
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Batch, BatchSender, Shipment

__all__ = ["Outcome", "sent"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``result`` is what became of the sending, ``again`` what is left of the batch, if not all of
    it, ``arrived`` how many records did and ``refused`` how many never will, by reason."""

    result: ExportResult
    again: Batch | None = None
    arrived: int = 0
    refused: Mapping[Reason, int] = field(default_factory=dict)


def sent(
    sender: BatchSender, batch: Batch, seconds: float, on_error: Callable[[BaseException], None]
) -> Outcome:
    """Send a batch; never raises.

    Args:
        sender: who sends.
        batch: what.
        seconds: how long it may take.
        on_error: told of what the sender raises that is no failure of the network.
    """
    partial: list[Outcome] = []

    def send() -> object:
        answer = sender.send(batch)
        if not isinstance(answer, Shipment):
            return answer
        partial.append(_of_shipment(batch, answer))
        return partial[0].result

    result = tried(send, seconds, on_error)
    return partial[0] if partial else _of_result(batch, result)


def _of_result(batch: Batch, result: ExportResult) -> Outcome:
    size = len(batch.records)
    if result.verdict is Verdict.REJECTED:
        return Outcome(result, refused={result.reason or Reason.EXPORTER_ERROR: size})
    if result.verdict is Verdict.RETRY:
        return Outcome(result)
    refused = max(0, min(result.rejected_points, size))
    if not refused:
        return Outcome(result, arrived=size)
    reason = result.reason or Reason.PARTIAL
    said = result.detail or f"{refused} of {size} records were refused"
    result = replace(result, reason=reason, detail=said)
    return Outcome(result, arrived=size - refused, refused={reason: refused})


def _of_shipment(batch: Batch, shipment: Shipment) -> Outcome:
    size = len(batch.records)
    again = tuple(shipment.again)
    places = [*again, *(one.place for one in shipment.refused)]
    if len(set(places)) != len(places) or not all(0 <= place < size for place in places):
        raise ValueError(
            f"it names places {sorted(places)[:10]} of a batch of {size} records, "
            "where each may be named once"
        )
    refused = Counter(one.reason for one in shipment.refused)
    arrived = size - len(places)
    if not again:
        detail = shipment.detail or _first_detail(shipment)
        result = ExportResult.delivered(
            arrived, rejected_points=len(shipment.refused), detail=detail
        )
        return Outcome(result, arrived=arrived, refused=refused)
    detail = shipment.detail or f"{len(again)} of {size} records are to be sent again"
    result = ExportResult.retry(shipment.reason, detail, retry_after=shipment.retry_after)
    if len(again) == size:
        return Outcome(result)
    left = tuple(batch.records[place] for place in sorted(again))
    return Outcome(result, Batch(_next_id(batch.id), left), arrived, refused)


def _first_detail(shipment: Shipment) -> str:
    said = next((one.detail for one in shipment.refused if one.detail), "")
    count = len(shipment.refused)
    return f"{count} records were refused: {said}" if count else ""


def _next_id(name: str) -> str:
    """``a``, ``a-2``, ``a-3``: what is left is another batch, for a peer that knows the first."""
    first, _, number = name.partition("-")
    return f"{first}-{int(number or 1) + 1}"
