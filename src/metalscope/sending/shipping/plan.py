"""What a shipper is made from, and its parts by that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from metalscope.sending.calls import CallThread
from metalscope.sending.clock import Clock
from metalscope.sending.pace import Pace
from metalscope.sending.shipping.base import BatchSender
from metalscope.sending.shipping.intake import Intake
from metalscope.sending.shipping.lane import Lane
from metalscope.sending.shipping.queues import Queues, open_queues
from metalscope.sending.telling import Telling

if TYPE_CHECKING:
    from metalscope.shipping_options import DeliveryOptions
    from metalscope.sink_status import Signal

__all__ = ["Plan"]

_WHO: Final = {"logs": "log sink", "traces": "trace exporter"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The arguments of a :class:`~metalscope.sending.shipping.shipper.Shipper`."""

    name: str
    type: str
    signal: Signal
    sender: BatchSender
    delivery: DeliveryOptions
    batch_size: int
    batch_bytes: int
    timeout: timedelta
    option: str
    on_error: Callable[[str, BaseException], None]
    clock: Clock
    linger: timedelta

    @property
    def who(self) -> str:
        """How a sentence about it begins."""
        return f"{_WHO[self.signal]} {self.name}"

    def report(self, error: BaseException) -> None:
        """Tell of an error."""
        self.on_error(self.signal, error)

    def intake(self) -> Intake:
        """Where records are put."""
        most = self.delivery.spool.max_bytes
        return Intake(
            batch_size=self.batch_size,
            # A queue takes nothing that is larger than a quarter of it.
            batch_bytes=min(self.batch_bytes, most // 8),
            most_bytes=most // 4,
            linger=self.linger.total_seconds(),
            monotonic=self.clock.monotonic,
        )

    def queues(self) -> Queues:
        """Where batches wait.

        Raises:
            ConfigurationError: the directory cannot be used.
        """
        # What another type left under the name is not for this one; it could not read it.
        name = f"{self.signal}:{self.type}:{self.name}"
        return open_queues(name, self.delivery.spool, option=self.option, on_error=self.on_error)

    def queues_at_any_rate(self) -> Queues:
        """The same, in memory where the directory cannot be used: else nothing would be sent."""
        try:
            return self.queues()
        except Exception as error:  # noqa: BLE001 - as it says
            self.report(error)
            without = self.delivery.spool.model_copy(update={"directory": None})
            return open_queues("", without, option="", on_error=self.on_error)

    def lane(
        self, intake: Intake, queues: Queues, calls: CallThread, wake: Callable[[], None]
    ) -> Lane:
        """The way out."""
        retry = self.delivery.retry
        return Lane(
            self.sender,
            intake=intake,
            queues=queues,
            calls=calls,
            pace=Pace(
                first_delay=retry.first_delay,
                max_delay=retry.max_delay,
                threshold=retry.circuit_breaker_threshold,
                open_for=retry.circuit_breaker_timeout,
            ),
            timeout=self.timeout.total_seconds(),
            replay_interval=self.delivery.spool.replay_interval.total_seconds(),
            telling=Telling(self.who),
            on_error=self.report,
            clock=self.clock,
            wake=wake,
        )
