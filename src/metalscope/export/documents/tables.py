"""Snapshots as flat tables, for notebooks and spreadsheets: CSV and Parquet.

One row is one number, as in Prometheus's text format: a histogram is rows of ``…_bucket`` with
``le``, of ``…_sum`` and of ``…_count``. Labels are the series' own and those a scrape would have
added, ``job`` and ``instance``, so that tables of several processes can be put together.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalscope.errors import MissingExtraError
from metalscope.export.documents.json_document import strict_json
from metalscope.moments import rfc3339

if TYPE_CHECKING:
    from metalscope.export.view import MetricView
    from metalscope.families import Distribution, LabelValues
    from metalscope.semconv import Metric
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Row", "rows", "to_csv", "write_parquet"]

_ROWS_IN_A_GROUP: Final = 100_000


class Row(NamedTuple):
    """One number of one series at one time.

    ``metric`` is what a query says, ``unit`` that of ``value``, empty for plain numbers. ``le`` is
    the upper bound of a bucket, whose ``value`` counts all up to it; ``inf`` in the last.
    """

    timestamp: datetime
    metric: str
    type: str
    unit: str
    labels: Mapping[str, str]
    le: float | None
    value: float


def rows(snapshot: MetalTelemetrySnapshot, view: MetricView) -> Iterator[Row]:
    """The numbers of one snapshot that ``view`` shows, always in the same order."""
    identity = view.identity(snapshot)
    for family in view.families(snapshot):
        metric = family.metric
        for values, value in family.values:
            labels = _labels(metric, values, identity)
            yield Row(
                snapshot.timestamp, metric.name, metric.type, metric.unit, labels, None, value
            )
        for values, distribution in family.distributions:
            labels = _labels(metric, values, identity)
            for name, unit, le, value in _numbers(metric, distribution):
                yield Row(snapshot.timestamp, name, metric.type, unit, labels, le, value)


def to_csv(snapshots: Iterable[MetalTelemetrySnapshot], view: MetricView) -> str:
    """The snapshots as CSV (RFC 4180) with a header.

    Times are RFC 3339 in UTC, ``labels`` a JSON object with its keys in order. No cell is a formula
    to a spreadsheet, whatever kernels are called: free text is only inside of ``labels``, which
    begins with ``{``, and what begins with a sign is a number.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(Row._fields)
    for snapshot in snapshots:
        for row in rows(snapshot, view):
            labels = strict_json(dict(sorted(row.labels.items())))
            le = "" if row.le is None else str(row.le)
            time = rfc3339(row.timestamp)
            writer.writerow([time, row.metric, row.type, row.unit, labels, le, row.value])
    return text.getvalue()


def write_parquet(snapshots: Iterable[MetalTelemetrySnapshot], view: MetricView, path: Path) -> int:
    """Write the snapshots to a Parquet file and return how many rows it has.

    Columns are typed: ``timestamp`` in us UTC, ``labels`` a map, ``le`` and ``value`` doubles, so
    that whole numbers past 2**53 are rounded. The file takes its name when it is complete.

    Raises:
        MissingExtraError: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, and large
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("Parquet files", "parquet", cause=str(error)) from error
    schema = _schema(pa)
    found = (row for snapshot in snapshots for row in rows(snapshot, view))
    unfinished = path.with_name(f"{path.name}.tmp")
    written = 0
    try:
        with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            while group := [_record(row) for row in islice(found, _ROWS_IN_A_GROUP)]:
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                written += len(group)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return written


def _schema(pa: Any) -> Any:
    text = pa.string()
    return pa.schema(
        [
            pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("metric", text, nullable=False),
            pa.field("type", text, nullable=False),
            pa.field("unit", text, nullable=False),
            pa.field("labels", pa.map_(text, text), nullable=False),
            pa.field("le", pa.float64()),
            pa.field("value", pa.float64(), nullable=False),
        ]
    )


def _record(row: Row) -> dict[str, Any]:
    labels = [(name, _text(value)) for name, value in sorted(row.labels.items())]
    return row._asdict() | {"labels": labels, "value": float(row.value)}


def _labels(metric: Metric, values: LabelValues, identity: Mapping[str, str]) -> dict[str, str]:
    return dict(identity) | dict(zip(metric.labels, values, strict=True))


def _numbers(
    metric: Metric, distribution: Distribution
) -> Iterator[tuple[str, str, float | None, float]]:
    for bound, count in (*distribution.buckets, (inf, distribution.count)):
        yield f"{metric.name}_bucket", "", float(bound), count
    if distribution.sum is not None:
        yield f"{metric.name}_sum", metric.unit, None, distribution.sum
    yield f"{metric.name}_count", "", None, distribution.count


def _text(value: str) -> str:
    # Parquet's strings are UTF-8, in which there is no lone surrogate.
    return value.encode("utf-8", "replace").decode("utf-8")
