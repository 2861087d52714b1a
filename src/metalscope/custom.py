"""Metrics and events the application records itself: validated, bounded, exact."""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import isfinite
from types import MappingProxyType
from typing import Any, Final, Literal

from metalscope.correlating import current_correlation_id, current_span
from metalscope.errors import InvalidNameError
from metalscope.fork import reset_in_child
from metalscope.snapshot import CustomMetric, Labels, TelemetryEvent

__all__ = ["CustomMetrics", "EventLog", "MetricKind"]

MetricKind = Literal["counter", "gauge", "histogram"]

HISTOGRAM_BOUNDS: Final[tuple[float, ...]] = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0,
    250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0,
)  # fmt: skip
"""Upper bounds of custom histograms, in the unit the application records."""

OTHER: Final = "other"
MAX_TEXT: Final = 1000
MAX_DEPTH: Final = 4

# Prometheus data model, "Metric names and labels"; there a colon is for recording rules.
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED_PREFIXES: Final = ("metal_", "metalscope_")
_RESERVED_LABELS: Final = frozenset({"le", "quantile"})
_SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_sum", "_count", "_created"),
}


class _Series:
    __slots__ = ("count", "counts", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.count = 0
        self.counts: list[int] | None = None


class _Family:
    __slots__ = ("kind", "label_names", "series")

    def __init__(self, kind: MetricKind, label_names: tuple[str, ...]) -> None:
        self.kind = kind
        self.label_names = label_names
        self.series: dict[Labels, _Series] = {}


class CustomMetrics:
    """Counters, gauges and histograms by name and labels.

    Past ``max_series``, new label values are counted under labels that all say ``other``, and the
    values of metrics not seen before are let go; both are counted in :attr:`overflowed`.
    """

    def __init__(self, *, max_series: int) -> None:
        self._max_series = max_series
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget every series."""
        self._lock = threading.RLock()
        self._families: dict[str, _Family] = {}
        self._exposed: set[str] = set()
        self._series_count = 0
        self.overflowed = 0

    def record(
        self, name: str, value: float, labels: Mapping[str, str] | None, kind: MetricKind
    ) -> None:
        """Add to a counter, set a gauge, or observe a value in a histogram.

        Raises :class:`~metalscope.errors.InvalidNameError` for a name or label that breaks the
        rules or that is in use as something else, and ``ValueError`` for a value that is not a
        finite number, or is negative where a counter is meant.
        """
        number = _number(name, value, kind)
        key = _labels(name, labels)
        with self._lock:
            family = self._families.get(name)
            if family is None:
                exposed = self._check(name, kind, key)
                if self._series_count >= self._max_series:
                    self.overflowed += 1
                    return
                family = self._families[name] = _Family(kind, tuple(label for label, _ in key))
                self._exposed |= exposed
            _agree(name, family, kind, key)
            series = family.series.get(key)
            if series is None:
                if self._series_count >= self._max_series:
                    self.overflowed += 1
                    key = tuple((label, OTHER) for label, _ in key)
                    series = family.series.get(key)
                if series is None:
                    series = family.series[key] = _Series()
                    self._series_count += 1
            _add(series, number, kind)

    def collect(self) -> tuple[CustomMetric, ...]:
        """All series, by name, then labels."""
        with self._lock:
            return tuple(
                CustomMetric(
                    name=name,
                    kind=family.kind,
                    labels=labels,
                    value=series.value,
                    count=series.count,
                    buckets=tuple(zip(HISTOGRAM_BOUNDS, accumulate(series.counts), strict=False))
                    if series.counts
                    else (),
                )
                for name, family in sorted(self._families.items())
                for labels, series in sorted(family.series.items())
            )

    def _check(self, name: str, kind: MetricKind, key: Labels) -> set[str]:
        """Check a new family; return the names it would be exposed under."""
        if kind not in _SUFFIXES:
            raise ValueError(
                f"custom metric {name!r}: kind {kind!r} is not one of {', '.join(_SUFFIXES)}"
            )
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidNameError(
                f"custom metric name {name!r} must be letters, digits or '_', and not begin "
                "with a digit"
            )
        if name.startswith(_RESERVED_PREFIXES):
            raise InvalidNameError(
                f"custom metric name {name!r} begins with a prefix metalscope keeps for itself "
                f"({', '.join(_RESERVED_PREFIXES)})"
            )
        base = name.removesuffix("_total") if kind == "counter" else name
        exposed = {base + suffix for suffix in _SUFFIXES[kind]}
        taken = exposed & self._exposed
        if taken:
            raise InvalidNameError(
                f"custom metric {name!r} ({kind}) would be exposed as {min(taken)!r}, which "
                "another custom metric already is"
            )
        for label, _ in key:
            if not _NAME.fullmatch(label) or label.startswith("__"):
                raise InvalidNameError(
                    f"custom metric {name!r}: label {label!r} must be letters, digits or '_', and "
                    "not begin with a digit or '__'"
                )
            if label in _RESERVED_LABELS:
                raise InvalidNameError(
                    f"custom metric {name!r}: label {label!r} has a meaning of its own "
                    "in Prometheus"
                )
        return exposed


def _agree(name: str, family: _Family, kind: MetricKind, key: Labels) -> None:
    if family.kind != kind:
        raise InvalidNameError(f"custom metric {name!r} is a {family.kind}, not a {kind}")
    names = tuple(label for label, _ in key)
    if family.label_names != names:
        raise InvalidNameError(
            f"custom metric {name!r} has the labels {list(family.label_names)}, not {list(names)}"
        )


def _add(series: _Series, number: float, kind: MetricKind) -> None:
    if kind == "gauge":
        series.value = number
        return
    series.value += number
    if kind == "histogram":
        if series.counts is None:
            series.counts = [0] * (len(HISTOGRAM_BOUNDS) + 1)
        series.counts[bisect_left(HISTOGRAM_BOUNDS, number)] += 1
        series.count += 1


def _number(name: str, value: float, kind: MetricKind) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not isfinite(number):
        raise ValueError(f"custom metric {name!r}: value {value!r} is not a finite number")
    if kind == "counter" and number < 0:
        raise ValueError(f"custom metric {name!r}: a counter cannot go down, got {value!r}")
    return number


def _labels(name: str, labels: Mapping[str, str] | None) -> Labels:
    if not labels:
        return ()
    if not isinstance(labels, Mapping) or not all(isinstance(key, str) for key in labels):
        raise InvalidNameError(f"custom metric {name!r}: labels must map names to values")
    return tuple(sorted((key, _text(value)[:MAX_TEXT]) for key, value in labels.items()))


class EventLog:
    """The last events, bounded by number and by age."""

    def __init__(self, *, max_events: int, retention: timedelta) -> None:
        self._max_events = max_events
        self._retention = retention
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget every event."""
        self._lock = threading.RLock()
        self._events: deque[TelemetryEvent] = deque(maxlen=self._max_events)
        self._sequence = 0
        self.dropped = 0

    def record(self, name: str, properties: Mapping[str, Any] | None) -> TelemetryEvent:
        """Add one event. Property values that JSON has no word for are kept as their text.

        Raises :class:`~metalscope.errors.InvalidNameError` where the name is empty or no text, or
        the properties are no mapping with text keys.
        """
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_TEXT:
            raise InvalidNameError(
                f"event name {name!r} must be text of 1 to {MAX_TEXT} characters"
            )
        given = {} if properties is None else properties
        if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
            raise InvalidNameError(f"event {name!r}: properties must map names to values")
        plain = MappingProxyType({_text(key): _plain(value, 0) for key, value in given.items()})
        with self._lock:
            self._sequence += 1
            span = current_span()
            event = TelemetryEvent(
                self._sequence,
                datetime.now(UTC),
                _text(name),
                plain,
                current_correlation_id(),
                None if span is None else span.trace_id_text,
            )
            if len(self._events) == self._events.maxlen:
                self.dropped += 1
            self._events.append(event)
        return event

    def latest(self, count: int) -> tuple[TelemetryEvent, ...]:
        """The newest ``count`` events, oldest first."""
        with self._lock:
            return tuple(self._events)[-count:]

    def forget_old(self, now: datetime) -> None:
        """Let go of events past their retention."""
        with self._lock:
            while self._events and self._events[0].timestamp < now - self._retention:
                self._events.popleft()


def _plain(value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            return {_text(key): _plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth + 1) for item in value]
    return _text(value)[:MAX_TEXT]


def _text(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode("utf-8")
