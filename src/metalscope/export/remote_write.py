"""Prometheus remote write 1.0: to Prometheus, Mimir, VictoriaMetrics, Thanos, Grafana Cloud.

Source: "Prometheus Remote-Write 1.0 specification", prometheus.io/docs/specs/prw/remote_write_spec.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.export.base import MetricsExporter, ReadBack
from metalscope.export.batches import Batches
from metalscope.export.prometheus import ANNOUNCED_UNITS
from metalscope.export.prometheus_schema import write_request
from metalscope.export.prometheus_series import STALE, Series, milliseconds, series_of
from metalscope.export_options import HistogramForm
from metalscope.sending.http.transport import TransportError, judge, result_of_error
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from metalscope.export.base import ExporterContext
    from metalscope.semconv import Metric
    from metalscope.sending.http.transport import HttpAnswer
    from metalscope.snapshot import Exemplar, MetalTelemetrySnapshot

__all__ = ["RemoteWriteExporter"]

SERIES_A_REQUEST: Final = 2000
"""As Prometheus's own ``max_samples_per_send`` is by default since 2.53."""

READ_BACK_SECONDS: Final = 15.0
"""How long a server may take until what it took can be asked for. Prometheus takes no time,
VictoriaMetrics 1.79 was seen to take 10 s for new series."""

_HEADERS: Final = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}

# Of Prometheus (storage/interface.go) and of Mimir (the ids of its errors), each for values of a
# time before which, or at which, the server has others already.
_TOO_LATE: Final = (
    "out of order sample",
    "duplicate sample for timestamp",
    "out of bounds",
    "too old sample",
    "err-mimir-sample-out-of-order",
    "err-mimir-sample-duplicate-timestamp",
    "err-mimir-sample-timestamp-too-old",
)


class RemoteWriteExporter(MetricsExporter):
    """Writes each snapshot to a server that takes Prometheus's remote write.

    Args:
        context: what it is made from. ``settings`` may have ``stale_markers``: whether the series
            are marked as ended when the program ends, so that queries do not find them any more.
        url: where to write to; ``options.endpoint`` where none is given.

    Raises:
        ConfigurationError: there is no endpoint, or a setting is wrong.
        MissingExtraError: protobuf or cramjam is not installed.
    """

    def __init__(self, context: ExporterContext, url: str | None = None) -> None:
        options = context.options
        self._url = url or options.endpoint
        if self._url is None or not self._url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"exporter {context.name!r}: endpoint must be the http or https URL of remote "
                "write, such as 'https://prometheus:9090/api/v1/write'"
            )
        self._stale_markers = Settings(context.options, ("stale_markers",)).flag("stale_markers")
        self._compress = _snappy()
        write_request()  # so that it is known now whether protobuf is there
        self._context = context
        self._native = options.histograms is HistogramForm.EXPONENTIAL
        self._http = context.open_http(self._url)
        self._batches = Batches[Series](SERIES_A_REQUEST)
        self._last: MetalTelemetrySnapshot | None = None
        self._exemplars_since: datetime | None = None

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        """Write all series, at the time of the snapshot."""
        series = self._series(snapshot)
        ends = time.monotonic() + self._context.timeout.total_seconds()

        def send(part: Sequence[Series]) -> ExportResult:
            if time.monotonic() > ends:
                seconds = self._context.timeout.total_seconds()
                return ExportResult.retry(Reason.TIMEOUT, f"not all arrived within {seconds:g} s")
            at, since = milliseconds(snapshot.timestamp), self._exemplars_since
            entries = [_time_series(one, at, exemplars_since=since) for one in part]
            metadata = list(_metadata(series)) if part[0] is series[0] else []
            return self._write(write_request(timeseries=entries, metadata=metadata))

        result = self._batches.send(snapshot, series, send)
        if result.ok:
            self._last, self._exemplars_since = snapshot, snapshot.timestamp
        return result

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """Exemplars are sent from there on."""
        self._exemplars_since = delivered.timestamp

    def read_back(self, snapshot: MetalTelemetrySnapshot) -> ReadBack | None:
        """Query one series of the snapshot at the server's own API, where its address is known."""
        series = next(iter(self._series(snapshot)), None)
        url = _query_url(self._url or "")
        if series is None or url is None:
            return None
        selector = ",".join(
            f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in series.labels
        )
        at = milliseconds(snapshot.timestamp) / 1000
        # nocache: VictoriaMetrics would else not look at the last 30 seconds.
        query = {"query": f"timestamp({{{selector}}})", "time": f"{at:.3f}", "nocache": "1"}
        name, http = series.metric.name, self._context.open_http(url)
        deadline = time.monotonic() + READ_BACK_SECONDS
        try:
            while True:
                answer = http.get(query=query)
                if answer.status != 200:
                    return None  # a key that may write need not be one that may read
                found = _values(answer.body)
                if found is None:
                    return None
                if any(abs(value - at) < 0.001 for value in found):
                    return ReadBack(True, f"the server has {name} of that time")
                if time.monotonic() > deadline:
                    return ReadBack(False, f"the server has no {name} of that time")
                time.sleep(0.5)
        except TransportError as error:
            return ReadBack(False, f"the server could not be asked: {error.detail}")
        finally:
            http.close()

    def shutdown(self) -> None:
        """Mark the series as ended, where that is asked for, as well as can be; then close."""
        if self._stale_markers and self._last is not None:
            at = milliseconds(self._last.timestamp) + 1
            ended = [_time_series(one, at, ended=True) for one in self._series(self._last)]
            with suppress(TransportError):
                for start in range(0, len(ended), SERIES_A_REQUEST):
                    part = ended[start : start + SERIES_A_REQUEST]
                    self._post(write_request(timeseries=part))
        self._http.close()

    def _series(self, snapshot: MetalTelemetrySnapshot) -> list[Series]:
        view = self._context.view
        families = view.families(snapshot)
        return list(series_of(families, view.identity(snapshot), native=self._native))

    def _write(self, request: Any) -> ExportResult:
        try:
            answer = self._post(request)
        except TransportError as error:
            return result_of_error(error)
        return _special(answer) or judge(answer)

    def _post(self, request: Any) -> HttpAnswer:
        body = bytes(self._compress(request.SerializeToString()))
        return self._http.send(body, content_type="application/x-protobuf", headers=_HEADERS)


def _snappy() -> Any:
    """The block format, not the framed one (specification, "Protocol")."""
    try:
        from cramjam import snappy  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise MissingExtraError(
            "Prometheus remote write", "prometheus", cause=str(error)
        ) from error
    return snappy.compress_raw


# -- a request ------------------------------------------------------------------------------------


def _time_series(
    series: Series, at: int, *, exemplars_since: datetime | None = None, ended: bool = False
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "labels": [{"name": name, "value": value} for name, value in series.labels]
    }
    if not ended:
        # Those the server has it would refuse, and log at each export that it did.
        entry["exemplars"] = [
            _exemplar(one)
            for one in series.exemplars
            if exemplars_since is None or one.timestamp > exemplars_since
        ]
    native = series.native
    if native is None or ended:
        value = STALE if ended else series.value
        return entry | {"samples": [{"value": value, "timestamp": at}]}
    histogram = {
        "count_int": series.count,
        "sum": series.sum,
        "schema": native.schema,
        "zero_threshold": native.zero_threshold,
        "zero_count_int": native.zero_count,
        "positive_spans": [{"offset": offset, "length": n} for offset, n in native.spans],
        "positive_deltas": native.deltas,
        "timestamp": at,
    }
    return entry | {"histograms": [histogram]}


def _exemplar(exemplar: Exemplar) -> dict[str, Any]:
    labels = exemplar.labels
    return {
        "labels": [{"name": name, "value": value} for name, value in sorted(labels.items())],
        "value": exemplar.value_ms,
        "timestamp": milliseconds(exemplar.timestamp),
    }


def _metadata(series: Sequence[Series]) -> Iterator[dict[str, str]]:
    metrics: dict[str, Metric] = {one.metric.name: one.metric for one in series}
    for name, metric in metrics.items():
        yield {
            "type": metric.type.upper(),
            "metric_family_name": name,
            "help": metric.help,
            "unit": metric.unit if metric.unit in ANNOUNCED_UNITS else "",
        }


# -- an answer ------------------------------------------------------------------------------------


def _special(answer: HttpAnswer) -> ExportResult | None:
    """What only servers of remote write say."""
    said = answer.body.decode("utf-8", "replace").lower()
    if answer.status == 400 and any(text in said for text in _TOO_LATE):
        return ExportResult.rejected(
            Reason.SCHEMA,
            "the server has newer or other values of these series already and takes none of an "
            "earlier or the same time (HTTP 400)",
        )
    if answer.status == 404 and "remote write receiver needs to be enabled" in said:
        return ExportResult.retry(
            Reason.NOT_FOUND,
            "this Prometheus takes remote writes only where it is started with "
            "--web.enable-remote-write-receiver (HTTP 404)",
        )
    if answer.status >= 400 and "native histograms are disabled" in said:
        return ExportResult.retry(
            Reason.SERVER_ERROR,
            "this Prometheus takes native histograms only where it is started with "
            f"--enable-feature=native-histograms (HTTP {answer.status}); histograms: classic "
            "does without",
        )
    return None


def _query_url(url: str) -> str | None:
    """Where the server that is written to at ``url`` is queried."""
    parts = urlsplit(url)
    # Grafana Cloud and Mimir have the query API under a prefix, the others beside the write API.
    for ending, other in (
        ("/api/prom/push", "/api/prom/api/v1/query"),
        ("/api/v1/push", "/prometheus/api/v1/query"),
        ("/api/v1/write", "/api/v1/query"),
    ):
        if parts.path.endswith(ending):
            path = parts.path.removesuffix(ending) + other
            return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return None


def _values(body: bytes) -> list[float] | None:
    """The values of an instant query's answer; ``None`` where it is no such answer."""
    try:
        data = json.loads(body)["data"]
        return [float(one["value"][1]) for one in data["result"]]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
