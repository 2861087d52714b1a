"""The way to an endpoint: directly or through a proxy, with TLS or without."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from metalscope.errors import ConfigurationError
from metalscope.option_types import is_loopback, shown_endpoint
from metalscope.sending.http.tls import Tls

if TYPE_CHECKING:
    from metalscope.sending.http.connections import PlainConnection, TlsConnection
    from metalscope.sending.peer import PeerOptions

__all__ = ["Route"]

_PORTS: Final = {"http": 80, "https": 443}

# Parameters such as api_key or sig; `bucket=metal` is none, and masked it would hide what a peer
# says of it.
_KEY: Final = re.compile(r"key|token|secret|sig|code|pass|pwd|auth|cred", re.IGNORECASE)


@dataclass(frozen=True)
class _Place:
    """Where a URL points to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> _Place:
        parts = urlsplit(url)
        return cls(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Route:
    """Makes connections to one endpoint, and the targets of the requests on them."""

    url: str = field(repr=False)
    _to: _Place
    _proxy: _Place | None
    _proxy_headers: dict[str, str] = field(repr=False)
    _tls: Tls | None
    _proxy_tls: Tls | None

    @classmethod
    def of(cls, options: PeerOptions, url: str) -> Route:
        """The route to an ``http`` or ``https`` URL.

        Raises:
            ConfigurationError: the proxy, or a file of TLS, is not usable.
        """
        to = _Place.of(url)
        proxy, headers = _proxy(options, to)
        # Built for http too where files are named, so that a wrong one is found at the start.
        named = options.tls.ca_file is not None or options.tls.cert_file is not None
        secure = to.scheme == "https"
        tls = Tls(options.tls, options.who) if secure or named else None
        proxy_tls = None
        if proxy is not None and proxy.scheme == "https":
            proxy_tls = Tls(options.tls, options.who, client=False)
        return cls(url, to, proxy, headers, tls if secure else None, proxy_tls)

    @property
    def peer(self) -> str:
        """Host and port of the endpoint."""
        return str(self._to)

    @property
    def proxy_peer(self) -> str | None:
        """Host and port of the proxy."""
        return str(self._proxy) if self._proxy else None

    @property
    def secrets(self) -> list[str]:
        """What in the route may be secret: headers for the proxy, parts of the path and query."""
        parts = urlsplit(self.url)
        pairs = [pair.partition("=") for pair in parts.query.split("&")]
        keys = [value for name, _, value in pairs if _KEY.search(name) or len(value) >= 20]
        # A webhook's address may end in its key.
        keys += [part for part in parts.path.split("/") if len(part) >= 20]
        return [*self._proxy_headers.values(), *keys, *map(unquote, keys)]

    def headers(self) -> dict[str, str]:
        """The headers for a proxy that reads the request itself, in lower case."""
        return self._proxy_headers if self._tls is None else {}

    def target(self, path: str = "", query: str = "") -> str:
        """What the request line asks for: the endpoint's path with ``path`` after it."""
        parts = urlsplit(self.url)
        path, _, more = path.partition("?")
        base = parts.path.rstrip("/") if path.startswith("/") else parts.path
        # RFC 3986, 3.3: what may be in a path as it is; "%" as it is encoded already.
        whole = quote(base + path, safe="/%:@!$&'()*+,;=~") or "/"
        queries = "&".join(part for part in (parts.query, more, query) if part)
        if queries:
            whole += "?" + quote(queries, safe="/%:@!$&'()*+,;=~?[]{}|^")
        if self._proxy is not None and self._tls is None:
            # RFC 9112, 3.2.2: a proxy is given the whole URL.
            return f"http://{parts.netloc}{whole}"
        return whole

    def connection(self) -> PlainConnection | TlsConnection:
        """A connection that is not open yet."""
        from urllib3.connection import ProxyConfig  # noqa: PLC0415 - loads urllib3
        from urllib3.util import parse_url  # noqa: PLC0415

        from metalscope.sending.http.connections import (  # noqa: PLC0415
            PlainConnection,
            TlsConnection,
        )

        proxy = self._proxy
        tls = self._tls.context() if self._tls else None
        if proxy is None:
            if tls is None:
                return PlainConnection(self._to.host, self._to.port, timeout=None)
            return TlsConnection(self._to.host, self._to.port, timeout=None, ssl_context=tls)
        url = parse_url(f"{proxy.scheme}://{proxy}")
        proxy_tls = self._proxy_tls.context() if self._proxy_tls else None
        if tls is None and proxy_tls is None:
            return PlainConnection(proxy.host, proxy.port, timeout=None, proxy=url)
        connection = TlsConnection(
            proxy.host,
            proxy.port,
            timeout=None,
            proxy=url,
            proxy_config=ProxyConfig(proxy_tls, False, None, None),
            ssl_context=tls or proxy_tls,
        )
        if tls is not None:
            connection.set_tunnel(
                self._to.host, self._to.port, headers=self._proxy_headers, scheme=proxy.scheme
            )
        return connection


def _proxy(options: PeerOptions, to: _Place) -> tuple[_Place | None, dict[str, str]]:
    """The proxy to go through, and the headers for it."""
    headers = {name.lower(): v.get_secret_value() for name, v in options.proxy_headers.items()}
    if options.proxy is not None:
        url, source = options.proxy, "proxy"
    # A proxy cannot reach this machine's loopback.
    elif is_loopback(to.host):
        return None, {}
    else:
        proxies = getproxies_environment()
        url, source = proxies.get(to.scheme, ""), f"{to.scheme}_proxy"
        if not url or proxy_bypass(str(to)):
            return None, {}
        url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        place = _Place.of(url) if parts.scheme in _PORTS and parts.hostname else None
    except ValueError:
        place = None
    if place is None:
        raise ConfigurationError(
            f"{options.who}: {source} {shown_endpoint(url)!r} must be an http or https URL"
        )
    if parts.username is not None and "proxy-authorization" not in headers:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["proxy-authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    return place, headers
