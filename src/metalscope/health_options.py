"""Options of health: checks, anomalies, objectives, and the history behind predictions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from metalscope.option_base import Options
from metalscope.option_types import Bytes, Count, Duration, Milliseconds, Rate

__all__ = [
    "DETECTOR_ENTRY_POINTS",
    "HealthMonitorOptions",
    "HistoryOptions",
    "ObjectiveOptions",
]

DETECTOR_ENTRY_POINTS = "metalscope.detectors"
"""Entry points of this group make anomaly detectors of other packages known by name."""

_Target = Annotated[float, Field(gt=0, lt=1)]


class ObjectiveOptions(Options):
    """A service level objective: which share of operations is to go well, over which time."""

    name: str = Field(min_length=1, description="Its name in metrics, reports and events.")
    target: _Target = Field(
        description="The share of operations that must go well, above 0 and below 1."
    )
    window: Duration = Field(timedelta(days=30), description="The time it is promised over.")
    operation: str = Field(
        "*",
        description="Which operations it is about: `kind:name`, where `*` and `?` stand for any "
        "text and any character, such as `execute:attention*`; without `:` the name alone.",
    )
    within_ms: Milliseconds | None = Field(
        None,
        description="An operation that takes longer, in ms, did not go well, like one that failed, "
        "to the [precision of the histogram](objectives.md); without it, only failing counts.",
    )


class HealthMonitorOptions(Options):
    """When a component is held to be degraded, and what counts as an anomaly."""

    health_check_interval: Duration = Field(
        timedelta(minutes=1),
        description="Time between two checks of what is slow to ask: free disk and health checks "
        "of your own. All else is checked each tick.",
    )
    recovery_period: Duration = Field(
        timedelta(seconds=30),
        description="How long a component must be better before its status says so; it gets "
        "worse at once.",
    )
    anomaly_detectors: tuple[str, ...] = Field(
        ("robust",),
        description="Who looks for anomalies, by name: `robust`, `river` with the extra `ml`, "
        "or one of another package; none where empty. See [anomalies](anomalies.md).",
    )
    anomaly_detection_interval: Duration = Field(
        timedelta(minutes=5),
        description="Time between two searches of the past for leaks, drifts and repeated "
        "failures, and between two predictions. Sudden changes are seen within seconds.",
    )
    anomaly_detection_window: Duration = Field(
        timedelta(minutes=15),
        description="How far back pressure and repeated failures are looked at.",
    )
    event_retention_period: Duration = Field(
        timedelta(hours=24), description="How long a health event is kept."
    )
    max_health_events: Count = Field(1000, description="Most health events kept; a count.")
    circuit_breaker_threshold: Count = Field(
        5,
        description="Failures in a row that open a circuit breaker, and like failures in "
        "`history_window` that degrade a component; a count.",
    )
    circuit_breaker_timeout: Duration = Field(
        timedelta(minutes=2), description="How long an open circuit breaker waits before a trial."
    )
    anomaly_error_rate_threshold: Rate = Field(
        0.1,
        description="Share of operations in `history_window`, 0 to 1, above which failing "
        "degrades health and is named in the report.",
    )
    forecaster: str = Field(
        "robust",
        description="Who makes the forecasts, by name: `robust`, with the extra `ml` "
        "`statsmodels`, or one of another package. See [predictions](predictions.md).",
    )
    prediction_horizon: Duration = Field(
        timedelta(hours=24), description="How far ahead is looked for what will run out."
    )
    objectives: tuple[ObjectiveOptions, ...] = Field(
        (), description="Service level objectives, each a table with the options below."
    )


class HistoryOptions(Options):
    """The past in one SQLite file: each tick for a while, then by the minute, then by the hour."""

    path: Path | None = Field(
        None, description="The file; without one, no history is kept beyond `history_window`."
    )
    keep_ticks: Duration = Field(timedelta(hours=2), description="How long single ticks are kept.")
    keep_minutes: Duration = Field(
        timedelta(days=7), description="How long one row a minute is kept."
    )
    keep_hours: Duration = Field(
        timedelta(days=400), description="How long one row an hour is kept."
    )
    max_bytes: Bytes = Field(
        256 * 1024 * 1024,
        description="Most bytes on disk, a count; the oldest of what takes most goes first, so the "
        "above become shorter.",
    )
    max_series: Count = Field(
        500, description="Most operations and readings kept apart; a count. The rest are left out."
    )
