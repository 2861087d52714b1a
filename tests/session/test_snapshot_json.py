"""The snapshot's public JSON holds all of it."""

from __future__ import annotations

import json
import re
from time import sleep

import pytest
from any_snapshot import a_session, snapshots
from hypothesis import given, settings

from metalscope import MetalTelemetryManager
from metalscope.export.prometheus import render
from metalscope.histogram import EDGES_NS, DurationHistogram
from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.snapshot_json import SnapshotFormatError, snapshot_from_dict


@settings(max_examples=30)
@given(snapshots)
def test_any_snapshot_is_made_again_from_its_data(snapshot: MetalTelemetrySnapshot):
    data = snapshot.to_dict()
    again = snapshot_from_dict(data)
    assert again == snapshot
    assert again.to_dict() == data


def test_that_of_a_running_manager_is_too_through_json_text():
    with MetalTelemetryManager() as telemetry:
        for number in range(50):
            error = "timeout" if number % 9 == 0 else None
            telemetry.record(
                "allocate" if number % 2 else "execute",
                f"kernel {number % 5}",
                duration_ns=number**4,
                nbytes=number,
                error=error,
            )
        telemetry.record_custom_metric("jobs", 3, {"tenant": "a"})
        telemetry.record_custom_metric("sizes", 2.5, kind="histogram")
        telemetry.record_custom_event("deploy", {"version": [1, {"a": None}]})
        telemetry.export_now()
        sleep(1.2)  # one tick, so that rates and counters are there
        snapshot = telemetry.get_snapshot()
    again = snapshot_from_dict(json.loads(snapshot.to_json()))
    assert again.operations == snapshot.operations
    assert again.recent == snapshot.recent
    assert again.to_json() == snapshot.to_json()
    assert render(again, None) == render(snapshot, None)


def test_a_duration_in_every_cell_is_found_again_in_its_cell():
    histogram = DurationHistogram.from_durations([0, *EDGES_NS, EDGES_NS[-1] + 1])
    (first,) = a_session(1)
    operation = first.operations[0]
    outcome = type(operation.outcomes[0])("ok", histogram)
    moved = type(first)(
        first.timestamp,
        first.started_at,
        (type(operation)(operation.kind, "x", "", (outcome,)),),
    )
    assert snapshot_from_dict(moved.to_dict()).operations[0].durations == histogram


def test_keys_that_are_not_known_are_passed_over():
    (snapshot,) = a_session(1)
    data = snapshot.to_dict()
    data["invented_later"] = {"a": 1}
    data["operations"][0]["invented_later"] = 2
    data["system"]["invented_later"] = 3
    assert snapshot_from_dict(data) == snapshot


def test_absent_keys_leave_the_default():
    (snapshot,) = a_session(1)
    data = snapshot.to_dict()
    kept = {key: data[key] for key in ("schema_version", "timestamp", "started_at")}
    assert snapshot_from_dict(kept) == MetalTelemetrySnapshot(
        snapshot.timestamp, snapshot.started_at
    )


def test_a_reading_of_a_kind_of_a_later_version_is_left_out():
    (snapshot,) = a_session(1)
    data = snapshot.to_dict()
    data["resources"].append({**data["resources"][0], "kind": "neutrinos"})
    assert snapshot_from_dict(data) == snapshot


def edited(edit: str) -> dict[str, object]:
    """A snapshot's data after one statement."""
    data = a_session(1)[0].to_dict()
    exec(edit, {"d": data})
    return data


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("d['schema_version'] = 2", "schema version 2; this metalscope reads 1"),
        ("d['duration_edges'] = 'base10'", "durations in cells 'base10'"),
        ("del d['duration_edges']", "does not name its duration cells"),
        ("d['timestamp'] = None", "timestamp"),
        ("d['timestamp'] = '2026-01-02T03:04:05'", "no time zone"),
        ("d['operations'] = {}; d['resources'] = 7", "resources: must be a list"),
        ("d['operations'][0]['outcomes'][0]['outcome'] = 'melted'", r"operations\[0\]: 'melted'"),
        ("d['operations'][1]['outcomes'][0]['durations']['cells'] = [[9999, 1]]", "index of 0 to"),
        ("d['operations'][0]['outcomes'][0]['durations']['cells'] = [[2, 1], [1, 1]]", "ascend"),
        ("d['operations'][0]['outcomes'][0]['durations']['cells'] = [[2, -1]]", "1 or more"),
        ("d['operations'][0]['outcomes'][0]['durations']['sum_ns'] = 1.5", "whole number"),
        ("del d['operations'][0]['outcomes']", "lacks 'outcomes'"),
        ("d['system']['pid'] = '7'", "system: '7' is not a whole number"),
    ],
)
def test_what_cannot_be_read_exactly_is_refused_in_words(edit: str, words: str):
    with pytest.raises(SnapshotFormatError, match=words):
        snapshot_from_dict(edited(edit))


@pytest.mark.parametrize("data", [None, [], "x", {}])
def test_what_is_no_snapshot_is_refused(data: object):
    with pytest.raises(SnapshotFormatError):
        snapshot_from_dict(data)  # type: ignore[arg-type]


def test_the_name_of_the_cells_is_that_of_these_edges():
    name = a_session(1)[0].to_dict()["duration_edges"]
    assert re.fullmatch(rf"base2-scale3-{len(EDGES_NS)}-[0-9a-f]{{8}}", name)
