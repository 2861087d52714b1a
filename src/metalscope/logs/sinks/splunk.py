"""Splunk, by its HTTP Event Collector."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from metalscope.logs.formats.json_text import json_members
from metalscope.logs.sinks.base import LogSink
from metalscope.logs.sinks.halving import Halving
from metalscope.logs.sinks.splunk_ack import Acknowledgements
from metalscope.logs.sinks.splunk_answer import Taken, read_answer
from metalscope.sending.http.outcome import TransportError, result_of_error
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.settings import Settings
from metalscope.sending.shipping.base import Shipment

if TYPE_CHECKING:
    from metalscope.logs.record import LogRecord
    from metalscope.logs.sinks.base import SinkContext
    from metalscope.sending.http.transport import HttpAnswer
    from metalscope.sending.shipping.base import Batch, Refusal

__all__ = ["SplunkSink"]

logger: Final = logging.getLogger("metalscope")

MOST_EVENTS: Final = 10_000
"""In one request; ``batch_size`` and ``batch_bytes`` are what bounds it in use."""

DEFAULT_ACK_TIMEOUT: Final = timedelta(minutes=5)
"""Where little comes, indexers write what waits after about two minutes only."""

_KNOWN: Final = {"index", "source", "sourcetype", "ack", "ack_timeout"}
_NAME: Final = r"[^\x00-\x1f\x7f]{1,200}"
# Splunk, "Create custom indexes": lower-case letters, digits, _ and -.
_INDEX: Final = r"[a-z0-9_][a-z0-9_-]{0,79}"
_PATH: Final = re.compile(r"/services/collector(?:/event)?(?:/1\.0)?/?$")


class SplunkSink(LogSink):
    """Sends events to ``/services/collector/event``, with ``Authorization: Splunk TOKEN``.

    With ``settings.ack`` a batch has arrived when the indexers acknowledged it. Where they do not
    in ``settings.ack_timeout``, it is sent again, so events may be there twice, but none is lost
    that this side had sent.

    Raises:
        ConfigurationError: an option is not usable.
    """

    def __init__(self, context: SinkContext) -> None:
        options = context.options
        settings = Settings(options, _KNOWN)
        self._who = options.who
        self._compress = options.compress
        self._http = context.open_http(_base(options.endpoint), auth="none")
        self._halving = Halving(most=MOST_EVENTS, reasons={Reason.TOO_LARGE, Reason.SCHEMA})
        # One channel for as long as this sink lives: acknowledgements are counted in it.
        self._channel = str(uuid.uuid4())
        self._acks: Acknowledgements | None = None
        timeout = settings.duration("ack_timeout", DEFAULT_ACK_TIMEOUT)
        if settings.flag("ack"):
            self._acks = Acknowledgements(self._http.peer, self._ask, timeout=timeout)
        elif settings.get("ack_timeout") is not None:
            raise settings.wrong("ack_timeout", "is of no use where settings.ack is not on")
        self._told_of_no_ack = False
        self._event = _event_maker(context)
        self._said = _around(settings, context.resource)

    def encode(self, record: LogRecord) -> bytes:
        """One event, as the collector's JSON."""
        seconds, nanoseconds = divmod(record.timestamp_ns, 1_000_000_000)
        fields = {"severity": record.severity.text}
        for name, text in (
            ("event_name", record.event),
            ("correlation_id", record.correlation_id),
            ("trace_id", record.trace_id),
            ("span_id", record.span_id),
        ):
            if text:
                fields[name] = text
        event = (
            f'{{"time":{seconds}.{nanoseconds // 1000:06d},{self._said},'
            f'"event":{self._event(record)},"fields":{{{json_members(fields)}}}}}'
        )
        return event.encode("utf-8", "replace")

    def send(self, batch: Batch) -> Shipment | ExportResult | None:
        """Send what was not taken yet, and wait for what is to be acknowledged."""
        acks = self._acks
        if acks is None:
            return self._halving.send(batch.records, self._post)
        held = acks.held() & Counter(batch.records)
        if not held:
            # What the others are about was let go by whoever sends.
            acks.forget()
        new = [place for place in range(len(batch.records)) if not _take(held, batch, place)]
        sent = _in_places(
            self._halving.send([batch.records[place] for place in new], self._post), new
        )
        late = acks.wait()
        missing = acks.missing()
        over = {*sent.again, *(one.place for one in sent.refused)}
        rest = [place for place in range(len(batch.records)) if place not in over]
        again = sorted({*sent.again, *(p for p in rest if _take(missing, batch, p))})
        why = sent if sent.again or late is None else late
        if not again:
            return Shipment(refused=sent.refused) if sent.refused else None
        reason = why.reason or Reason.PARTIAL
        if len(again) == len(batch.records):
            return ExportResult.retry(reason, why.detail, retry_after=why.retry_after)
        return Shipment(again, sent.refused, reason, why.detail, why.retry_after)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _post(self, events: Sequence[bytes]) -> Shipment | ExportResult | None:
        """Post them; where one is refused, those behind it at once again."""
        refused: list[Refusal] = []
        start = 0
        while start < len(events):
            result = self._post_once(events[start:])
            match result:
                case None:
                    break
                case Shipment(refused=(one,)):
                    refused.append(replace(one, place=start + one.place))
                    start += one.place + 1
                case Shipment():
                    return replace(
                        result,
                        again=[start + place for place in result.again],
                        refused=[*refused, *result.refused],
                    )
                case ExportResult(verdict=Verdict.RETRY, reason=Reason() as reason) if start:
                    again = range(start, len(events))
                    later = result.retry_after
                    return Shipment(again, refused, reason, result.detail, later)
                case ExportResult() if start:
                    # All that is left was refused, and it is not said for which one.
                    again = range(start, len(events))
                    return Shipment(again, refused, detail=result.detail)
                case _:
                    return result
        return Shipment(refused=refused) if refused else None

    def _post_once(self, events: Sequence[bytes]) -> Shipment | ExportResult | None:
        acks = self._acks
        if acks is not None and acks.is_full:
            what = "has many parts of a batch to acknowledge"
            return ExportResult.retry(Reason.RATE_LIMITED, f"{self._http.peer} {what}")
        body = b"\n".join(events)
        try:
            answer = self._ask_for("/services/collector/event", body, compress=self._compress)
        except TransportError as error:
            return result_of_error(error)
        result = read_answer(answer, len(events), self._http.shown)
        if not isinstance(result, Taken):
            return result
        if acks is not None and result.ack_id is not None:
            acks.begin(result.ack_id, events)
        elif acks is not None and not self._told_of_no_ack:
            self._told_of_no_ack = True
            logger.warning(
                "%s: settings.ack is on, but the token has no acknowledgement: "
                "what %s takes counts as arrived",
                self._who,
                self._http.peer,
            )
        return None

    def _ask(self, body: bytes) -> HttpAnswer:
        return self._ask_for(f"/services/collector/ack?channel={self._channel}", body)

    def _ask_for(self, path: str, body: bytes, *, compress: bool = False) -> HttpAnswer:
        headers = {"x-splunk-request-channel": self._channel}
        token = self._http.secret()
        if token is not None:
            headers["authorization"] = f"Splunk {token}"
        return self._http.send(
            body,
            content_type="application/json",
            path=path,
            headers=headers,
            compress=compress,
        )


def _take(events: Counter[bytes], batch: Batch, place: int) -> bool:
    """Whether the event at this place is among these; if so it is one fewer of them."""
    event = batch.records[place]
    if not events[event]:
        return False
    events[event] -= 1
    return True


def _in_places(result: Shipment | ExportResult | None, places: Sequence[int]) -> Shipment:
    """What became of events, by their places in the whole batch."""
    match result:
        case Shipment():
            return replace(
                result,
                again=[places[one] for one in result.again],
                refused=[replace(one, place=places[one.place]) for one in result.refused],
            )
        case ExportResult(verdict=Verdict.RETRY, reason=Reason() as reason):
            return Shipment(
                places, reason=reason, detail=result.detail, retry_after=result.retry_after
            )
        case _:
            return Shipment()


def _event_maker(context: SinkContext) -> Callable[[LogRecord], str]:
    """What makes the JSON of ``event``: an object, or a string where the format is text."""
    if context.options.format == "text":
        return lambda record: json.dumps(context.line(record))
    return context.json_line


def _around(settings: Settings, resource: Mapping[str, str | int]) -> str:
    """What each event says of where it is from, as members of a JSON object."""
    said = {
        "host": resource.get("host.name"),
        "source": settings.text("source", _NAME, such_as="metalscope") or "metalscope",
        "sourcetype": settings.text("sourcetype", _NAME, such_as="_json") or "_json",
        "index": settings.text("index", _INDEX, such_as="main"),
    }
    return json.dumps({name: str(text) for name, text in said.items() if text})[1:-1]


def _base(endpoint: str | None) -> str | None:
    """The URL before the collector's own path, which may be given with it."""
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(path=_PATH.sub("", parts.path)))
