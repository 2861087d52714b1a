from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf, nan
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contexts import context
from exposition import parse
from hypothesis import given
from snapshots import HOSTILE_NAMES, NOW, full
from snapshots import snapshots as any_snapshot

from metalscope.errors import MissingExtraError
from metalscope.export.documents.tables import rows, to_csv, write_parquet
from metalscope.export.prometheus import render
from metalscope.export.view import MetricView
from metalscope.snapshot import CustomMetric, MetalTelemetrySnapshot

VIEW = MetricView()
Key = tuple[str, tuple[tuple[str, str], ...]]


def exposed(snapshot: MetalTelemetrySnapshot) -> dict[Key, str]:
    """The samples prometheus_client's parser reads in our exposition."""
    families = parse(*render(snapshot)).values()
    return {
        (name, _with_float_le(dict(labels))): value
        for family in families
        for (name, labels), value in family.samples.items()
    }


def _with_float_le(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    if "le" in labels:
        labels["le"] = str(float(labels["le"]))
    return tuple(sorted(labels.items()))


def tabled(snapshot: MetalTelemetrySnapshot) -> dict[Key, str]:
    found = {}
    for row in rows(snapshot, VIEW):
        labels = {name: value for name, value in row.labels.items() if name not in _IDENTITY}
        labels |= {} if row.le is None else {"le": str(row.le)}
        key = row.metric, tuple(sorted(labels.items()))
        assert key not in found
        found[key] = repr(float(row.value))
    return found


_IDENTITY = {"job", "instance"}


@given(any_snapshot)
def test_the_rows_are_the_samples_prometheus_would_read(snapshot: MetalTelemetrySnapshot) -> None:
    assert tabled(snapshot) == exposed(snapshot)


def test_the_rows_of_everything_are_the_samples_prometheus_would_read() -> None:
    assert tabled(full()) == exposed(full())


def test_each_row_says_of_which_process_it_is() -> None:
    made = context(labels={"team": "vision"})
    assert {
        (row.labels["job"], row.labels["instance"], row.labels["team"])
        for row in rows(full(), made.view)
    } == {("metalscope", "box:1", "vision")}


def test_only_what_is_measured_in_a_unit_has_one() -> None:
    units = {row.metric: row.unit for row in rows(full(), VIEW)}
    assert units["metal_operation_duration_ms_sum"] == "ms"
    assert units["metal_operation_duration_ms_bucket"] == ""
    assert units["metal_operation_duration_ms_count"] == ""
    assert units["metal_power_watts"] == "watts"


# -- CSV -----------------------------------------------------------------------------------------


def hostile() -> MetalTelemetrySnapshot:
    names = (
        *HOSTILE_NAMES,
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        '=HYPERLINK("http://x")',
        "\t=1",
        "a,b",
    )
    custom = tuple(
        CustomMetric("depth", "gauge", (("q", name),), -number) for number, name in enumerate(names)
    )
    return replace(full(), custom=custom)


def test_csv_reads_back_as_the_rows() -> None:
    snapshots = [hostile(), replace(full(), timestamp=NOW + timedelta(seconds=1.5))]
    text = to_csv(snapshots, VIEW)
    assert text.startswith("timestamp,metric,type,unit,labels,le,value\r\n")
    read = [
        (
            datetime.fromisoformat(cells["timestamp"]),
            cells["metric"],
            cells["type"],
            cells["unit"],
            json.loads(cells["labels"]),
            float(cells["le"]) if cells["le"] else None,
            float(cells["value"]),
        )
        for cells in csv.DictReader(io.StringIO(text, newline=""), strict=True)
    ]
    assert read == [tuple(row) for snapshot in snapshots for row in rows(snapshot, VIEW)]


def test_labels_are_json_with_their_keys_in_order() -> None:
    cells = next(csv.DictReader(io.StringIO(to_csv([full()], VIEW))))
    assert list(json.loads(cells["labels"])) == [
        "device",
        "instance",
        "job",
        "kind",
        "name",
        "outcome",
    ]


def test_no_cell_is_a_formula_to_a_spreadsheet() -> None:
    for cells in csv.reader(io.StringIO(to_csv([hostile()], VIEW), newline="")):
        for cell in cells:
            # OWASP, "CSV Injection": these begin one, and tab and carriage return are skipped.
            if cell[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"}:
                assert cell.startswith("-")
                float(cell)


def test_large_counts_are_exact_in_csv() -> None:
    large = 2**60 + 1
    snapshot = replace(full(), retired_operations=large)
    assert f",{large}\r\n" in to_csv([snapshot], VIEW)


# -- Parquet -------------------------------------------------------------------------------------


def read(path: Path) -> Iterator[tuple[Any, ...]]:
    table = pq.read_table(path)
    for record in table.to_pylist():
        yield (*(v if k != "labels" else dict(v) for k, v in record.items()),)


def test_parquet_reads_back_as_the_rows(tmp_path: Path) -> None:
    snapshots = [hostile(), replace(full(), timestamp=NOW + timedelta(seconds=1.5))]
    expected = [tuple(row) for snapshot in snapshots for row in rows(snapshot, VIEW)]
    path = tmp_path / "metrics.parquet"
    assert write_parquet(snapshots, VIEW, path) == len(expected)
    assert list(read(path)) == expected
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.parquet"]


def test_parquet_columns_are_typed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    write_parquet([full()], VIEW, path)
    schema = pq.read_schema(path)
    assert schema.field("timestamp").type == pa.timestamp("us", tz="UTC")
    assert schema.field("labels").type == pa.map_(pa.string(), pa.string())
    assert schema.field("value").type == pa.float64()
    assert not schema.field("value").nullable
    assert schema.field("le").nullable
    (first,) = pq.read_table(path, columns=["timestamp"]).slice(0, 1).to_pylist()
    assert first["timestamp"] == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_infinities_and_nan_are_kept_in_parquet(tmp_path: Path) -> None:
    custom = tuple(CustomMetric("depth", "gauge", (("q", str(v)),), v) for v in (inf, -inf, nan))
    path = tmp_path / "metrics.parquet"
    write_parquet([replace(full(), custom=custom)], VIEW, path)
    depths = [str(row[-1]) for row in read(path) if row[1] == "depth"]
    assert depths == ["inf", "-inf", "nan"]


def test_a_lone_surrogate_does_not_cost_the_file(tmp_path: Path) -> None:
    odd = replace(full(), custom=(CustomMetric("depth", "gauge", (("q", "\ud800"),), 1),))
    path = tmp_path / "metrics.parquet"
    write_parquet([odd], VIEW, path)
    (row,) = [row for row in read(path) if row[1] == "depth"]
    assert row[4]["q"] == "?"


def test_no_snapshots_are_a_table_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    assert write_parquet([], VIEW, path) == 0
    assert list(read(path)) == []
    assert to_csv([], VIEW).splitlines() == ["timestamp,metric,type,unit,labels,le,value"]


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    write_parquet([full()], VIEW, path)
    before = path.read_bytes()

    def failing() -> Iterator[MetalTelemetrySnapshot]:
        yield full()
        raise RuntimeError("the recording ends here")

    with pytest.raises(RuntimeError):
        write_parquet(failing(), VIEW, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.parquet"]


def test_without_pyarrow_it_is_said_which_extra_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"metalscope\[parquet\]"):
        write_parquet([full()], VIEW, tmp_path / "metrics.parquet")
