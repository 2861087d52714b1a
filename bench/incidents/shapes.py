"""The shapes of the benchmark: what happens in one simulated day, and what should be found in it.

Each is a function that changes a :class:`~incidents.timeline.Timeline` and labels what it did. One
without incidents is quiet: whatever is found in it is a false alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from incidents.ranges import Range, Ranges
from incidents.timeline import Breaker, Incident, Timeline, Values, Work
from metalscope.export_status import BreakerState
from metalscope.health_report import AnomalyKind
from metalscope.operation import OperationKind
from metalscope.readings import MemoryPressure, ThermalState

SLOWER = (AnomalyKind.LEVEL_SHIFT, AnomalyKind.SPIKE, AnomalyKind.DRIFT)
"""Words for an operation that takes longer; which of them fits is a matter of time."""

Shape = Callable[["Stage"], None]


@dataclass(slots=True)
class Stage:
    """A timeline to be changed, and the means to draw from."""

    timeline: Timeline
    ranges: Ranges

    def draw(self, between: Range) -> float:
        low, high = np.log(between)
        return float(np.exp(self.timeline.rng.uniform(low, high)))

    def some_work(self, least_per_second: float = 1.0) -> Work:
        busy = [w for w in self.timeline.work if w.per_second >= least_per_second]
        return busy[int(self.timeline.rng.integers(len(busy)))]

    def times(self, number: int, shortest: float, longest: float) -> Iterator[tuple[float, float]]:
        """Starts and ends of so many stretches, with clean time before, between and behind.

        Lengths are drawn in seconds; one that does not fit its place is cut.
        """
        total, rng = self.timeline.seconds, self.timeline.rng
        first, last = 0.1 * total, 0.94 * total
        place = (last - first) / number
        for index in range(number):
            length = min(self.draw((shortest, longest)), 0.75 * place)
            start = first + index * place + float(rng.uniform(0.0, 0.8 * place - length + 1.0))
            yield start, start + length

    def hump(self, start: float, end: float) -> Values:
        """0 outside of a stretch, 1 inside, with soft edges."""
        times, edge = self.timeline.times, self.draw(self.ranges.edge_seconds)
        edge = min(edge, (end - start) / 3)
        rise = np.clip((times - start) / edge, 0.0, 1.0)
        fall = np.clip((end - times) / edge, 0.0, 1.0)
        return np.minimum(rise, fall)

    def slow(self, name: str, factor: float, shape: Values) -> None:
        self.timeline.levels[name] *= factor**shape

    def label(
        self, start: float, end: float, kinds: Sequence[str], subject: str = "", what: str = ""
    ) -> None:
        self.timeline.incidents.append(Incident(start, end, tuple(kinds), subject, what))

    @property
    def long(self) -> bool:
        """Whether it lasts at least half a day, so that several incidents have room."""
        return self.timeline.seconds >= 43_200


def clean(stage: Stage) -> None:
    """Nothing but noise."""


def spike(stage: Stage) -> None:
    """One operation takes several times as long for a minute or so."""
    for start, end in stage.times(5 if stage.long else 2, *stage.ranges.spike_seconds):
        work, factor = stage.some_work(), stage.draw(stage.ranges.spike_factor)
        inside = stage.timeline.during(start, end)
        stage.timeline.levels[work.name][inside] *= factor
        kinds = (AnomalyKind.SPIKE, AnomalyKind.LEVEL_SHIFT)
        stage.label(start, end, kinds, what=f"{work.name} ×{factor:.1f}")


def step(stage: Stage) -> None:
    """One operation takes longer from a moment on, for half an hour or more."""
    for start, end in stage.times(3 if stage.long else 1, *_minutes(stage.ranges.step_minutes)):
        work, factor = stage.some_work(), stage.draw(stage.ranges.step_factor)
        stage.slow(work.name, factor, stage.hump(start, end))
        stage.label(start, end, SLOWER, what=f"{work.name} ×{factor:.2f}")


def drift(stage: Stage) -> None:
    """One operation takes longer little by little, over hours."""
    for start, end in stage.times(2, *_hours(stage.ranges.drift_hours)):
        work, factor = stage.some_work(), stage.draw(stage.ranges.drift_factor)
        _drift(stage, work.name, factor, start, end)
        kinds = (AnomalyKind.DRIFT, AnomalyKind.LEVEL_SHIFT)
        stage.label(start, end, kinds, what=f"{work.name} ×{factor:.2f}")


def leak(stage: Stage) -> None:
    """Memory that only grows, until it is let go at once."""
    timeline = stage.timeline
    for start, end in stage.times(2, *_hours(stage.ranges.leak_hours)):
        share = stage.draw(stage.ranges.leak_share)
        progress = np.clip((timeline.times - start) / (end - start), 0.0, 1.0)
        timeline.memory += np.where(timeline.times <= end, share * progress, 0.0)
        stage.label(start, end, (AnomalyKind.LEAK,), what=f"{share:.0%} of the limit")


def leaking_sawtooth(stage: Stage) -> None:
    """A collector at work, whose floor rises: memory that is let go, but less and less of it."""
    sawtooth(stage)
    leak(stage)


def sawtooth(stage: Stage) -> None:
    """Quiet: a collector that lets memory grow and frees it, over and over."""
    share = stage.draw(stage.ranges.collection_share)
    period = 60.0 * stage.draw(stage.ranges.collection_minutes)
    timeline, times, begin = stage.timeline, stage.timeline.times, 0.0
    while begin < timeline.seconds:
        length = period * float(timeline.rng.uniform(0.8, 1.2))
        inside = (times > begin) & (times <= begin + length)
        timeline.memory[inside] += share * (times[inside] - begin) / length
        begin += length


def throttle(stage: Stage) -> None:
    """The GPU is too hot: its clock falls, and all that executes takes longer."""
    timeline = stage.timeline
    number = 3 if stage.long else 1
    for start, end in stage.times(number, *_minutes(stage.ranges.throttle_minutes)):
        clock = stage.draw(stage.ranges.throttled_clock)
        hump = stage.hump(start, end)
        timeline.clock *= clock**hump
        timeline.busy = np.clip(timeline.busy + 0.25 * hump, 0.0, 1.0)
        timeline.thermal[timeline.during(start, end)] = ThermalState.SERIOUS
        for work in timeline.work:
            if work.kind is OperationKind.EXECUTE:
                stage.slow(work.name, 1.0 / clock, hump)
        stage.label(start, end, (AnomalyKind.THROTTLING, *SLOWER), what=f"clock ×{clock:.2f}")


def cold_start(stage: Stage) -> None:
    """Quiet: all is slow at first, much is compiled, memory fills; later a new operation joins."""
    timeline, times = stage.timeline, stage.timeline.times
    for work in timeline.work:
        seconds = 60.0 * stage.draw(stage.ranges.cold_minutes)
        factor = stage.draw(stage.ranges.cold_factor)
        timeline.levels[work.name] *= factor ** np.exp(-times / seconds)
        if work.kind is OperationKind.COMPILE:
            timeline.rates[work.name] += np.exp(-times / 90.0)
    timeline.memory -= 0.3 * np.exp(-times / 400.0)
    newcomer = timeline.work[1].name
    joins = 0.45 * timeline.seconds
    since = np.maximum(0.0, times - joins)
    timeline.rates[newcomer][times < joins] = 0.0
    timeline.levels[newcomer] *= stage.draw(stage.ranges.cold_factor) ** np.exp(-since / 60.0)


def season(stage: Stage) -> None:
    """Quiet: load swings over the day, and operations are slower the more there is of it."""
    timeline, ranges = stage.timeline, stage.ranges
    depth, slowing = stage.draw(ranges.season_depth), stage.draw(ranges.season_slowing)
    phase = float(timeline.rng.uniform(0.0, 2 * np.pi))
    load = 0.5 + 0.5 * np.sin(2 * np.pi * timeline.times / 86_400.0 + phase)
    for work in timeline.work:
        timeline.rates[work.name] *= 1.0 - depth * (1.0 - load)
        timeline.levels[work.name] *= 1.0 + slowing * load
    timeline.busy = np.clip(timeline.busy * (1.3 - depth * (1.0 - load)), 0.0, 1.0)
    timeline.memory += 0.1 * load


def season_with_step(stage: Stage) -> None:
    """A swinging load with an operation that becomes slow in the middle of it."""
    season(stage)
    step(stage)


def one_bad_kernel(stage: Stage) -> None:
    """One of many operations becomes slow, and it is to be named."""
    for start, end in stage.times(3 if stage.long else 1, *_minutes(stage.ranges.step_minutes)):
        work, factor = stage.some_work(0.5), stage.draw(stage.ranges.step_factor)
        stage.slow(work.name, factor, stage.hump(start, end))
        stage.label(start, end, SLOWER, work.name, f"{work.name} ×{factor:.2f}")


def flapping_kernel(stage: Stage) -> None:
    """One operation turns slow and fast again every few minutes."""
    timeline = stage.timeline
    for start, end in stage.times(2 if stage.long else 1, *_minutes(stage.ranges.flap_minutes)):
        work, factor = stage.some_work(), stage.draw(stage.ranges.flap_factor)
        for begin, until in _every(start, end, stage.draw(stage.ranges.flap_seconds)):
            timeline.levels[work.name][timeline.during(begin, until)] *= factor
        stage.label(start, end, SLOWER, what=f"{work.name} ×{factor:.1f}")


def flapping_breaker(stage: Stage) -> None:
    """A circuit breaker opens again and again, for failures of the operation behind it."""
    timeline = stage.timeline
    states = [BreakerState.CLOSED] * timeline.ticks
    work = stage.some_work()
    for start, end in stage.times(2 if stage.long else 1, *_minutes(stage.ranges.flap_minutes)):
        for begin, until in _every(start, end, stage.draw(stage.ranges.flap_seconds)):
            inside = timeline.during(begin, until)
            states[inside] = [BreakerState.OPEN] * len(states[inside])
            timeline.failures[work.name][inside.start] += 5
            timeline.rates[work.name][inside] = 0.0
        kinds = (AnomalyKind.BREAKER, AnomalyKind.ERROR_RATE)
        stage.label(start, end, kinds, what=f"{work.name} behind a breaker")
    timeline.breakers.append(Breaker("kernel", states))


def error_rate(stage: Stage) -> None:
    """A share of one operation's calls fails for a while."""
    timeline = stage.timeline
    for start, end in stage.times(3 if stage.long else 1, *_minutes(stage.ranges.error_minutes)):
        work, share = stage.some_work(), stage.draw(stage.ranges.error_share)
        timeline.failing[work.name][timeline.during(start, end)] = share
        stage.label(start, end, (AnomalyKind.ERROR_RATE,), what=f"{work.name} {share:.0%}")


def error_burst(stage: Stage) -> None:
    """One error comes many times within seconds, and no more."""
    timeline = stage.timeline
    for start, end in stage.times(4 if stage.long else 2, *stage.ranges.burst_seconds):
        work, number = stage.some_work(), round(stage.draw(stage.ranges.burst_errors))
        inside = timeline.during(start, end)
        width = inside.stop - inside.start
        spread = timeline.rng.multinomial(number, [1.0 / width] * width)
        timeline.failures[work.name][inside] += spread
        label = f"{number} of {work.name}"
        stage.label(start, max(end, start + timeline.tick), (AnomalyKind.ERROR_RATE,), what=label)


def pressure(stage: Stage) -> None:
    """Memory is short for a quarter of an hour or more."""
    timeline = stage.timeline
    number = 3 if stage.long else 1
    for start, end in stage.times(number, *_minutes(stage.ranges.pressure_minutes)):
        top = float(timeline.rng.uniform(0.92, 0.97))
        hump = stage.hump(start, end)
        timeline.memory += (top - timeline.memory) * hump
        timeline.memory = np.clip(timeline.memory, 0.0, 0.995)
        timeline.pressure[timeline.during(start, end)] = MemoryPressure.HIGH
        stage.label(start, end, (AnomalyKind.PRESSURE,), what=f"memory {top:.0%}")


def weekend(stage: Stage) -> None:
    """Quiet: next to nothing runs for hours, then all comes back."""
    timeline, times, total = stage.timeline, stage.timeline.times, stage.timeline.seconds
    off = np.clip((times - 0.35 * total) / 600.0, 0, 1) * np.clip(
        (0.8 * total - times) / 600.0, 0, 1
    )
    for number, work in enumerate(timeline.work):
        timeline.rates[work.name] *= 1.0 - off * (1.0 if number % 3 == 2 else 0.985)
    timeline.busy = np.clip(timeline.busy * (1.0 - 0.97 * off), 0.0, 1.0)
    timeline.clock = np.clip(timeline.clock * (1.0 - 0.4 * off), 0.0, 1.0)
    timeline.memory -= 0.15 * off


def changed_mix(stage: Stage) -> None:
    """Quiet: other operations are asked for than before; each takes as long as it did."""
    timeline = stage.timeline
    for start, end in stage.times(3 if stage.long else 1, *_minutes((60.0, 180.0))):
        hump = stage.hump(start, end)
        for number, work in enumerate(timeline.work):
            factor = stage.draw(stage.ranges.mix_factor)
            timeline.rates[work.name] *= (factor if number % 2 else 1.0 / factor) ** hump


def model_loaded(stage: Stage) -> None:
    """Quiet: memory is taken in one go and kept, and later given back."""
    timeline = stage.timeline
    for start, end in stage.times(2, *_hours((3.0, 8.0))):
        share = float(timeline.rng.uniform(0.1, 0.25))
        took = float(timeline.rng.uniform(20.0, 120.0))
        timeline.memory += share * np.clip((timeline.times - start) / took, 0.0, 1.0)
        timeline.memory -= share * (timeline.times > end)


def faster(stage: Stage) -> None:
    """Quiet: an operation becomes faster, as after a better kernel, and stays so."""
    for start, _ in stage.times(2 if stage.long else 1, 60.0, 600.0):
        factor = float(stage.timeline.rng.uniform(0.4, 0.75))
        name = stage.some_work().name
        stage.timeline.levels[name][stage.timeline.times > start] *= factor


def hiccups(timeline: Timeline, per_day: float) -> None:
    """Put single bad ticks into a day: a tenth of all operations take ten times as long."""
    for _ in range(int(timeline.rng.poisson(per_day * timeline.seconds / 86_400.0))):
        timeline.hiccups[int(timeline.rng.integers(timeline.ticks))] = 0.1


SHAPES: dict[str, Shape] = {
    "clean": clean,
    "spike": spike,
    "step": step,
    "drift": drift,
    "one bad kernel": one_bad_kernel,
    "flapping kernel": flapping_kernel,
    "flapping breaker": flapping_breaker,
    "error rate": error_rate,
    "burst of one error": error_burst,
    "leak": leak,
    "leak under a collector": leaking_sawtooth,
    "sustained pressure": pressure,
    "throttling": throttle,
    "season with a step": season_with_step,
    "season": season,
    "collector's sawtooth": sawtooth,
    "cold start": cold_start,
    "quiet weekend": weekend,
    "changed mix": changed_mix,
    "model loaded": model_loaded,
    "faster kernel": faster,
}
"""Every shape by its name; from ``season`` on, and ``clean``, they are quiet."""

SHAPES_BY_THE_SECOND = (
    "clean", "spike", "step", "error rate", "throttling", "collector's sawtooth",
)  # fmt: skip
"""What is also played at a tick of one second."""


def _minutes(between: Range) -> Range:
    return between[0] * 60.0, between[1] * 60.0


def _hours(between: Range) -> Range:
    return between[0] * 3600.0, between[1] * 3600.0


def _drift(stage: Stage, name: str, factor: float, start: float, end: float) -> None:
    timeline = stage.timeline
    progress = np.clip((timeline.times - start) / (end - start), 0.0, 1.0)
    timeline.levels[name] *= np.where(timeline.times <= end, factor**progress, 1.0)


def _every(start: float, end: float, seconds: float) -> Iterator[tuple[float, float]]:
    begin = start
    while begin < end:
        yield begin, min(begin + seconds, end)
        begin += 2 * seconds
