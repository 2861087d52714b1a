"""What correlation costs: ids, headers, and what is carried to threads and executors.

python bench/correlation.py [--quick] [--rounds N] [--output PATH]
"""

from __future__ import annotations

import argparse
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from time import process_time
from typing import Any

import metalscope
from goals import Goal, Result, Row, at_most, parser, publish, rounds_of
from metalscope.correlating import (
    SpanContext,
    correlation,
    current_correlation_id,
    make_ids_by,
    new_correlation_id,
    within,
)
from metalscope.propagation.headers import extract, inject
from timing import Comparison, Variant, compare

VARIABLE: ContextVar[str | None] = ContextVar("bench", default=None)
SPAN = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
HEADERS = {
    "host": "service:8000",
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "connection": "keep-alive",
    "user-agent": "python-httpx/0.28",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-correlation-id": "0b6f1b8e-55d1-4c2e-9a3c-6f6b5c0f6f0e",
}

BARE_SET = "a context variable set and reset"
BLOCK = 'with correlation("id")'
NEW_BLOCK = "with correlation(), a new id"
CURRENT = "current_correlation_id()"
UUID4 = "str(uuid.uuid4())"
NEW_4 = "new_correlation_id(), version 4"
NEW_7 = "new_correlation_id(), version 7"
INJECT = "inject({}), id and traceparent"
THEIR_INJECT = "OpenTelemetry: inject, traceparent"
EXTRACT = "extract(headers), id and traceparent"
THEIR_EXTRACT = "OpenTelemetry: extract, traceparent"
THREAD = "Thread: start and join"
THREAD_NOTHING = "the same instrumented, nothing to carry"
THREAD_CARRIED = "the same instrumented, id and span carried"
SUBMIT = "ThreadPoolExecutor: submit and result"
SUBMIT_NOTHING = "submit instrumented, nothing to carry"
SUBMIT_CARRIED = "submit instrumented, id and span carried"

Around = Callable[[], Any]


def repeated(count: int, work: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            work()

    return run


def block(*arguments: str) -> Callable[[], None]:
    def run() -> None:
        with correlation(*arguments):
            pass

    return run


def bare_set() -> None:
    token = VARIABLE.set("id")
    VARIABLE.reset(token)


@contextmanager
def version_7() -> Iterator[None]:
    make_ids_by("uuid7")
    try:
        yield
    finally:
        make_ids_by("uuid4")


@contextmanager
def in_a_span_of_ours() -> Iterator[None]:
    with within(HEADERS["x-correlation-id"], SPAN):
        yield


@contextmanager
def in_a_span_of_theirs() -> Iterator[None]:
    from opentelemetry.sdk.trace import TracerProvider

    with TracerProvider().get_tracer("bench").start_as_current_span("work"):
        yield


@contextmanager
def instrumented() -> Iterator[None]:
    metalscope.instrument("threads", metalscope.MetalTelemetryManager())
    try:
        yield
    finally:
        metalscope.uninstrument("threads")


@contextmanager
def instrumented_in_a_span() -> Iterator[None]:
    with instrumented(), in_a_span_of_ours():
        yield


def their_propagation() -> tuple[Callable[[], object], Callable[[], object]]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator = TraceContextTextMapPropagator()
    return lambda: propagator.inject({}), lambda: propagator.extract(HEADERS)


def nothing() -> None:
    pass


def thread() -> None:
    one = threading.Thread(target=nothing)
    one.start()
    one.join()


def small(count: int, rounds: int) -> Comparison:
    """What takes less than some microseconds, less the loop around it."""
    their_inject, their_extract = their_propagation()
    variants = {
        "empty loop": Variant(repeated(count, nothing)),
        BARE_SET: Variant(repeated(count, bare_set)),
        BLOCK: Variant(repeated(count, block("id"))),
        NEW_BLOCK: Variant(repeated(count, block())),
        CURRENT: Variant(repeated(count, current_correlation_id)),
        UUID4: Variant(repeated(count, lambda: str(uuid.uuid4()))),
        NEW_4: Variant(repeated(count, new_correlation_id)),
        NEW_7: Variant(repeated(count, new_correlation_id), around=version_7),
        INJECT: Variant(repeated(count, lambda: inject({})), around=in_a_span_of_ours),
        THEIR_INJECT: Variant(repeated(count, their_inject), around=in_a_span_of_theirs),
        EXTRACT: Variant(repeated(count, lambda: extract(HEADERS))),
        THEIR_EXTRACT: Variant(repeated(count, their_extract)),
    }
    comparison = compare(variants, rounds=rounds, clock=process_time)
    loops = comparison.seconds["empty loop"]
    return Comparison(
        {
            name: [own - loop for own, loop in zip(seconds, loops, strict=True)]
            for name, seconds in comparison.seconds.items()
            if name != "empty loop"
        }
    )


def started(count: int, rounds: int) -> Comparison:
    """Threads, and pieces of work of an executor, one after the other."""
    with ThreadPoolExecutor(1) as pool:

        def submit() -> None:
            pool.submit(nothing).result()

        submit()
        return compare(
            {
                THREAD: Variant(repeated(count, thread)),
                THREAD_NOTHING: Variant(repeated(count, thread), around=instrumented),
                THREAD_CARRIED: Variant(repeated(count, thread), around=instrumented_in_a_span),
                SUBMIT: Variant(repeated(count, submit)),
                SUBMIT_NOTHING: Variant(repeated(count, submit), around=instrumented),
                SUBMIT_CARRIED: Variant(repeated(count, submit), around=instrumented_in_a_span),
            },
            rounds=rounds,
            clock=process_time,
        )


def measure(*, operations: int, rounds: int) -> Result:
    """Compare all of them, in CPU time of the process."""
    few = max(operations // 20, 10)
    little, threads = small(operations, rounds), started(few, rounds)
    rows = [
        Row(name, little.spread(name).scaled(1e9 / operations), "ns") for name in little.seconds
    ]
    rows += [Row(name, threads.spread(name).scaled(1e6 / few), "µs") for name in threads.seconds]

    def ratio(of: Comparison, name: str, to: str, goal: Goal) -> Row:
        return Row(f"{name} / {to}", of.ratio(name, to), "x", goal)

    rows += [
        ratio(little, NEW_4, UUID4, at_most(1, "x")),
        ratio(little, INJECT, THEIR_INJECT, at_most(1, "x")),
        ratio(little, EXTRACT, THEIR_EXTRACT, at_most(1, "x")),
        ratio(threads, THREAD_NOTHING, THREAD, at_most(1.1, "x")),
        ratio(threads, THREAD_CARRIED, THREAD, at_most(1.2, "x")),
        ratio(threads, SUBMIT_NOTHING, SUBMIT, at_most(1.1, "x")),
        ratio(threads, SUBMIT_CARRIED, SUBMIT, at_most(1.3, "x")),
    ]
    return Result(
        "correlation",
        rows,
        facts={"operations": operations, "threads": few, "rounds": rounds},
        raw={"seconds": dict(little.seconds) | dict(threads.seconds)},
    )


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="correlation")
    arguments_parser.add_argument("--operations", type=int, default=20_000, help=argparse.SUPPRESS)
    arguments = arguments_parser.parse_args(argv)
    found = measure(operations=arguments.operations, rounds=rounds_of(arguments))
    publish(found, arguments.output)


if __name__ == "__main__":
    main()
