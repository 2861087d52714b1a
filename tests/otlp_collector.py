"""A collector that keeps spans and log records exactly as they came over gRPC."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

Answerer = Callable[[grpc.ServicerContext], bytes]
"""What it says to a call: the response's bytes, or it aborts."""


@dataclass
class OtlpCollector:
    """A running server; ``answers`` are used one a call, then it takes everything."""

    port: int = 0
    answers: list[Answerer] = field(default_factory=list)
    calls: list[tuple[str, bytes, dict[str, Any]]] = field(default_factory=list)
    """Method, request and metadata of each call that was taken, in order."""
    refused: int = 0
    _came: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def handle(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._came:
            answer = self.answers.pop(0) if self.answers else None
        try:
            response = b"" if answer is None else answer(context)
        except BaseException:
            with self._came:
                self.refused += 1
            raise
        metadata = {one.key: one.value for one in context.invocation_metadata()}
        with self._came:
            self.calls.append((method, request, metadata))
            self._came.notify_all()
        return response

    def traces(self) -> list[ExportTraceServiceRequest]:
        with self._came:
            found = [request for method, request, _ in self.calls if method == TRACES]
        return [ExportTraceServiceRequest.FromString(one) for one in found]

    def logs(self) -> list[ExportLogsServiceRequest]:
        with self._came:
            found = [request for method, request, _ in self.calls if method == LOGS]
        return [ExportLogsServiceRequest.FromString(one) for one in found]

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.traces()
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def records(self) -> list[LogRecord]:
        return [
            record
            for request in self.logs()
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def wait_for_spans(self, count: int, seconds: float = 20.0) -> list[Span]:
        """All spans, as soon as there are so many."""
        return self._wait(self.spans, count, seconds)

    def wait_for_records(self, count: int, seconds: float = 20.0) -> list[LogRecord]:
        """All log records, as soon as there are so many."""
        return self._wait(self.records, count, seconds)

    def _wait(self, get: Callable[[], list[Any]], count: int, seconds: float) -> list[Any]:
        deadline = time.monotonic() + seconds
        with self._came:
            while len(found := get()) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"{len(found)} came of {count}"
                self._came.wait(left)
            return found


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, collector: OtlpCollector) -> None:
        self._collector = collector

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        method = details.method
        if method not in {TRACES, LOGS}:
            return None
        # Without serializers requests and responses are bytes.
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._collector.handle(method, request, context)
        )


@contextmanager
def otlp_collector(
    port: int = 0, *, credentials: grpc.ServerCredentials | None = None
) -> Iterator[OtlpCollector]:
    """A gRPC server on a loopback port; stopped at the end."""
    server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
    collector = OtlpCollector()
    server.add_generic_rpc_handlers((_Handlers(collector),))
    address = f"127.0.0.1:{port}"
    if credentials is None:
        collector.port = server.add_insecure_port(address)
    else:
        collector.port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait(10)
