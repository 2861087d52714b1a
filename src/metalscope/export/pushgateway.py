"""The Prometheus Pushgateway: the last values of a program that is gone before it is scraped.

Source: README of prometheus/pushgateway, "API", for version 1.5.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from metalscope.errors import ConfigurationError
from metalscope.export.base import MetricsExporter, ReadBack
from metalscope.export.prometheus import number, render_families
from metalscope.export.prometheus_series import with_target_labels
from metalscope.families import Family
from metalscope.semconv import Metric
from metalscope.sending.http.transport import TransportError, judge, result_of_error
from metalscope.sending.result import ExportResult
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from metalscope.export.base import ExporterContext
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["PushgatewayExporter"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class PushgatewayExporter(MetricsExporter):
    """Puts each snapshot in the place of the one before, in one group of a Pushgateway.

    The group is ``job``, ``instance`` and the ``labels`` of the options; where the endpoint has a
    path such as ``/metrics/job/nightly``, it is that one, and ``labels`` are put on the series. A
    Pushgateway keeps groups for ever, and an instance is a host and a process: a job that runs
    again and again wants such a path.

    Args:
        context: what it is made from. ``settings`` may have ``delete_on_exit``: whether the group
            is deleted when the program ends.

    Raises:
        ConfigurationError: there is no endpoint, its path is no group, or a setting is wrong.
    """

    keeps_history: ClassVar[bool] = False

    def __init__(self, context: ExporterContext) -> None:
        self._address = _Address.of(context)
        self._delete_on_exit = Settings(context.options, ("delete_on_exit",)).flag("delete_on_exit")
        self._view = context.view
        self._labels = context.options.labels
        self._http = context.open_http(self._address.url)
        self._put: str | None = None

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        """Put the snapshot; the Pushgateway lets go of what it had of the group."""
        group, on_series = self._group(snapshot)
        families = list(self._families(snapshot, group, on_series))
        path = _path(group)
        try:
            answer = self._http.send(
                render_families(families, openmetrics=False),
                content_type=CONTENT_TYPE,
                method="PUT",
                path=path,
            )
        except TransportError as error:
            return result_of_error(error)
        result = judge(answer)
        if not result.ok:
            return result
        self._put = path
        series = sum(len(family.values) + len(family.distributions) for family in families)
        return ExportResult.delivered(series)

    def read_back(self, snapshot: MetalTelemetrySnapshot) -> ReadBack | None:
        """Look the group up, and one of its values."""
        group, on_series = self._group(snapshot)
        expected = next(_samples(self._families(snapshot, group, on_series)), None)
        if expected is None:
            return None
        try:
            answer = self._http.get("/api/v1/metrics")
        except TransportError as error:
            return ReadBack(False, f"the Pushgateway could not be asked: {error.detail}")
        if answer.status != 200:
            return None
        return _found(answer.body, group, *expected)

    def shutdown(self) -> None:
        """Delete the group, where that is asked for, as well as can be; then close."""
        if self._delete_on_exit and self._put is not None:
            with suppress(TransportError):
                self._http.send(b"", content_type=CONTENT_TYPE, method="DELETE", path=self._put)
        self._http.close()

    def _group(self, snapshot: MetalTelemetrySnapshot) -> tuple[dict[str, str], dict[str, str]]:
        """The labels of the group, and those to be put on its series."""
        group = self._address.group
        if group is None:
            identity = self._view.identity(snapshot)
            return {name: value for name, value in identity.items() if value}, {}
        extra = {name: value for name, value in self._labels.items() if name not in group}
        return dict(group), extra

    def _families(
        self, snapshot: MetalTelemetrySnapshot, group: dict[str, str], on_series: dict[str, str]
    ) -> Iterator[Family]:
        for family in self._view.families(snapshot):
            # A group's label would take the place of a series' own.
            yield from _exact(_labelled(with_target_labels(family, group | on_series), on_series))


@dataclass(frozen=True, slots=True)
class _Address:
    """A Pushgateway, and the group its URL names, if any."""

    url: str
    group: dict[str, str] | None

    @classmethod
    def of(cls, context: ExporterContext) -> _Address:
        endpoint = context.options.endpoint or ""
        if not endpoint.startswith(("http://", "https://")):
            raise _wrong(
                context, "endpoint must be the URL of a Pushgateway: 'http://pushgateway:9091'"
            )
        parts = urlsplit(endpoint)
        before, found, after = parts.path.partition("/metrics/job")
        path = before if found else parts.path.rstrip("/").removesuffix("/metrics")
        url = urlunsplit((parts.scheme, parts.netloc, path.rstrip("/"), parts.query, ""))
        return cls(url, _named_group(context, f"job{after}") if found else None)


def _named_group(context: ExporterContext, path: str) -> dict[str, str]:
    pieces = path.rstrip("/").split("/")
    if len(pieces) % 2 or not all(pieces):
        raise _wrong(
            context,
            "endpoint must go on after /metrics with names and values of labels in turn: "
            "'/metrics/job/nightly/region/eu'",
        )
    group = {}
    for name, value in zip(pieces[::2], pieces[1::2], strict=True):
        plain = name.removesuffix("@base64")
        group[unquote(plain)] = unquote(value) if plain == name else _from_base64(context, value)
    return group


def _from_base64(context: ExporterContext, value: str) -> str:
    bare = value.rstrip("=")
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4)).decode()
    except ValueError:
        raise _wrong(context, "endpoint has a value after @base64 that is none") from None


def _path(group: Mapping[str, str]) -> str:
    pieces = ["/metrics"]
    for name in sorted(group, key=lambda label: (label != "job", label)):
        value = group[name].encode("utf-8", "replace")
        # A slash cannot be had otherwise; and servers shorten paths with dots for names.
        if b"/" in value or not value.strip(b"."):
            pieces.append(f"{name}@base64/{base64.urlsafe_b64encode(value).decode() or '='}")
        else:
            pieces.append(f"{name}/{quote(value, safe='')}")
    return "/".join(pieces)


def _labelled(family: Family, extra: Mapping[str, str]) -> Family:
    if not extra:
        return family
    more = tuple(extra.values())
    return replace(
        family,
        metric=replace(family.metric, labels=(*family.metric.labels, *extra)),
        values=[((*values, *more), value) for values, value in family.values],
        distributions=[((*values, *more), one) for values, one in family.distributions],
    )


def _exact(family: Family) -> Iterator[Family]:
    """The family, with buckets as plain values where a histogram has no sum.

    The Pushgateway would give such a histogram a sum and a count of 0.
    """
    summed = [one for one in family.distributions if one[1].sum is not None]
    rest = [one for one in family.distributions if one[1].sum is None]
    if family.values or summed:
        yield replace(family, distributions=summed)
    if rest:
        metric = family.metric
        values = [
            ((*labels, number(bound)), float(count))
            for labels, one in rest
            for bound, count in (*one.buckets, (float("inf"), one.count))
        ]
        name, labels = f"{metric.name}_bucket", (*metric.labels, "le")
        yield Family(Metric(name, "gauge", metric.help, labels), values)


def _samples(families: Iterable[Family]) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in families:
        for values, value in family.values:
            yield family.metric.name, dict(zip(family.metric.labels, values, strict=True)), value


def _found(
    body: bytes, group: Mapping[str, str], name: str, labels: Mapping[str, str], value: float
) -> ReadBack | None:
    wanted = {**group, **labels}
    try:
        groups: list[dict[str, Any]] = json.loads(body)["data"]
        ours = [one for one in groups if one["labels"] == group]
        metrics = [metric for one in ours for metric in one.get(name, {}).get("metrics", ())]
        values = [float(one["value"]) for one in metrics if one["labels"] == wanted]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not ours:
        return ReadBack(False, "the Pushgateway has no such group")
    if value in values:
        return ReadBack(True, f"the Pushgateway has the {name} that was put there")
    return ReadBack(False, f"the Pushgateway has the group, and not the {name} that was put there")


def _wrong(context: ExporterContext, what: str) -> ConfigurationError:
    return ConfigurationError(f"exporter {context.name!r}: {what}")
