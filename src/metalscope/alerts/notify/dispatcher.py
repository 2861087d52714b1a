"""Gets messages to their channels, each at its own pace, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from metalscope.alert_report import ChannelStatus
from metalscope.alerts.notify.lane import Lane
from metalscope.alerts.storing import AlertStore, Change
from metalscope.fork import reset_in_child
from metalscope.sending.clock import Clock
from metalscope.sending.pace import Pace

if TYPE_CHECKING:
    from metalscope.alert_options import AlertsOptions, ChannelOptions
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.base import Notifier

__all__ = ["Dispatcher"]

_LONGEST_WAIT: Final = 60.0
"""Seconds after which a lane looks again in any case, as a clock may have been set."""


class Dispatcher:
    """Runs channels side by side; one that hangs, raises or is refused harms no other.

    Args:
        notifiers: what sends, by the channel's name.
        options: how often a message is tried again.
        store: where messages are kept until they have arrived.
        on_error: told of errors inside, as (room, exception).
        channels: the options of the channels; those of ``options`` where ``None``.
        clock: the time.
    """

    def __init__(
        self,
        notifiers: Mapping[str, Notifier],
        options: AlertsOptions,
        *,
        store: AlertStore,
        on_error: Callable[[str, BaseException], None],
        channels: Sequence[ChannelOptions] | None = None,
        clock: Clock | None = None,
    ) -> None:
        from metalscope.alert_options import ChannelOptions  # noqa: PLC0415 - loads pydantic

        if channels is None:
            from metalscope.alerts.notify.registry import channels_of  # noqa: PLC0415 - needless

            channels = channels_of(options)
        known = {one.name: one for one in channels}
        self._store = store
        self._runners = {
            name: _Runner(
                Lane(
                    known.get(name) or ChannelOptions(name=name),
                    notifier,
                    pace=Pace(
                        first_delay=options.retry.first_delay,
                        max_delay=options.retry.max_delay,
                        threshold=options.retry.circuit_breaker_threshold,
                        open_for=options.retry.circuit_breaker_timeout,
                    ),
                    store=store,
                    on_error=on_error,
                    clock=clock,
                ),
                on_error,
            )
            for name, notifier in notifiers.items()
        }
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """In a forked child: the channels are the parent's, as is what waits for them."""
        self._runners = {}

    def restore(self, messages: Iterable[Notification]) -> None:
        """Send what was kept when the program ended; what is for channels that are gone is not."""
        by_channel = _by_channel(messages)
        gone = [
            one.id for name in by_channel if name not in self._runners for one in by_channel[name]
        ]
        if gone:
            self._store.keep(Change(sent=gone))
        for name, runner in self._runners.items():
            if name in by_channel:
                runner.lane.restore(by_channel[name])
                runner.wake()

    def post(self, messages: Iterable[Notification]) -> None:
        """Have messages sent, each on its channel. Never blocks."""
        for name, own in _by_channel(messages).items():
            runner = self._runners.get(name)
            if runner is not None:
                runner.lane.post(own)
                runner.wake()

    def status(self) -> tuple[ChannelStatus, ...]:
        """How each channel is doing."""
        return tuple(runner.lane.status() for runner in self._runners.values())

    def close(self, timeout: float) -> None:
        """Try once more what waits, and end. Idempotent.

        Args:
            timeout: s to wait for all channels together. What has not gone by then, and what a
                notifier that hangs is at, stays in the store.
        """
        until = monotonic() + timeout
        runners = tuple(self._runners.values())
        for runner in runners:
            runner.finish(until)
        for runner in runners:
            runner.join(max(0.0, until - monotonic()))


class _Runner:
    """A lane's thread, from the first message on."""

    def __init__(self, lane: Lane, on_error: Callable[[str, BaseException], None]) -> None:
        self.lane = lane
        self._on_error = on_error
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._until = inf
        self._finishing = False

    def wake(self) -> None:
        """Have the lane look again; there is something to do."""
        with self._lock:
            if self._thread is None and not self._finishing:
                self._thread = self._started()
        self._woken.set()

    def finish(self, until: float) -> None:
        """Have the lane try once more, and end."""
        with self._lock:
            if self._finishing:
                return
            self._until = until
            self._finishing = True
            self._thread = self._thread or self._started()
        self._woken.set()
        if self._thread is None:
            # From Python 3.12 on no thread starts any more while the interpreter exits.
            self._end()

    def join(self, timeout: float) -> None:
        """Wait for its end."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _started(self) -> threading.Thread | None:
        thread = threading.Thread(target=self._run, name="metalscope-alerts", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return None
        return thread

    def _run(self) -> None:
        while not self._finishing:
            self._woken.clear()
            try:
                pause = self.lane.turn()
            except Exception as error:  # noqa: BLE001 - law: the lane must go on
                self._on_error("alerts", error)
                pause = 1.0
            if pause > 0 and not self._finishing:
                self._woken.wait(min(pause, _LONGEST_WAIT))
        self._end()

    def _end(self) -> None:
        try:
            self.lane.last_round(self._until - monotonic())
        except Exception as error:  # noqa: BLE001 - as above
            self._on_error("alerts", error)
        self.lane.shut_down()


def _by_channel(messages: Iterable[Notification]) -> dict[str, list[Notification]]:
    sorted_out: dict[str, list[Notification]] = {}
    for message in messages:
        sorted_out.setdefault(message.channel, []).append(message)
    return sorted_out
