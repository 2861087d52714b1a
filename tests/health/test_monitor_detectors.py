"""Detectors are named by the options, run each tick, and take nothing with them that they break."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import replace
from types import SimpleNamespace

import pytest
from standing import START, Standing, lately, part

from metalscope.errors import ConfigurationError
from metalscope.health.detecting import MOST_ANOMALIES
from metalscope.health.detector import AnomalyDetector
from metalscope.health.detectors import detectors_of
from metalscope.health_report import Anomaly, AnomalyKind, HealthEventKind, HealthStatus
from metalscope.operation import Component, ErrorSeverity
from metalscope.options import HealthMonitorOptions

HEALTHY, DEGRADED, CRITICAL = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.CRITICAL

THEIRS = """
class Detector:
    def __init__(self, options):
        self.options = options

    def observe(self, snapshot):
        return ()
"""


@pytest.fixture(autouse=True)
def half_full_disk(monkeypatch):
    monkeypatch.setattr("psutil.disk_usage", lambda path: SimpleNamespace(total=100, free=50))


class Scripted:
    """Finds what it is told to, an exception being raised."""

    def __init__(self, *found):
        self.found = list(found)
        self.seen = []

    def observe(self, snapshot):
        self.seen.append(snapshot.timestamp)
        now = self.found.pop(0) if self.found else ()
        if isinstance(now, Exception):
            raise now
        return now


def watching(monkeypatch, *detectors, **options):
    names = tuple(f"d{number}" for number in range(len(detectors)))
    monkeypatch.setattr("metalscope.health.detectors.detectors_of", lambda options: detectors)
    return Standing(anomaly_detectors=names, **options)


def anomaly(severity=ErrorSeverity.HIGH, subject="matmul", component=Component.KERNEL):
    reason = f"{subject} takes 9.0 ms, took 3.0 ms"
    return Anomaly(AnomalyKind.LEVEL_SHIFT, component, subject, severity, START, reason)


# -- what an anomaly does -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("severity", "status"),
    [
        (ErrorSeverity.LOW, HEALTHY),
        (ErrorSeverity.MEDIUM, DEGRADED),
        (ErrorSeverity.HIGH, DEGRADED),
        (ErrorSeverity.CRITICAL, CRITICAL),
    ],
)
def test_an_anomaly_is_a_reason_and_its_severity_the_status(monkeypatch, severity, status):
    standing = watching(monkeypatch, Scripted([anomaly(severity)]))
    kernel = part(standing.tick(), Component.KERNEL)
    assert (kernel.status, kernel.reasons) == (status, ("matmul takes 9.0 ms, took 3.0 ms",))


def test_an_anomaly_is_told_of_when_it_begins_gets_worse_and_ends(monkeypatch):
    low, high = anomaly(ErrorSeverity.LOW), anomaly(ErrorSeverity.HIGH)
    standing = watching(monkeypatch, Scripted([low], [low], [high], [high], [low], []))
    reports = [standing.tick() for _ in range(6)]
    assert [len(report.anomalies) for report in reports] == [1, 1, 1, 1, 1, 0]
    assert reports[0].anomalies[0].detector == "d0", "it is said who found it"
    told = [e for e in standing.monitor.latest_events(9) if e.kind != HealthEventKind.STATUS]
    assert [(e.kind, e.severity) for e in told] == [
        (HealthEventKind.ANOMALY, ErrorSeverity.LOW),
        (HealthEventKind.ANOMALY, ErrorSeverity.HIGH),
        (HealthEventKind.ANOMALY_ENDED, ErrorSeverity.LOW),
    ]
    assert told[-1].message == "level_shift of matmul is over"


def test_the_same_thing_found_by_two_is_two_anomalies(monkeypatch):
    mine = replace(anomaly(), detector="another name")
    standing = watching(monkeypatch, Scripted([anomaly()]), Scripted([mine]))
    assert [one.detector for one in standing.tick().anomalies] == ["d0", "another name"]
    assert len(standing.messages(HealthEventKind.ANOMALY)) == 2


def test_an_anomaly_stands_in_reports_between_ticks(monkeypatch):
    standing = watching(monkeypatch, Scripted([anomaly()]))
    standing.tick()
    report = standing.monitor.report(lately(), [])
    assert (report.status, len(report.anomalies)) == (DEGRADED, 1)


# -- detectors that fail --------------------------------------------------------------------------


def test_a_detector_that_fails_is_counted_and_what_it_found_goes_on(monkeypatch):
    other = Scripted()
    failing = Scripted([anomaly()], ValueError("x"), [anomaly()], [])
    standing = watching(monkeypatch, failing, other)
    assert [len(standing.tick().anomalies) for _ in range(4)] == [1, 1, 1, 0]
    assert [(room, type(error)) for room, error in standing.errors] == [("health", ValueError)]
    assert len(other.seen) == 4
    assert len(standing.messages(HealthEventKind.ANOMALY)) == 1


def test_a_detector_that_fails_again_and_again_is_asked_no_more_and_that_is_told(monkeypatch):
    failing = Scripted([anomaly()], *[ValueError("secret")] * 99)
    standing = watching(monkeypatch, failing, circuit_breaker_threshold=3)
    standing.ticks(20)
    assert len(failing.seen) == 4
    assert len(standing.errors) == 3
    assert "level_shift of matmul is over" in standing.messages()
    (off,) = [message for message in standing.messages() if "is off" in message]
    assert off == (
        "anomaly detector 'd0' is off: it failed 3 times in a row, the last time with ValueError"
    )


def test_failures_that_are_not_in_a_row_do_not_switch_a_detector_off(monkeypatch):
    failing = Scripted(*[ValueError(), ValueError(), ()] * 10)
    standing = watching(monkeypatch, failing, circuit_breaker_threshold=3)
    standing.ticks(30)
    assert len(failing.seen) == 30


@pytest.mark.parametrize(
    "found",
    [
        ["no anomaly"],
        [replace(anomaly(), severity="terrible")],
        [replace(anomaly(), component="gearbox")],
        3,
    ],
)
def test_what_is_no_anomaly_is_a_failure_of_the_detector(monkeypatch, found):
    standing = watching(monkeypatch, Scripted(found))
    assert standing.tick().anomalies == ()
    assert [room for room, _ in standing.errors] == ["health"]


def test_too_many_anomalies_are_cut_to_the_most_severe_and_counted(monkeypatch):
    many = [anomaly(ErrorSeverity.LOW, f"k{n}") for n in range(MOST_ANOMALIES)]
    standing = watching(monkeypatch, Scripted([*many, anomaly(ErrorSeverity.CRITICAL)]))
    report = standing.tick()
    assert len(report.anomalies) == MOST_ANOMALIES
    assert report.status is CRITICAL
    assert standing.monitor.dropped()["anomalies"] == 1


def test_a_detector_that_cannot_be_made_leaves_the_rules_at_work():
    standing = Standing(anomaly_detectors=("nobody",))
    with pytest.raises(ConfigurationError, match="nobody"):
        standing.monitor.start()
    assert standing.tick(device_lost=1).status is CRITICAL
    standing.ticks(3)
    assert [type(error) for _, error in standing.errors] == [ConfigurationError]


# -- names ----------------------------------------------------------------------------------------


def options(*names):
    return HealthMonitorOptions(anomaly_detectors=names)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that brings detectors, of which one cannot be loaded."""
    (tmp_path / "theirs.py").write_text(textwrap.dedent(THEIRS))
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[metalscope.detectors]\nseasonal = theirs:Detector\nbroken = theirs:Nothing\n"
    )
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("theirs", None)


def test_no_names_are_no_detectors():
    assert detectors_of(options()) == []


def test_a_detector_of_another_package_is_found_by_its_entry_point(installed):
    given = options("seasonal")
    (detector,) = detectors_of(given)
    assert type(detector).__module__ == "theirs"
    assert detector.options is given


def test_an_unknown_name_is_told_with_what_is_known_and_what_is_near(installed):
    with pytest.raises(ConfigurationError) as raised:
        detectors_of(options("robst"))
    assert str(raised.value) == (
        "health_monitor.anomaly_detectors: no detector is named 'robst', only 'broken', "
        "'river', 'robust', 'seasonal'; the nearest is 'robust'"
    )


def test_a_detector_that_cannot_be_loaded_is_told_with_its_place(installed):
    with pytest.raises(ConfigurationError, match="'broken': theirs:Nothing cannot be loaded"):
        detectors_of(options("broken"))


def test_the_default_detector_is_made_and_watches_in_quiet():
    (detector,) = detectors_of(options("robust"))
    assert isinstance(detector, AnomalyDetector)
    standing = Standing(anomaly_detectors=("robust",))
    standing.monitor.start()
    assert standing.ticks(5).anomalies == ()
    assert standing.errors == []
