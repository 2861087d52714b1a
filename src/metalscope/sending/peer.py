"""What is known of a peer that something is sent to, whoever sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pydantic import SecretStr

    from metalscope.peer_options import TlsOptions

__all__ = ["PeerOptions"]


class PeerOptions(Protocol):
    """The options an HTTP client is made from: those of an exporter, of a channel of alerts."""

    @property
    def name(self) -> str:
        """Its name in logs and metrics."""
        ...

    @property
    def who(self) -> str:
        """Whose options these are, as errors begin: ``exporter NAME``."""
        ...

    @property
    def endpoint(self) -> str | None:
        """The URL it sends to."""
        ...

    @property
    def headers(self) -> Mapping[str, SecretStr]:
        """HTTP headers sent to it."""
        ...

    @property
    def api_key(self) -> SecretStr | None:
        """Its key."""
        ...

    @property
    def api_key_from(self) -> str | None:
        """Where its key is read from."""
        ...

    @property
    def user(self) -> str | None:
        """The user of HTTP basic authentication."""
        ...

    @property
    def proxy(self) -> str | None:
        """The HTTP proxy to go through."""
        ...

    @property
    def proxy_headers(self) -> Mapping[str, SecretStr]:
        """HTTP headers for the proxy."""
        ...

    @property
    def tls(self) -> TlsOptions:
        """Its secure connection."""
        ...
