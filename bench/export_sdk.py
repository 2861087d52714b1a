"""The OpenTelemetry SDK exporting the same series, and the least that any exporter does."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from typing import Any

from contenders import BOUNDS_MS
from export_series import CATEGORIES, durations, name_of

PATIENCE_MS = 60_000


class Instruments:
    """Instruments of one meter, counted as it happens.

    Observable ones would be called back at the tick and make every attribute anew: a tick of
    theirs takes longer.
    """

    def __init__(self, reader: Any, names: int) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

        buckets = ExplicitBucketHistogramAggregation(BOUNDS_MS)
        view = View(instrument_name="metal_operation_duration_ms", aggregation=buckets)
        # Kept, as the provider ends with its last reference.
        self._provider = MeterProvider([reader], views=[view])
        meter = self._provider.get_meter("metalscope")
        self._operations = meter.create_counter("metal_operations_total")
        self._bytes = meter.create_counter("metal_operation_bytes_total")
        self._gpu = meter.create_counter("metal_operation_gpu_seconds_total")
        # In a scope each, as the SDK keeps at most 2,000 series of an instrument.
        self._categories = [
            self._provider.get_meter(f"metalscope.{category}").create_counter(
                "metal_operations_by_category_total"
            )
            for category in CATEGORIES
        ]
        self._durations = meter.create_histogram("metal_operation_duration_ms")
        self._turn = 0
        labels = [
            {"kind": "execute", "name": name_of(place), "device": "gpu0"} for place in range(names)
        ]
        self._labels = [(one, one | {"outcome": "ok"}) for one in labels]

    def move(self) -> None:
        self._turn += 1
        taken = durations(len(self._labels), self._turn)
        for (labels, with_outcome), one in zip(self._labels, taken, strict=True):
            self._operations.add(1, with_outcome)
            self._durations.record(one / 1e6, with_outcome)
            self._bytes.add(64, labels)
            self._gpu.add(1e-6, labels)
            for category, counter in zip(CATEGORIES, self._categories, strict=True):
                counter.add(category == "fast", labels | {"category": category})


class Sdk:
    """What the SDK's periodic reader does at a tick."""

    def __init__(self, way: str, url: str, names: int) -> None:
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        compression = Compression.Gzip if way == "sdk-gzip" else Compression.NoCompression
        exporter = OTLPMetricExporter(endpoint=f"{url}/v1/metrics", compression=compression)
        self._reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
        self.move = Instruments(self._reader, names).move

    def tick(self) -> None:
        self._reader.collect(timeout_millis=PATIENCE_MS)

    def begin(self) -> Callable[[], bool]:
        """A tick on a thread of its own, as the periodic reader has; gives whether it is over."""
        thread = threading.Thread(target=self.tick)
        thread.start()
        return lambda: not thread.is_alive()


class Floor:
    """Data that are ready, the official encoder, one POST."""

    def __init__(self, _way: str, url: str, names: int) -> None:
        import urllib3
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        self._post = urllib3.PoolManager().request
        self._url = f"{url}/v1/metrics"
        reader = InMemoryMetricReader()
        Instruments(reader, names).move()
        self._data = reader.get_metrics_data()

    def move(self) -> None:
        """What is ready does not move."""

    def tick(self) -> None:
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

        body = encode_metrics(self._data).SerializeToString()
        headers = {"content-type": "application/x-protobuf"}
        if self._post("POST", self._url, body=body, headers=headers).status != 200:
            sys.exit("not taken: void")
