"""What do the built-in alert rules cost, and does a week of incidents end as it should?

python bench/alerts.py [cost|week|all] [--quick] [--days N] [--rounds N] [--output PATH]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count
from time import perf_counter, process_time
from typing import Any

from alert_week import DAY, EVALUATION, START, incidents, watch
from goals import Result, Row, at_most, exactly, parser, publish, rounds_of
from implementations import implementation
from metalscope.alert_report import AlertState
from timing import Spread, Variant, compare

SIZES = (10, 200)
SNAPSHOT, SAMPLES, EVALUATED, NO_SERIES = (
    "the snapshot alone",
    "a sampling of what the rules look at",
    "an evaluation",
    "an evaluation where there are no series",
)
SIMULATED = at_most(60.0, "s")
OWN = at_most(1.0, "ms")


def cost(operations: int, *, ticks: int, rounds: int) -> tuple[list[Row], dict[str, Any]]:
    """CPU time of one evaluation of the built-in rules with nothing wrong."""
    with implementation(pure=False) as metalscope:
        from metalscope.alert_options import AlertsOptions
        from metalscope.alerts.builtin import builtin_inhibitions, builtin_rules
        from metalscope.alerts.engine import AlertEngine
        from metalscope.alerts.expression.samples import Samples
        from metalscope.alerts.rule import AlertRule

        options = AlertsOptions()
        rules = [AlertRule.of(one) for one in builtin_rules(options)]
        telemetry = metalscope.MetalTelemetryManager()
        for number in range(operations):
            for call in range(5):
                name = f"k{number}"
                telemetry.record("execute", name, duration_ns=1_000_000 + 50_000 * call)
        snapshot = telemetry.get_snapshot()

        def turning(what: str) -> Callable[[], None]:
            samples = Samples(one for rule in rules for one in rule.expressions)
            engine = AlertEngine(
                rules, options, inhibitions=builtin_inhibitions(), on_error=lambda *_: None
            )
            moments = (START + timedelta(seconds=60) * tick for tick in count())

            def run() -> None:
                for _ in range(ticks):
                    now = replace(snapshot, timestamp=next(moments))
                    if what in {SAMPLES, EVALUATED}:
                        samples.take(now)
                    if what in {EVALUATED, NO_SERIES}:
                        engine.evaluate(now.timestamp, samples, now)

            return run

        comparison = compare(
            {what: Variant(turning(what)) for what in (SNAPSHOT, SAMPLES, EVALUATED, NO_SERIES)},
            rounds=rounds,
            clock=process_time,
        )
    seconds = comparison.seconds
    above = {
        what: [own - less for own, less in zip(seconds[what], seconds[base], strict=True)]
        for what, base in (
            (SAMPLES, SNAPSHOT),
            (EVALUATED, SAMPLES),
            (NO_SERIES, SNAPSHOT),
        )
    }
    rows = [
        Row(
            f"{operations} operations: {what}",
            Spread.of(found).scaled(1e3 / ticks),
            "ms",
            OWN if what == NO_SERIES else None,
        )
        for what, found in above.items()
    ]
    return rows, {f"{operations} operations": dict(seconds)}


def week(days: float, seed: int = 1) -> list[Row]:
    """Some days in simulated time, without a restart, and with one amid an incident."""
    happened = incidents(days, seed)
    # Amid the incident that is nearest to the middle, and no moment of sampling.
    middle = min(happened, key=lambda one: abs(one.begin - days * DAY / 2))
    restart_at = (middle.begin + middle.end) // 2 // EVALUATION * EVALUATION + 7
    begun = perf_counter()
    whole = watch(days, seed=seed)
    took = perf_counter() - begun
    again = watch(days, seed=seed, restart_at=restart_at)
    fired = whole.in_state(AlertState.FIRING)
    over = whole.in_state(AlertState.RESOLVED).values()
    missed = [one for one in happened if not any(map(one.is_told_by, over))]
    none = at_most(0, "")
    size = f"{days:g} days"
    return [
        exactly(f"{size}: time to simulate", took, "s", SIMULATED),
        exactly(f"{size}: evaluations", whole.evaluations, ""),
        exactly(f"{size}: CPU of a sampling", 1e3 * whole.sampling / whole.evaluations / 4, "ms"),
        exactly(f"{size}: CPU of an evaluation", 1e3 * whole.evaluating / whole.evaluations, "ms"),
        exactly(f"{size}: incidents", len(happened), ""),
        exactly(f"{size}: alerts that fired", len(fired), ""),
        exactly(f"{size}: alerts handed out to be kept", len(whole.told), ""),
        exactly(f"{size}: incidents of which no alert told", len(missed), "", none),
        exactly(f"{size}: alerts never resolved", len(whole.never_resolved), "", none),
        exactly(
            f"{size}: alerts that differ after a restart",
            len(set(map(repr, whole.told)) ^ set(map(repr, again.told))),
            "",
            none,
        ),
        exactly(f"{size}: errors", len(whole.errors) + len(again.errors), "", none),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="alerts")
    arguments_parser.add_argument(
        "what", nargs="?", choices=("cost", "week", "all"), default="all", help="which part"
    )
    arguments_parser.add_argument("--days", type=float, help="days to simulate (7; quick: 1)")
    arguments_parser.add_argument("--ticks", type=int, default=60, help=argparse.SUPPRESS)
    arguments = arguments_parser.parse_args(argv)
    days = arguments.days or (1.0 if arguments.quick else 7.0)
    rounds = rounds_of(arguments)
    rows: list[Row] = []
    raw: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    if arguments.what != "week":
        facts |= {"ticks": arguments.ticks, "rounds": rounds}
        for operations in SIZES:
            found, seconds = cost(operations, ticks=arguments.ticks, rounds=rounds)
            rows += found
            raw |= seconds
    if arguments.what != "cost":
        facts |= {"days": days}
        rows += week(days)
    publish(Result("alerts: the built-in rules", rows, facts=facts, raw=raw), arguments.output)


if __name__ == "__main__":
    main()
