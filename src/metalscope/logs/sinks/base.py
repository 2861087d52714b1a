"""The one interface between log records and any place they go to, and what it is made from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metalscope.sending.shipping.base import BatchSender

if TYPE_CHECKING:
    from metalscope.log_options import LogSinkOptions
    from metalscope.logs.record import LogRecord
    from metalscope.sending.http.transport import HttpTransport

__all__ = ["LogSink", "SinkContext", "SinkFactory"]


class LogSink(BatchSender):
    """Sends log records to one place: :meth:`encode` makes bytes of each, ``send`` sends many.

    The bytes may wait in a spool over the end of the process, so they must hold all there is to
    send, and be readable by the next version.
    """

    @abstractmethod
    def encode(self, record: LogRecord) -> bytes:
        """One record, sanitized already, as this sink keeps it. Called on any thread."""


@dataclass(frozen=True)
class SinkContext:
    """What a sink is made from: its options, and what it shares with all others.

    ``resource`` says who speaks, by OpenTelemetry's resource conventions. ``line`` makes the text
    of one record in the format of the options, without a line break at its end; ``json_line`` a
    JSON object in one of the formats json, ecs and otel, json where the options name none of them.
    ``open_http`` makes an HTTP client for it alone, with its TLS, proxy, headers and key; given a
    URL, to that one, else to ``options.endpoint``.
    """

    options: LogSinkOptions
    resource: Mapping[str, str | int]
    line: Callable[[LogRecord], str]
    json_line: Callable[[LogRecord], str]
    open_http: Callable[..., HttpTransport]

    @property
    def name(self) -> str:
        """The sink's name."""
        return self.options.name


SinkFactory = Callable[[SinkContext], LogSink]
"""What an entry point in ``metalscope.log_sinks`` names: a class or function that makes one.

It may raise a :class:`~metalscope.errors.ConfigurationError` or a
:class:`~metalscope.errors.MissingExtraError`.
"""
