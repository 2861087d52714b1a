"""Lines of what programs themselves record."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from metalscope.page.prometheus.asking import HOST, Asking, of_host
from metalscope.page.prometheus.growth import ON_A_TARGET, milliseconds
from metalscope.page.prometheus.reading_lines import OVER_TIME
from metalscope.page.prometheus.selecting import fits, matching, quoted, selected
from metalscope.page.prometheus.steps import Steps
from metalscope.page.source import Line, Lines, Wanted
from metalscope.semconv import START_TIME

__all__ = ["custom_lines"]

_NOT_OURS: Final = (
    "(?:metal|metalscope|scrape|go|process|python|prometheus|promhttp|vm|vmagent|net_conntrack)_.*"
    "|up|ALERTS|ALERTS_FOR_STATE"
)
"""What is a program's own is none of metalscope's, of a scrape's and of the usual libraries'."""

_MOST_NAMES: Final = 50
"""Metrics that are asked for; each is a query."""

_KIND: Final = "custom"

_PRESENT: Final = 300.0


def custom_lines(asking: Asking, wanted: Wanted, steps: Steps) -> Lines:
    """The metrics of programs that tell of themselves, with the labels they were given.

    A line is named as Prometheus writes it, without ``job`` and ``instance``; a pattern is of that,
    or of the name of the metric alone. Of more than 50 metrics the first are looked at.

    Raises:
        SourceError: there is no answer.
    """
    if not fits(wanted.kind, _KIND):
        return steps.lines((), wanted.limit)
    metric, brace, _ = wanted.name.partition("{")
    names = _names(asking, metric, wanted.host, steps)
    lines = [
        line
        for name in names[:_MOST_NAMES]
        for line in _of_metric(asking, name, wanted, steps)
        if fits(wanted.name, line.name) or (not brace and fits(wanted.name, name))
    ]
    return steps.lines(lines, wanted.limit, omitted=max(0, len(names) - _MOST_NAMES))


def _names(asking: Asking, pattern: str, host: str, steps: Steps) -> list[str]:
    # The buckets of a histogram are no lines.
    matchers = (matching("__name__", pattern), of_host(host), 'le=""')
    # Prometheus wants one matcher that no empty text matches.
    series = selected("", '__name__!=""', f"__name__!~{quoted(_NOT_OURS)}", *matchers)
    since, until = steps.start_ms / 1000, steps.end_ms / 1000
    found = asking.api.values_of("__name__", series, since=since, until=until)
    # VictoriaMetrics and newer Prometheus take names that no selector can be written with.
    return [name for name in found if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name)]


def _of_metric(asking: Asking, name: str, wanted: Wanted, steps: Steps) -> Iterator[Line]:
    window = asking.window_of(steps, least=2).seconds
    matchers = (matching("device", wanted.device), of_host(wanted.host), 'le=""')
    series = f"{selected(name, *matchers)}[{milliseconds(window)}]"
    ours = f"last_over_time({START_TIME.name}[{milliseconds(max(window, _PRESENT))}])"
    query = f"{OVER_TIME[wanted.reading]}({series}) and {ON_A_TARGET} {ours}"
    now = asking.now()
    for one in asking.api.over(query, steps):
        own = {
            label: value
            for label, value in one.labels.items()
            if label not in {"__name__", "job", HOST}
        }
        yield Line(
            steps.up_to(now, steps.place(one.samples)),
            kind=_KIND,
            name=_written(name, own),
            device=own.get("device", ""),
            host=one.labels.get(HOST, ""),
            labels=own,
        )


def _written(name: str, labels: Mapping[str, str]) -> str:
    """A series as Prometheus writes it."""
    inside = ",".join(f"{label}={quoted(value)}" for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name
