"""The one interface between records on their way and any peer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from metalscope.sending.result import ExportResult, Reason

__all__ = ["Batch", "BatchSender", "Refusal", "Shipment"]

_NONE: Final[tuple[int, ...]] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are sent at once, in their order, each as the bytes its sender made of it.

    ``id`` is the same at each try and no other's, for peers that can tell a repetition.
    """

    id: str
    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One record of a batch, by its place, that the peer will never take, and why."""

    place: int
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Shipment:
    """What became of a batch of which a part arrived.

    ``again`` are the places of records to be sent again, ascending; ``refused`` those that never
    arrive. All others arrived. ``reason`` and ``detail`` say why some are to be sent again, and
    ``retry_after`` how long the peer asks to be left alone.
    """

    again: Sequence[int] = _NONE
    refused: Sequence[Refusal] = ()
    reason: Reason = Reason.PARTIAL
    detail: str = ""
    retry_after: timedelta | None = None


class BatchSender(ABC):
    """Sends batches to one place. Of one sender no two methods run at the same time.

    It runs on a thread of its own, may wait as long as its timeout, and is given batches in order;
    after a result that asks for it, what has not arrived comes again before anything newer.
    """

    @abstractmethod
    def send(self, batch: Batch) -> Shipment | ExportResult | None:
        """Send it. ``None`` means all of it arrived.

        What it raises counts as :attr:`~metalscope.sending.result.Reason.EXPORTER_ERROR`, or as
        what :class:`~metalscope.sending.http.outcome.TransportError` says: all of it is tried
        again.
        """

    def close(self) -> None:  # noqa: B027 - may stay
        """Let go of connections and files. Called once, after the last batch."""
