"""What a look at health costs a tick: nothing, the rules alone, with the robust detector.

python bench/health.py [--quick] [--rounds N] [--output PATH]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from time import process_time

from goals import Result, Row, parser, publish, rounds_of
from implementations import implementation
from timing import Comparison, Variant, compare

EMPTY = "recording alone"
SNAPSHOT = "the snapshot"
RULES = "the snapshot and the rules"
ROBUST = "the snapshot, the rules and the robust detector"
DETECTORS = {RULES: (), ROBUST: ("robust",)}

OPERATIONS = (20, 200)
TICK = timedelta(seconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
CALLS = 5
"""Of each operation, in each tick."""


def measure(
    *, operations: int, ticks: int, rounds: int
) -> tuple[list[Row], dict[str, dict[str, list[float]]]]:
    """Compare all of them in one run, in CPU time of the process."""
    with implementation(pure=False) as metalscope:
        from metalscope.options import HealthMonitorOptions, MetalTelemetryOptions

        def ticking(what: str) -> Callable[[], None]:
            names = DETECTORS.get(what, ())
            health = HealthMonitorOptions(anomaly_detectors=names)
            telemetry = metalscope.MetalTelemetryManager(
                MetalTelemetryOptions(health_monitor=health)
            )
            # Ticks of simulated seconds, so that bins end as often as they would.
            moments = (START + tick * TICK for tick in count())

            def run() -> None:
                for _ in range(ticks):
                    for number in range(operations):
                        for call in range(CALLS):
                            telemetry.record(
                                "execute", f"k{number}", duration_ns=1_000_000 + 50_000 * call
                            )
                    if what == EMPTY:
                        continue
                    snapshot = telemetry.get_snapshot()
                    if what in DETECTORS:
                        telemetry.health.observe(replace(snapshot, timestamp=next(moments)))

            return run

        comparison = compare(
            {what: Variant(ticking(what)) for what in (EMPTY, SNAPSHOT, RULES, ROBUST)},
            rounds=rounds,
            clock=process_time,
        )
    recording = comparison.seconds[EMPTY]
    above = Comparison(
        {
            name: [own - alone for own, alone in zip(seconds, recording, strict=True)]
            for name, seconds in comparison.seconds.items()
            if name != EMPTY
        }
    )
    size = f"{operations} operations"
    rows = [
        Row(f"{size}: {name}", above.spread(name).scaled(1e3 / ticks), "ms")
        for name in above.seconds
    ]
    rows += [
        Row(f"{size}: {name} / {SNAPSHOT}", above.ratio(name, SNAPSHOT), "x") for name in DETECTORS
    ]
    return rows, {size: comparison.seconds}


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="health")
    arguments_parser.add_argument("--ticks", type=int, default=60, help=argparse.SUPPRESS)
    arguments = arguments_parser.parse_args(argv)
    rounds, rows, raw = rounds_of(arguments), [], {}
    for operations in OPERATIONS:
        found, seconds = measure(operations=operations, ticks=arguments.ticks, rounds=rounds)
        rows += found
        raw |= seconds
    facts = {"ticks": arguments.ticks, "rounds": rounds}
    publish(
        Result("health, one tick in which all ran", rows, facts=facts, raw=raw), arguments.output
    )


if __name__ == "__main__":
    main()
