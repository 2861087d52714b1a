"""What OTLP peers of the tests received, as values that compare, and a gRPC server to receive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as service
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest as Request,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse as Response,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name, and its attributes by name."""


class Received(NamedTuple):
    """One point as it came over the wire."""

    metric: Metric
    point: Any

    @property
    def kind(self) -> str:
        return str(self.metric.WhichOneof("data"))

    @property
    def data(self) -> Any:
        return getattr(self.metric, self.kind)

    @property
    def value(self) -> float:
        return float(getattr(self.point, self.point.WhichOneof("value")))


def points(requests: Iterable[Request]) -> dict[Key, Received]:
    """All points; no series may be there twice."""
    found: dict[Key, Received] = {}
    for request in requests:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in getattr(metric, str(metric.WhichOneof("data"))).data_points:
                        labels = tuple(
                            (one.key, one.value.string_value) for one in point.attributes
                        )
                        key = (metric.name, labels)
                        assert key not in found, f"{key} came twice"
                        found[key] = Received(metric, point)
    return found


def resources(requests: Iterable[Request]) -> list[dict[str, Any]]:
    """The attributes of each resource."""
    return [
        {
            one.key: getattr(one.value, str(one.value.WhichOneof("value")))
            for one in resource.resource.attributes
        }
        for request in requests
        for resource in request.resource_metrics
    ]


Answerer = Callable[[Request, grpc.ServicerContext], Response]


@dataclass
class GrpcReceiver(service.MetricsServiceServicer):
    """A running server. ``answer`` may be set to what it is to say, and may abort."""

    answer: Answerer | None = None
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    _came: threading.Condition = field(default_factory=threading.Condition)

    def Export(self, request: Request, context: grpc.ServicerContext) -> Response:  # noqa: N802
        with self._came:
            self.peers.append(context.peer())
            self.metadata.append({one.key: one.value for one in context.invocation_metadata()})
        response = self.answer(request, context) if self.answer else Response()
        with self._came:
            self.requests.append(request)
            self._came.notify_all()
        return response

    def wait_for(self, names: set[str], seconds: float = 20.0) -> dict[Key, Received]:
        """All points, as soon as there is one of each of these metrics."""
        deadline = time.monotonic() + seconds
        with self._came:
            while not names <= {name for name, _ in points(self.requests)}:
                left = deadline - time.monotonic()
                assert left > 0, (
                    f"{names - {name for name, _ in points(self.requests)}} are missing"
                )
                self._came.wait(left)
            return points(self.requests)


@contextmanager
def grpc_receiver(
    credentials: grpc.ServerCredentials | None = None,
    *,
    address: str = "127.0.0.1:0",
    options: tuple[tuple[str, Any], ...] = (),
) -> Iterator[GrpcReceiver]:
    """A gRPC server on a loopback port; stopped at the end."""
    server = grpc.server(ThreadPoolExecutor(4), options=options)
    receiver = GrpcReceiver()
    service.add_MetricsServiceServicer_to_server(receiver, server)
    if credentials is None:
        receiver.port = server.add_insecure_port(address)
    else:
        receiver.port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield receiver
    finally:
        server.stop(0).wait(10)
