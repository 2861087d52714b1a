"""Senders that do as they are told, and what ships to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from metalscope.export_options import RetryOptions, SpoolOptions
from metalscope.moments import utc_now
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.shipping.base import Batch, BatchSender, Shipment
from metalscope.sending.shipping.shipper import Shipper
from metalscope.shipping_options import DeliveryOptions

DOWN = ExportResult.retry(Reason.REFUSED, "nothing listens at box:1")
BAD = ExportResult.rejected(Reason.SCHEMA, "not a record")

Answer = Shipment | ExportResult | None


class Peer(BatchSender):
    """Answers as ``answer`` says, which is given the batch; by itself it takes everything."""

    def __init__(self, answer: Callable[[Batch], Answer] = lambda _: None) -> None:
        self.answer = answer
        self.asked: list[Batch] = []
        self.arrived: list[bytes] = []
        self.closed = 0

    def send(self, batch: Batch) -> Answer:
        self.asked.append(batch)
        answer = self.answer(batch)
        self.arrived += taken(batch, answer)
        return answer

    def close(self) -> None:
        self.closed += 1

    @property
    def ids(self) -> list[str]:
        return [batch.id for batch in self.asked]


def taken(batch: Batch, answer: object) -> list[bytes]:
    """What a peer that answers so has taken of a batch."""
    if answer is None:
        return list(batch.records)
    if isinstance(answer, Shipment):
        left = {*answer.again, *(one.place for one in answer.refused)}
        return [record for place, record in enumerate(batch.records) if place not in left]
    if isinstance(answer, ExportResult) and answer.ok:
        return list(batch.records)
    return []


def lines(count: int, first: int = 0, stream: str = "line") -> list[bytes]:
    return [f"{stream} {number}".encode() for number in range(first, first + count)]


def delivery(directory: Path | None = None, **spool: Any) -> DeliveryOptions:
    """Retries come as soon as they may."""
    moment = timedelta(microseconds=1000)
    return DeliveryOptions(
        spool=SpoolOptions(directory=directory, **{"replay_interval": timedelta(), **spool}),
        retry=RetryOptions(
            first_delay=moment, max_delay=2 * moment, circuit_breaker_timeout=moment
        ),
    )


class Errors:
    """What was told of."""

    def __init__(self) -> None:
        self.told: list[tuple[str, BaseException]] = []

    def __call__(self, room: str, error: BaseException) -> None:
        self.told.append((room, error))


@contextmanager
def shipping(
    sender: BatchSender,
    options: DeliveryOptions | None = None,
    *,
    errors: Errors | None = None,
    closing: float = 5.0,
    **how: Any,
) -> Iterator[Shipper]:
    """A shipper, which is closed in the end."""
    shipper = Shipper(
        "central",
        "test",
        "logs",
        sender,
        **{
            "delivery": options or delivery(),
            "batch_size": 10,
            "batch_bytes": 64 * 1024,
            "timeout": timedelta(seconds=10),
            "option": "logging.spool.directory",
            "on_error": errors or Errors(),
            "linger": timedelta(),
            **how,
        },
    )
    try:
        yield shipper
    finally:
        shipper.close(closing)


class Time:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0
        self._began = utc_now()

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return self._began + timedelta(seconds=self.at - 1000)


def accounted(shippers: Sequence[Shipper]) -> tuple[int, int]:
    """How many were delivered and dropped by all of these, one after the other."""
    found = [one.status() for one in shippers]
    return (
        sum(status.delivered for status in found),
        sum(sum(status.dropped.values()) for status in found),
    )
