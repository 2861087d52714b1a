"""GPU residency and frequency, power and memory traffic, by IOReport."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Final

from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.sensors.base import Offer, SensorUnavailableError
from metalscope.sensors.chip import Chip
from metalscope.sensors.figures import active_percent, gpu_frequencies, mean_frequency
from metalscope.sensors.native.corefoundation import CoreFoundation
from metalscope.sensors.native.iokit import IOKit
from metalscope.sensors.native.ioreport import Channel, Counter, IOReport, Subscription
from metalscope.sensors.native.system import System
from metalscope.sensors.rails import ENERGY_GROUP, RAILS, Rails, is_energy
from metalscope.sensors.traffic import Traffic
from metalscope.sensors.windows import StateWindow

__all__ = ["IOReportSensor", "dvfs_table", "open_sensor"]

_GPU_GROUP: Final = "GPU Stats"
_GPU_SUBGROUP: Final = "GPU Performance States"
_GPU_CHANNEL: Final = "GPUPH"
_DEVICE: Final = "gpu:0"
# The table of the GPU's clocks. On an M5 Max the first key is not known to be there; the second is
# on both an M2 Max, with the same values, and an M5 Max (github.com/vladkens/macmon issues 1, 47).
_DVFS_KEYS: Final = ("voltage-states9", "voltage-states14")
# Energy is published every two seconds or so, and a trial must see it twice; and a source of
# traffic that is silent must have been left for the next one.
_TRIAL_READINGS: Final = 6
_TRIAL_PAUSE_SECONDS: Final = 0.7
_NO_TABLE: Final = "the registry has no table of this GPU's clocks that fits its states"
_OLD_OR_NEW: Final = "see whether a newer metalscope knows this macOS"


def open_sensor() -> IOReportSensor:
    """Open the sensor.

    Raises:
        SensorUnavailableError: this is not macOS, or IOReport gives none of it.
    """
    if sys.platform != "darwin":
        raise SensorUnavailableError("this is not macOS")
    core = CoreFoundation()
    iokit, system = IOKit(core), System()
    return IOReportSensor(
        IOReport(core),
        frequencies=dvfs_table(iokit),
        ticks_per_second=system.integer("hw.tbfrequency"),
        peak_bandwidth=Chip.find(system, iokit).peak_bandwidth,
    )


def dvfs_table(iokit: IOKit) -> tuple[float, ...]:
    """The clocks of the GPU's busy states in hertz; empty if the registry does not tell."""
    with iokit.services("AppleARMIODevice") as entries:
        for entry in entries:
            if iokit.name(entry) != "pmgr":
                continue
            for key in _DVFS_KEYS:
                table = iokit.property(entry, key)
                if isinstance(table, bytes) and (found := gpu_frequencies(table)):
                    return found
    return ()


class IOReportSensor:
    """Reads counters and says what happened since the reading before.

    The first reading takes the baseline and yields nothing. In a forked child the sensor opens
    anew: a subscription is a right of the process that made it.

    Args:
        library: IOReport.
        frequencies: hertz of the GPU's busy states, in their order; empty if not known.
        ticks_per_second: of the drivers' stamps; ``None`` if not known.
        peak_bandwidth: bytes per second the chip can do at most; ``None`` if not known.
        clock: monotonic seconds, standing still while the machine sleeps as the counters do.
        pause: waits so many seconds, in :meth:`offers` only.

    Raises:
        SensorUnavailableError: IOReport gives none of it here.
    """

    name = "ioreport"

    def __init__(
        self,
        library: IOReport,
        *,
        frequencies: tuple[float, ...] = (),
        ticks_per_second: float | None = None,
        peak_bandwidth: float | None = None,
        clock: Callable[[], float] = monotonic,
        pause: Callable[[float], None] = sleep,
    ) -> None:
        self._library = library
        self._frequencies = frequencies
        self._ticks = ticks_per_second
        self._peak = peak_bandwidth
        self._clock = clock
        self._pause = pause
        self._pid = os.getpid()
        self._reader = self._open()

    def _open(self) -> _Reader:
        reader = _Reader(self._library, self._frequencies, self._ticks, self._peak)
        # At the end of the interpreter there is nothing to give back, and libraries may be gone.
        weakref.finalize(self, _close, reader, os.getpid()).atexit = False
        return reader

    def read(self) -> Iterator[ResourceMetrics]:
        """Yield percent, hertz, watts, joules, bytes per second; nothing the first time."""
        if self._pid != os.getpid():
            # The parent's is let go of without being released: its ports are not in this process.
            self._reader = self._open()
            self._pid = os.getpid()
        yield from self._reader.read(self._clock())

    def offers(self) -> Iterator[Offer]:
        """Say what works here, after readings of its own for a few seconds."""
        try:
            yield from self._tried()
        except SensorUnavailableError as error:
            yield Offer("GPU residency, frequency, power, traffic", error.why, error.remedy)

    def _tried(self) -> tuple[Offer, ...]:
        trial = _Reader(self._library, self._frequencies, self._ticks, self._peak)
        try:
            found = {(one.kind, one.name) for one in trial.read(self._clock())}
            for _ in range(_TRIAL_READINGS - 1):
                self._pause(_TRIAL_PAUSE_SECONDS)
                found |= {(one.kind, one.name) for one in trial.read(self._clock())}
            return tuple(trial.offers(found))
        finally:
            trial.close()


def _close(reader: _Reader, pid: int) -> None:
    if pid == os.getpid():
        reader.close()


class _Reader:
    """The subscriptions of one process, and the windows over their counters."""

    def __init__(
        self,
        library: IOReport,
        frequencies: tuple[float, ...],
        ticks_per_second: float | None,
        peak_bandwidth: float | None,
    ) -> None:
        self._frequencies = frequencies
        self._gpu = StateWindow()
        self._rails = Rails(ticks_per_second)
        self._subscription: Subscription | None = None
        self._why_not = ""
        groups = ((ENERGY_GROUP, None), (_GPU_GROUP, _GPU_SUBGROUP))
        try:
            self._subscription = library.subscribe(groups, lambda c: _is_gpu(c) or is_energy(c))
        except SensorUnavailableError as error:
            self._why_not = error.why
        self._traffic = Traffic(library, ticks_per_second, peak_bandwidth)
        if self._subscription is None and not self._traffic.works:
            raise SensorUnavailableError(self._why_not, _OLD_OR_NEW)

    def read(self, now: float) -> Iterator[ResourceMetrics]:
        if self._subscription is not None:
            counters = self._subscription.read()
            self._rails.update(counters, now)
            yield from self._gpu_readings(counters, now)
            yield from self._rails.readings(now)
        yield from self._traffic.read(now)

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
        self._traffic.close()

    def _gpu_readings(self, counters: tuple[Counter, ...], now: float) -> Iterator[ResourceMetrics]:
        for counter in counters:
            if not _is_gpu(counter.channel):
                continue
            states = self._gpu.update(counter.states, now)
            if states is None:
                return
            busy = active_percent(states)
            if busy is not None:
                yield ResourceMetrics(ResourceKind.GPU_UTILIZATION, "active", _DEVICE, current=busy)
            clock = mean_frequency(states, self._frequencies)
            if clock is not None:
                yield ResourceMetrics(
                    ResourceKind.FREQUENCY,
                    "gpu",
                    _DEVICE,
                    current=clock,
                    limit=max(self._frequencies),
                )
            return

    def offers(self, found: set[tuple[ResourceKind, str]]) -> Iterator[Offer]:
        absent = self._why_not or "IOReport has no such channel here, or it is not published"
        yield _offer(
            "GPU active residency",
            works=(ResourceKind.GPU_UTILIZATION, "active") in found,
            why_not=absent,
        )
        yield _offer(
            "GPU frequency",
            works=(ResourceKind.FREQUENCY, "gpu") in found,
            why_not=self._why_not or _why_no_frequency(self._frequencies),
        )
        for rail in RAILS:
            yield _offer(
                f"power and energy of {rail}",
                works=(ResourceKind.POWER, rail) in found,
                why_not=absent,
            )
        yield _offer(
            "memory bandwidth",
            works=any(kind is ResourceKind.BANDWIDTH for kind, _ in found),
            why_not=self._traffic.why_not,
        )


def _is_gpu(channel: Channel) -> bool:
    return channel.subgroup == _GPU_SUBGROUP and channel.name == _GPU_CHANNEL


def _offer(what: str, *, works: bool, why_not: str) -> Offer:
    return Offer(what) if works else Offer(what, why_not, _OLD_OR_NEW)


def _why_no_frequency(frequencies: tuple[float, ...]) -> str:
    if not frequencies:
        return _NO_TABLE
    return "the GPU was idle all the while, or its states are not those of the registry's table"
