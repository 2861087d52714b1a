"""Whether what is told of alerts, and what logs and spans go to, can be made as it is set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from metalscope.doctor.diagnosis import Diagnosis, State
from metalscope.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from metalscope.log_options import LogSinkOptions
    from metalscope.options import AlertsOptions, MetalTelemetryOptions, TracesOptions

__all__ = ["check_channels", "check_sinks", "check_span_exporters", "receivers_of"]

ALERTS: Final = "alerts"
LOGS: Final = "logs"
TRACES: Final = "traces"

_MEND: Final = "mend what it names"


def check_channels(options: AlertsOptions) -> Iterator[Diagnosis]:
    """Each place that is told of alerts, made as a program would; nothing is sent to it."""
    if not (options.channels or options.notification_endpoints):
        yield Diagnosis(ALERTS, "channels", State.ABSENT, why="the options name none")
        return
    from metalscope.alerts.notify.registry import (  # noqa: PLC0415 - only where there are any
        channels_of,
        create_notifier,
    )

    try:
        channels = channels_of(options)
    except ConfigurationError as error:
        yield Diagnosis(ALERTS, "channels", State.BROKEN, why=str(error), remedy="mend it")
        return
    for channel in channels:
        facts = {"type": channel.type}
        try:
            create_notifier(channel, options.smtp).shutdown()
        except (ConfigurationError, MissingExtraError) as error:
            yield Diagnosis(ALERTS, channel.name, State.BROKEN, why=str(error), remedy=_MEND)
        else:
            what = f"{channel.type}; `metalscope alerts test {channel.name}` sends a message"
            yield Diagnosis(ALERTS, channel.name, State.WORKS, what=what, facts=facts)


def check_sinks(options: MetalTelemetryOptions) -> Iterator[Diagnosis]:
    """Each place logs go to, made as a program would; nothing is written to it."""
    logging = options.logging
    if not logging.is_on:
        why = "logging.enabled is not set, and no sink is named"
        yield Diagnosis(LOGS, "sinks", State.ABSENT, why=why)
        return
    from metalscope.logs.registry import create_sink  # noqa: PLC0415 - only where there are any

    try:
        sinks = _sinks(options)
    except ConfigurationError as error:
        yield Diagnosis(LOGS, "sinks", State.BROKEN, why=str(error), remedy=_MEND)
        return
    for one in sinks:
        try:
            create_sink(one, logging, {}).close()
        except (ConfigurationError, MissingExtraError) as error:
            yield Diagnosis(LOGS, one.name, State.BROKEN, why=str(error), remedy=_MEND)
        else:
            facts = {"type": one.type}
            yield Diagnosis(LOGS, one.name, State.WORKS, what=f"{one.type}", facts=facts)


def check_span_exporters(options: TracesOptions) -> Iterator[Diagnosis]:
    """Each collector spans go to, made as a program would; nothing is sent to it."""
    if not options.enabled:
        why = "traces.enabled is false"
        yield Diagnosis(TRACES, "exporters", State.ABSENT, why=why)
        return
    from metalscope.traces.otlp import OtlpSpanSender  # noqa: PLC0415 - only where there are any

    for one in options.exporters:
        if not one.enabled:
            why = "its option enabled is false"
            yield Diagnosis(TRACES, one.name, State.ABSENT, why=why)
            continue
        try:
            OtlpSpanSender(one, resource={}).close()
        except (ConfigurationError, MissingExtraError) as error:
            yield Diagnosis(TRACES, one.name, State.BROKEN, why=str(error), remedy=_MEND)
        else:
            yield Diagnosis(TRACES, one.name, State.WORKS, what="OTLP")
    if not options.exporters:
        file = "" if options.file is None else f"; a file, {options.file}"
        why = f"the options name none{file}"
        yield Diagnosis(TRACES, "exporters", State.ABSENT, why=why)


def receivers_of(options: MetalTelemetryOptions) -> Iterator[tuple[str, str, str | None]]:
    """Group, name and endpoint of the sinks and collectors that are sent to."""
    if options.logging.is_on:
        try:
            sinks = _sinks(options)
        except ConfigurationError:
            sinks = ()  # Told by check_sinks().
        for sink in sinks:
            yield LOGS, sink.name, sink.endpoint
    if options.traces.enabled:
        for one in options.traces.exporters:
            if one.enabled:
                yield TRACES, one.name, one.endpoint


def _sinks(options: MetalTelemetryOptions) -> tuple[LogSinkOptions, ...]:
    from metalscope.logs.registry import sink_options_of  # noqa: PLC0415 - only where wanted

    return sink_options_of(options.logging)
