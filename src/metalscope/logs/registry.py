"""Which sinks the options name, and what makes each: our own by type, others' by entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import ConfigurationError
from metalscope.log_options import SINK_ENTRY_POINTS, LogSinkOptions
from metalscope.logs.formats.choosing import line_maker
from metalscope.logs.record import Severity
from metalscope.logs.running import RunningSink
from metalscope.logs.sinks.base import SinkContext
from metalscope.logs.targets import POSSIBLE, recognise
from metalscope.makers import Makers
from metalscope.option_types import shown_endpoint
from metalscope.sending.audience import audience_of
from metalscope.sending.shipping.shipper import LINGER, Shipper
from metalscope.shipping_options import DeliveryOptions

if TYPE_CHECKING:
    from metalscope.log_options import LogFormat, LoggingOptions
    from metalscope.logs.sinks.base import LogSink, SinkFactory
    from metalscope.sending.http.transport import HttpTransport

__all__ = ["create_sink", "sink_options_of", "sinks_of"]

_ROOM: Final = "metalscope.logs.sinks"

# Loaded when one is made: each brings libraries of its own.
_FACTORIES: Final = {
    "stdout": "stream:StdoutSink",
    "stderr": "stream:StderrSink",
    "file": "file:FileSink",
    "elasticsearch": "elasticsearch:ElasticsearchSink",
    "opensearch": "opensearch:OpenSearchSink",
    "splunk": "splunk:SplunkSink",
    "loki": "loki:LokiSink",
    "otlp": "otlp:OtlpLogSink",
    "syslog": "syslog:SyslogSink",
}
_MAKERS: Final = Makers("sink of type", _ROOM, _FACTORIES, SINK_ENTRY_POINTS)
_STREAMS: Final = frozenset({"stdout", "stderr"})
_HERE: Final = _STREAMS | {"file"}
_SOON: Final = timedelta(milliseconds=50)
"""How long these wait for more records to write at once."""

_OF_A_NETWORK: Final = (
    "headers", "api_key", "api_key_from", "user", "proxy", "proxy_headers", "tls",
)  # fmt: skip


def sinks_of(
    options: LoggingOptions,
    *,
    resource: Mapping[str, str | int],
    on_error: Callable[[str, BaseException], None],
) -> list[RunningSink]:
    """Start each sink that is enabled; whoever calls closes their shippers.

    Args:
        options: that name them.
        resource: who speaks, by OpenTelemetry's resource conventions.
        on_error: told, as (room, exception), of what goes wrong later.

    Raises:
        ConfigurationError: an option is wrong; the text names the sink and the option.
        MissingExtraError: a sink's library is not installed.
    """
    made = [(one, create_sink(one, options, resource)) for one in sink_options_of(options)]
    running: list[RunningSink] = []
    try:
        for one, sink in made:
            shipper = _shipper(one, sink, options, on_error)
            severity = Severity.of(one.level or options.level)
            running.append(RunningSink(one, sink, shipper, audience_of(one), severity))
    except BaseException:
        for started in running:
            started.shipper.close(0)
        raise
    return running


def sink_options_of(options: LoggingOptions) -> tuple[LogSinkOptions, ...]:
    """The enabled sinks, each with its type and a name, and after them the endpoints as sinks.

    An endpoint is named after its type; where that name is taken, with a number: ``loki-2``. Where
    no place is named at all there is one sink, the standard error, unless logging is disabled.

    Raises:
        ConfigurationError: a type is unknown, an endpoint tells no type, or is named twice. The
            text names the sink, or the place of the endpoint.
    """
    if not options.sinks and not options.external_log_endpoints:
        return () if options.enabled is False else (LogSinkOptions(type="stderr"),)
    taken = {one.name for one in options.sinks}
    sinks = [_typed(one, taken) for one in options.sinks if one.enabled]
    places = {one.endpoint: one.who for one in sinks if one.endpoint is not None}
    for place, endpoint in enumerate(options.external_log_endpoints):
        who = f"logging.external_log_endpoints[{place}]"
        kind = recognise(endpoint)
        if kind is None:
            raise ConfigurationError(f"{who} = {shown_endpoint(endpoint)}: {_TELLS_NOTHING}")
        if endpoint in places:
            raise ConfigurationError(f"{who} is the same as {places[endpoint]}; name it once")
        places[endpoint] = who
        sinks.append(LogSinkOptions(type=kind, name=_new_name(kind, taken), endpoint=endpoint))
    return tuple(sinks)


def create_sink(
    one: LogSinkOptions, options: LoggingOptions, resource: Mapping[str, str | int]
) -> LogSink:
    """Make one sink of :func:`sink_options_of`.

    Raises:
        ConfigurationError: what it is set to cannot be.
        MissingExtraError: a library that it needs is not installed.
    """

    def open_http(url: str | None = None, **how: Any) -> HttpTransport:
        from metalscope.sending.http.transport import HttpTransport  # noqa: PLC0415 - loads ssl

        return HttpTransport.of(one, url, timeout=one.timeout, **how)

    text: LogFormat = one.format or ("json" if options.use_json_format else "text")
    json: LogFormat = one.format if one.format not in {None, "text"} else "json"
    make: SinkFactory = _MAKERS.factory(one.type or "", one.who)
    return make(
        SinkContext(
            options=one,
            resource=resource,
            line=line_maker(text, resource, colour=_is_coloured(one)),
            json_line=line_maker(json, resource),
            open_http=open_http,
        )
    )


_TELLS_NOTHING: Final = (
    f"its URL does not tell what it is ({POSSIBLE}); name it in logging.sinks with a type"
)


def _typed(one: LogSinkOptions, taken: set[str]) -> LogSinkOptions:
    if one.type is not None:
        kind = _MAKERS.known(one.type, one.who)
    else:
        endpoint = one.endpoint or ""
        recognised = recognise(endpoint)
        if recognised is None:
            shown = shown_endpoint(endpoint)
            raise ConfigurationError(f"{one.who}: endpoint {shown}: {_TELLS_NOTHING}")
        kind = recognised
    if kind in _HERE:
        for option in _OF_A_NETWORK:
            default = LogSinkOptions.model_fields[option].get_default(call_default_factory=True)
            if getattr(one, option) != default:
                raise ConfigurationError(
                    f"{one.who}: {option} is not for {kind}: it sends nothing over a network"
                )
    if kind in _STREAMS and one.endpoint is not None:
        raise ConfigurationError(f"{one.who}: endpoint is not for {kind}")
    return one.model_copy(update={"type": kind, "name": one.name or _new_name(kind, taken)})


def _shipper(
    one: LogSinkOptions,
    sink: LogSink,
    options: LoggingOptions,
    on_error: Callable[[str, BaseException], None],
) -> Shipper:
    kind = one.type or ""
    delivery: DeliveryOptions = options
    if kind in _STREAMS:
        # What this process did not get to say is not for the terminal of another.
        spool = options.spool.model_copy(update={"directory": None})
        delivery = options.model_copy(update={"spool": spool})
    return Shipper(
        one.name,
        kind,
        "logs",
        sink,
        delivery=delivery,
        batch_size=one.batch_size,
        batch_bytes=one.batch_bytes,
        timeout=one.timeout,
        option="logging.spool.directory",
        on_error=on_error,
        linger=_SOON if kind in _HERE else LINGER,
    )


def _is_coloured(one: LogSinkOptions) -> bool:
    if one.type not in _STREAMS:
        return False
    from metalscope.logs.sinks.stream import is_terminal  # noqa: PLC0415 - where one is used

    return is_terminal(one.type)


def _new_name(kind: str, taken: set[str]) -> str:
    name = next(name for name in _names(kind) if name not in taken)
    taken.add(name)
    return name


def _names(kind: str) -> Iterator[str]:
    yield kind
    number = 2
    while True:
        yield f"{kind}-{number}"
        number += 1
