"""Log records to a syslog server, over UDP, TCP, TLS or a Unix socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from metalscope.errors import ConfigurationError
from metalscope.logs.sinks.base import LogSink
from metalscope.logs.sinks.syslog_link import octet_counted, on_a_line
from metalscope.logs.sinks.syslog_message import FACILITIES, LEAST_BYTES, MessageForm
from metalscope.logs.sinks.syslog_wire import PORTS, Outcome, Wire
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.settings import Settings
from metalscope.sending.shipping.base import Batch, Refusal, Shipment

if TYPE_CHECKING:
    from metalscope.log_options import LogSinkOptions
    from metalscope.logs.record import LogRecord
    from metalscope.logs.sinks.base import SinkContext

__all__ = ["DEFAULT_ENDPOINT", "DEFAULT_SD_ID", "SyslogSink"]

DEFAULT_ENDPOINT: Final = "unix:///dev/log"
"""Where the host's own syslog or journal listens."""

DEFAULT_SD_ID: Final = "metalscope@32473"
"""32473 is the enterprise number that is kept for examples (RFC 5612)."""

_SETTINGS: Final = (
    "facility", "app_name", "sd_id", "protocol", "framing", "max_bytes", "multiline", "bom",
)  # fmt: skip

# RFC 5426, 3.2: what a receiver of datagrams should take; RFC 5425, 4.3.1: of TLS.
_MOST_BYTES: Final = {"udp": 2048}
_MOST_BYTES_ELSE: Final = 8192
_LONGEST: Final = 65_507
"""Bytes of a datagram of UDP over IPv4."""

# The first is the default: messages of programs that are no part of the system.
_FACILITIES: Final = ("user", *(name for name in FACILITIES if name != "user"))

_FRAMES: Final = {"octet_counting": octet_counted, "newline": on_a_line}


class SyslogSink(LogSink):
    """Sends each record as one message of RFC 5424, or of RFC 3164 before it.

    Raises:
        ConfigurationError: the endpoint is none of syslog's, a setting is wrong, a file of TLS is
            not usable, or an option is set that syslog has no place for.
    """

    def __init__(self, context: SinkContext) -> None:
        options = context.options
        settings = Settings(options, _SETTINGS)
        endpoint = options.endpoint or DEFAULT_ENDPOINT
        scheme = urlsplit(endpoint).scheme
        _check(options, scheme)
        resource = context.resource
        local = scheme == "unix"
        # What listens on a host's own socket understands the old form alone, by default.
        protocols = ("rfc3164", "rfc5424") if local else ("rfc5424", "rfc3164")
        old = settings.choice("protocol", protocols) == "rfc3164"
        self._form = MessageForm(
            facility=FACILITIES[settings.choice("facility", _FACILITIES)],
            host="" if local and old else str(resource.get("host.name") or socket.gethostname()),
            app=settings.text("app_name", r"[!-~]{1,48}", such_as="trainer")
            or str(resource.get("service.name", "")),
            sd_id=_sd_id(settings),
            limit=settings.whole(
                "max_bytes",
                _MOST_BYTES.get(scheme, _MOST_BYTES_ELSE),
                least=LEAST_BYTES,
                most=_LONGEST,
            ),
            multiline=settings.flag("multiline"),
            bom=settings.flag("bom", True),
            old=old,
        )
        # A bare sentence, as readers of syslog expect it, where no format is asked for.
        self._text = context.line if options.format else _body
        self._wire = Wire(options, endpoint, _FRAMES[settings.choice("framing", list(_FRAMES))])

    def encode(self, record: LogRecord) -> bytes:
        """The whole message, as it goes over the wire but for the frame of a stream."""
        return self._form.message(record, self._text(record))

    def send(self, batch: Batch) -> Shipment | ExportResult | None:
        """Send all messages in order.

        Delivered means: over TCP and TLS, that the server's system acknowledged them; else, that
        this system took them.
        """
        return _result(self._wire.send(batch.records), len(batch.records))

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()


def _result(outcome: Outcome, count: int) -> Shipment | ExportResult | None:
    if outcome.reason is not None and outcome.over == 0:
        return ExportResult.retry(outcome.reason, outcome.detail)
    if outcome.reason is None and not outcome.too_large:
        return None
    refused = [
        Refusal(place, Reason.TOO_LARGE, "the system sends no datagram of this size")
        for place in outcome.too_large
    ]
    return Shipment(
        again=range(outcome.over, count),
        refused=refused,
        reason=outcome.reason or Reason.TOO_LARGE,
        detail=outcome.detail,
    )


def _body(record: LogRecord) -> str:
    return record.body


def _sd_id(settings: Settings) -> str:
    # RFC 5424, 6.3.2: names without a number are the IANA's to give.
    pattern = r'(?=.{3,32}$)[^@="\]\s\x00-\x20\x7f-\U0010ffff]+@[0-9]+(\.[0-9]+)*'
    return settings.text("sd_id", pattern, such_as="metal@32473") or DEFAULT_SD_ID


def _check(options: LogSinkOptions, scheme: str) -> None:
    def bad(what: str) -> ConfigurationError:
        return ConfigurationError(f"{options.who}: {what}")

    if scheme not in {*PORTS, "unix"}:
        raise bad(
            "endpoint must be 'udp://host:port', 'tcp://host:port', 'tls://host:port' or "
            f"'unix:///path', not {scheme}://"
        )
    for name in ("api_key", "api_key_from", "user", "headers", "proxy", "proxy_headers"):
        if getattr(options, name):
            raise bad(f"{name} is set, which syslog has no place for")
