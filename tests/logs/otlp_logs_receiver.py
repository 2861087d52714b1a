"""A gRPC server that takes log records by OTLP, and what it was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as service
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest as Request,
)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceResponse as Response,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord


@dataclass
class LogsReceiver(service.LogsServiceServicer):
    """A running server. ``answer`` may be set to what it is to say, and may abort."""

    answer: Callable[[Request, grpc.ServicerContext], Response] | None = None
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    _came: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def Export(self, request: Request, context: grpc.ServicerContext) -> Response:  # noqa: N802
        response = self.answer(request, context) if self.answer else Response()
        with self._came:
            self.metadata.append({one.key: one.value for one in context.invocation_metadata()})
            self.requests.append(request)
            self._came.notify_all()
        return response

    def records(self) -> list[LogRecord]:
        """All records, in the order they came."""
        return [
            record
            for request in self.requests
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def wait_for(self, count: int, seconds: float = 20.0) -> list[LogRecord]:
        """All records, as soon as there are so many."""
        deadline = time.monotonic() + seconds
        with self._came:
            while len(self.records()) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"{len(self.records())} of {count} came"
                self._came.wait(left)
            return self.records()

    def forget(self) -> None:
        """Begin anew."""
        with self._came:
            self.answer = None
            self.requests.clear()
            self.metadata.clear()


@contextmanager
def logs_receiver(port: int = 0) -> Iterator[LogsReceiver]:
    """A server on a loopback port; stopped at the end."""
    server = grpc.server(ThreadPoolExecutor(4))
    receiver = LogsReceiver()
    service.add_LogsServiceServicer_to_server(receiver, server)
    receiver.port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield receiver
    finally:
        server.stop(0).wait(10)
