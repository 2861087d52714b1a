"""Queries of PromQL, made from the metrics of :mod:`metalscope.semconv`.

Each looks at what the variables of the dashboard choose: ``job`` and ``instance`` always,
``device`` and ``operation`` where the metric has such a label. Names are those that Prometheus has
from ``/metrics``: a histogram is its ``_bucket``, ``_sum`` and ``_count``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metalscope.semconv import BUILD_INFO, DEVICE_INFO, OPERATIONS, Metric

__all__ = [
    "LISTED",
    "RATE",
    "age",
    "coded",
    "failing_share",
    "highest",
    "increase",
    "lowest",
    "mean",
    "per_second",
    "quantile",
    "select",
    "share",
    "total",
]

RATE: Final = "$__rate_interval"
"""Grafana's own: at least four scrapes, and no less than a point of the graph."""

_TARGET: Final = {"job": "job", "instance": "instance"}
_OF_LABEL: Final = {"device": "device", "name": "operation"}
"""A label to the variable that it is chosen by."""


def select(metric: Metric, *, part: str = "", chosen: Sequence[str] = (), **equal: str) -> str:
    """The series that the variables choose.

    Args:
        metric: whose series.
        part: of a histogram: ``_bucket``, ``_sum`` or ``_count``.
        chosen: the variables that count; all where none is named.
        equal: labels with the value they must have.

    Raises:
        ValueError: the metric has no such label or part.
    """
    if (metric.type == "histogram") != bool(part):
        raise ValueError(f"{metric.name}: part {part!r} of a {metric.type}")
    for label in equal:
        if label not in metric.labels:
            raise ValueError(f"{metric.name} has no label {label}")
    by = _TARGET | {
        label: variable
        for label, variable in _OF_LABEL.items()
        if label in metric.labels and label not in equal
    }
    matchers = [
        f'{label}=~"${variable}"'
        for label, variable in by.items()
        if not chosen or variable in chosen
    ]
    matchers += [f'{label}="{value}"' for label, value in equal.items()]
    return f"{metric.name}{part}{{{','.join(matchers)}}}"


def per_second(metric: Metric, *by: str, **equal: str) -> str:
    """How fast a counter grows, in units a second."""
    return f"sum{_by(by)} (rate({select(metric, **equal)}[{RATE}]))"


def increase(metric: Metric, *by: str, window: str = "$__range", **equal: str) -> str:
    """How much a counter has grown over ``window``; as a rule over all that is shown."""
    return f"sum{_by(by)} (increase({select(metric, **equal)}[{window}]))"


def highest(metric: Metric, *by: str, **equal: str) -> str:
    """The highest value."""
    return f"max{_by(by)} ({select(metric, **equal)})"


def lowest(metric: Metric, *by: str, **equal: str) -> str:
    """The lowest value."""
    return f"min{_by(by)} ({select(metric, **equal)})"


def mean(metric: Metric, *by: str, **equal: str) -> str:
    """The mean of the values."""
    return f"avg{_by(by)} ({select(metric, **equal)})"


def total(metric: Metric, *by: str, **equal: str) -> str:
    """The sum of the values."""
    return f"sum{_by(by)} ({select(metric, **equal)})"


def quantile(share_below: float, metric: Metric, *by: str, **equal: str) -> str:
    """A quantile of a histogram, interpolated within one bucket."""
    buckets = select(metric, part="_bucket", **equal)
    return f"histogram_quantile({share_below}, sum{_by(('le', *by))} (rate({buckets}[{RATE}])))"


def failing_share(part: Metric, whole: Metric, *by: str) -> str:
    """Which share of a counter's growth another one's is, 0 to 1.

    Of what never failed there is no series of failures: its share is 0. Where nothing ran there is
    no share.
    """
    ran = per_second(whole, *by)
    return f"({per_second(part, *by)} or 0 * {ran}) / ({ran} > 0)"


def share(part: Metric, whole: Metric, *by: str, scale: int = 1) -> str:
    """The highest share of one gauge in another; absent where there is no whole, or it is 0."""
    times = f"{scale} * " if scale != 1 else ""
    return f"max{_by(by)} ({times}{select(part)} / ({select(whole)} > 0))"


def age(metric: Metric, *by: str) -> str:
    """Seconds since a moment that a gauge tells; of several, the shortest."""
    return f"time() - {highest(metric, *by)}"


def coded(metric: Metric, label: str, codes: Sequence[tuple[str, int]], *by: str) -> str:
    """The worst state, as a number, of a metric that is 1 for the state something is in.

    Args:
        metric: with a series for each state.
        label: the one that names the state.
        codes: each state with its number; the higher, the worse.
        by: the labels that are kept.
    """
    states = " or ".join(f"{code} * {select(metric, **{label: state})}" for state, code in codes)
    own = [one for one in metric.labels if one != label]
    # First the one state of each thing, then the worst of those that are put together.
    return f"max{_by(by)} (sum{_by((*_TARGET, *own))} ({states}))"


def _by(labels: Sequence[str]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


_VALUES: Final = "label_values"

LISTED: Final[dict[str, str]] = {
    "job": f"{_VALUES}({BUILD_INFO.name}, job)",
    "instance": f"{_VALUES}({select(BUILD_INFO, chosen=('job',))}, instance)",
    "device": f"{_VALUES}({select(DEVICE_INFO, chosen=('job', 'instance'))}, device)",
    "operation": f"{_VALUES}({select(OPERATIONS, chosen=('job', 'instance', 'device'))}, name)",
}
"""What each variable can be, as the data source is asked for it."""
