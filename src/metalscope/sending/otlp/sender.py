"""OtlpSender: batches of spans or log records, by any of OTLP's three protocols."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from metalscope.sending.http.transport import HttpTransport
from metalscope.sending.otlp.address import protocol_of
from metalscope.sending.otlp.http import HttpSender
from metalscope.sending.otlp.request import Envelope
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Batch, BatchSender, Refusal, Shipment

if TYPE_CHECKING:
    from metalscope.sending.otlp.service import OtlpService
    from metalscope.sending.peer import PeerOptions

__all__ = ["OtlpSender"]


class _Carrier(Protocol):
    def send(self, request: bytes, count: int, seconds: float) -> ExportResult: ...

    def close(self) -> None: ...


class OtlpSender(BatchSender):
    """Sends what :mod:`metalscope.sending.otlp.request` puts an envelope round.

    A request that the peer finds too large is halved until it is taken, or one record is left.

    Args:
        service: what is sent.
        options: to where, and as whom.
        protocol: ``grpc``, ``http/protobuf`` or ``http/json``; where it is ``None`` the endpoint
            tells, by :func:`~metalscope.sending.otlp.address.protocol_of`.
        compress: with gzip.
        timeout: how long the sending of one batch may take.
        resource: who speaks, by OpenTelemetry's resource conventions.
        path: what is put after the endpoint, over HTTP; the service's own where it is ``None``.

    Raises:
        ConfigurationError: an option cannot be used.
        MissingExtraError: a library of ``metalscope[otlp]`` is not installed.
    """

    def __init__(
        self,
        service: OtlpService,
        options: PeerOptions,
        *,
        protocol: str | None = None,
        compress: bool = True,
        timeout: timedelta,
        resource: Mapping[str, Any],
        path: str | None = None,
    ) -> None:
        self._envelope = Envelope(resource)
        self._seconds = timeout.total_seconds()
        protocol = protocol or protocol_of(options.endpoint)
        if protocol == "grpc":
            from metalscope.sending.otlp.grpc import GrpcSender  # noqa: PLC0415 - loads grpcio

            self._carrier: _Carrier = GrpcSender(service, options, compress=compress)
        else:
            self._carrier = HttpSender(
                service,
                HttpTransport.of(options, timeout=timeout),
                as_json=protocol == "http/json",
                path=service.path if path is None else path,
                compress=compress,
            )

    def send(self, batch: Batch) -> Shipment | ExportResult:
        """Send a batch.

        OTLP says how many of a request were refused, not which: that is the result's
        ``rejected_points``.
        """
        ends = monotonic() + self._seconds
        whole = self._sent(batch.records, ends)
        if whole.reason is not Reason.TOO_LARGE or len(batch.records) == 1:
            return whole
        return self._in_parts(batch.records, ends)

    def close(self) -> None:
        """Close the connection."""
        self._carrier.close()

    def _sent(self, records: tuple[bytes, ...], ends: float) -> ExportResult:
        left = ends - monotonic()
        if left <= 0:
            late = f"not all parts arrived within {self._seconds:g} s"
            return ExportResult.retry(Reason.TIMEOUT, late)
        return self._carrier.send(self._envelope.around(records), len(records), left)

    def _in_parts(self, records: tuple[bytes, ...], ends: float) -> Shipment:
        half = len(records) // 2
        to_send = [range(half, len(records)), range(half)]
        refused: list[Refusal] = []
        while to_send:
            places = to_send.pop()
            result = self._sent(records[places.start : places.stop], ends)
            if result.reason is Reason.TOO_LARGE and len(places) > 1:
                half = len(places) // 2
                to_send += [places[half:], places[:half]]
            elif result.verdict is Verdict.RETRY:
                rest = range(places.start, len(records))
                reason = result.reason or Reason.SERVER_ERROR
                return Shipment(rest, tuple(refused), reason, result.detail, result.retry_after)
            else:
                # Of a part that was taken the peer says how many it refused; any stand for them.
                over = len(places) if not result.ok else result.rejected_points
                reason = result.reason or Reason.SCHEMA
                refused += [Refusal(place, reason, result.detail) for place in places[:over]]
        return Shipment(refused=tuple(refused))
