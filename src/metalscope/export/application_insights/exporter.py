"""Azure Application Insights: metrics and events by Azure's own SDK.

The peer adds up what it is sent, so counters are what came since the last snapshot that arrived,
and a histogram is count and sum, with minimum and maximum where they are known.

Protocol: ``EndpointSpecs/ENDPOINT-PROTOCOL.md`` of microsoft/ApplicationInsights-Home, and the
models of the SDK, ``azure-monitor-opentelemetry-exporter``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import ConfigurationError
from metalscope.export.application_insights.address import DEFAULT_ENDPOINT, Address
from metalscope.export.application_insights.answer import Fates
from metalscope.export.base import MetricsExporter
from metalscope.export.batches import Batches
from metalscope.export.news import new_events
from metalscope.export_options import Temporality
from metalscope.sending.http.transport import TransportError, result_of_error
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.resources import Resource

    from metalscope.export.application_insights.sdk import Sdk, Wire
    from metalscope.export.base import ExporterContext
    from metalscope.sending.http.transport import HttpTransport
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["ApplicationInsightsExporter"]

_MOST_ITEMS: Final = 1000
"""In one request; the peer's own limit, told by HTTP 413, halves it."""


@dataclass(frozen=True, slots=True)
class _Item:
    """One telemetry item to be: a point of a metric, or an event where ``metric`` is ``None``."""

    number: int
    metric: Any
    content: Any


class ApplicationInsightsExporter(MetricsExporter):
    """Sends to one resource of Application Insights.

    The key is its connection string or instrumentation key; where the options have none, the
    environment's ``APPLICATIONINSIGHTS_CONNECTION_STRING`` is the connection string. An
    ``endpoint`` in the options goes before the one in the connection string.

    Items the peer says it may take later (HTTP 206) are sent again alone.

    Raises:
        ConfigurationError: there is no key, or it is neither of both; a setting is unknown.
        MissingExtraError: the SDK is not installed.
    """

    def __init__(self, context: ExporterContext) -> None:
        # Raises where the SDK is missing.
        from metalscope.export.application_insights import sdk  # noqa: PLC0415 - large

        Settings(context.options, ())
        self._sdk_of = sdk
        self._context = context
        self._view = context.view
        self._given: HttpTransport = context.open_http(
            context.options.endpoint or DEFAULT_ENDPOINT, auth="none"
        )
        self._batches: Batches[_Item] = Batches(_MOST_ITEMS)
        self._delivered: MetalTelemetrySnapshot | None = None
        self._made: tuple[Address, Sdk, Wire] | None = None
        self._fates: tuple[object, Fates] | None = None
        if context.options.api_key_from is None:
            self._address()

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """Count from ``delivered`` on."""
        self._delivered = delivered

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        """Send what came since the last snapshot that arrived."""
        try:
            address = self._address()
            sdk, wire = self._sdk(address)
        except TransportError as error:
            return result_of_error(error)
        except ConfigurationError as error:
            # Of a key that is read anew each time; at the start it would have been refused.
            return ExportResult.retry(Reason.CONFIGURATION, str(error))
        fates = self._fates_of(snapshot)
        data, resource = self._data(snapshot)
        items = list(_items(data, self._labels(snapshot)))
        for event in new_events(snapshot, self._view, self._delivered):
            items.append(_Item(len(items), None, event))

        def send(part: Sequence[_Item]) -> ExportResult:
            waiting = [item for item in part if fates.is_open(item.number)]
            for of_metrics in (True, False):
                run = [item for item in waiting if (item.metric is not None) is of_metrics]
                if not run:
                    continue
                wire.outcome = None
                if of_metrics:
                    sdk.send_metrics(_of(run, data, resource))
                else:
                    sdk.send_events([item.content for item in run], resource)
                failure = fates.settle([item.number for item in run], wire.outcome)
                if failure is not None:
                    return failure
            return fates.result([item.number for item in part])

        result = self._batches.send(snapshot, items, send)
        if result.verdict is not Verdict.RETRY:
            self._fates = None
        elif wire.redirected:
            # Where it was sent to may be the cause: begin again where the options say.
            self._let_go()
        if result.ok:
            self._delivered = snapshot
        return replace(result, detail=result.detail.replace(address.key, "…"))

    def shutdown(self) -> None:
        """Close the connections."""
        self._given.close()
        self._let_go()

    def _address(self) -> Address:
        return Address.of(self._context.options, self._given.secret(), os.environ)

    def _sdk(self, address: Address) -> tuple[Sdk, Wire]:
        if self._made is None or self._made[0] != address:
            self._let_go()
            wire = self._sdk_of.Wire(lambda url: self._context.open_http(url, auth="none"))
            sdk = self._sdk_of.Sdk(address.key, address.endpoint, wire)
            self._made = (address, sdk, wire)
        return self._made[1], self._made[2]

    def _let_go(self) -> None:
        if self._made is not None:
            self._made[2].close()
            self._made = None

    def _fates_of(self, snapshot: MetalTelemetrySnapshot) -> Fates:
        of = (snapshot.started_at, snapshot.timestamp)
        if self._fates is None or self._fates[0] != of:
            self._fates = (of, Fates(self._given.shown))
        return self._fates[1]

    def _data(self, snapshot: MetalTelemetrySnapshot) -> tuple[MetricsData, Resource]:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - optional

        from metalscope.export.otlp.metrics import metrics_data  # noqa: PLC0415 - optional

        data = metrics_data(
            snapshot, self._view, temporality=Temporality.DELTA, since=self._delivered
        )
        attributes = dict(data.resource_metrics[0].resource.attributes)
        # Else the SDK would name the host it runs on, which need not be the snapshot's.
        attributes.setdefault(
            "device.id", attributes.get("host.name", attributes["service.instance.id"])
        )
        return data, Resource(attributes)

    def _labels(self, snapshot: MetalTelemetrySnapshot) -> dict[str, str]:
        # The protocol has no resource beyond role, instance, device and version.
        resource = self._view.resource(snapshot)
        return {
            name: str(resource[name]) for name in self._context.options.labels if name in resource
        }


def _items(data: MetricsData, labels: Mapping[str, str]) -> Iterator[_Item]:
    number = 0
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            if _has_a_value(point):
                attributes = {**labels, **(point.attributes or {})}
                yield _Item(number, metric, replace(point, attributes=attributes))
                number += 1


def _has_a_value(point: Any) -> bool:
    """Whether the protocol, in which each item has a finite value, has a word for the point."""
    if hasattr(point, "value"):
        return isfinite(point.value)
    # Of an interval in which nothing was measured there is nothing to say.
    return point.count > 0 and point.sum is not None and isfinite(point.sum)


def _of(items: Sequence[_Item], data: MetricsData, resource: Resource) -> MetricsData:
    """The data with these points only."""
    resource_metrics = data.resource_metrics[0]
    scope_metrics = resource_metrics.scope_metrics[0]
    metrics = []
    for _, run in groupby(items, key=lambda item: id(item.metric)):
        chosen = list(run)
        metric = chosen[0].metric
        points = [item.content for item in chosen]
        metrics.append(replace(metric, data=replace(metric.data, data_points=points)))
    scoped = replace(scope_metrics, metrics=metrics)
    return replace(
        data,
        resource_metrics=[replace(resource_metrics, resource=resource, scope_metrics=[scoped])],
    )
