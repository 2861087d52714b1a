"""Lines of operations: how many, how many failed, how long they took."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from metalscope.histogram import CLASSIC_BOUNDS_MS
from metalscope.operation import OK
from metalscope.page.prometheus.asking import HOST, Asking, Window, chosen
from metalscope.page.prometheus.steps import Steps
from metalscope.page.source import QUANTILES, Line, Lines, Measure, Wanted
from metalscope.semconv import OPERATION_DURATION, OPERATIONS

__all__ = ["FAILED", "WENT_WELL", "mean_ms", "operation_lines", "quantile_ms", "share_failed"]

FAILED: Final = f'outcome!="{OK}"'
WENT_WELL: Final = f'outcome="{OK}"'

_BY: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"all": (), "operation": ("kind", "name", "device"), "host": (HOST,)}
)
_UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {"operations": "/s", "errors": "/s", "error_rate": "ratio"}
)


def operation_lines(asking: Asking, wanted: Wanted, steps: Steps) -> Lines:
    """One of the measures of operations.

    Raises:
        SourceError: there is no answer.
    """
    # A mean is of two counters, a quantile of one for each bucket.
    each = len(CLASSIC_BOUNDS_MS) + 1 if wanted.measure in QUANTILES else 2
    window = asking.counting(steps, *chosen(wanted), each=each)
    now = asking.now()
    unit = _UNITS.get(wanted.measure, "ms")
    lines = []
    for one in asking.api.over(_expression(wanted.measure, wanted, window), steps):
        values = steps.up_to(now, steps.place(one.samples))
        if unit == "/s":
            _by_what_has_passed(values, steps, window, now)
        lines.append(
            Line(
                values,
                kind=one.labels.get("kind", ""),
                name=one.labels.get("name", ""),
                device=one.labels.get("device", ""),
                host=one.labels.get(HOST, ""),
                unit=unit,
            )
        )
    return steps.lines(lines, wanted.limit)


def _expression(measure: Measure, wanted: Wanted, window: Window) -> str:
    by, matchers = _BY[wanted.by], chosen(wanted)
    match measure:
        case "operations":
            return f"{window.grown(OPERATIONS, *matchers, by=by)} / {window.seconds}"
        case "errors":
            return (
                f"({window.grown(OPERATIONS, *matchers, FAILED, by=by)} or "
                f"0 * {window.grown(OPERATIONS, *matchers, by=by)}) / {window.seconds}"
            )
        case "error_rate":
            return share_failed(window, *matchers, by=by)
        case "duration_ms":
            return mean_ms(window, *matchers, by=by)
        case _:
            return quantile_ms(QUANTILES[measure], window, *matchers, by=by)


def share_failed(window: Window, *matchers: str, by: tuple[str, ...]) -> str:
    """Which share of operations failed, 0 to 1; nothing where none ended."""
    ended = window.grown(OPERATIONS, *matchers, by=by)
    failed = window.grown(OPERATIONS, *matchers, FAILED, by=by)
    # Of what never failed there is no series.
    return f"({failed} or 0 * {ended}) / ({ended} > 0)"


def mean_ms(window: Window, *matchers: str, by: tuple[str, ...]) -> str:
    """The mean duration of all that were timed; nothing where none were."""
    total = window.grown(OPERATION_DURATION, *matchers, part="_sum", by=by)
    count = window.grown(OPERATION_DURATION, *matchers, part="_count", by=by)
    return f"{total} / ({count} > 0)"


def quantile_ms(share: float, window: Window, *matchers: str, by: tuple[str, ...]) -> str:
    """So many took no longer, of those that went well; interpolated within one bucket."""
    buckets = window.grown(OPERATION_DURATION, *matchers, WENT_WELL, part="_bucket", by=("le", *by))
    return f"histogram_quantile({share}, {buckets})"


def _by_what_has_passed(
    values: list[float | None], steps: Steps, window: Window, now: float
) -> None:
    """A rate of a step that is not over is of the part of it that is."""
    for place in range(len(values) - 1, -1, -1):
        ends = (steps.start_ms + (place + 1) * steps.step_ms) / 1000
        value = values[place]
        if ends <= now:
            return
        if value is not None:
            passed = now - (ends - window.seconds)
            # Of less than two scrapes there is no rate.
            known = passed >= 2 * window.scrape
            values[place] = value * window.seconds / passed if known else None
