from __future__ import annotations

import gzip
import sys
from typing import Any

import pytest
from programs import BENCH, measured, medians

sys.path.insert(0, str(BENCH))

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("cramjam")

from export import FLOOR, IDLE, IN_JSON, ON_DISK, OURS, PLAIN, SDK, SDK_GZIP, WRITE, _checked
from export_series import CATEGORIES, SERIES_A_NAME
from export_sink import read

NAMES = 20


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    arguments = ("--rounds=2", f"--names={NAMES}", "--ticks=10", "--loop-seconds=0.4")
    return measured("export", tmp_path_factory.mktemp("export"), *arguments)


def test_the_export_program_measures_every_way_and_what_each_sends(
    content: dict[str, Any],
) -> None:
    found, facts = medians(content), content["facts"]
    ways = [FLOOR, OURS, ON_DISK, PLAIN, IN_JSON, WRITE, IDLE]
    if facts["sdk"]:
        ways += [SDK, SDK_GZIP]
        assert found[f"{SDK} / {PLAIN}"] > 0
    assert all(found[way] > 0 for way in ways)
    cpu = content["raw"]["seconds"]["cpu"]
    assert set(cpu) == set(ways)
    assert {len(rounds) for rounds in cpu.values()} == {2}

    sent = facts["a_tick_sends"]
    assert sent[FLOOR]["points"] == NAMES * SERIES_A_NAME
    # The process, its host and its health besides, the same each way.
    assert sent[OURS]["points"] == sent[PLAIN]["points"] == sent[IN_JSON]["points"]
    assert sent[OURS]["bytes"] < sent[PLAIN]["bytes"] == sent[PLAIN]["unpacked"]
    assert sent[WRITE]["points"] == sent[OURS]["points"] + 22 * NAMES


def test_the_export_program_reads_memory_and_what_waits_where_the_peer_is_down(
    content: dict[str, Any],
) -> None:
    found = medians(content)
    for spool in ("in memory", "on disk"):
        down = f"metalscope, spool {spool}, peer down"
        assert f"{down}: growth from tick 1 to tick 10" in found
        assert 0 < found[f"{down}: most bytes that waited"] <= 1


def test_the_export_program_says_what_a_tick_costs_the_program(content: dict[str, Any]) -> None:
    found = medians(content)
    assert found["the thread of the tick is held by consume()"] > 0
    [ratio] = [value for what, value in found.items() if what.endswith(f"tick / alone: {OURS}")]
    assert ratio > 0.5


def test_a_tick_that_sends_something_else_is_void() -> None:
    right = NAMES * (3 + 1 + len(CATEGORIES))
    assert _checked(FLOOR, {"points": right}, NAMES)
    with pytest.raises(SystemExit, match="159 points where 160 were right: void"):
        _checked(FLOOR, {"points": right - 1}, NAMES)


def test_the_points_of_a_body_are_counted_as_it_was_before_it_was_compressed() -> None:
    from metalscope import MetalTelemetryManager
    from metalscope.export.otlp.encoder import request_of
    from metalscope.export.otlp.messages import points_of
    from metalscope.export.otlp.metrics import metrics_data
    from metalscope.export.view import MetricView
    from metalscope.sending.otlp.messages import json_of

    data = metrics_data(MetalTelemetryManager().get_snapshot(), MetricView())
    request, points = request_of(data), len(points_of(data))
    body, text = request.SerializeToString(), json_of(request)
    protobuf = "application/x-protobuf"
    assert read(protobuf, "", body) == (points, len(body))
    assert read(protobuf, "gzip", gzip.compress(body)) == (points, len(body))
    assert read("application/json", "", text) == (points, len(text))
