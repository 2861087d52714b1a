from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from programs import BENCH, measured, medians

sys.path.insert(0, str(BENCH))
sys.path.insert(0, str(BENCH.parent / "scripts"))

import anomaly_table
from incidents.original import OriginalRule
from incidents.ranges import CLOSED, OPEN
from incidents.recorded import recorded_streams
from incidents.scoring import Episodes, Score, score
from incidents.shapes import SHAPES
from incidents.streams import simulated
from incidents.timeline import Incident
from metalscope.health_report import Anomaly, AnomalyKind
from metalscope.operation import Component, ErrorSeverity
from metalscope.snapshot_json import snapshot_from_dict

QUIET = {
    "clean", "season", "collector's sawtooth", "cold start", "quiet weekend", "changed mix",
    "model loaded", "faster kernel",
}  # fmt: skip
INCIDENT = Incident(1000.0, 1600.0, (AnomalyKind.LEVEL_SHIFT,), "matmul", grace=100.0)
DAY = 86_400.0


def anomaly(
    kind: AnomalyKind = AnomalyKind.LEVEL_SHIFT, subject: str = "execute matmul"
) -> Anomaly:
    since = datetime(2025, 1, 1, tzinfo=UTC)
    return Anomaly(kind, Component.KERNEL, subject, ErrorSeverity.MEDIUM, since, "", detector="d")


def scored(*spans: tuple[float, float], of: Anomaly | None = None) -> Score:
    """The score of a detector that tells one anomaly in these spans, each end included."""
    episodes = Episodes()
    for seconds in np.arange(0.0, DAY, 10.0):
        goes_on = any(start <= seconds <= end for start, end in spans)
        episodes.add(float(seconds), [of or anomaly()] if goes_on else [])
    return score("s", DAY, [INCIDENT], episodes.all)


def test_the_program_runs_every_detector_it_is_given_and_says_what_each_is_worth(
    tmp_path: Path,
) -> None:
    content = measured(
        "anomalies", tmp_path, "--days=0.03", "--seeds=1", "--detectors=original",
        "--shapes=clean,error rate", "--sets=open,closed",
    )  # fmt: skip
    found = medians(content)
    assert found["original: CPU time of a series a tick"] > 0
    for of in ("open", "closed"):
        assert f"original, {of}: recall" in found
        shapes = content["raw"][of]
        assert set(shapes) == {
            "clean", "clean, tick 1 s", "error rate", "error rate, tick 1 s",
        }  # fmt: skip
        assert shapes["error rate"]["original"]["incidents"] == 1
        assert shapes["clean"]["original"]["days"] == pytest.approx(0.03)


def test_an_incident_is_found_by_what_begins_in_it_and_late_is_late() -> None:
    total = scored((1200.0, 1300.0))
    assert (total.recall, total.precision, total.delay) == (1.0, 1.0, 200.0)
    assert scored((1650.0, 1700.0)).recall == 1.0
    after = scored((1750.0, 1800.0))
    assert (after.recall, after.false_per_day) == (0.0, 1.0)


def test_an_alarm_that_never_stops_finds_nothing_and_is_false() -> None:
    total = scored((0.0, DAY))
    assert (total.recall, total.precision, total.false_per_day) == (0.0, 0.0, 1.0)


def test_another_word_or_another_operation_in_an_incident_is_neither_found_nor_false() -> None:
    for other in (anomaly(AnomalyKind.LEAK), anomaly(subject="execute softmax")):
        total = scored((1200.0, 1300.0), of=other)
        assert (total.recall, total.false_per_day) == (0.0, 0.0)


def test_what_comes_back_within_a_minute_is_one_alarm() -> None:
    assert scored((5000.0, 5100.0), (5150.0, 5200.0)).false_per_day == 1.0
    assert scored((5000.0, 5100.0), (5200.0, 5300.0)).false_per_day == 2.0


def test_worth_weighs_what_is_missed_against_what_is_false() -> None:
    perfect = scored((1200.0, 1300.0))
    noisy = scored((1200.0, 1300.0), (5000.0, 5100.0))
    assert perfect.worth == 1.0
    assert 0.0 < noisy.worth < perfect.worth
    assert scored().worth == 0.0


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_quiet_or_has_incidents_with_clean_time_around(shape: str) -> None:
    for ranges in (OPEN, CLOSED):
        stream = simulated(shape, ranges, 0, seconds=DAY, tick=60.0)
        assert (not stream.incidents) == (shape in QUIET)
        ends = 0.0
        for incident in stream.incidents:
            assert incident.start > ends + 600.0
            assert incident.end > incident.start
            ends = incident.end + incident.grace
        assert ends < DAY


def test_a_stream_is_the_same_each_time_and_another_for_another_seed_or_set() -> None:
    def last(ranges: object, seed: int) -> object:
        stream = simulated("step", ranges, seed, seconds=1800.0, tick=10.0)  # type: ignore[arg-type]
        return [snapshot.to_dict() for snapshot in stream.play()][-1]

    assert last(OPEN, 1) == last(OPEN, 1)
    assert last(OPEN, 1) != last(OPEN, 2)
    assert last(OPEN, 1) != last(CLOSED, 1)


def test_what_is_played_are_snapshots_as_the_product_writes_them() -> None:
    stream = simulated("error rate", OPEN, 0, seconds=3600.0, tick=10.0)
    before = 0
    for snapshot in stream.play():
        assert snapshot.total_operations > before
        before = snapshot.total_operations
    assert snapshot_from_dict(snapshot.to_dict()).to_dict() == snapshot.to_dict()
    assert snapshot.total_errors == sum(snapshot.errors.values()) > 0
    matmul = next(one for one in snapshot.operations if one.name == "matmul")
    assert matmul.executions == pytest.approx(8.0 * 3600.0, rel=0.2)
    assert matmul.durations.quantile_ms(0.5) == pytest.approx(2.0, rel=0.15)
    assert matmul.durations.min_ms is not None
    assert matmul.durations.max_ms is not None
    assert 0 < matmul.durations.min_ms < matmul.durations.max_ms


def test_the_closed_set_draws_from_other_ranges_and_programs() -> None:
    assert {work.name for work in OPEN.work}.isdisjoint({work.name for work in CLOSED.work})
    assert OPEN.step_factor != CLOSED.step_factor
    assert OPEN.first_seed != CLOSED.first_seed


def kinds_told(rule: OriginalRule, shape: str, seconds: float = 7200.0) -> Sequence[str]:
    stream = simulated(shape, OPEN, 3, seconds=seconds, tick=10.0)
    return [str(found.kind) for snapshot in stream.play() for found in rule.observe(snapshot)]


def test_the_originals_rule_finds_full_memory_and_slow_operations() -> None:
    assert AnomalyKind.PRESSURE in kinds_told(OriginalRule(), "sustained pressure")
    assert AnomalyKind.LEVEL_SHIFT in kinds_told(OriginalRule(), "step")


def test_the_originals_rule_looks_as_often_as_it_is_told() -> None:
    rule = OriginalRule(timedelta(minutes=5))
    stream = simulated("step", OPEN, 3, seconds=7200.0, tick=10.0)
    looks = [rule.observe(snapshot) for snapshot in stream.play()]
    assert all(looks[i] is looks[i - 1] for i in range(1, len(looks)) if i % 30)


def test_recordings_are_of_real_work_and_their_labels_lie_within_them() -> None:
    streams = recorded_streams()
    assert streams
    for stream in streams:
        assert stream.incidents
        assert all(0 < i.start < i.end <= stream.seconds for i in stream.incidents)
        assert sum(1 for _ in stream.play()) > 100


def test_the_page_says_what_the_program_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "anomalies.md"
    page.write_text(f"before\n\n{anomaly_table.BEGIN}\n{anomaly_table.END}\n\nafter\n")
    monkeypatch.setattr(anomaly_table, "PAGE", page)
    ran = measured(
        "anomalies", tmp_path, "--days=0.03", "--seeds=1", "--detectors=original",
        "--shapes=step", "--sets=open",
    )  # fmt: skip
    for _ in range(2):
        assert anomaly_table.main([str(tmp_path / "anomalies.json")]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert text.count("| step |") == 1
    assert f"| open, `original` | {ran['raw']['open']['step']['original']['found']}" in text
