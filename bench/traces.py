"""What spans cost an operation: off, at 1 % sampling, in a sampled trace; and OpenTelemetry's SDK.

python bench/traces.py [--quick] [--rounds N] [--output PATH]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from hashlib import sha256
from time import process_time
from typing import Any

import contenders
from goals import Result, Row, at_most, parser, publish, rounds_of
from implementations import implementation
from timing import Comparison, Variant, compare

OFF = "traces off"
ON = "traces on, 1 % sampled"
UNSAMPLED = "traces on, 1 %, in a request that is not sampled"
SAMPLED = "traces on, in a sampled request"
SPAN = "tel.span(), sampled"
LEFT = "tel.span(), not sampled"
PEER = "OpenTelemetry SDK: a span, sampled, one processor"
PEER_ON = "OpenTelemetry SDK: a span, 1 % sampled"
WORK_OFF = "traces off, 20 kB hashed in each"
WORK_ON = "traces on, 1 % sampled, 20 kB hashed in each"
EMPTY = "empty loop"

FEWER = 20
"""Of what takes so much longer, by how many there are fewer in a round."""


class Nowhere:
    """Where spans go: the sink's own work is its own."""

    def take(self, span: Any) -> None:
        pass


def working(telemetry: Any, names: Sequence[str], work: bytes) -> Callable[[], object]:
    def run() -> None:
        for name in names:
            with telemetry.operation("execute", name):
                sha256(work)
        telemetry.get_snapshot()

    return run


def spans(telemetry: Any, names: Sequence[str]) -> Callable[[], object]:
    def run() -> None:
        for name in names:
            with telemetry.span(name):
                pass

    return run


def peer_spans(ratio: float, names: Sequence[str]) -> Callable[[], object]:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    tracer = provider.get_tracer("bench")

    def run() -> None:
        for name in names:
            attributes = {"metal.operation.kind": "execute", "metal.operation.name": name}
            with tracer.start_as_current_span(name, attributes=attributes):
                pass

    return run


Counted = tuple[Variant, int]
"""A way, and how many operations it does in a round."""


def telemetry(metalscope: Any, ratio: float | None) -> Any:
    from metalscope.options import MetalTelemetryOptions

    traces = {} if ratio is None else {"traces": {"enabled": True, "sample_ratio": ratio}}
    made = metalscope.MetalTelemetryManager(MetalTelemetryOptions(**traces))
    if made.tracer is not None:
        made.tracer.hand_to([Nowhere()])
    return made


def ours(metalscope: Any, operations: int) -> dict[str, Counted]:
    off, on, always, never = (telemetry(metalscope, ratio) for ratio in (None, 0.01, 1.0, 0.0))
    names, work = ["matmul"] * operations, bytes(20_000)
    few = names[: max(operations // FEWER, 1)]

    def in_request() -> Any:
        return always.span("request")

    def in_request_left() -> Any:
        return never.span("request")

    return {
        EMPTY: (Variant(contenders.empty_loop(names)), len(names)),
        OFF: (Variant(contenders.operation(off, names)), len(names)),
        ON: (Variant(contenders.operation(on, names)), len(names)),
        UNSAMPLED: (Variant(contenders.operation(never, names), in_request_left), len(names)),
        SAMPLED: (Variant(contenders.operation(always, few), in_request), len(few)),
        SPAN: (Variant(spans(always, few)), len(few)),
        LEFT: (Variant(spans(never, few)), len(few)),
        WORK_OFF: (Variant(working(off, few, work)), len(few)),
        WORK_ON: (Variant(working(on, few, work)), len(few)),
    }


def beside(metalscope: Any, operations: int) -> dict[str, Counted]:
    """Those of ours that are set against OpenTelemetry's, which is loaded then."""
    few = ["matmul"] * max(operations // FEWER, 1)
    peers = {
        PEER: (Variant(peer_spans(1.0, few)), len(few)),
        PEER_ON: (Variant(peer_spans(0.01, few)), len(few)),
    }
    same = ours(metalscope, operations)
    return {name: same[name] for name in (EMPTY, OFF, ON, SAMPLED, LEFT)} | peers


def compared(made: dict[str, Counted], rounds: int) -> tuple[Comparison, Comparison]:
    """Seconds of whole rounds, and of one operation without the loop around it."""
    whole = compare(
        {name: variant for name, (variant, _) in made.items()}, rounds=rounds, clock=process_time
    )
    loops = [seconds / made[EMPTY][1] for seconds in whole.seconds[EMPTY]]
    each = {
        name: [own / made[name][1] - loop for own, loop in zip(seconds, loops, strict=True)]
        for name, seconds in whole.seconds.items()
        if name != EMPTY
    }
    return whole, Comparison(each)


def measure(*, operations: int, rounds: int) -> Result:
    """Compare all of them, in CPU time of the process: first without OpenTelemetry, then with."""
    with implementation(pure=False) as metalscope:
        alone, each = compared(ours(metalscope, operations), rounds)
        together, other = compared(beside(metalscope, operations), rounds)
    goal, less = at_most(1.2, "x"), at_most(1, "x")
    rows = [
        *(Row(name, each.spread(name).scaled(1e9), "ns") for name in each.seconds),
        *(
            Row(name if name in {PEER, PEER_ON} else f"{name}; OpenTelemetry loaded",
                other.spread(name).scaled(1e9), "ns")
            for name in other.seconds
        ),
        Row(f"{ON} / off", each.ratio(ON, OFF), "x", goal),
        Row(f"{UNSAMPLED} / off", each.ratio(UNSAMPLED, OFF), "x", goal),
        Row(f"{WORK_ON} / off", each.ratio(WORK_ON, WORK_OFF), "x", goal),
        Row(f"{SAMPLED} / {PEER}", other.ratio(SAMPLED, PEER), "x", less),
        Row(f"{ON} / {PEER_ON}", other.ratio(ON, PEER_ON), "x", less),
        Row(f"{LEFT} / {PEER_ON}", other.ratio(LEFT, PEER_ON), "x", less),
    ]  # fmt: skip
    return Result(
        "spans, one operation",
        rows,
        facts={"operations": operations, "rounds": rounds},
        raw={"alone": alone.seconds, "together": together.seconds},
    )


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="traces")
    arguments_parser.add_argument("--operations", type=int, default=40_000, help=argparse.SUPPRESS)
    arguments = arguments_parser.parse_args(argv)
    found = measure(operations=arguments.operations, rounds=rounds_of(arguments))
    publish(found, arguments.output)


if __name__ == "__main__":
    main()
