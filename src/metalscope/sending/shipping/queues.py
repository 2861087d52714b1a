"""The spools of one sender: its own, and those that processes which are gone left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalscope.sending.shipping.packing import weigh
from metalscope.sending.spool.queue import MemorySpool, Spool, Spooled

if TYPE_CHECKING:
    from metalscope.export_options import SpoolOptions

__all__ = ["Held", "Queues", "open_queues"]

ORPHAN_SECONDS: Final = 60.0
"""How often it is looked for what processes that are gone left behind."""


class Held(NamedTuple):
    """What all the spools hold, and what they let go, in records."""

    waiting: int
    waiting_bytes: int
    dropped: Counter[str]


class Queues:
    """One thread uses it; any may read :attr:`held`.

    Args:
        own: that of this process.
        orphans: gives a spool that a process which is gone left behind, if there is one; ``None``
            where there are never any.
    """

    def __init__(self, own: Spool, orphans: Callable[[], Spool | None] | None = None) -> None:
        self.own = own
        """That of this process."""
        self._orphans = orphans
        self._orphan: Spool | None = None
        self._due = 0.0 if orphans is not None else inf
        self._gone: Counter[str] = Counter()

    def first(self, now: float) -> tuple[Spool, Spooled | None]:
        """The oldest of this process; where there is none, of one that is gone."""
        spooled = self.own.first()
        if spooled is not None or self._orphans is None:
            return self.own, spooled
        if self._orphan is None and now >= self._due:
            self._orphan = self._orphans()
            self._due = now + ORPHAN_SECONDS
        while self._orphan is not None:
            orphan = self._orphan
            spooled = orphan.first()
            if spooled is not None:
                return orphan, spooled
            self._gone = self._gone + Counter(orphan.stats.dropped)  # any thread may read it
            self._orphan = None
            orphan.close()
            self._orphan = self._orphans()
        return self.own, None

    def wait(self, now: float) -> float:
        """Seconds until it is looked for what was left behind."""
        return max(0.0, self._due - now)

    @property
    def held(self) -> Held:
        """How all of them stand."""
        own, orphan = self.own.stats, self._orphan
        dropped = self._gone + Counter(own.dropped)
        if orphan is None:
            return Held(own.waiting, own.waiting_bytes, dropped)
        left = orphan.stats
        return Held(
            own.waiting + left.waiting,
            own.waiting_bytes + left.waiting_bytes,
            dropped + Counter(left.dropped),
        )

    def close(self) -> None:
        """Let go of all; on disk, what waits stays there."""
        self.own.close()
        if self._orphan is not None:
            self._orphan.close()


def open_queues(
    name: str, options: SpoolOptions, *, option: str, on_error: Callable[[str, BaseException], None]
) -> Queues:
    """The queues of the sender of this name, on disk where the options say so.

    Raises:
        ConfigurationError: the directory, which ``option`` names, cannot be used.
    """
    bounds: dict[str, Any] = {
        "max_bytes": options.max_bytes,
        "max_age": options.max_age,
        "weigh": weigh,
    }
    if options.directory is None:
        return Queues(MemorySpool(**bounds))
    from metalscope.sending.spool.slots import SpoolSlots  # noqa: PLC0415 - where there are

    slots = SpoolSlots(options.directory, name, **bounds, on_error=on_error, option=option)
    return Queues(slots.open(), slots.orphan)
