"""SpanShipping: finished spans on their way to collectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

from metalscope.sending.audience import audience_of
from metalscope.sending.result import Reason
from metalscope.traces.buffer import ROOM, SpanBuffer

if TYPE_CHECKING:
    from metalscope.export_options import Audience
    from metalscope.sanitizing.sanitizer import Sanitizer
    from metalscope.sending.shipping.shipper import Shipper
    from metalscope.sink_status import SinkStatus
    from metalscope.trace_options import SpanExporterOptions, TracesOptions
    from metalscope.traces.span import FinishedSpan

__all__ = ["SpanReceiver", "SpanShipping", "make_span_shipping"]

OnError = Callable[[str, BaseException], None]


@dataclass(frozen=True, slots=True)
class SpanReceiver:
    """One collector: its shipper, and which audience it is."""

    shipper: Shipper
    audience: Audience


class SpanShipping:
    """A span sink that cleans each span once an audience, encodes it, and hands it to shippers.

    All of that happens on a thread of its own: :meth:`take` only puts the span in a buffer.

    Args:
        receivers: who gets the spans.
        encode: makes bytes of a clean span.
        sanitizer: cleans spans.
        max_spans: most spans that wait for that.
        flush_interval: longest time one waits for it.
        on_error: told of what goes wrong.
    """

    def __init__(
        self,
        receivers: Sequence[SpanReceiver],
        encode: Callable[[FinishedSpan], bytes],
        *,
        sanitizer: Sanitizer,
        max_spans: int,
        flush_interval: timedelta,
        on_error: OnError,
    ) -> None:
        self._receivers = tuple(receivers)
        self._audiences = frozenset(one.audience for one in receivers)
        self._encode = encode
        self._sanitizer = sanitizer
        self._on_error = on_error
        self._spoilt = 0
        self._buffer = SpanBuffer(
            "metalscope-spans",
            self._put,
            limit=max_spans,
            interval=flush_interval.total_seconds(),
            on_error=on_error,
        )

    def take(self, span: FinishedSpan) -> None:
        """Have a span sent; never waits."""
        self._buffer.take(span)

    @property
    def dropped(self) -> int:
        """Spans that no collector will get: the buffer was full, or they could not be encoded."""
        return self._buffer.dropped + self._spoilt

    def status(self) -> tuple[SinkStatus, ...]:
        """How each collector is doing; what the buffer dropped was to go to each of them."""
        lost = {Reason.QUEUE_FULL: self._buffer.dropped, Reason.EXPORTER_ERROR: self._spoilt}
        counted = Counter({reason.value: count for reason, count in lost.items() if count})
        waiting = self._buffer.waiting
        found = []
        for one in self._receivers:
            status = one.shipper.status()
            dropped = dict(Counter(status.dropped) + counted)
            found.append(replace(status, dropped=dropped, waiting=status.waiting + waiting))
        return tuple(found)

    def flush(self, timeout: float | None = None) -> bool:
        """Send what waits; whether all of it was over, sent or not, within so many s."""
        ends = _End(timeout)
        done = self._buffer.flush(ends.left)
        self._hurry()
        return all(one.shipper.flush(ends.left) for one in self._receivers) and done

    def close(self, timeout: float | None = None) -> None:
        """Send what waits for so many s; the rest stays in the spool, where there is one."""
        ends = _End(timeout)
        self._buffer.close(ends.left)
        self._hurry()
        for one in self._receivers:
            one.shipper.close(ends.left)

    def _hurry(self) -> None:
        """Have all of them begin, so that one that is not there holds up no other."""
        for one in self._receivers:
            one.shipper.flush(0)

    def _put(self, spans: Sequence[FinishedSpan]) -> None:
        for audience in self._audiences:
            encoded = [bytes_ for span in spans if (bytes_ := self._encoded(span, audience))]
            for one in self._receivers:
                if one.audience is audience and encoded:
                    one.shipper.put(encoded)

    def _encoded(self, span: FinishedSpan, audience: Audience) -> bytes:
        try:
            return self._encode(self._sanitizer.span(span, audience))
        except Exception as error:  # noqa: BLE001 - one that cannot be sent is not the others' end
            self._spoilt += 1
            self._on_error(ROOM, error)
            return b""


class _End:
    """When time is over; where no limit is given a minute from now, as a peer may never answer."""

    _LONGEST = 60.0

    def __init__(self, timeout: float | None) -> None:
        self._ends = monotonic() + (self._LONGEST if timeout is None else timeout)

    @property
    def left(self) -> float:
        return max(0.0, self._ends - monotonic())


def make_span_shipping(
    options: TracesOptions,
    *,
    sanitizer: Sanitizer,
    resource: Mapping[str, Any],
    on_error: OnError,
) -> SpanShipping:
    """Start a shipper for each collector of the options that is enabled.

    Raises:
        ConfigurationError: an option of one of them, or the spool, cannot be used.
        MissingExtraError: a library of ``metalscope[otlp]`` is not installed.
    """
    from metalscope.traces.otlp import encode  # noqa: PLC0415 - loads protobuf

    receivers: list[SpanReceiver] = []
    try:
        for one in options.exporters:
            if one.enabled:
                receivers.append(_receiver(one, options, resource, on_error))
    except BaseException:
        for started in receivers:
            started.shipper.close(0)
        raise
    return SpanShipping(
        receivers,
        encode,
        sanitizer=sanitizer,
        max_spans=options.max_spans,
        flush_interval=options.flush_interval,
        on_error=on_error,
    )


def _receiver(
    one: SpanExporterOptions,
    options: TracesOptions,
    resource: Mapping[str, Any],
    on_error: OnError,
) -> SpanReceiver:
    from metalscope.sending.shipping.shipper import Shipper  # noqa: PLC0415 - where one is started
    from metalscope.traces.otlp import OtlpSpanSender  # noqa: PLC0415 - loads protobuf

    shipper = Shipper(
        one.name,
        one.type,
        "traces",
        OtlpSpanSender(one, resource=resource),
        delivery=options,
        batch_size=one.batch_size,
        batch_bytes=one.batch_bytes,
        timeout=one.timeout,
        option="traces.spool.directory",
        on_error=on_error,
        # They have been collected already.
        linger=timedelta(),
    )
    return SpanReceiver(shipper, audience_of(one))
