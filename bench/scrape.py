"""What a scrape of 1,000 series costs, against prometheus_client writing the same families.

    python bench/scrape.py [--quick] [--rounds N] [--series N] [--output PATH]

See bench/README.md for what is measured and how.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, product
from time import process_time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic
from prometheus_client.registry import Collector

import metalscope
from contenders import BOUNDS_MS
from goals import Result, Row, at_least, at_most, exactly, parser, publish, rounds_of
from metalscope.export.prometheus import MetalCollector, render
from metalscope.operation import PerformanceCategory
from metalscope.options import MetalTelemetryOptions
from metalscope.recorder import IMPLEMENTATION
from timing import Comparison, Variant, compare

OUTCOMES = ("ok", "timeout", "out_of_memory")
KINDS = ("execute", "transfer", "allocate", "compile", "synchronize")

# A 64th of a millisecond: a whole number of ns whose multiples in ms add up without rounding, so
# that both sides' sums must be the same to the last digit.
STEP_NS = 15_625

Series = tuple[str, str, str, str]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

OURS = "metalscope, all series moved"
OURS_IDLE = "metalscope, no series moved"
THEIRS = "prometheus_client, its own counters and histograms"
COLLECTED = "prometheus_client, over MetalCollector"


def some_series(count: int) -> list[Series]:
    names = (f"kernel_{number:04}" for number in range(count))
    return [
        (kind, name, "gpu0", outcome)
        for name, kind, outcome in islice(product(names, KINDS, OUTCOMES), count)
    ]


class Native:
    """The families of operations as a program would keep them with prometheus_client itself."""

    def __init__(self) -> None:
        labels = ("kind", "name", "device")
        self.registry = CollectorRegistry()
        self.operations = Counter(
            "metal_operations", "Operations.", (*labels, "outcome"), registry=self.registry
        )
        self.errors = Counter("metal_errors", "Errors.", (*labels, "type"), registry=self.registry)
        self.categories = Counter(
            "metal_operations_by_category",
            "By speed.",
            (*labels, "category"),
            registry=self.registry,
        )
        self.durations = Histogram(
            "metal_operation_duration_ms",
            "Duration.",
            (*labels, "outcome"),
            buckets=BOUNDS_MS,
            registry=self.registry,
        )

    def record(self, series: Series, duration_ns: int) -> None:
        kind, name, device, outcome = series
        self.operations.labels(*series).inc()
        if outcome != "ok":
            self.errors.labels(*series).inc()
        self.durations.labels(*series).observe(duration_ns / 1e6)
        for category in PerformanceCategory:
            child = self.categories.labels(kind, name, device, category.value)
            child.inc(category is PerformanceCategory.of(duration_ns))


class Frozen(Collector):
    """A collector over one snapshot, so that two texts of it can be compared to the last digit."""

    def __init__(self, snapshot: Any) -> None:
        self._inner = MetalCollector(lambda: snapshot)

    def collect(self) -> Iterable[Metric]:
        return self._inner.collect()


def meaning(text: str, parse: Callable[[str], Iterable[Metric]]) -> Samples:
    """What a text says: each sample's value by name and labels. Numbers are read as numbers."""
    found: Samples = {}
    for family in parse(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            if "le" in labels:
                labels["le"] = repr(float(labels["le"]))
            key = (sample.name, frozenset(labels.items()))
            if key in found:
                raise SystemExit(f"{key} is there twice: void")
            found[key] = sample.value
    return found


def differences(a: Samples, b: Samples) -> int:
    """In how many samples two texts differ."""
    return sum(a.get(key) != b.get(key) for key in a.keys() | b.keys())


def same_as_collected(snapshot: Any) -> int:
    """Compare every family of ours with what prometheus_client writes of it, in both formats."""
    registry = CollectorRegistry()
    registry.register(Frozen(snapshot))
    text = render(snapshot)[0].decode()
    open_text = render(snapshot, "application/openmetrics-text; version=1.0.0")[0].decode()
    return differences(
        meaning(text, classic), meaning(generate_latest(registry).decode(), classic)
    ) + differences(
        meaning(open_text, openmetrics),
        meaning(generate_openmetrics(registry).decode(), openmetrics),
    )


def same_as_native(snapshot: Any, native: Native) -> tuple[int, int]:
    """Compare the families both have; return how many samples there are, and how many differ."""
    theirs = {
        key: value
        for key, value in meaning(generate_latest(native.registry).decode(), classic).items()
        if not key[0].endswith("_created")  # a time of its own, which the classic format lacks
    }
    names = {name for name, _ in theirs}
    ours = {
        key: value
        for key, value in meaning(render(snapshot)[0].decode(), classic).items()
        if key[0] in names
    }
    return len(theirs), differences(ours, theirs)


def measure(*, series: int, rounds: int) -> Result:
    made = some_series(series)
    tel = metalscope.MetalTelemetryManager(MetalTelemetryOptions(max_operation_names=series))
    native = Native()
    turn = 0

    def move() -> None:
        """Record one more operation of each series, on both sides."""
        nonlocal turn
        turn += 1
        for position, one in enumerate(made):
            kind, name, device, outcome = one
            duration_ns = STEP_NS * (1 + (position * 37 + turn * 101) ** 2 % 20_011)
            tel.record(
                kind,
                name,
                duration_ns=duration_ns,
                error=None if outcome == "ok" else outcome,
                device=device,
            )
            native.record(one, duration_ns)

    def ours() -> object:
        return render(tel.get_snapshot())

    registry = CollectorRegistry()
    registry.register(MetalCollector(tel.get_snapshot))

    seconds: dict[str, list[float]] = {}
    for number in range(-1, rounds):
        # Ours first: what it reads anew must not have been read by another variant of the round.
        move()
        one = compare({OURS: Variant(ours)}, rounds=1, warmup=0, clock=process_time)
        others = compare(
            {
                OURS_IDLE: Variant(ours),
                THEIRS: Variant(lambda: generate_latest(native.registry)),
                COLLECTED: Variant(lambda: generate_latest(registry)),
            },
            rounds=1,
            warmup=0,
            clock=process_time,
        )
        if number >= 0:
            for name, taken in {**one.seconds, **others.seconds}.items():
                seconds.setdefault(name, []).extend(taken)

    comparison = Comparison(seconds)
    snapshot = tel.get_snapshot()
    found = sum(len(operation.outcomes) for operation in snapshot.operations)
    if found != series:
        raise SystemExit(f"{found} of {series} series are there: void")
    samples, differing = same_as_native(snapshot, native)
    faster = at_least(3, "x faster")
    none = at_most(0, "")
    rows = [
        *(Row(name, comparison.spread(name).scaled(1e3), "ms") for name in comparison.seconds),
        Row(f"{THEIRS} / {OURS}", comparison.ratio(THEIRS, OURS), "x", faster),
        Row(f"{COLLECTED} / {OURS}", comparison.ratio(COLLECTED, OURS), "x", faster),
        Row(f"{THEIRS} / {OURS_IDLE}", comparison.ratio(THEIRS, OURS_IDLE), "x"),
        exactly(
            f"samples of {samples:,} that differ from prometheus_client's own", differing, "", none
        ),
        exactly(
            "samples that differ from MetalCollector's, both formats",
            same_as_collected(snapshot),
            "",
            none,
        ),
    ]
    return Result(
        f"scrape of {series:,} series, CPU of the process",
        rows,
        facts={
            "series": series,
            "samples_in_common": samples,
            "bytes": len(render(snapshot)[0]),
            "rounds": rounds,
            "recorder": IMPLEMENTATION,
        },
        raw={"seconds": comparison.seconds},
    )


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="scrape")
    arguments_parser.add_argument("--series", type=int, default=1000, help=argparse.SUPPRESS)
    arguments = arguments_parser.parse_args(argv)
    publish(measure(series=arguments.series, rounds=rounds_of(arguments)), arguments.output)


if __name__ == "__main__":
    main()
