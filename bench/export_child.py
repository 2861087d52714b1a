"""One way of exporting, in a process of its own: does a tick when told to, and says what it took.

    python bench/export_child.py WAY URL NAMES [DIRECTORY]

A line on the standard input is a command, a line of JSON on the standard output its answer; the
end of the input is the end of the process.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psutil

from export_sdk import Floor, Sdk
from export_series import SPOOL_BYTES, durations, name_of

PATIENCE = 60.0
"""Seconds after which a child that waits gives up."""


class Ours:
    """metalscope: its snapshot, and what it takes until the peer has it."""

    def __init__(self, way: str, url: str, names: int, directory: str | None = None) -> None:
        import metalscope
        from metalscope.export.exporter import MetalMetricsExporter
        from metalscope.export.registry import create_exporter
        from metalscope.export_options import (
            ExporterOptions,
            ExportOptions,
            RetryOptions,
            SpoolOptions,
        )
        from metalscope.options import MetalTelemetryOptions

        self._names = [name_of(place) for place in range(names)]
        self._tel = metalscope.MetalTelemetryManager(
            MetalTelemetryOptions(max_operation_names=names)
        )
        self._turn = 0
        ways: dict[str, dict[str, Any]] = {
            "otlp": {"protocol": "http/protobuf"},
            "otlp-plain": {
                "protocol": "http/protobuf",
                "settings": {"compression": "none", "batch_points": 1_000_000},
            },
            "otlp-json": {"protocol": "http/json"},
            "remote-write": {"type": "prometheus", "protocol": "remote_write"},
        }
        one = ExporterOptions(**{"type": "opentelemetry", "endpoint": url} | ways[way])
        soon = timedelta(milliseconds=20)
        options = ExportOptions(
            exporters=(one,),
            spool=SpoolOptions(directory=directory, max_bytes=SPOOL_BYTES),
            # Where the peer is down it is tried at every tick, not only once in minutes.
            retry=RetryOptions(first_delay=soon, max_delay=soon, circuit_breaker_timeout=soon),
        )
        self._exporter = MetalMetricsExporter(
            options, interval=timedelta(milliseconds=1), on_error=_end
        )
        exporter = create_exporter(one, options)
        assert exporter
        self._exporter.add(exporter, name=one.name, type=one.type)

    def move(self) -> None:
        self._turn += 1
        for name, taken in zip(self._names, durations(len(self._names), self._turn), strict=True):
            self._tel.record(
                "execute", name, duration_ns=taken, nbytes=64, gpu_ns=1000, device="gpu0"
            )

    def tick(self) -> None:
        [result] = self._exporter.export_now(self._tel.get_snapshot(), PATIENCE).values()
        if not result.ok:
            sys.exit(f"not exported: {result}: void")

    def begin(self) -> Callable[[], bool]:
        """A tick that is not waited for; gives whether it is over."""
        before = self._exporter.status()[0].delivered
        self._exporter.consume(self._tel.get_snapshot())
        return lambda: self._exporter.status()[0].delivered > before

    def consume(self) -> float:
        """Seconds for which the thread of the tick is held."""
        snapshot = self._tel.get_snapshot()
        before = self._exporter.status()[0].delivered
        start = time.perf_counter()
        self._exporter.consume(snapshot)
        took = time.perf_counter() - start
        wait_for(lambda: self._exporter.status()[0].delivered > before)
        return took

    def queue(self) -> int:
        """A tick while the peer is down; gives the bytes that wait."""
        before = self._exporter.status()[0].queued
        self._exporter.consume(self._tel.get_snapshot())
        wait_for(lambda: self._exporter.status()[0].queued > before)
        return self._exporter.status()[0].waiting_bytes

    def failures(self) -> int:
        return sum(self._exporter.status()[0].failures.values())


class Child:
    """Answers commands, each a method of one argument."""

    def __init__(self, exporting: Any) -> None:
        self._exporting = exporting

    def tick(self, _: float) -> dict[str, float]:
        """One tick, of series that all moved: seconds of the processor, and on the wall."""
        self._exporting.move()
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        self._exporting.tick()
        return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}

    def again(self, _: float) -> dict[str, float]:
        """One tick, of series that did not move."""
        gc.collect()
        cpu = time.process_time()
        self._exporting.tick()
        return {"cpu": time.process_time() - cpu}

    def consume(self, _: float) -> dict[str, float]:
        self._exporting.move()
        return {"seconds": self._exporting.consume()}

    def steps(self, seconds: float) -> dict[str, float]:
        """How many steps of the loop take about so many seconds."""
        steps = 1000
        while (took := _loop(steps)) < seconds / 10:
            steps *= 2
        return {"steps": int(steps * seconds / took)}

    def loop(self, steps: float) -> dict[str, float]:
        """A loop that holds the interpreter, alone and beside a tick."""
        self._exporting.move()
        alone = _loop(int(steps))
        is_over = self._exporting.begin()
        beside = _loop(int(steps))
        over = is_over()
        wait_for(is_over)
        return {"alone": alone, "beside": beside, "over": over}

    def ticks(self, count: float) -> dict[str, float]:
        """So many ticks; the resident memory afterwards, and the most there was, in bytes."""
        for _ in range(int(count)):
            self._exporting.move()
            self._exporting.tick()
        return _memory()

    def queue(self, count: float) -> dict[str, float]:
        """So many ticks while the peer is down; memory, and what waits."""
        waiting = 0
        for _ in range(int(count)):
            self._exporting.move()
            waiting = max(waiting, self._exporting.queue())
        # What waits is tried meanwhile, and in vain.
        wait_for(lambda: self._exporting.failures() > 0)
        return {**_memory(), "waiting": waiting}

    def memory(self, _: float) -> dict[str, float]:
        self._exporting.move()
        return _memory()


def _loop(steps: int) -> float:
    start = time.perf_counter()
    total = 0
    for step in range(steps):
        total += step & 7
    return time.perf_counter() - start


def _memory() -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "rss": psutil.Process().memory_info().rss,
        # In KiB on Linux, in bytes on macOS (getrusage(2) of each).
        "peak": peak if sys.platform == "darwin" else peak * 1024,
    }


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("not exported in time: void")
        time.sleep(0.001)


def _end(room: str, error: BaseException) -> None:
    print(f"{room}: {error!r}", file=sys.stderr)
    os._exit(1)


def main() -> None:
    way, url, names, *directory = sys.argv[1:]
    makers: dict[str, Callable[..., Any]] = {"floor": Floor, "sdk": Sdk, "sdk-gzip": Sdk}
    exporting = makers.get(way, Ours)(way, url, int(names), *directory)
    child = Child(exporting)
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        print(json.dumps(getattr(child, command)(float(argument or 0))), flush=True)


if __name__ == "__main__":
    main()
