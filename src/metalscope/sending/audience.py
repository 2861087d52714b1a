"""Whether an endpoint is on one's own side or beyond, which decides what may be sent to it."""

from __future__ import annotations

import ipaddress
from typing import Final, Protocol
from urllib.parse import urlsplit

from metalscope.export_options import Audience, ExporterType
from metalscope.option_types import endpoint_host, is_loopback

__all__ = ["audience_of"]

# Platforms that are always somebody else's, where no endpoint says otherwise.
_ELSEWHERE: Final = {
    ExporterType.APPLICATION_INSIGHTS,
    ExporterType.DATADOG,
    ExporterType.GRAFANA_CLOUD,
}

# RFC 6761, RFC 6762, RFC 8375, ICANN's "internal", and what container platforms use.
_OWN_DOMAINS: Final = (".localhost", ".local", ".home.arpa", ".internal", ".lan", ".svc")


class Addressed(Protocol):
    """What is asked of the options of a peer."""

    @property
    def audience(self) -> Audience | None:
        """What is said of it."""
        ...

    @property
    def endpoint(self) -> str | None:
        """Its URL."""
        ...

    @property
    def type(self) -> str | None:
        """What it is."""
        ...


def audience_of(options: Addressed) -> Audience:
    """What the options say; else internal for this machine, private addresses and bare names."""
    if options.audience is not None:
        return options.audience
    if options.endpoint is None:
        return Audience.EXTERNAL if options.type in _ELSEWHERE else Audience.INTERNAL
    if urlsplit(options.endpoint).scheme in {"unix", "file"}:
        return Audience.INTERNAL
    host = endpoint_host(options.endpoint)
    return Audience.INTERNAL if _is_own(host) else Audience.EXTERNAL


def _is_own(host: str) -> bool:
    if is_loopback(host):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.casefold().endswith(_OWN_DOMAINS)
