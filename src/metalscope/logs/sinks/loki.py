"""Log records to Grafana Loki, by its push API in JSON.

https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from metalscope.logs.formats.json_text import json_members, quoted, without_surrogates
from metalscope.logs.sinks.base import LogSink
from metalscope.logs.sinks.halving import Halving
from metalscope.logs.sinks.loki_answer import Line, refused_lines
from metalscope.sending.http.outcome import HttpAnswer, judge, retry_after_of
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.settings import Settings
from metalscope.sending.shipping.base import Batch, Refusal, Shipment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from metalscope.logs.record import LogRecord
    from metalscope.logs.sinks.base import SinkContext

__all__ = ["DEFAULT_ENDPOINT", "PUSH_PATH", "LokiSink"]

DEFAULT_ENDPOINT: Final = "http://localhost:3100"
PUSH_PATH: Final = "/loki/api/v1/push"
"""What is put after the endpoint, where that does not end with it."""

_LABEL_NAME: Final = r"[a-zA-Z_][a-zA-Z0-9_]*"
_MOST_LABELS: Final = 15
"""`limits_config.max_label_names_per_series`, by default; two of them are ours."""
_LONGEST_VALUE: Final = 2048
"""`limits_config.max_label_value_length`, by default."""

_BLOCKED: Final = 260
"""`limits_config.block_ingestion_status_code`, by default: a success that is none."""

# Between its own parts it speaks gRPC, and hands on what that says, with the status 500.
_TOO_LARGE: Final = re.compile(rb"message larger than max \(")


class LokiSink(LogSink):
    """Sends lines in streams of few labels; ids and names of events are structured metadata.

    Raises:
        ConfigurationError: an option or a setting cannot be used.
    """

    def __init__(self, context: SinkContext) -> None:
        options = context.options
        settings = Settings(options, ("labels", "tenant", "structured_metadata"))
        # A line holds all of the record, so that `| json` finds it.
        self._line = context.line if options.format == "text" else context.json_line
        self._labels = {
            "service_name": str(context.resource.get("service.name", "metalscope")),
            **_labels(settings),
        }
        self._with_metadata = settings.flag("structured_metadata", True)
        self._metadata = {
            name: str(context.resource[key])
            for name, key in (("host_name", "host.name"), ("instance", "service.instance.id"))
            if key in context.resource
        }
        tenant = settings.text("tenant", r"[!-~]{1,150}", such_as="team-a")
        self._headers = {"x-scope-orgid": tenant} if tenant is not None else {}
        self._http = context.open_http(options.endpoint or DEFAULT_ENDPOINT)
        ends_with_it = urlsplit(self._http.url).path.rstrip("/").endswith("/push")
        self._path = "" if ends_with_it else PUSH_PATH
        self._compress = options.compress
        self._halving = Halving(most=options.batch_size)

    def encode(self, record: LogRecord) -> bytes:
        """The labels of its stream and its entry there, each as JSON on a line of its own."""
        stream = json_members({"level": record.severity.text, **self._labels})
        entry = f'["{record.timestamp_ns}",{quoted(self._line(record))}'
        if self._with_metadata:
            entry += f",{{{json_members(self._said_of(record))}}}"
        return without_surrogates(f"{{{stream}}}\n{entry}]").encode()

    def send(self, batch: Batch) -> Shipment | ExportResult | None:
        """Push the batch; in each stream the lines are in the order of their times."""
        return self._halving.send(batch.records, self._push)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _push(self, records: Sequence[bytes]) -> Shipment | ExportResult | None:
        streams: dict[bytes, list[tuple[int, int, bytes]]] = {}
        for place, record in enumerate(records):
            labels, _, entry = record.partition(b"\n")
            streams.setdefault(labels, []).append((_time_of(entry), place, entry))
        for entries in streams.values():
            entries.sort()
        pushed = b",".join(
            b'{"stream":%b,"values":[%b]}' % (labels, b",".join(entry for _, _, entry in entries))
            for labels, entries in streams.items()
        )
        answer = self._http.send(
            b'{"streams":[%b]}' % pushed,
            content_type="application/json",
            path=self._path,
            headers=self._headers,
            compress=self._compress,
        )
        if answer.status == 400:
            return _partly(answer, streams)
        if answer.status == _BLOCKED:
            return ExportResult.retry(
                Reason.FORBIDDEN,
                f"{answer.peer} answered {answer.status}: ingestion is blocked",
                retry_after=retry_after_of(answer.headers),
            )
        result = judge(answer)
        if not result.ok and _TOO_LARGE.search(answer.body):
            return ExportResult.rejected(Reason.TOO_LARGE, result.detail)
        return None if result.ok else result

    def _said_of(self, record: LogRecord) -> dict[str, str]:
        said = {
            "correlation_id": record.correlation_id,
            "trace_id": record.trace_id,
            "span_id": record.span_id,
            "event": record.event,
            "logger": record.logger,
            **self._metadata,
        }
        return {name: value for name, value in said.items() if value}


def _partly(
    answer: HttpAnswer, streams: dict[bytes, list[tuple[int, int, bytes]]]
) -> Shipment | ExportResult:
    lines = [
        Line(place, _as_loki_writes(labels), time_ns, _line_bytes(entry))
        for labels, entries in streams.items()
        for time_ns, place, entry in entries
    ]
    refused = refused_lines(answer.body.decode("utf-8", "replace"), lines)
    if refused is None:
        return judge(answer)
    says = f"{answer.peer} answered 400: {answer.words}"
    return Shipment(refused=[Refusal(place, Reason.SCHEMA, says) for place in refused])


def _time_of(entry: bytes) -> int:
    return int(entry[2 : entry.index(b'"', 2)])


def _line_bytes(entry: bytes) -> int:
    import json  # noqa: PLC0415 - read again only after a refusal

    return len(json.loads(entry)[1].encode())


def _as_loki_writes(labels: bytes) -> str:
    import json  # noqa: PLC0415 - read again only after a refusal

    pairs = sorted(json.loads(labels).items())
    return "{" + ", ".join(f"{name}={quoted(value)}" for name, value in pairs) + "}"


def _labels(settings: Settings) -> dict[str, str]:
    labels: Any = settings.get("labels")
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise settings.wrong("labels", f"must be names with their values, not {labels!r}")
    for name, value in labels.items():
        if not isinstance(name, str) or not re.fullmatch(_LABEL_NAME, name):
            raise settings.wrong("labels", f"must have names such as 'region', not {name!r}")
        if name.startswith("__"):
            raise settings.wrong("labels", f"must not have {name}, which Loki keeps for itself")
        if name == "level":
            raise settings.wrong("labels", "must not have level, which each record has of its own")
        if not isinstance(value, str) or not 0 < len(value.encode()) <= _LONGEST_VALUE:
            raise settings.wrong(
                "labels",
                f"must have values of text, 1 to {_LONGEST_VALUE} bytes long; {name} has {value!r}",
            )
    if len({"level", "service_name", *labels}) > _MOST_LABELS:
        raise settings.wrong("labels", f"must be {_MOST_LABELS - 2} at most, as Loki takes no more")
    return labels
