"""What recording PyTorch costs: real loops bare, instrumented, and recorded in other ways.

    python bench/torch_overhead.py [--quick] [--rounds N] [--output PATH]

The other ways are what the instrument could have been built on instead: hooks on every module, a
dispatch mode around everything, PyTorch's own profiler. Each keeps what it sees, as a recorder
would. See docs/torch.md for what was chosen and why. Times are the process's own processor time,
on one thread, so that what else the machine does matters less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns, process_time
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import metalscope
from goals import Result, Row, at_most, parser, publish, rounds_of
from metalscope.recorder import IMPLEMENTATION
from timing import Comparison, Variant, compare

PRODUCTION = at_most(1.02, "x bare")
"""Less than 2 % slower by default: the loops' operations take about a millisecond."""

SAMPLINGS = (0, 100, 10, 1)

Step = Callable[[], object]


def training() -> Step:
    """A step of training: operations of about a millisecond."""
    model = nn.Sequential(nn.Linear(512, 1024), nn.GELU(), nn.Linear(1024, 512))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    data, target = torch.randn(64, 512), torch.randn(64, 512)

    def step() -> None:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(data), target)
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def inference() -> Step:
    """A transformer's forward: some thirty modules, operations of tens of microseconds and up."""
    layer = nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True, dropout=0.0)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).train()
    data = torch.randn(4, 64, 256)

    def step() -> None:
        with torch.no_grad():
            model(data)

    return step


def smallest() -> Step:
    """The shortest forward there is, for the cost of one call."""
    model = nn.Linear(4, 4)
    data = torch.randn(1, 4)

    def step() -> None:
        with torch.no_grad():
            model(data)

    return step


LOOPS = {"training": training, "inference": inference, "smallest": smallest}


@contextmanager
def instrumented(every: int) -> Iterator[None]:
    options = metalscope.MetalTelemetryOptions(torch={"operations_every": every})
    telemetry = metalscope.MetalTelemetryManager(options).start()
    metalscope.instrument("torch", telemetry)
    try:
        yield
    finally:
        metalscope.uninstrument("torch")
        recorded = telemetry.get_snapshot().total_operations
        telemetry.shutdown()
    if not recorded:
        raise SystemExit("nothing was recorded: void")


@contextmanager
def recorder() -> Iterator[metalscope.MetalTelemetryManager]:
    with metalscope.MetalTelemetryManager() as telemetry:
        yield telemetry
        if not telemetry.get_snapshot().total_operations:
            raise SystemExit("nothing was recorded: void")


@contextmanager
def module_hooks() -> Iterator[None]:
    """PyTorch's global forward hooks, for every module."""
    from torch.nn.modules import module as modules

    started: list[int] = []
    with recorder() as telemetry:

        def before(_module: nn.Module, _args: Any) -> None:
            started.append(perf_counter_ns())

        def after(one: nn.Module, _args: Any, _result: Any) -> None:
            took = perf_counter_ns() - started.pop()
            telemetry.record("execute", type(one).__name__, duration_ns=took)

        handles = (
            modules.register_module_forward_pre_hook(before),
            modules.register_module_forward_hook(after),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


@contextmanager
def dispatch_mode() -> Iterator[None]:
    """A dispatch mode around the whole loop, which sees every operation."""
    with recorder() as telemetry:

        class Mode(TorchDispatchMode):
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                start = perf_counter_ns()
                result = func(*args, **(kwargs or {}))
                took = perf_counter_ns() - start
                telemetry.record("execute", func._schema.name, duration_ns=took)
                return result

        with Mode():
            yield


def profiled(step: Step, times: int) -> None:
    """PyTorch's profiler around every ten steps, its events recorded."""
    with recorder() as telemetry:
        for begin in range(0, times, 10):
            activities = [torch.profiler.ProfilerActivity.CPU]
            with torch.profiler.profile(activities=activities) as profile:
                repeat(step, min(10, times - begin))
            for event in profile.events() or ():
                took = round(event.time_range.elapsed_us() * 1e3)
                telemetry.record("execute", event.name, duration_ns=took)


def repeat(step: Step, times: int) -> None:
    for _ in range(times):
        step()


def times_in(seconds: float, step: Step) -> int:
    repeat(step, 3)
    start, times = process_time(), 0
    while (elapsed := process_time() - start) < min(seconds, 0.2):
        step()
        times += 1
    return max(10, round(times * seconds / elapsed))


def measure(step: Step, *, rounds: int, seconds: float, others: bool) -> tuple[Comparison, int]:
    times = times_in(seconds, step)
    run = partial(repeat, step, times)
    variants = {"bare": Variant(run)}
    for every in SAMPLINGS:
        variants[f"instrumented, operations_every={every}"] = Variant(
            run, around=partial(instrumented, every)
        )
    if others:
        variants["hooks on every module"] = Variant(run, around=module_hooks)
        variants["a dispatch mode around all"] = Variant(run, around=dispatch_mode)
        variants["torch.profiler, ten steps a time"] = Variant(partial(profiled, step, times))
    return compare(variants, rounds=rounds, clock=process_time), times


def main() -> None:
    arguments = parser(__doc__, name="torch_overhead").parse_args()
    rounds = rounds_of(arguments)
    seconds = 0.2 if arguments.quick else 0.6
    # One thread: what is measured is added on the thread that calls, and others add noise.
    torch.set_num_threads(1)
    rows, raw = [], {}
    for name, make in LOOPS.items():
        torch.manual_seed(0)
        comparison, times = measure(
            make(), rounds=rounds, seconds=seconds, others=name != "smallest"
        )
        raw[name] = {"steps": times, "seconds": comparison.seconds}
        bare = comparison.spread("bare").scaled(1e6 / times)
        rows.append(Row(f"{name}: bare, each step", bare, "µs"))
        for variant in comparison.seconds:
            if variant == "bare":
                continue
            goal = PRODUCTION if variant.endswith("=0") and name != "smallest" else None
            ratio = comparison.ratio(variant, to="bare")
            rows.append(Row(f"{name}: {variant}", ratio, "x bare", goal))
            if name == "smallest":
                added = (comparison.spread(variant).median / times) * 1e6 - bare.median
                print(f"{name}: {variant}: {added:.2f} µs a call more", flush=True)
    facts = {"torch": torch.__version__, "recorder": IMPLEMENTATION, "threads": 1}
    publish(Result("PyTorch loops, CPU build", rows, facts, raw), arguments.output)


if __name__ == "__main__":
    main()
