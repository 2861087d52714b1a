"""Who is handed each snapshot."""

from __future__ import annotations

import threading
from collections.abc import Callable

from metalscope.fork import reset_in_child
from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Consumer", "Consumers"]

Consumer = Callable[[MetalTelemetrySnapshot], None]


class Consumers:
    """Hands snapshots round; one consumer that raises harms no other.

    Args:
        on_error: told of what a consumer raises, as (room, exception).
    """

    def __init__(self, on_error: Callable[[str, BaseException], None]) -> None:
        self._on_error = on_error
        self._consumers: tuple[Consumer, ...] = ()
        self.start_at_zero()
        reset_in_child(self)

    def subscribe(self, consumer: Consumer) -> Callable[[], None]:
        """Feed ``consumer`` from now on; return what ends that."""
        with self._lock:
            self._consumers = (*self._consumers, consumer)

        def unsubscribe() -> None:
            with self._lock:
                self._consumers = tuple(one for one in self._consumers if one is not consumer)

        return unsubscribe

    def start_at_zero(self) -> None:
        """In a forked child: the consumers stay, the lock may have been held."""
        self._lock = threading.RLock()

    def feed(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Hand ``snapshot`` to every consumer."""
        for consumer in self._consumers:
            try:
                consumer(snapshot)
            except Exception as error:  # noqa: BLE001 - law: one consumer must not harm another
                self._on_error("consumer", error)
