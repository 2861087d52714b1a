"""Streams of snapshots with labels: simulated ones by shape and seed, and recorded ones."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from incidents.playing import play
from incidents.ranges import Ranges
from incidents.shapes import SHAPES, Stage, hiccups
from incidents.timeline import Incident, Timeline
from metalscope.snapshot import MetalTelemetrySnapshot

HICCUPS_PER_DAY = 2.0


@dataclass(frozen=True, slots=True)
class Stream:
    """Snapshots with what is to be found in them; ``play`` gives them anew each time."""

    shape: str
    name: str
    seconds: float
    tick: float
    incidents: Sequence[Incident]
    play: Callable[[], Iterable[MetalTelemetrySnapshot]]


def simulated(shape: str, ranges: Ranges, seed: int, *, seconds: float, tick: float) -> Stream:
    """One shape as one seed draws it: the same shape, ranges and seed give the same stream."""
    incidents = _timeline(shape, ranges, seed, seconds, tick).incidents
    name = f"{shape}, {ranges.name} seed {seed}, tick {tick:g} s"
    return Stream(
        shape,
        name,
        seconds,
        tick,
        tuple(incidents),
        lambda: play(_timeline(shape, ranges, seed, seconds, tick)),
    )


def _timeline(shape: str, ranges: Ranges, seed: int, seconds: float, tick: float) -> Timeline:
    rng = np.random.default_rng([ranges.first_seed + seed, zlib.crc32(shape.encode())])
    timeline = Timeline(ranges.work, tick, int(seconds / tick), rng)
    hiccups(timeline, HICCUPS_PER_DAY)
    SHAPES[shape](Stage(timeline, ranges))
    return timeline
