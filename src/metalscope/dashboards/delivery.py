"""The dashboard of what leaves a program: exports, notifications, log records, spans."""

from __future__ import annotations

from metalscope import semconv
from metalscope.dashboards.levels import BREAKERS, Levels
from metalscope.dashboards.model import Dashboard, Panel, Query, Row
from metalscope.dashboards.promql import age, coded, highest, increase, per_second, select, total
from metalscope.semconv import Metric

__all__ = ["delivery"]

_EXPORTER = ("instance", "exporter")
_CHANNEL = ("instance", "channel")
_SINK = ("instance", "signal", "sink")


def delivery(_levels: Levels) -> Dashboard:
    """Whether what is sent arrives, and what is lost."""
    return Dashboard(
        name="metalscope-delivery",
        title="metalscope: delivery",
        about="Whether metrics, messages about alerts, log records and spans arrive, what waits "
        "and what was lost, and how metalscope itself is. Made by metalscope dashboards export.",
        rows=(
            Row("Exporters", _exporters()),
            Row("Notifications", _channels()),
            Row("Log records and spans", _sinks()),
            Row("metalscope itself", _itself()),
        ),
    )


def _legend(by: tuple[str, ...], more: str = "") -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by) + (f" {{{{{more}}}}}" if more else "")


def _states(what: str, metric: Metric, by: tuple[str, ...]) -> Panel:
    return Panel(
        title=f"State of {what}",
        about="Of the circuit breaker: closed where all is well; open where nothing is sent "
        "until the next trial.",
        kind="timeline",
        queries=(Query(expr=coded(metric, "state", BREAKERS.codes, *by), legend=_legend(by)),),
        values=BREAKERS.values,
        width=8,
    )


def _rate(title: str, about: str, metric: Metric, by: tuple[str, ...], more: str = "") -> Panel:
    labels = (*by, more) if more else by
    return Panel(
        title=title,
        about=about,
        queries=(Query(expr=per_second(metric, *labels), legend=_legend(by, more)),),
        unit="cps",
        low=0,
        width=8,
    )


def _waiting(about: str, metric: Metric, by: tuple[str, ...], unit: str = "short") -> Panel:
    return Panel(
        title="Waiting, in bytes" if unit == "bytes" else "Waiting",
        about=about,
        queries=(Query(expr=total(metric, *by), legend=_legend(by)),),
        unit=unit,
        low=0,
        width=8,
    )


def _last(metric: Metric, by: tuple[str, ...]) -> Panel:
    return Panel(
        title="Since the last that arrived",
        about="Time since something last arrived; empty before anything did.",
        queries=(Query(expr=age(metric, *by), legend=_legend(by)),),
        unit="s",
        low=0,
        width=8,
    )


def _exporters() -> tuple[Panel, ...]:
    seconds = per_second(semconv.EXPORT_TIME, *_EXPORTER)
    return (
        _states("exporters", semconv.EXPORTER_STATE, _EXPORTER),
        Panel(
            title="Snapshots",
            about="Handed to each exporter and arrived, a second.",
            queries=(
                Query(
                    expr=per_second(semconv.EXPORT_QUEUED, *_EXPORTER),
                    legend=f"{_legend(_EXPORTER)} queued",
                ),
                Query(
                    expr=per_second(semconv.EXPORT_DELIVERED, *_EXPORTER),
                    legend=f"{_legend(_EXPORTER)} delivered",
                ),
            ),
            unit="cps",
            low=0,
            width=8,
        ),
        _last(semconv.EXPORT_LAST_SUCCESS, _EXPORTER),
        _rate(
            "Failures", "Each try counted, by reason.", semconv.EXPORT_FAILURES, _EXPORTER, "reason"
        ),
        _rate(
            "Lost",
            "Snapshots that will never arrive, by reason.",
            semconv.EXPORT_DROPPED,
            _EXPORTER,
            "reason",
        ),
        Panel(
            title="Points",
            about="Points that arrived, and those that the peer refused while it took the others.",
            queries=(
                Query(
                    expr=per_second(semconv.EXPORT_POINTS, *_EXPORTER), legend=_legend(_EXPORTER)
                ),
                Query(
                    expr=per_second(semconv.EXPORT_REJECTED_POINTS, *_EXPORTER),
                    legend=f"{_legend(_EXPORTER)} refused",
                ),
            ),
            unit="cps",
            low=0,
            width=8,
        ),
        _waiting("Snapshots that wait for an exporter.", semconv.EXPORT_WAITING, _EXPORTER),
        _waiting("The size of what waits.", semconv.EXPORT_WAITING_BYTES, _EXPORTER, unit="bytes"),
        Panel(
            title="Time spent",
            about="Share of the time in which an exporter was sending, failed tries too.",
            queries=(Query(expr=seconds, legend=_legend(_EXPORTER)),),
            unit="percentunit",
            low=0,
            width=8,
        ),
    )


def _channels() -> tuple[Panel, ...]:
    return (
        _states("channels", semconv.CHANNEL_STATE, _CHANNEL),
        _rate(
            "Messages",
            "Messages about alerts that arrived, a second.",
            semconv.NOTIFICATIONS_DELIVERED,
            _CHANNEL,
        ),
        _last(semconv.NOTIFICATION_LAST_SUCCESS, _CHANNEL),
        _rate(
            "Failures",
            "Each try counted, by reason.",
            semconv.NOTIFICATION_FAILURES,
            _CHANNEL,
            "reason",
        ),
        _rate(
            "Lost",
            "Messages that will never arrive, by reason.",
            semconv.NOTIFICATIONS_DROPPED,
            _CHANNEL,
            "reason",
        ),
        _waiting("Messages that wait for a channel.", semconv.NOTIFICATIONS_WAITING, _CHANNEL),
    )


def _sinks() -> tuple[Panel, ...]:
    return (
        _states("sinks", semconv.SINK_STATE, _SINK),
        _rate("Arrived", "Records and spans, a second.", semconv.SINK_DELIVERED, _SINK),
        _last(semconv.SINK_LAST_SUCCESS, _SINK),
        _rate("Failures", "Each try counted, by reason.", semconv.SINK_FAILURES, _SINK, "reason"),
        _rate(
            "Lost",
            "Records and spans that will never arrive, by reason.",
            semconv.SINK_DROPPED,
            _SINK,
            "reason",
        ),
        _waiting("Records and spans that wait for a sink.", semconv.SINK_WAITING, _SINK),
        _waiting("The size of what waits.", semconv.SINK_WAITING_BYTES, _SINK, unit="bytes"),
        _rate("Logged", "Records, by severity.", semconv.LOG_RECORDS, ("severity",)),
        _rate("Spans kept", "By why they were kept.", semconv.SPANS, ("decision",)),
    )


def _itself() -> tuple[Panel, ...]:
    return (
        _rate(
            "What went wrong inside",
            "Errors inside metalscope, by room; they never reach the program.",
            semconv.INTERNAL_ERRORS,
            ("room",),
        ),
        _rate("Let go", "What a full queue let go, by queue.", semconv.DROPPED, ("queue",)),
        Panel(
            title="Names beyond the cap",
            about="Recordings counted under other within the time shown, as there were too many "
            "distinct names.",
            queries=(
                Query(
                    expr=increase(semconv.SERIES_OVERFLOW, "instance"),
                    legend="{{instance}}",
                    instant=True,
                ),
            ),
            kind="stat",
            width=8,
        ),
        Panel(
            title="Retired series",
            about="Operations and failures of series that are no longer kept apart, as they were "
            "idle past the retention.",
            kind="table",
            queries=tuple(
                Query(expr=highest(metric, "instance"), legend=heading, instant=True)
                for heading, metric in (
                    ("Operations", semconv.RETIRED_OPERATIONS),
                    ("Failures", semconv.RETIRED_ERRORS),
                )
            ),
            columns={"instance": "Instance"},
        ),
        Panel(
            title="What runs",
            about="Each process with its versions.",
            kind="table",
            queries=(Query(expr=select(semconv.BUILD_INFO), legend="Present", instant=True),),
            columns={
                "instance": "Instance",
                "job": "Job",
                "version": "metalscope",
                "python": "Python",
                "os": "System",
                "architecture": "Architecture",
            },
            units={"Present": "bool_yes_no"},
        ),
    )
