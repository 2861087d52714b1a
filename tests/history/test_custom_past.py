"""Metrics of the program's own are kept as readings."""

from __future__ import annotations

from pathlib import Path

import pytest
from pasts import HOUR, MINUTE, SECOND, START, Program, keep, opened

from metalscope.forecast.failures import FailureHours
from metalscope.history import SeriesKey
from metalscope.snapshot import CustomMetric, ResourceKind, ResourceMetrics

JOBS = SeriesKey("resource", "custom", "jobs")


def gauge(name: str, value: float, **labels: str) -> CustomMetric:
    return CustomMetric(name, "gauge", tuple(sorted(labels.items())), value)


def counter(name: str, value: float, **labels: str) -> CustomMetric:
    return CustomMetric(name, "counter", tuple(sorted(labels.items())), value)


def test_a_counter_is_kept_as_its_total_and_a_gauge_as_it_is(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        for number in (3, 5, 12):
            program.custom = (counter("jobs", number), gauge("queue", -number))
            program.passes(SECOND)
            keep(history, program.snapshot())
        ask = START + SECOND, START + 4 * SECOND, SECOND
        assert history.series(JOBS, *ask).values == [3.0, 5.0, 12.0]
        queue = SeriesKey("resource", "custom", "queue")
        assert history.series(queue, *ask).values == [-3.0, -5.0, -12.0]
        assert history.series(JOBS, START, START + MINUTE, MINUTE, reading="last").values == [12.0]
        assert history.readings()[JOBS].unit == ""
        assert history.limit(JOBS) is None


def test_labels_are_part_of_the_name_as_prometheus_writes_them(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        program.custom = (
            gauge("queue", 1, lane="a", host="b"),
            gauge("queue", 2, lane='say "hi"\\\n', host=""),
        )
        program.passes(SECOND)
        keep(history, program.snapshot())
        names = [key.name for key in history.readings()]
    assert sorted(names) == [
        r'queue{host="",lane="say \"hi\"\\\n"}',
        'queue{host="b",lane="a"}',
    ]


def test_histograms_and_what_is_no_number_are_left_out(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        program.custom = (
            CustomMetric("latency", "histogram", (), 3.0, 1, ((5.0, 1),)),
            counter("too_many", float("inf")),
            gauge("queue", 1),
        )
        program.passes(SECOND)
        keep(history, program.snapshot())
        assert [key.name for key in history.readings()] == ["queue"]


def test_they_take_at_most_half_of_the_room_and_operations_come_first(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db", max_series=10) as history:
        program.custom = tuple(gauge(f"own{number}", 1) for number in range(50))
        program.ran("early", [1.0])
        program.passes(SECOND)
        keep(history, program.snapshot())
        for name in "abcd":
            program.ran(name, [1.0])
        program.passes(SECOND)
        keep(history, program.snapshot())
        names = [key.name for key in history.keys() if key.measure != "errors"]  # noqa: SIM118
        assert len([name for name in names if name.startswith("own")]) == 5
        assert {"early", "a", "b", "c", "d"} <= set(names)
        assert history.overflowed == 2 * 45
    # Also where the file is opened again.
    again = Program(now=START + HOUR, started_at=START + HOUR)
    again.custom = (gauge("new", 1),)
    with opened(tmp_path / "past.db", again, max_series=12) as history:
        keep(history, again.snapshot())
        assert len(history.readings()) == 6


def test_they_are_no_readings_of_the_system_to_who_looks_for_failures(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        for number in range(4):
            program.custom = (counter("recoveries", number),)
            program.passes(HOUR)
            recoveries = ResourceMetrics(ResourceKind.RECOVERIES, "gpu", "m1", number // 2)
            keep(history, program.snapshot(recoveries))
        hours = FailureHours()
        assert hours.read(history, program.now) == pytest.approx(3.0)
