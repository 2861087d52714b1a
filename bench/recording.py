"""What one recorded operation costs the process, against a bare timer and other libraries.

    python bench/recording.py [--quick] [--rounds N] [--operations N] [--output PATH]

See bench/README.md for what is measured and how.
"""

from __future__ import annotations

import argparse
import threading
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from itertools import cycle, islice
from time import process_time
from typing import Any

import contenders
from goals import Goal, Result, Row, at_least, at_most, exactly, parser, publish, rounds_of
from implementations import has_compiled_core, implementation
from timing import Comparison, Variant, compare

NAMES = tuple(f"kernel_{number:03}" for number in range(200))
OPERATIONS_A_NAME = 500
"""In a round, so that a short round has a short snapshot and not a longer share of it."""
THREADS = 4

FLOOR = "floor: two clock reads, one append"
LOOP = "empty loop"
OTEL = "OpenTelemetry SDK, counter + histogram"
PROMETHEUS = "prometheus_client, labels()"
PROMETHEUS_CACHED = "prometheus_client, cached children"

COMPILED, PURE = "compiled", "pure"


def stream(operations: int) -> Sequence[str]:
    """The names of a round's operations, again and again."""
    return list(islice(cycle(NAMES[: max(1, operations // OPERATIONS_A_NAME)]), operations))


def make(name: str, **options: Any) -> Any:
    """Make a manager of one implementation, its tick not running."""
    with implementation(pure=name == PURE) as metalscope:
        from metalscope.options import MetalTelemetryOptions

        return metalscope.MetalTelemetryManager(MetalTelemetryOptions(**options))


# -- one thread ----------------------------------------------------------------------------------


def one_thread(implementations: Sequence[str], *, operations: int, rounds: int) -> Comparison:
    """Compare all contenders, in one run."""
    names = stream(operations)
    runs = {
        LOOP: contenders.empty_loop(names),
        FLOOR: contenders.floor(names),
        "empty with": contenders.empty_with(names),
        "plain Python with + append": contenders.plain_timer(names),
    }
    recorded = []
    for name in implementations:
        on, off = make(name), make(name, enabled=False)
        recorded.append(on)
        runs |= {
            f"{name}: with tel.operation(kind, name)": contenders.operation(on, names),
            f"{name}: with tel.operation(…, nbytes, device)": contenders.operation_with_bytes(
                make(name), names
            ),
            f"{name}: tel.record(…)": contenders.record_known(make(name), names),
            f"{name}: two clock reads, tel.record(…)": contenders.record(make(name), names),
            f"{name}: disabled, with tel.operation(kind, name)": contenders.operation(off, names),
            f"{name}: disabled, tel.record(…)": contenders.record_known(off, names),
            f"{name}: disabled, with alone, on one operation": contenders.with_alone(off, names),
            f"{name}: sampled out, with tel.operation(kind, name)": contenders.operation(
                make(name, sample_rate=0.0), names
            ),
            f"{name}: one snapshot": contenders.snapshot(make(name), names),
        }
    runs |= contenders.prometheus(names)
    runs |= contenders.opentelemetry(names)
    comparison = compare(
        {name: Variant(run) for name, run in runs.items()}, rounds=rounds, clock=process_time
    )
    for tel in recorded:
        expected = operations * (rounds + 1)
        found = tel.get_snapshot().total_operations
        if found != expected:
            raise SystemExit(f"{found} of {expected} operations were recorded: void")
    return comparison


def above_the_loop(comparison: Comparison) -> Comparison:
    """Take the empty loop's seconds off every other's, round by round."""
    loops = comparison.seconds[LOOP]
    return Comparison(
        {
            name: [own - loop for own, loop in zip(seconds, loops, strict=True)]
            for name, seconds in comparison.seconds.items()
            if name != LOOP
        }
    )


GOALS: dict[str, tuple[Goal, Sequence[tuple[str, Goal | None]]]] = {
    COMPILED: (
        at_most(1.0, "x floor"),
        (
            (OTEL, at_least(50, "x cheaper")),
            (PROMETHEUS, at_least(12, "x cheaper")),
            (PROMETHEUS_CACHED, at_least(5, "x cheaper")),
        ),
    ),
    PURE: (
        at_most(3.5, "x floor"),
        (
            (OTEL, at_least(15, "x cheaper")),
            (PROMETHEUS, None),
            (PROMETHEUS_CACHED, None),
        ),
    ),
}
DISABLED_GOAL = at_most(0.3, "x floor")


def one_thread_rows(
    comparison: Comparison, implementations: Sequence[str], operations: int
) -> list[Row]:
    above = above_the_loop(comparison)
    names = len(set(stream(operations)))
    ns = 1e9 / operations
    rows = [
        Row(name, above.spread(name).scaled(ns), "ns")
        for name in above.seconds
        if not name.endswith("one snapshot")
    ]
    for name in implementations:
        to_floor, rivals = GOALS[name]
        clocked = f"{name}: two clock reads, tel.record(…)"
        # No goal: the floor's two clock reads are in it, and the call on top.
        rows.append(Row(f"{clocked} / floor", above.ratio(clocked, FLOOR), "x"))
        # The rivals read the clock as well: this is the like for like.
        rows.extend(
            Row(f"{rival} / {clocked}", above.ratio(rival, clocked), "x", goal)
            for rival, goal in rivals
        )
        for way in ("with tel.operation(kind, name)", "tel.record(…)"):
            own = f"{name}: {way}"
            rows.append(Row(f"{own} / floor", above.ratio(own, FLOOR), "x", to_floor))
            rows.extend(
                Row(f"{rival} / {own}", above.ratio(rival, own), "x", goal)
                for rival, goal in rivals
            )
            disabled = f"{name}: disabled, {way}"
            rows.append(
                Row(f"{disabled} / floor", above.ratio(disabled, FLOOR), "x", DISABLED_GOAL)
            )
        alone = f"{name}: disabled, with alone, on one operation"
        rows.append(Row(f"{alone} / floor", above.ratio(alone, FLOOR), "x"))
        sampled = f"{name}: sampled out, with tel.operation(kind, name)"
        rows.append(Row(f"{sampled} / floor", above.ratio(sampled, FLOOR), "x", DISABLED_GOAL))
    rows.extend(
        Row(
            f"{name}: one snapshot of {names} names, all moved",
            comparison.spread(f"{name}: one snapshot").scaled(1e3),
            "ms",
        )
        for name in implementations
    )
    return rows


# -- threads -------------------------------------------------------------------------------------


def on_threads(tel: Any, names: Sequence[str], threads: int) -> None:
    """Record all names, shared out among so many new threads, and take a snapshot."""
    barrier = threading.Barrier(threads)

    def work(share: Sequence[str]) -> None:
        barrier.wait()
        for name in share:
            with tel.operation("execute", name):
                pass

    workers = [
        threading.Thread(target=work, args=(names[number::threads],)) for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    tel.get_snapshot()


def thread_costs(name: str, *, operations: int, rounds: int) -> Comparison:
    """Compare one thread with :data:`THREADS` that do the same work; void unless all is counted."""
    names = stream(operations)
    managers = {count: make(name) for count in (1, THREADS)}
    comparison = compare(
        {
            f"{count} threads": Variant(lambda tel=tel, count=count: on_threads(tel, names, count))
            for count, tel in managers.items()
        },
        rounds=rounds,
        clock=process_time,
    )
    expected = {name: count * (rounds + 1) for name, count in Counter(names).items()}
    for tel in managers.values():
        found = {one.name: one.executions for one in tel.get_snapshot().operations}
        if found != expected:
            raise SystemExit(f"{name}: operations were miscounted under threads: void")
    return comparison


def inexact_series(name: str, *, operations: int, threads: int = THREADS) -> tuple[int, int]:
    """Record known operations from many threads while another takes snapshots without pause.

    Returns how many series there are, and how many differ from a plain count of the same
    operations in anything at all: number, bytes, sum, least, most, or any bucket.
    """
    tel = make(name)
    outcomes = (None, None, None, "timeout", "out_of_memory")
    kinds = ("execute", "transfer", "allocate")
    work = [
        # Prime strides, so that every series meets every other circumstance.
        (kinds[n % 3], NAMES[n % len(NAMES)], outcomes[n % 7 % 5], 1 + n * n % 150_000_007, n % 11)
        for n in range(operations)
    ]
    stop = threading.Event()

    def recorder(share: Sequence[tuple[str, str, str | None, int, int]]) -> None:
        for kind, kernel, error, duration_ns, nbytes in share:
            tel.record(kind, kernel, duration_ns=duration_ns, nbytes=nbytes, error=error)

    def reader() -> None:
        while not stop.wait(0.01):
            tel.get_snapshot()

    watcher = threading.Thread(target=reader)
    workers = [
        threading.Thread(target=recorder, args=(work[number::threads],))
        for number in range(threads)
    ]
    for thread in (watcher, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    watcher.join()

    durations: dict[tuple[str, str, str], list[int]] = {}
    sizes: Counter[tuple[str, str, str]] = Counter()
    for kind, kernel, error, duration_ns, nbytes in work:
        durations.setdefault((kind, kernel, error or "ok"), []).append(duration_ns)
        sizes[kind, kernel, error or "ok"] += nbytes
    with implementation(pure=name == PURE):
        from metalscope.histogram import DurationHistogram

        expected = {
            series: (DurationHistogram.from_durations(values), sizes[series])
            for series, values in durations.items()
        }
    found = {
        (str(one.kind), one.name, outcome.outcome): (outcome.durations, outcome.nbytes)
        for one in tel.get_snapshot().operations
        for outcome in one.outcomes
    }
    wrong = [
        series
        for series in expected.keys() | found.keys()
        if found.get(series) != expected.get(series)
    ]
    return len(expected), len(wrong)


def thread_rows(name: str, comparison: Comparison, series: int, inexact: int) -> list[Row]:
    ratio = comparison.ratio(f"{THREADS} threads", to="1 threads")
    return [
        Row(f"{name}: {THREADS} threads / 1 thread, CPU", ratio, "x", at_most(1.3, "x")),
        exactly(
            f"{name}: {THREADS} threads, inexact series of {series}", inexact, "", at_most(0, "")
        ),
    ]


# -- the program ---------------------------------------------------------------------------------


def measure(*, operations: int, thread_operations: int, rounds: int) -> Result:
    compiled = has_compiled_core()
    implementations = (COMPILED, PURE) if compiled else (PURE,)
    comparison = one_thread(implementations, operations=operations, rounds=rounds)
    rows = one_thread_rows(comparison, implementations, operations)
    raw: dict[str, Any] = {"one thread": comparison.seconds, "threads": {}}
    for name in implementations:
        costs = thread_costs(name, operations=thread_operations, rounds=rounds)
        raw["threads"][name] = costs.seconds
        rows += thread_rows(name, costs, *inexact_series(name, operations=thread_operations))
    return Result(
        "recording, CPU of the process",
        rows,
        facts={
            "compiled_core": compiled,
            "operations_a_round": operations,
            "operations_on_threads": thread_operations,
            "names": len(set(stream(operations))),
            "rounds": rounds,
            "prometheus_client": version("prometheus_client"),
            "opentelemetry-sdk": version("opentelemetry-sdk"),
        },
        raw=raw,
    )


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="recording")
    arguments_parser.add_argument("--operations", type=int, help=argparse.SUPPRESS)
    arguments_parser.add_argument("--thread-operations", type=int, help=argparse.SUPPRESS)
    arguments = arguments_parser.parse_args(argv)
    result = measure(
        operations=arguments.operations or (10_000 if arguments.quick else 100_000),
        thread_operations=arguments.thread_operations or (40_000 if arguments.quick else 1_000_000),
        rounds=rounds_of(arguments),
    )
    if not result.facts["compiled_core"]:
        print("metalscope has no compiled core here: pure Python only.\n")
    publish(result, arguments.output)


if __name__ == "__main__":
    main()
