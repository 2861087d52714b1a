"""The snapshot's families in Prometheus's protobuf format, the one that has native histograms.

Source: ``io/prometheus/client/metrics.proto`` of prometheus/client_model; messages one after
another, each with its length before it as a varint ("encoding=delimited").

A histogram of durations is both in one message: native buckets of schema 3, and the classic ones.
Which of the two a Prometheus stores is its own setting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from metalscope import semconv
from metalscope.export.native_histogram import native_buckets
from metalscope.export.prometheus import ANNOUNCED_UNITS, exemplars_by_bucket
from metalscope.export.prometheus_schema import message_class, metric_family
from metalscope.families import Distribution, Family, LabelValues
from metalscope.moments import microseconds
from metalscope.semconv import Metric
from metalscope.snapshot import Exemplar

__all__ = ["is_available", "render_protobuf"]


# The system counts them, and began before telemetry did.
_COUNTED_BEFORE_THE_START: Final = frozenset({semconv.ENERGY, semconv.GPU_RECOVERIES})


def is_available() -> bool:
    """Whether the format can be written here: protobuf is an optional library."""
    try:
        message_class("io.prometheus.client.MetricFamily")
    except Exception:  # noqa: BLE001 - installed or not, what cannot be used is not offered
        return False
    return True


def render_protobuf(found: Iterable[Family], started_at: datetime) -> bytes:
    """Write these families; ``started_at`` is since when their counters count.

    Families without series are left out: the format has nothing to say of them.

    Raises:
        MissingExtraError: protobuf is not installed.
    """
    messages = (
        _message(family, started_at) for family in found if family.values or family.distributions
    )
    return b"".join(_delimited(message.SerializeToString()) for message in messages)


def _delimited(message: bytes) -> bytes:
    prefix, rest = bytearray(), len(message)
    while rest > 0x7F:
        prefix.append(rest & 0x7F | 0x80)
        rest >>= 7
    prefix.append(rest)
    return bytes(prefix) + message


def _message(family: Family, started_at: datetime) -> Any:
    metric = family.metric
    message = metric_family(name=metric.name, help=metric.help, type=_type(metric))
    if metric.unit in ANNOUNCED_UNITS:
        message.unit = metric.unit
    created = _timestamp(started_at)
    for labels, value in family.values:
        series = message.metric.add(label=_labels(metric, labels))
        if metric.type == "counter":
            series.counter.value = float(value)
            if metric not in _COUNTED_BEFORE_THE_START:
                series.counter.created_timestamp.MergeFrom(created)
        else:
            series.gauge.value = float(value)
    for labels, distribution in family.distributions:
        series = message.metric.add(label=_labels(metric, labels))
        series.histogram.created_timestamp.MergeFrom(created)
        _fill(series.histogram, distribution)
    return message


def _type(metric: Metric) -> str:
    # As in the classic text, which has no info type either.
    return {"counter": "COUNTER", "histogram": "HISTOGRAM"}.get(metric.type, "GAUGE")


def _labels(metric: Metric, values: LabelValues) -> list[dict[str, str]]:
    return [
        # A lone surrogate must not cost the whole scrape.
        {"name": name, "value": value.encode("utf-8", "replace").decode()}
        for name, value in zip(metric.labels, values, strict=True)
    ]


def _fill(histogram: Any, distribution: Distribution) -> None:
    histogram.sample_count = distribution.count
    # Left out it would be read as 0, which it is not.
    histogram.sample_sum = math.nan if distribution.sum is None else distribution.sum
    # Field by field: there are many of them, and so it takes a third of the time.
    add = histogram.bucket.add
    for bound, count in distribution.buckets:
        bucket = add()
        bucket.upper_bound, bucket.cumulative_count = bound, count
    add(upper_bound=math.inf, cumulative_count=distribution.count)
    exemplars = exemplars_by_bucket(distribution) if distribution.exemplars else {}
    for place, one in exemplars.items():
        histogram.bucket[place].exemplar.MergeFrom(_exemplar(one))
    if distribution.durations is None:
        return
    native = native_buckets(distribution.durations)
    histogram.schema = native.schema
    histogram.zero_threshold, histogram.zero_count = native.zero_threshold, native.zero_count
    for offset, length in native.spans:
        histogram.positive_span.add(offset=offset, length=length)
    histogram.positive_delta.extend(native.deltas)
    by_time = sorted(exemplars.values(), key=lambda one: one.timestamp)
    histogram.exemplars.extend(map(_exemplar, by_time))


def _exemplar(one: Exemplar) -> Any:
    return message_class("io.prometheus.client.Exemplar")(
        label=[{"name": name, "value": value} for name, value in one.labels.items()],
        value=one.value_ms,
        timestamp=_timestamp(one.timestamp),
    )


def _timestamp(moment: datetime) -> Any:
    seconds, rest = divmod(microseconds(moment), 1_000_000)
    return message_class("google.protobuf.Timestamp")(seconds=seconds, nanos=rest * 1000)
