"""What recording costs: a real MLX loop with and without, and one operation by itself.

    python bench/overhead.py [--rounds N] [--seconds S] [--output PATH]

See bench/README.md for what is measured and how.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, perf_counter_ns

import metalscope
from metalscope.recorder import IMPLEMENTATION
from timing import Comparison, Machine, Variant, compare

MATRIX_SIZES = (32, 128)
"""Square matmuls: one as short as a call can be, one of some hundred microseconds."""

NS = 1e9


def mlx_step(size: int) -> Callable[[], None]:
    """Return one step of a loop: build a graph, evaluate it, as a user's script does."""
    import mlx.core as mx

    a = mx.random.uniform(shape=(size, size))
    b = mx.random.uniform(shape=(size, size))
    mx.eval(a, b)

    def step() -> None:
        # Looked up on the module each time, as in a script: that is where the hook sits.
        mx.eval(a @ b)

    return step


def device() -> str:
    import mlx.core as mx

    return str(mx.default_device())


def repeat(step: Callable[[], None], times: int) -> None:
    for _ in range(times):
        step()


def times_in(seconds: float, step: Callable[[], None]) -> int:
    """Return how often ``step`` runs in so many seconds, at least once."""
    step()
    start, times = perf_counter(), 0
    while (elapsed := perf_counter() - start) < min(seconds, 0.2):
        step()
        times += 1
    return max(1, round(times * seconds / elapsed))


@contextmanager
def instrumented(telemetry: metalscope.MetalTelemetryManager) -> Iterator[None]:
    telemetry.start()
    metalscope.instrument("mlx", telemetry=telemetry)
    try:
        yield
    finally:
        metalscope.uninstrument("mlx")
        telemetry.shutdown()


def mlx_loop(size: int, *, rounds: int, seconds: float) -> tuple[Comparison, int]:
    """Compare rounds of the loop bare and instrumented; return them and the steps a round has."""
    telemetry = metalscope.MetalTelemetryManager()
    step = mlx_step(size)
    times = times_in(seconds, step)
    run = partial(repeat, step, times)
    comparison = compare(
        {
            "bare": Variant(run),
            "instrumented": Variant(run, around=partial(instrumented, telemetry)),
        },
        rounds=rounds,
    )
    recorded = telemetry.get_snapshot().total_operations
    expected = times * (rounds + 1)
    if recorded < expected:
        raise SystemExit(f"only {recorded} of {expected} operations were recorded: void")
    return comparison, times


def one_operation(*, rounds: int, times: int) -> Comparison:
    """Compare the ways to record one operation with the least any timer could do."""
    telemetry = metalscope.MetalTelemetryManager().start()

    def floor() -> None:
        taken: list[int] = []
        for _ in range(times):
            start = perf_counter_ns()
            taken.append(perf_counter_ns() - start)

    def with_operation() -> None:
        for _ in range(times):
            with telemetry.operation("execute", "matmul"):
                pass

    def record() -> None:
        for _ in range(times):
            start = perf_counter_ns()
            telemetry.record("execute", "matmul", duration_ns=perf_counter_ns() - start)

    try:
        return compare(
            {
                "floor": Variant(floor),
                "with tel.operation(...)": Variant(with_operation),
                "tel.record(...)": Variant(record),
            },
            rounds=rounds,
        )
    finally:
        telemetry.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=11, help="rounds of each (default: 11)")
    parser.add_argument(
        "--seconds", type=float, default=1.2, help="length of one round of the loop (default: 1.2)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent / "results" / "overhead.json",
        help="where to write the numbers as JSON",
    )
    arguments = parser.parse_args()
    if arguments.rounds < 2 or arguments.seconds <= 0:
        parser.error("--rounds must be 2 or more and --seconds above 0")

    machine = Machine.here()
    print(f"{machine}, MLX {version('mlx')} on {device()}, {IMPLEMENTATION} recorder\n")

    print("| MLX loop | operations/s bare | µs each, bare | µs each, instrumented | ratio |")
    print("|---|---|---|---|---|")
    loops = []
    for size in MATRIX_SIZES:
        comparison, times = mlx_loop(size, rounds=arguments.rounds, seconds=arguments.seconds)
        bare = comparison.spread("bare").scaled(1e6 / times)
        hooked = comparison.spread("instrumented").scaled(1e6 / times)
        ratio = comparison.ratio("instrumented", to="bare")
        print(f"| {size}x{size} matmul | {1e6 / bare.median:,.0f} | {bare} | {hooked} | {ratio} |")
        loops.append({"size": size, "steps": times, "seconds": comparison.seconds})

    times = 100_000
    one = one_operation(rounds=arguments.rounds, times=times)
    print("\n| one operation | ns | over the floor |\n|---|---|---|")
    for name in one.seconds:
        print(f"| {name} | {one.spread(name).scaled(NS / times)} | {one.ratio(name, 'floor')} |")

    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    results = {
        "machine": machine.to_dict(),
        "mlx": version("mlx"),
        "mlx_device": device(),
        "metalscope": metalscope.__version__,
        "recorder": IMPLEMENTATION,
        "loops": loops,
        "one_operation": {"times": times, "seconds": one.seconds},
    }
    arguments.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
