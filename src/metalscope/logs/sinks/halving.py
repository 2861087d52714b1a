"""Sending a batch in parts where a peer takes no more at once, and what became of the whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from metalscope.sending.http.outcome import TransportError, result_of_error
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Refusal, Shipment

__all__ = ["Halving", "SendPart"]

SendPart = Callable[[Sequence[bytes]], Shipment | ExportResult | None]
"""Sends records at once; places in its result are those in what it was given."""

_TOO_LARGE: Final = (Reason.TOO_LARGE,)


class Halving:
    """Sends as much at once as the peer takes, which it learns from refusals for size.

    A part that is refused as a whole for one of ``reasons`` is sent again in halves, down to the
    one record that is the cause. After the first part that is to be tried again later, no other
    is sent: all that is left goes again too, in its order.
    """

    def __init__(self, *, most: int, reasons: Collection[Reason] = _TOO_LARGE) -> None:
        self._most = most
        self._reasons = frozenset(reasons)
        self._most_bytes: int | None = None

    def send(self, records: Sequence[bytes], send: SendPart) -> Shipment | ExportResult | None:
        """Send all of them; what became of the whole."""
        waiting = self._cut(records, 0)
        again: list[int] = []
        refused: list[Refusal] = []
        why: ExportResult | Shipment | None = None
        while waiting and why is None:
            start, part = waiting.pop(0)
            result = self._tried(part, send)
            match result:
                case Shipment():
                    refused += [
                        Refusal(start + r.place, r.reason, r.detail) for r in result.refused
                    ]
                    if result.again:
                        again += [start + place for place in result.again]
                        why = result
                case ExportResult(verdict=Verdict.REJECTED) if self._splits(result, part):
                    half = len(part) // 2
                    waiting[:0] = [(start, part[:half]), (start + half, part[half:])]
                case ExportResult(verdict=Verdict.REJECTED):
                    reason = result.reason or Reason.SCHEMA
                    refused += [Refusal(start + i, reason, result.detail) for i in range(len(part))]
                case ExportResult(verdict=Verdict.RETRY):
                    again += range(start, start + len(part))
                    why = result
        if why is None:
            return Shipment(refused=tuple(refused)) if refused else None
        reason = why.reason or Reason.PARTIAL
        again += [start + i for start, part in waiting for i in range(len(part))]
        if len(again) == len(records):
            return ExportResult.retry(reason, why.detail, retry_after=why.retry_after)
        return Shipment(tuple(again), tuple(refused), reason, why.detail, why.retry_after)

    def _tried(self, part: Sequence[bytes], send: SendPart) -> Shipment | ExportResult | None:
        try:
            return send(part)
        except TransportError as error:
            return result_of_error(error)

    def _splits(self, result: ExportResult, part: Sequence[bytes]) -> bool:
        if result.reason not in self._reasons or len(part) == 1:
            return False
        if result.reason is Reason.TOO_LARGE:
            self._most_bytes = max(1, sum(map(len, part)) // 2)
        return True

    def _cut(self, records: Sequence[bytes], start: int) -> list[tuple[int, Sequence[bytes]]]:
        parts: list[tuple[int, Sequence[bytes]]] = []
        begin, size = 0, 0
        for place, record in enumerate(records):
            over = self._most_bytes is not None and size + len(record) > self._most_bytes
            if place > begin and (over or place - begin >= self._most):
                parts.append((start + begin, records[begin:place]))
                begin, size = place, 0
            size += len(record)
        if begin < len(records):
            parts.append((start + begin, records[begin:]))
        return parts
