"""HTTP for one exporter: its own connections, headers and key, and a deadline that holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metalscope.errors import MetalscopeError
from metalscope.export.result import Reason

__all__ = ["HttpAnswer", "HttpTransport", "TransportError"]


class TransportError(MetalscopeError):
    """There was no answer. ``reason`` and the text say why, without any secret."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a peer answered; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpTransport:
    """Written next."""
