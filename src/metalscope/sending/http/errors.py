"""Why there was no answer over HTTP, in plain words that hold no secret. Imports urllib3."""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from urllib3.exceptions import DecodeError, InvalidHeader, ProtocolError

from metalscope.sending.http.connections import TunnelError
from metalscope.sending.http.outcome import TransportError
from metalscope.sending.result import Reason

__all__ = ["is_reset", "transport_error"]

# OpenSSL, x509_vfy.h: X509_V_ERR_*.
_CERTIFICATE: Final = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is signed by itself, and tls.ca_file does not name it",
    19: "its certificate is signed by an authority that is not trusted here (tls.ca_file)",
    20: "its certificate is signed by an authority that is not trusted here (tls.ca_file)",
    21: "its certificate is signed by an authority that is not trusted here (tls.ca_file)",
    23: "its certificate was revoked",
    62: "its certificate is for another host",
    64: "its certificate is for another host",
}
_NO_TLS: Final = {
    "WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL",
    "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG",
}  # fmt: skip
_OTHER_VERSION: Final = {
    "UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_SSL_VERSION",
}  # fmt: skip
_NO_CLIENT_CERTIFICATE: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE",
}  # fmt: skip
_BAD_CLIENT_CERTIFICATE: Final = {
    "SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "TLSV1_ALERT_UNKNOWN_CA", "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV1_ALERT_DECRYPT_ERROR",
}  # fmt: skip


def transport_error(
    error: Exception, *, peer: str, proxy: str | None, connected: bool, seconds: float, tls: str
) -> TransportError | None:
    """What an error of the network means; ``None`` where it is none.

    Args:
        error: what urllib3, http.client, ssl or socket raised.
        peer: host and port of the endpoint.
        proxy: host and port of the proxy, where there is one.
        connected: whether the connection was ready to be written to, the endpoint's TLS included.
        seconds: how long there was.
        tls: the lowest version of TLS that is spoken.
    """
    causes = list(_causes(error))
    through = f" through the proxy {proxy}" if proxy else ""
    if any(isinstance(cause, TimeoutError | socket.timeout) for cause in causes):
        did = "gave no whole answer" if connected else "took no connection"
        # What was left of the time limit; to the tenth it is the limit itself.
        waited = f"{round(seconds, 1) or seconds:.3g} s"
        return TransportError(Reason.TIMEOUT, f"{peer} {did} within {waited}{through}")
    tunnel = next((cause for cause in causes if isinstance(cause, TunnelError)), None)
    if proxy and tunnel is not None:
        return TransportError(Reason.PROXY, f"the proxy {proxy} {_tunnel(causes)} to {peer}")
    for cause in causes:
        known = _known(cause, connected, tls)
        if known is not None:
            reason, words = known
            if proxy and reason in {Reason.DNS, Reason.REFUSED, Reason.NETWORK}:
                return TransportError(Reason.PROXY, f"the proxy {proxy}: {words}")
            return TransportError(reason, f"{peer}: {words}{through}")
    return None


def is_reset(error: OSError) -> bool:
    """Whether the peer has closed the connection, in one of the ways that systems say it."""
    # macOS has EPROTOTYPE for a write while the connection is being closed.
    closed = isinstance(error, BrokenPipeError | ConnectionResetError | ssl.SSLEOFError)
    return closed or error.errno == errno.EPROTOTYPE


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those it holds or was raised from, innermost first."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__]
    return reversed(seen)


def _known(cause: BaseException, connected: bool, tls: str) -> tuple[Reason, str] | None:  # noqa: PLR0911
    match cause:
        case socket.gaierror():
            return Reason.DNS, f"no such host ({cause.strerror or 'its name has no address'})"
        case ssl.SSLCertVerificationError():
            default = f"its certificate does not pass ({cause.verify_message})"
            return Reason.TLS, _CERTIFICATE.get(cause.verify_code, default)
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() if connected:
            return Reason.RESET, "the connection was closed before the answer was whole"
        case ssl.SSLError():
            return Reason.TLS, _tls(cause, tls)
        case ConnectionRefusedError():
            return Reason.REFUSED, "nothing listens there"
        case OSError() if isinstance(cause, ConnectionError) or cause.errno == errno.EPROTOTYPE:
            when = "before the answer was whole" if connected else "before it was ready"
            return Reason.RESET, f"the connection was closed {when}"
        case http.client.BadStatusLine() if str(cause).startswith("\x15\x03"):
            return Reason.GARBAGE, "what answers is TLS, not HTTP; is the URL https, not http?"
        case http.client.IncompleteRead():
            return Reason.RESET, "the answer ended before it was whole"
        case DecodeError() | InvalidHeader() | http.client.HTTPException():
            return Reason.GARBAGE, f"what answers is not HTTP ({type(cause).__name__})"
        case ProtocolError():
            return Reason.GARBAGE, "what answers is not HTTP"
        case OSError():
            text = cause.strerror or errno.errorcode.get(cause.errno or 0, type(cause).__name__)
            return Reason.NETWORK, text
        case _:
            return None


def _tls(error: ssl.SSLError, lowest: str) -> str:
    reason = error.reason or ""
    if reason in _NO_TLS:
        return "it does not speak TLS; is the URL http, not https?"
    if reason in _OTHER_VERSION:
        return f"it does not speak TLS {lowest} or newer"
    if reason in _NO_CLIENT_CERTIFICATE:
        return "it refused the handshake; it may want a client certificate (tls.cert_file)"
    if reason in _BAD_CLIENT_CERTIFICATE:
        return "it does not take the client certificate (tls.cert_file)"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "it closed the connection during the handshake"
    return f"no secure connection ({reason.lower().replace('_', ' ') or 'unknown error'})"


def _tunnel(causes: list[BaseException]) -> str:
    # http.client says the status in the text only.
    for cause in causes:
        found = re.match(r"Tunnel connection failed: (\d{3})\b", str(cause))
        if found:
            status = found[1]
            why = " (proxy_headers can hold Proxy-Authorization)" if status == "407" else ""
            return f"answered {status}{why} when asked for a tunnel"
    return "did not open a tunnel"
