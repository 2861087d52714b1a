"""What recording costs a loop of tiny WebGPU dispatches: instrumented against bare.

    python bench/webgpu_overhead.py [--quick] [--rounds N] [--output PATH]

See docs/webgpu.md for what is recorded. A dispatch that does nothing is the worst case: all of it
is the host's own work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from time import perf_counter, thread_time

import metalscope
from goals import Result, Row, at_most, parser, publish, rounds_of
from metalscope.instrument import settle
from metalscope.recorder import IMPLEMENTATION
from timing import Comparison, Variant, compare

SOURCE = "@compute @workgroup_size(1) fn tiny() {}"
PASSES = 50
"""How many passes the longer command buffer has."""

CLOCKS = {"host thread's CPU": thread_time, "wall": perf_counter}
"""What a round is measured by. Where the device is the processor, its work contends with ours for
the same cores, and the wall clock shows that more than it shows the cost."""

GOAL = at_most(1.25, "x")
"""A microsecond or two for each call, on the fastest calls there are."""


class Work:
    """A device, one pipeline and one buffer, used as a user's script would."""

    def __init__(self) -> None:
        import wgpu

        adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
        self.adapter = adapter.summary
        self.device = adapter.request_device_sync()
        module = self.device.create_shader_module(code=SOURCE)
        self.pipeline = self.device.create_compute_pipeline(
            layout="auto", compute={"module": module, "entry_point": "tiny"}
        )
        usage = wgpu.BufferUsage
        self.buffer = self.device.create_buffer(size=256, usage=usage.COPY_SRC | usage.COPY_DST)

    def submit(self, passes: int) -> None:
        encoder = self.device.create_command_encoder()
        for _ in range(passes):
            compute = encoder.begin_compute_pass()
            compute.set_pipeline(self.pipeline)
            compute.dispatch_workgroups(1)
            compute.end()
        self.device.queue.submit([encoder.finish()])

    def dispatches(self, times: int, passes: int) -> None:
        for _ in range(times):
            self.submit(passes)
        # The round ends with the work, so that it does not run on into the next one.
        self.device.queue.read_buffer(self.buffer)

    def reads(self, times: int) -> None:
        for _ in range(times):
            self.device.queue.read_buffer(self.buffer)

    def writes(self, times: int) -> None:
        for _ in range(times):
            self.device.queue.write_buffer(self.buffer, 0, b"abcd")
        self.device.queue.read_buffer(self.buffer)


@contextmanager
def instrumented(telemetry: metalscope.MetalTelemetryManager) -> Iterator[None]:
    telemetry.start()
    metalscope.instrument("webgpu", telemetry=telemetry)
    try:
        yield
    finally:
        settle(10)
        metalscope.uninstrument("webgpu")
        telemetry.shutdown()


def loop(
    run: Callable[[], object], *, operations: int, rounds: int, clock: Callable[[], float]
) -> Comparison:
    """Compare rounds of a loop bare and instrumented; void unless every operation was counted."""
    telemetry = metalscope.MetalTelemetryManager()
    comparison = compare(
        {
            "bare": Variant(run),
            "instrumented": Variant(run, around=partial(instrumented, telemetry)),
        },
        rounds=rounds,
        clock=clock,
    )
    recorded = telemetry.get_snapshot().total_operations
    expected = operations * (rounds + 1)
    if recorded != expected:
        raise SystemExit(f"{recorded} operations were recorded, not {expected}: void")
    return comparison


def main() -> None:
    arguments = parser(__doc__, name="webgpu_overhead").parse_args()
    rounds = rounds_of(arguments)
    times = 100 if arguments.quick else 1000
    some = times // 10
    work = Work()
    # Each with how many operations a round is, and how many of them are the loop's own.
    loops = {
        "a submit of one dispatch": (partial(work.dispatches, times, 1), times + 1, times),
        f"a submit of {PASSES} passes": (partial(work.dispatches, some, PASSES), some + 1, some),
        "read_buffer of 256 bytes": (partial(work.reads, some), some, some),
        "write_buffer of 4 bytes": (partial(work.writes, times), times + 1, times),
    }
    rows, raw = [], {}
    for what, (run, operations, steps) in loops.items():
        for name, clock in CLOCKS.items():
            found = loop(run, operations=operations, rounds=rounds, clock=clock)
            raw[f"{what}, {name}"] = {"steps": steps, "seconds": found.seconds}
            bare = found.spread("bare").scaled(1e6 / steps)
            rows.append(Row(f"{what}, bare, {name}", bare, "µs"))
            ratio = found.ratio("instrumented", to="bare")
            # Only of work on the device: a write is a copy that the host makes.
            goal = None if what.startswith("write") or clock is perf_counter else GOAL
            rows.append(Row(f"{what}, instrumented / bare, {name}", ratio, "x", goal))
    facts = {
        "wgpu": version("wgpu"),
        "adapter": work.adapter,
        "metalscope": metalscope.__version__,
        "recorder": IMPLEMENTATION,
    }
    publish(Result(f"WebGPU on {work.adapter}", rows, facts, raw), arguments.output)


if __name__ == "__main__":
    main()
