"""HTTP to one peer: its own connections, headers and key, and a deadline that holds."""

from __future__ import annotations

import base64
import gzip
import http.client
import re
import ssl
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlencode, urlsplit

from metalscope._version import __version__
from metalscope.errors import ConfigurationError
from metalscope.fork import reset_in_child
from metalscope.option_types import shown_endpoint
from metalscope.sending.http.deadline import remaining, within
from metalscope.sending.http.masking import Mask
from metalscope.sending.http.outcome import HttpAnswer, TransportError, judge, result_of_error
from metalscope.sending.http.route import Route
from metalscope.sending.http.secrets import secret_source
from metalscope.sending.result import Reason

if TYPE_CHECKING:
    from urllib3.response import HTTPResponse

    from metalscope.sending.http.connections import PlainConnection, TlsConnection
    from metalscope.sending.peer import PeerOptions

__all__ = ["HttpAnswer", "HttpTransport", "TransportError", "judge", "result_of_error"]

LARGEST_ANSWER: Final = 1024 * 1024
"""Bytes of a body that are read where no one asks for more; few answers to metrics are longer."""

_MOST_IDLE: Final = 4
_FRAMING: Final = frozenset(
    {"content-length", "content-encoding", "transfer-encoding", "connection"}
)


class HttpTransport:
    """Sends to one endpoint, for one who sends; made by :meth:`of`.

    Certificates are verified, redirects are not followed and nothing is tried twice: what is to
    be done about a failure is for the one who asked. May be used by several threads at once.
    """

    def __init__(
        self,
        options: PeerOptions,
        route: Route,
        *,
        timeout: timedelta,
        auth: Literal["authorization", "none"],
        largest_answer: int = LARGEST_ANSWER,
    ) -> None:
        self._options = options
        self._route = route
        self._seconds = timeout.total_seconds()
        self._auth = auth
        self._largest = largest_answer
        self._key = secret_source(options)
        self._mask = Mask()
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """In a forked child: the open connections are the parent's."""
        self._idle: list[PlainConnection | TlsConnection] = []
        self._lock = threading.Lock()

    @classmethod
    def of(
        cls,
        options: PeerOptions,
        url: str | None = None,
        *,
        timeout: timedelta,
        auth: Literal["authorization", "none"] = "authorization",
        largest_answer: int = LARGEST_ANSWER,
    ) -> HttpTransport:
        """A transport to ``url``, or to ``options.endpoint``.

        Args:
            options: whose headers, key, TLS and proxy are used.
            url: an ``http`` or ``https`` URL; its query is sent with every request.
            timeout: how long one request may take in all, from the look-up of the name to the
                last byte of the answer.
            auth: ``authorization`` sends the key as ``Authorization``: ``Basic`` (RFC 7617) where
                ``options.user`` is set, else ``Bearer`` (RFC 6750). A header of that name in the
                options takes its place.
            largest_answer: bytes of a body that are read at most.

        Raises:
            ConfigurationError: the URL, a header, the proxy or a file of TLS is not usable.
            MissingExtraError: the key is in the keyring, and the library for it is not installed.
        """
        url = url if url is not None else options.endpoint
        _check(options, url, auth)
        route = Route.of(options, url or "")
        return cls(options, route, timeout=timeout, auth=auth, largest_answer=largest_answer)

    @property
    def url(self) -> str:
        """The endpoint, its query included, which may hold a secret."""
        return self._route.url

    @property
    def peer(self) -> str:
        """Host and port of the endpoint, to be shown."""
        return self._route.peer

    def __repr__(self) -> str:
        return f"<HttpTransport of {self._options.who} to {self._route.peer}>"

    def secret(self) -> str | None:
        """The key, read anew from where it is kept; ``None`` where the options name none.

        Raises:
            TransportError: it is not there, for ``Reason.CONFIGURATION``.
        """
        if self._key is None:
            return None
        key = self._key.read()
        self._mask.add(key)
        return key

    def shown(self, text: str) -> str:
        """A peer's words as they may be shown: a line of at most 200 characters, secrets masked."""
        return self._mask.shown(text)

    def send(
        self,
        body: bytes,
        *,
        content_type: str,
        method: str = "POST",
        path: str = "",
        headers: Mapping[str, str] | None = None,
        compress: bool = False,
    ) -> HttpAnswer:
        """Send ``body`` to the endpoint's path with ``path`` after it, and wait for the answer.

        Headers of the options take the place of those given here.

        Raises:
            TransportError: there was no answer, or none that is HTTP, in time.
        """
        own = {"content-type": content_type, **(headers or {})}
        if compress:
            # Without a time in it, the same body is the same bytes.
            body = gzip.compress(body, compresslevel=6, mtime=0)
            own["content-encoding"] = "gzip"
        return self._ask(method, self._route.target(path), body, own)

    def get(self, path: str = "", query: Mapping[str, str] | None = None) -> HttpAnswer:
        """Ask for what is at the endpoint's path with ``path`` after it.

        Raises:
            TransportError: there was no answer, or none that is HTTP, in time.
        """
        return self._ask("GET", self._route.target(path, urlencode(query or {})), None, {})

    def close(self) -> None:
        """Close the connections that are open."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _ask(
        self, method: str, target: str, body: bytes | None, own: Mapping[str, str]
    ) -> HttpAnswer:
        from metalscope.sending.http.errors import transport_error  # noqa: PLC0415 - loads urllib3

        headers = self._headers(own)
        connection = self._connection()
        seconds = self._seconds
        try:
            with within(seconds):
                seconds = remaining() or seconds
                status, answered, content = self._exchange(
                    connection, method, target, body, headers
                )
        except BaseException as error:
            connection.close()
            if not isinstance(error, Exception) or isinstance(error, TransportError):
                raise
            known = transport_error(
                error,
                peer=self._route.peer,
                proxy=self._route.proxy_peer,
                connected=connection.connected,
                seconds=seconds,
                tls=self._options.tls.min_version,
            )
            if known is None:
                raise
            # Not chained: texts of the libraries below may quote headers.
            raise known from None
        self._keep(connection)
        words = "" if 200 <= status < 300 else self._mask.shown_body(content, answered)
        return HttpAnswer(status, answered, content, self._route.peer, words)

    def _exchange(
        self,
        connection: PlainConnection | TlsConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> tuple[int, dict[str, str], bytes]:
        from metalscope.sending.http.errors import is_reset  # noqa: PLC0415 - loads urllib3

        if not connection.connected:
            connection.connect()
            connection.connected = True
        connection.target = target
        broken: OSError | None = None
        try:
            # urllib3 may log the path it is told here, so it is not told the real one.
            connection.request(method, "/", body=body, headers=headers, preload_content=False)
        except OSError as error:
            # A peer may answer and close before it has read all, as with 413.
            if not is_reset(error):
                raise
            broken = error
        try:
            response = connection.getresponse()
            answered = {name.lower(): value for name, value in response.headers.items()}
            return response.status, answered, self._body(response, connection)
        except (OSError, http.client.HTTPException) as error:
            if broken is None or isinstance(error, ssl.SSLError):
                raise
            raise broken from None

    def _body(self, response: HTTPResponse, connection: PlainConnection | TlsConnection) -> bytes:
        from urllib3.exceptions import DecodeError, ProtocolError  # noqa: PLC0415

        parts: list[bytes] = []
        left = self._largest
        try:
            # In small pieces: what is compressed may be far larger than what came.
            while left >= 0 and (part := response.read(16 * 1024)):
                parts.append(part)
                left -= len(part)
        except (ProtocolError, DecodeError):
            # A refusal is one however it ends: who does not read all of a request resets.
            if response.status < 400:
                raise
            connection.close()
        if left < 0:
            connection.close()
            if response.status < 400:
                size = f"{self._largest // 1024} KiB"
                raise TransportError(
                    Reason.GARBAGE, f"{self.peer}: the answer is longer than {size}"
                )
        return b"".join(parts)

    def _headers(self, own: Mapping[str, str]) -> dict[str, str]:
        headers = {"user-agent": f"metalscope/{__version__}"}
        headers |= {name.lower(): value for name, value in own.items()}
        headers |= self._route.headers()
        given = {name.lower(): v.get_secret_value() for name, v in self._options.headers.items()}
        if self._auth == "authorization" and "authorization" not in given:
            key = self.secret()
            if key is not None:
                headers["authorization"] = _authorization(self._options.user, key)
        headers |= given
        for secret in (*self._route.secrets, *given.values(), headers.get("authorization", "")):
            self._mask.add_header(secret)
        if not _is_header_value(headers.get("authorization", "")):
            raise TransportError(
                Reason.CONFIGURATION, "the key holds characters that no HTTP header has"
            )
        return headers

    def _connection(self) -> PlainConnection | TlsConnection:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                # What can be read is the end of it: nothing was asked.
                if connection.is_connected:
                    return connection
                connection.close()
        return self._route.connection()

    def _keep(self, connection: PlainConnection | TlsConnection) -> None:
        with self._lock:
            if not connection.is_closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()


def _authorization(user: str | None, key: str) -> str:
    if user is None:
        return f"Bearer {key}"
    return "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and parts.scheme in {"http", "https"} and "@" not in parts.netloc


def _is_header_value(text: str) -> bool:
    # RFC 9110, 5.5; http.client writes Latin-1.
    return bool(re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", text))


def _check(options: PeerOptions, url: str | None, auth: str) -> None:
    def bad(what: str) -> ConfigurationError:
        return ConfigurationError(f"{options.who}: {what}")

    if url is None:
        raise bad("endpoint is not set; must be an http or https URL")
    if not _is_web(url):
        raise bad(f"endpoint {shown_endpoint(url)!r} must be an http or https URL")
    for group in ("headers", "proxy_headers"):
        for name, value in getattr(options, group).items():
            if name.lower() in _FRAMING:
                raise bad(f"{group} must not hold {name}, which depends on what is sent")
            if not _is_header_value(value.get_secret_value()):
                raise bad(f"{group} {name} must have a value of Latin-1 characters")
    has_key = options.api_key is not None or options.api_key_from is not None
    if auth == "authorization" and options.user is not None and not has_key:
        given = {name.lower() for name in options.headers}
        if "authorization" not in given:
            raise bad(f"user {options.user!r} needs api_key or api_key_from, the password")
