"""InfluxDB's line protocol, written by InfluxDB's own client, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.export.base import ExporterContext, MetricsExporter
from metalscope.export.batches import Batches
from metalscope.export.deltas import samples
from metalscope.moments import microseconds
from metalscope.option_types import shown_endpoint
from metalscope.sending.http.transport import HttpAnswer, TransportError, judge, result_of_error
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["InfluxdbExporter"]

LINES_IN_A_PART: Final = 5000
"""What InfluxDB advises (InfluxDB documentation, "Optimize writes")."""

_PARTIAL: Final = re.compile(rb"partial write.*?dropped=(\d+)", re.DOTALL)


class InfluxdbExporter(MetricsExporter):
    """Writes to InfluxDB 2 and 3 (``/api/v2/write``), InfluxDB 1 (``/write``) and their like.

    A measurement is called as the metric, with the field ``value``, a float; tags are the metric's
    labels, ``job``, ``instance`` and the ``labels`` of the options. Counters are totals, histograms
    ``_bucket`` by ``le``, ``_count`` and ``_sum``, as in Prometheus.

    The endpoint is the whole address with its query, or only the server's, and then ``settings``
    have ``bucket`` and ``org``, or ``database``. The key is sent as ``Authorization: Token``, or
    by HTTP basic authentication where ``user`` is set.

    Raises:
        ConfigurationError: an option is not usable, or it is not said where to write.
        MissingExtraError: ``influxdb-client`` is not installed.
    """

    def __init__(self, context: ExporterContext) -> None:
        try:
            from influxdb_client.client.write.point import Point  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError(
                "the InfluxDB exporter", "influxdb", cause=str(error)
            ) from error
        self._point: Any = Point
        self._view = context.view
        self._has_user = context.options.user is not None
        auth = "authorization" if self._has_user else "none"
        self._http = context.open_http(_write_url(context), auth=auth)
        self._batches: Batches[str] = Batches(LINES_IN_A_PART)

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        """Write all points of the snapshot, at its own time; again, they are the same points."""
        return self._batches.send(snapshot, list(self._lines(snapshot)), self._write)

    def shutdown(self) -> None:
        """Close the connections."""
        self._http.close()

    def _lines(self, snapshot: MetalTelemetrySnapshot) -> Iterator[str]:
        identity = self._view.identity(snapshot)
        nanoseconds = microseconds(snapshot.timestamp) * 1000
        for family in self._view.families(snapshot):
            for sample in samples(family):
                point = self._point(sample.name).time(nanoseconds)
                for key, value in (identity | dict(sample.labels)).items():
                    point.tag(key, value)
                # Always a float: a field that is an integer first never takes a fraction.
                line = point.field("value", float(sample.value)).to_line_protocol()
                if line:  # empty of a number that is infinite or none
                    yield line

    def _write(self, part: Sequence[str]) -> ExportResult:
        # The client's points may hold any character; what is no Unicode text is let go.
        body = "\n".join(part).encode(errors="replace")
        try:
            headers = self._authorization()
            answer = self._http.send(
                body,
                content_type="text/plain; charset=utf-8",
                headers=headers,
                compress=True,
            )
        except TransportError as error:
            return result_of_error(error)
        return _partial(answer, len(part)) or judge(answer)

    def _authorization(self) -> dict[str, str]:
        key = None if self._has_user else self._http.secret()
        if key is None:
            return {}
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise TransportError(
                Reason.CONFIGURATION, "the token is empty or holds characters no token has"
            )
        return {"authorization": f"Token {key}"}


def _partial(answer: HttpAnswer, points: int) -> ExportResult | None:
    """InfluxDB's answer to a part of which it took all but some points; ``None`` of another."""
    found = _PARTIAL.search(answer.body) if answer.status in {400, 422} else None
    if found is None:
        return None
    dropped = min(int(found[1]), points)
    detail = f"{answer.peer} answered {answer.status}: {answer.words}"
    if dropped == points:
        return ExportResult.rejected(Reason.SCHEMA, detail)
    return ExportResult.delivered(points - dropped, rejected_points=dropped, detail=detail)


def _write_url(context: ExporterContext) -> str:
    def wrong(what: str) -> ConfigurationError:
        return ConfigurationError(f"exporter {context.name!r}: {what}")

    settings = Settings(context.options, {"bucket", "org", "database"})
    bucket, org, database = (
        settings.text(name, r".+", such_as="gpu") for name in ("bucket", "org", "database")
    )
    endpoint = context.options.endpoint
    if endpoint is None:
        raise wrong("endpoint is not set; must be a URL such as 'http://host:8086'")
    parts = urlsplit(endpoint)
    query = dict(parse_qsl(parts.query))
    path = parts.path.rstrip("/")
    if bucket is not None:
        query |= {} if org is None else {"org": org}
        query |= {"bucket": bucket}
        path = path if path.endswith("/write") else f"{path}/api/v2/write"
    elif database is not None:
        query |= {"db": database}
        path = path if path.endswith("/write") else f"{path}/write"
    if not path.endswith("/write"):
        raise wrong(
            f"endpoint {shown_endpoint(endpoint)!r} must end in /write, or settings must have "
            "bucket and org, or database"
        )
    if query.setdefault("precision", "ns") not in {"ns", "n"}:
        raise wrong("endpoint must not ask for another precision than ns")
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode(query), ""))
