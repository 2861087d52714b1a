"""Snapshots as Datadog's series, distributions and events, for its APIs and for DogStatsD.

A Datadog count is the number of things in an interval (Datadog documentation, "Metric types"), so
counters go as what they gained. The API keeps one point for each series and second and lets the
last one stand (vectordotdev/vector, issue 13867), so no two snapshots of a process have the same
second here, and no two of our series become the same one there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from metalscope.export.deltas import Change, Changes, DurationChange, middles_ms, quantile_ms
from metalscope.semconv import Unit

if TYPE_CHECKING:
    from metalscope.export.deltas import Key, State
    from metalscope.export.view import MetricView
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["DatadogPoints", "Event", "Series", "Values", "metric_name", "tag"]

QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))

UNITS: Final[dict[Unit, str]] = {
    "bytes": "byte",
    "celsius": "degree celsius",
    "hertz": "hertz",
    "ms": "millisecond",
    "percent": "percent",
    "ratio": "fraction",
    "seconds": "second",
    "watts": "watt",
}
"""Datadog's names of our units (Datadog documentation, "Metrics units"); it has not all."""

VALUES_IN_A_POINT: Final = 1000

MAX_TITLE: Final = 500
MAX_TEXT: Final = 4000
"""Longest text of an event, characters (Datadog API v1, "Post an event")."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series with its value of this moment. ``interval`` is that of a count, in s."""

    metric: str
    tags: tuple[str, ...]
    kind: Literal["count", "gauge"]
    value: float
    unit: str = ""
    interval: int = 0
    covers: tuple[tuple[Key, State], ...] = ()


@dataclass(frozen=True, slots=True)
class Values:
    """Durations of one series, in ms, or :data:`VALUES_IN_A_POINT` of them."""

    metric: str
    tags: tuple[str, ...]
    values: tuple[float, ...]
    covers: tuple[tuple[Key, State], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A custom event; ``second`` is since the Unix epoch, ``text`` its properties as JSON."""

    sequence: int
    title: str
    text: str
    second: int
    tags: tuple[str, ...]


class DatadogPoints:
    """What to send of each snapshot, and what of it has arrived.

    Args:
        view: what may be sent, and under which names.
        distributions: send durations as distributions, in place of quantiles.
        events: send custom events.
    """

    def __init__(self, view: MetricView, *, distributions: bool, events: bool) -> None:
        self._view = view
        self._distributions, self._events = distributions, events
        self._changes = Changes(view)
        self._last_second: tuple[datetime, int] | None = None
        self._last_event: tuple[datetime, int] | None = None

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """All of ``delivered`` arrived."""
        self._changes.resume(delivered)
        self._last_second = (delivered.started_at, int(delivered.timestamp.timestamp()))
        self._saw(delivered)

    def has_arrived(self, snapshot: MetalTelemetrySnapshot) -> bool:
        """Whether Datadog has it, so that sending it again would put zeros over its counts."""
        return self._changes.has(snapshot)

    def series(self, snapshot: MetalTelemetrySnapshot) -> list[Series]:
        """Counts, gauges and, without distributions, quantiles of the durations."""
        tags = self.tags(snapshot)
        found = [_series_of(change, tags) for change in self._changes.changes(snapshot)]
        if not self._distributions:
            for change in self._changes.durations(snapshot):
                found += _quantiles_of(change, tags)
        return list(_merged(found))

    def distributions(self, snapshot: MetalTelemetrySnapshot) -> list[Values]:
        """Every duration there was, each as the middle of the cell it was counted in."""
        if not self._distributions:
            return []
        tags = self.tags(snapshot)
        return [
            values
            for change in self._changes.durations(snapshot)
            for values in _values_of(change, tags)
        ]

    def events(self, snapshot: MetalTelemetrySnapshot) -> list[Event]:
        """Custom events that were not sent yet, oldest first."""
        if not self._events:
            return []
        tags = self.tags(snapshot)
        seen = self._seen(snapshot)
        return [
            Event(
                event.sequence,
                event.name[:MAX_TITLE],
                _text_of(event.properties),
                int(event.timestamp.timestamp()),
                tags,
            )
            for event in self._view.events(snapshot)
            if event.sequence > seen
        ]

    def second(self, snapshot: MetalTelemetrySnapshot) -> int:
        """The time of the snapshot's points: its own, later where that second is taken."""
        own = int(snapshot.timestamp.timestamp())
        if self._last_second is not None and self._last_second[0] == snapshot.started_at:
            return max(own, self._last_second[1] + 1)
        return own

    def host(self, snapshot: MetalTelemetrySnapshot) -> str | None:
        """The host, where the resource names it."""
        host = self._view.resource(snapshot).get("host.name")
        return str(host) if host else None

    def tags(self, snapshot: MetalTelemetrySnapshot) -> tuple[str, ...]:
        """What all series have: Datadog's ``service``, ``env`` and ``version``, who speaks, labels.

        (Datadog documentation, "Unified service tagging".)
        """
        resource = self._view.resource(snapshot)
        said = {
            "version": resource.get("service.version"),
            "env": resource.get("deployment.environment.name")
            or resource.get("deployment.environment"),
        }
        names = {key: str(value) for key, value in said.items() if value}
        identity = self._view.identity(snapshot)
        if "job" in identity:
            names["service"] = identity.pop("job")
        return _tags(sorted((names | identity).items()))

    def arrived(self, snapshot: MetalTelemetrySnapshot, part: Iterable[Series | Values]) -> None:
        """These arrived."""
        self._changes.arrived(snapshot, (cover for one in part for cover in one.covers))

    def event_arrived(self, snapshot: MetalTelemetrySnapshot, event: Event) -> None:
        """This event, and all before it, are not to be sent again."""
        self._last_event = (snapshot.started_at, max(self._seen(snapshot), event.sequence))

    def complete(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Nothing of the snapshot is left to send."""
        self._last_second = (snapshot.started_at, self.second(snapshot))
        self._changes.complete(snapshot)
        self._saw(snapshot)

    def _seen(self, snapshot: MetalTelemetrySnapshot) -> int:
        if self._last_event is not None and self._last_event[0] == snapshot.started_at:
            return self._last_event[1]
        return 0

    def _saw(self, snapshot: MetalTelemetrySnapshot) -> None:
        newest = max((event.sequence for event in snapshot.events), default=0)
        self._last_event = (snapshot.started_at, max(self._seen(snapshot), newest))


def metric_name(name: str) -> str:
    """``name`` by Datadog's rules: ASCII letters, digits, ``_`` and ``.``; 200 characters."""
    name = re.sub(r"[^A-Za-z0-9_.]", "_", name)
    return (name if re.match(r"[A-Za-z]", name) else f"m_{name}")[:200]


@lru_cache(maxsize=4096)
def tag(key: str, value: str) -> str:
    """A tag by Datadog's rules; empty where nothing is left of the value.

    Lower case; letters, digits, ``_``, ``-``, ``:``, ``/`` and ``.``, other characters are ``_``;
    runs of ``_`` are one and none is at the end; 200 characters (Datadog documentation, "Getting
    started with tags"). Done here, as two values that Datadog makes the same are one series there.
    """
    clean = re.sub(r"[^\w\-:/.]", "_", value.lower())
    clean = re.sub(r"_+", "_", clean).strip("_")
    return f"{key.lower()}:{clean}"[:200].rstrip("_") if clean else ""


def _tags(labels: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(filter(None, (tag(key, value) for key, value in labels)))


def _series_of(change: Change, tags: tuple[str, ...]) -> Series:
    return Series(
        metric_name(change.name),
        _tags(change.labels) + tags,
        change.kind,
        change.value,
        UNITS.get(change.unit, ""),
        max(1, round(change.seconds)) if change.kind == "count" else 0,
        change.covers,
    )


def _quantiles_of(change: DurationChange, tags: tuple[str, ...]) -> Iterator[Series]:
    for suffix, q in QUANTILES:
        value = quantile_ms(change.durations, q)
        if value is not None:
            name = f"{metric_name(change.name)}.{suffix}"
            all_tags = _tags(change.labels) + tags
            yield Series(name, all_tags, "gauge", value, UNITS["ms"], covers=change.covers)


def _values_of(change: DurationChange, tags: tuple[str, ...]) -> Iterator[Values]:
    each = (value for value, count in middles_ms(change.durations) for _ in range(count))
    name, all_tags = metric_name(change.name), _tags(change.labels) + tags
    left = change.durations.count
    while values := tuple(islice(each, VALUES_IN_A_POINT)):
        left -= len(values)
        yield Values(name, all_tags, values, () if left else change.covers)


def _merged(found: Iterable[Series]) -> Iterator[Series]:
    """Series that have the same name and tags there as one: counts added, the highest gauge."""
    merged: dict[tuple[str, frozenset[str], str], Series] = {}
    for one in found:
        key = one.metric, frozenset(one.tags), one.kind
        other = merged.get(key)
        if other is not None:
            add = max(one.value, other.value) if one.kind == "gauge" else one.value + other.value
            one = replace(  # noqa: PLW2901
                other,
                value=add,
                interval=max(one.interval, other.interval),
                covers=other.covers + one.covers,
            )
        merged[key] = one
    yield from merged.values()


def _text_of(properties: object) -> str:
    text = json.dumps(properties, default=str, ensure_ascii=False)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
