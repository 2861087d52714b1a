"""A peer of exporters that reads what it is sent and throws it away: one process, one port.

It says its port on its standard output, and ends with its standard input. ``GET /x`` gives how
many requests and bytes came under ``/x/``, and how many points were in those before the first such
question: until then bodies are kept, and decoded when asked.
"""

from __future__ import annotations

import gzip
import json
import socket
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


@dataclass
class Received:
    requests: int = 0
    bytes: int = 0
    kept: list[tuple[str, str, bytes]] | None = field(default_factory=list)
    points: int = 0
    unpacked: int = 0


def otlp_points(request: object) -> int:
    return sum(
        len(getattr(metric, metric.WhichOneof("data")).data_points)
        for resource in request.resource_metrics  # type: ignore[attr-defined]
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def read(content_type: str, encoding: str, body: bytes) -> tuple[int, int]:
    """How many points a body has, and how many bytes it is uncompressed."""
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    if encoding == "snappy":
        from cramjam import snappy

        from metalscope.export.prometheus_schema import message_class

        body = bytes(snappy.decompress_raw(body))
        request = message_class("prometheus.WriteRequest").FromString(body)
        return len(request.timeseries), len(body)
    if encoding == "gzip":
        body = gzip.decompress(body)
    if content_type == "application/json":
        from google.protobuf import json_format

        return otlp_points(json_format.Parse(body, ExportMetricsServiceRequest())), len(body)
    return otlp_points(ExportMetricsServiceRequest.FromString(body)), len(body)


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    received: ClassVar[defaultdict[str, Received]] = defaultdict(Received)
    lock = threading.Lock()

    def setup(self) -> None:
        super().setup()
        # The answer is written in two parts; no client is to wait for the second.
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        content_type = self.headers["content-type"]
        with self.lock:
            one = self.received[self.path.split("/")[1]]
            one.requests += 1
            one.bytes += len(body)
            if one.kept is not None:
                one.kept.append((content_type, self.headers.get("content-encoding", ""), body))
        # An empty message of protobuf, and of JSON: all was taken.
        self._answer(b"{}" if content_type == "application/json" else b"", content_type)

    def do_GET(self) -> None:
        with self.lock:
            one = self.received[self.path.split("/")[1]]
            kept, one.kept = one.kept or (), None
            for part in kept:
                points, unpacked = read(*part)
                one.points += points
                one.unpacked += unpacked
            said = {"requests": one.requests, "bytes": one.bytes}
            said |= {"points": one.points, "unpacked": one.unpacked}
        self._answer(json.dumps(said).encode(), "application/json")

    def _answer(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True


def main() -> None:
    with Server(("127.0.0.1", 0), Sink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_port, flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
