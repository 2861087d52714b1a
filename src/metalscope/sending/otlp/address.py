"""What an endpoint says of how OTLP is spoken there."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

__all__ = ["GRPC_PORT", "HTTP_PORT", "PROTOCOLS", "path_after", "protocol_of"]

PROTOCOLS: Final = ("grpc", "http/protobuf", "http/json")
GRPC_PORT: Final = 4317
"""The port of OTLP/gRPC (OTLP specification, "OTLP/gRPC Default Port")."""
HTTP_PORT: Final = 4318
"""The port of OTLP/HTTP (OTLP specification, "OTLP/HTTP Default Port")."""


def protocol_of(endpoint: str | None) -> str:
    """``grpc`` for a scheme or a port of gRPC, else ``http/protobuf``."""
    parts = urlsplit(endpoint or "")
    grpc = parts.scheme in {"grpc", "grpcs", "unix"} or parts.port == GRPC_PORT
    return "grpc" if grpc else "http/protobuf"


def path_after(url: str, path: str) -> str:
    """What is put after a URL to ask for ``path``: nothing, where it is there already.

    People copy either from a platform's page, a base endpoint or that of one signal.
    """
    base = url.partition("?")[0].rstrip("/")
    return "" if path and base.endswith(path.rstrip("/")) else path
