"""Record a real MLX loop with faults put into it, for the benchmark of anomaly detection.

    python bench/incidents/record.py SESSION LABELS [--scale X]

The loop multiplies matrices, normalises and copies in MLX, on the default device, under a manager
that ticks every five seconds; nothing is simulated. After ten clean minutes come, each with clean
minutes behind it: a kernel with a sleep in it, and products of shapes that do not fit. What each
did and when is written to LABELS. ``--scale`` shortens or lengthens everything. A machine that does
other work at the same time makes labels that are not true: give the loop a high priority.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

import mlx.core as mx

from metalscope import MetalTelemetryManager, MetalTelemetrySnapshot
from metalscope.options import MetalTelemetryOptions
from metalscope.session.format import SessionHeader, SessionSource
from metalscope.session.writer import SessionWriter

TICK_SECONDS = 5.0
CLEAN_FIRST = 600.0
CLEAN_BETWEEN = 180.0
FAULTS = (("sleep", 120.0), ("errors", 60.0))
KINDS = {"sleep": ["level_shift", "spike", "drift"], "errors": ["error_rate"]}


class Loop:
    """Real work; ``fault`` says what goes wrong in it now."""

    def __init__(self, telemetry: MetalTelemetryManager) -> None:
        self._telemetry = telemetry
        self._a = mx.random.normal((160, 160))
        self._b = mx.random.normal((96, 160))
        self._steps = 0
        self.fault = ""

    def step(self) -> None:
        self._steps += 1
        operation = self._telemetry.operation
        a = self._a
        with operation("execute", "matmul"):
            mx.eval(a @ a)
            if self.fault == "sleep":
                sleep(0.004)
        with operation("execute", "softmax"):
            mx.eval(mx.softmax(a, axis=-1))
        if self._steps % 4 == 0:
            wrong = self.fault == "errors" and self._steps % 16 == 0
            with suppress(ValueError), operation("execute", "attention"):
                mx.eval(mx.softmax(self._b @ (self._b if wrong else a), axis=-1) @ a)
        with operation("allocate", "buffer", nbytes=256 * 1024):
            mx.eval(mx.zeros((256, 256)))
        sleep(0.02)


def bare(snapshot: MetalTelemetrySnapshot) -> MetalTelemetrySnapshot:
    """What detectors look at, without the host's facts."""
    recent = replace(snapshot.recent, points=())
    return replace(snapshot, counters=None, system=None, recent=recent)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("session", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()

    header = SessionHeader(datetime.now(UTC), SessionSource.PROCESS, TICK_SECONDS)
    writer = SessionWriter(arguments.session, header)
    telemetry = MetalTelemetryManager(MetalTelemetryOptions(tick_interval=TICK_SECONDS))
    telemetry.subscribe(lambda snapshot: writer.write(bare(snapshot)))
    telemetry.start()
    loop = Loop(telemetry)

    labels = []
    for fault, seconds in (("", CLEAN_FIRST), *_with_clean_time()):
        loop.fault = fault
        start = datetime.now(UTC)
        until = monotonic() + seconds * arguments.scale
        while monotonic() < until:
            loop.step()
        if fault:
            labels.append(
                {
                    "fault": fault,
                    "start": start.isoformat(),
                    "end": datetime.now(UTC).isoformat(),
                    "kinds": KINDS[fault],
                }
            )
    telemetry.shutdown()
    writer.close()
    arguments.labels.write_text(json.dumps(labels, indent=1) + "\n")


def _with_clean_time() -> Iterator[tuple[str, float]]:
    for fault, seconds in FAULTS:
        yield fault, seconds
        yield "", CLEAN_BETWEEN


if __name__ == "__main__":
    main()
