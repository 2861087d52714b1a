"""Remote writes of tests: snapshots of now, series of their own, and what servers say of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from contexts import context
from exposition import parse
from snapshots import HOSTILE_NAMES, full

from metalscope.export.prometheus import render
from metalscope.export.prometheus_schema import message_class
from metalscope.export.remote_write import RemoteWriteExporter
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, OperationKind
from metalscope.snapshot import (
    CustomMetric,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
)
from prometheus_server import PrometheusServer, running_prometheus

Labels = frozenset[tuple[str, str]]

EXPONENTIAL = {"histograms": "exponential"}
DURATION = "metal_operation_duration_ms"

_runs = count()


def now() -> datetime:
    """A moment to the millisecond, as Prometheus keeps it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def taken(at: datetime, **parts: Any) -> MetalTelemetrySnapshot:
    return replace(full(), timestamp=at, started_at=at - timedelta(minutes=5), **parts)


def hostile(at: datetime) -> MetalTelemetrySnapshot:
    """With names of all kinds, and labels that a target has too."""
    outcome = OutcomeMetrics(OK, DurationHistogram.from_durations([2_000_000]))
    named = [
        OperationMetrics(OperationKind.TRANSFER, name, "", (outcome,)) for name in HOSTILE_NAMES
    ]
    clashing = [
        CustomMetric("clashes", "counter", (("instance", "mine"), ("job", value)), 3)
        for value in ("", "a", "b")
    ]
    below_zero = CustomMetric("offsets", "histogram", (), -3.0, 2, ((-1.0, 1), (1e6, 2)))
    snapshot = taken(at)
    return replace(
        snapshot,
        operations=(*snapshot.operations, *named),
        custom=(*snapshot.custom, *clashing, below_zero),
    )


def with_durations(at: datetime, *durations: int, exemplars: Any = ()) -> MetalTelemetrySnapshot:
    outcome = OutcomeMetrics(
        OK, DurationHistogram.from_durations(durations), exemplars=tuple(exemplars)
    )
    operation = OperationMetrics(OperationKind.EXECUTE, "matmul", "m1", (outcome,))
    return taken(at, operations=(operation,))


def many(at: datetime) -> MetalTelemetrySnapshot:
    """Of more series than go into two requests."""
    outcome = OutcomeMetrics(OK, DurationHistogram.from_durations([2_000_000]))
    operations = tuple(
        OperationMetrics(OperationKind.EXECUTE, f"kernel {n}", "m1", (outcome,)) for n in range(200)
    )
    return taken(at, operations=operations)


class Run:
    """An exporter whose series have a label of their own."""

    def __init__(self, server_url: str, path: str = "/api/v1/write", **options: Any) -> None:
        self.label = f"r{next(_runs)}"
        self.options = options | {"endpoint": server_url + path}
        self.exporter = self.another()

    def another(self, **options: Any) -> RemoteWriteExporter:
        """A new one for the same series, as after a restart."""
        labels = {"run": self.label}
        return RemoteWriteExporter(context("prometheus", labels=labels, **(self.options | options)))

    def selector(self, name: str | None = None, **labels: str) -> str:
        pairs = [f'{key}="{value}"' for key, value in (labels | {"run": self.label}).items()]
        return f"{name or ''}{{{','.join(pairs)}}}"

    def found(self, server: PrometheusServer, at: datetime) -> dict[Labels, str]:
        """All of its series at a time, with what a scrape would have given as labels."""
        answer = server.query(self.selector(), at.timestamp())
        return plain(answer, "run", "job", "instance")


def plain(answer: list[tuple[dict[str, str], float]], *without: str) -> dict[Labels, str]:
    found = {}
    for labels, value in answer:
        key = frozenset(pair for pair in labels.items() if pair[0] not in without)
        assert key not in found
        found[key] = repr(value)
    return found


def exposed(snapshot: MetalTelemetrySnapshot) -> dict[Labels, str]:
    """The samples of the text of a scrape, by name and labels, those without a value left out."""
    return {
        frozenset([("__name__", name), *((k, v) for k, v in labels if v)]): value
        for family in parse(*render(snapshot)).values()
        for (name, labels), value in family.samples.items()
    }


@contextmanager
def receiving_prometheus(directory: Path) -> Iterator[PrometheusServer]:
    """A Prometheus that takes remote writes, native histograms and exemplars too."""
    arguments = [
        "--web.enable-remote-write-receiver",
        "--enable-feature=native-histograms,exemplar-storage",
    ]
    with running_prometheus(directory=directory, arguments=arguments) as server:
        yield server


def decompressed(body: bytes) -> Any:
    from cramjam import snappy

    request = message_class("prometheus.WriteRequest")()
    request.ParseFromString(bytes(snappy.decompress_raw(body)))
    return request
