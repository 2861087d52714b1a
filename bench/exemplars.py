"""What exemplars cost an operation: off, on, and in a sampled span of OpenTelemetry.

python bench/exemplars.py [--quick] [--rounds N] [--output PATH]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import process_time
from typing import Any

import contenders
from goals import Result, Row, at_most, parser, publish, rounds_of
from implementations import implementation
from timing import Comparison, Variant, compare

OFF = "exemplars off"
WITHOUT = "exemplars on, no span"
WITHIN = "exemplars on, in a sampled span"
LOOKUP = "OpenTelemetry: get_current_span() alone"
IDS = "OpenTelemetry: get_current_span() and its ids, in a span"


@contextmanager
def in_a_span() -> Iterator[None]:
    from opentelemetry.sdk.trace import TracerProvider

    with TracerProvider().get_tracer("bench").start_as_current_span("work"):
        yield


def lookups(operations: int, *, ids: bool) -> Callable[[], None]:
    from opentelemetry import trace

    def run() -> None:
        for _ in range(operations):
            context = trace.get_current_span().get_span_context()
            if ids and context.trace_flags.sampled:
                f"{context.trace_id:032x}{context.span_id:016x}"

    return run


def measure(*, operations: int, rounds: int) -> Result:
    """Compare all of them in one run, in CPU time of the process."""
    names = ["matmul"] * operations
    with implementation(pure=False) as metalscope:
        from metalscope.options import MetalTelemetryOptions

        def recording(**options: Any) -> Callable[[], object]:
            telemetry = metalscope.MetalTelemetryManager(MetalTelemetryOptions(**options))
            return contenders.operation(telemetry, names)

        comparison = compare(
            {
                "empty loop": Variant(contenders.empty_loop(names)),
                OFF: Variant(recording()),
                WITHOUT: Variant(recording(exemplars=True)),
                WITHIN: Variant(recording(exemplars=True), around=in_a_span),
                LOOKUP: Variant(lookups(operations, ids=False)),
                IDS: Variant(lookups(operations, ids=True), around=in_a_span),
            },
            rounds=rounds,
            clock=process_time,
        )
    loops = comparison.seconds["empty loop"]
    above = Comparison(
        {
            name: [own - loop for own, loop in zip(seconds, loops, strict=True)]
            for name, seconds in comparison.seconds.items()
            if name != "empty loop"
        }
    )
    rows = [Row(name, above.spread(name).scaled(1e9 / operations), "ns") for name in above.seconds]
    rows += [
        Row(f"{WITHOUT} / {OFF}", above.ratio(WITHOUT, OFF), "x"),
        Row(f"{WITHIN} / {OFF}", above.ratio(WITHIN, OFF), "x"),
        Row(f"{WITHOUT} / {LOOKUP}", above.ratio(WITHOUT, LOOKUP), "x", at_most(2, "x")),
        Row(f"{WITHIN} / {IDS}", above.ratio(WITHIN, IDS), "x", at_most(3, "x")),
    ]
    return Result(
        "exemplars, one operation",
        rows,
        facts={"operations": operations, "rounds": rounds},
        raw={"seconds": comparison.seconds},
    )


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="exemplars")
    arguments_parser.add_argument("--operations", type=int, default=20_000, help=argparse.SUPPRESS)
    arguments = arguments_parser.parse_args(argv)
    found = measure(operations=arguments.operations, rounds=rounds_of(arguments))
    publish(found, arguments.output)


if __name__ == "__main__":
    main()
