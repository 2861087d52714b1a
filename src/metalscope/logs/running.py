"""A log sink that runs: what makes bytes of records, and what ships them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from metalscope.export_options import Audience
    from metalscope.log_options import LogSinkOptions
    from metalscope.logs.record import Severity
    from metalscope.logs.sinks.base import LogSink
    from metalscope.sink_status import SinkStatus

__all__ = ["RunningSink", "Ships"]


class Ships(Protocol):
    """What is asked of a :class:`~metalscope.sending.shipping.shipper.Shipper`."""

    def put(self, records: Sequence[bytes], *, urgent: bool = False) -> None:
        """Send them, after all that was put before. Never waits for the peer."""
        ...

    def keep(self, timeout: float) -> bool:
        """Wait, in s, until all that was put is in its queue, on disk where that is there."""
        ...

    def flush(self, timeout: float) -> bool:
        """Wait, in s; whether all that was put is over."""
        ...

    def status(self) -> SinkStatus:
        """How it is doing."""
        ...

    def close(self, timeout: float) -> None:
        """Send what is left, for so many seconds at most, and end."""
        ...


@dataclass(frozen=True, slots=True)
class RunningSink:
    """One sink, of records of ``severity`` and above, as ``audience`` may see them."""

    options: LogSinkOptions
    sink: LogSink
    shipper: Ships
    audience: Audience
    severity: Severity
