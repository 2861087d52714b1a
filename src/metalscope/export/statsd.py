"""StatsD, by the client of the package ``statsd``: dotted names, no labels, no times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import MissingExtraError
from metalscope.export.base import ExporterContext, MetricsExporter
from metalscope.export.batches import Batches
from metalscope.export.datagrams import DEFAULT_PORT, Link
from metalscope.export.deltas import Change, Changes
from metalscope.sending.result import ExportResult
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["StatsdExporter"]

CHANGES_IN_A_PART: Final = 20

DATAGRAM_BYTES: Final = 512
"""What goes over any network in one piece (StatsD documentation, "Multi-Metric Packets")."""

LONGEST_NAME: Final = 8192
"""Bytes; macOS sends no datagram larger than 9216 (sysctl net.inet.udp.maxdgram)."""


class StatsdExporter(MetricsExporter):
    """Sends to a StatsD server at ``udp://host:port`` or ``unix:///path``.

    Counters are increments of what they gained since the last snapshot that arrived, everything
    else gauges. A name is ``settings.prefix``, the metric, its label values in the order of its
    labels, and the values of the ``labels`` of the options, with dots between them. StatsD knows
    no times: what waited counts when it arrives.

    Raises:
        ConfigurationError: an option is not usable.
        MissingExtraError: the package ``statsd`` is not installed.
    """

    def __init__(self, context: ExporterContext) -> None:
        self._prefix = Settings(context.options, {"prefix"}).text(
            "prefix", r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", such_as="gpu.host1"
        )
        self._suffix = tuple(map(_part, context.options.labels.values()))
        self._link = Link(context, context.options.endpoint or f"udp://127.0.0.1:{DEFAULT_PORT}")
        self._client = _client_of(self._link, self._prefix)
        self._changes = Changes(context.view)
        self._batches: Batches[_Named] = Batches(CHANGES_IN_A_PART)

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """Count from there."""
        self._changes.resume(delivered)

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        """Send what changed, in as many datagrams as it takes."""
        if self._changes.has(snapshot):
            return ExportResult.delivered(detail="it was sent already")

        def send(part: Sequence[_Named]) -> ExportResult:
            result = self._sent(part)
            if result.ok:
                covers = (cover for one in part for cover in one.change.covers)
                self._changes.arrived(snapshot, covers)
            return result

        named = list(_merged(self._named(self._changes.changes(snapshot))))
        # Found out by the system, such a line would have a part sent again, and counts add up.
        fitting = [one for one in named if len(one.name) <= LONGEST_NAME]
        result = self._batches.send(snapshot, fitting, send)
        if not result.ok:
            return result
        self._changes.complete(snapshot)
        left = len(named) - len(fitting)
        if not left:
            return result
        return ExportResult.delivered(
            result.points,
            rejected_points=result.rejected_points + left,
            detail=f"{left} names are longer than {LONGEST_NAME} bytes and fit no datagram",
        )

    def shutdown(self) -> None:
        """Close the socket."""
        self._link.close()

    def _sent(self, part: Sequence[_Named]) -> ExportResult:
        if self._link.open() is not None:
            with self._client.pipeline() as pipe:
                for one in part:
                    value = _Plain(one.change.value)
                    if one.change.kind == "count":
                        pipe.incr(one.name, value)
                    else:
                        # A gauge with a sign is a change of it (StatsD documentation, "Gauges");
                        # the client sets it to 0 before one that is negative.
                        pipe.gauge(one.name, value)
        return self._link.result(len(part))

    def _named(self, changes: Iterable[Change]) -> Iterator[_Named]:
        for change in changes:
            values = (_part(value) for _, value in change.labels)
            yield _Named(".".join((_part(change.name), *values, *self._suffix)), change)


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    change: Change


class _Plain(float):
    """A number written without an exponent, which not every StatsD server reads."""

    def __str__(self) -> str:
        number = float(self)
        return str(int(number)) if number.is_integer() else format(Decimal(repr(number)), "f")


def _part(text: str) -> str:
    """One part of a dotted name: letters, digits, ``_`` and ``-``; never empty."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text) or "_"


def _merged(found: Iterable[_Named]) -> Iterator[_Named]:
    """What has the same name as one: counts added, the highest gauge."""
    merged: dict[tuple[str, str], _Named] = {}
    for one in found:
        key = one.name, one.change.kind
        other = merged.get(key)
        if other is not None:
            a, b = other.change, one.change
            value = max(a.value, b.value) if a.kind == "gauge" else a.value + b.value
            one = _Named(  # noqa: PLW2901
                one.name, replace(a, value=value, covers=a.covers + b.covers)
            )
        merged[key] = one
    yield from merged.values()


def _client_of(link: Link, prefix: str | None) -> Any:
    try:
        from statsd.client.base import StatsClientBase  # noqa: PLC0415
        from statsd.client.udp import Pipeline  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the StatsD exporter", "statsd", cause=str(error)) from error

    class Client(StatsClientBase):  # type: ignore[misc,unused-ignore]
        """Writes as the package's UDP client does, over a connected socket: failures are known."""

        _prefix = prefix
        _maxudpsize = DATAGRAM_BYTES

        def _send(self, data: str) -> None:
            opened = link.current
            if opened is not None:
                try:
                    opened.send(data.encode("ascii"))
                except TimeoutError:
                    return  # the link has the reason

        def pipeline(self) -> Any:
            return Pipeline(self)

    return Client()
