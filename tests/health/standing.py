"""A monitor that is ticked by hand, on a clock that is set by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from metalscope.health.monitor import MetalHealthMonitor
from metalscope.operation import MetalError
from metalscope.options import HealthMonitorOptions
from metalscope.snapshot import MetalTelemetrySnapshot, RecentActivity

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Seconds since :data:`START`, as a monotonic clock and as one on the wall."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds

    @property
    def wall(self):
        return START + timedelta(seconds=self.seconds)


class Standing:
    """A monitor with its clock, and what it told of as gone wrong."""

    def __init__(self, **options):
        self.clock = Clock()
        self.errors = []
        self.hanging = False
        """Whether a check is meant to hang; else the clock waits until all have answered."""
        options.setdefault("anomaly_detectors", ())
        self.monitor = MetalHealthMonitor(
            HealthMonitorOptions(**options),
            on_error=lambda room, error: self.errors.append((room, error)),
            history_window=timedelta(minutes=15),
            clock=self.clock,
        )

    def tick(self, seconds=1.0, recent=None, resources=(), **errors):
        """So many seconds later, with errors among 100 operations of the window."""
        if not self.hanging:
            wait_until(lambda: not self.monitor._checks.asking())
        self.clock.seconds += seconds
        recent = lately(**errors) if recent is None else recent
        return self.monitor.observe(snapshot(self.clock.wall, recent, resources))

    def ticks(self, seconds, **what):
        """A tick a second for so many seconds; the last report."""
        for _ in range(seconds):
            report = self.tick(**what)
        return report

    def messages(self, kind=None):
        """The texts of the events so far, of all kinds or one."""
        events = self.monitor.latest_events(10_000)
        return [event.message for event in events if kind is None or event.kind == kind]


def lately(operations=100, seconds=60.0, **errors):
    return RecentActivity(seconds, operations, {MetalError(e): n for e, n in errors.items()})


def snapshot(timestamp, recent=None, resources=()):
    return MetalTelemetrySnapshot(
        timestamp=timestamp,
        started_at=START,
        recent=lately() if recent is None else recent,
        resources=tuple(resources),
    )


def part(report, component):
    return next(one for one in report.components if one.component == component)


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
