"""OTLP over gRPC: one unary call a request, and what its failures mean."""

from __future__ import annotations

import base64
import os
import re
import ssl
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from metalscope._version import __version__
from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.option_types import endpoint_host, is_loopback, shown_endpoint
from metalscope.sending.http.masking import Mask
from metalscope.sending.http.secrets import secret_source
from metalscope.sending.http.tls import tls_context
from metalscope.sending.http.transport import TransportError, result_of_error
from metalscope.sending.otlp import messages
from metalscope.sending.otlp.address import GRPC_PORT
from metalscope.sending.result import ExportResult, Reason

try:
    import grpc

    from metalscope.sending.otlp.grpc_outcome import GrpcCall, outcome_of
except ImportError as missing:
    raise MissingExtraError("OTLP over gRPC", "otlp", cause=str(missing)) from missing

if TYPE_CHECKING:
    from metalscope.peer_options import TlsOptions
    from metalscope.sending.otlp.service import OtlpService
    from metalscope.sending.peer import PeerOptions

__all__ = ["GrpcSender"]

_PORTS: Final = {"http": GRPC_PORT, "grpc": GRPC_PORT, "https": 443, "grpcs": 443}
"""Where the URL names none: OTLP's own, and that of all things over TLS."""

_OPTIONS: Final = (
    ("grpc.primary_user_agent", f"metalscope/{__version__}"),
    # Retries are the spool's, with the same data.
    ("grpc.enable_retries", 0),
    # Else a channel that is made anew waits out the back-off of the one before.
    ("grpc.use_local_subchannel_pool", 1),
)
_STATUS_DETAILS: Final = "grpc-status-details-bin"


class GrpcSender:
    """Sends to one endpoint by OTLP/gRPC.

    The channel is made at the first request and made anew after a failure of the network, with
    the certificates as they are then. One that was made before a fork is not used after it.

    Args:
        service: what is sent.
        options: to where, and as whom.
        compress: with gzip.

    Raises:
        ConfigurationError: the endpoint, a header, the proxy or TLS cannot be used with gRPC.
    """

    def __init__(self, service: OtlpService, options: PeerOptions, *, compress: bool) -> None:
        self._service = service
        self._options = options
        self._key = secret_source(options)
        self._mask = Mask()
        self._compression = grpc.Compression.Gzip if compress else grpc.Compression.NoCompression
        self._target, self._secure = _target(options.endpoint or "", options.who)
        self._peer = self._target.removeprefix("dns:///")
        self._headers = {
            name.lower(): value.get_secret_value() for name, value in options.headers.items()
        }
        for name, value in self._headers.items():
            if not re.fullmatch(r"[0-9a-z_.-]+", name) or not re.fullmatch(r"[\x20-\x7e]*", value):
                raise self._bad(f"headers {name} must have a name and a value gRPC can send")
            self._mask.add_header(value)
        if options.proxy_headers:
            raise self._bad("proxy_headers cannot be sent with the protocol grpc")
        if options.user is not None and self._key is None and "authorization" not in self._headers:
            raise self._bad(f"user {options.user!r} needs api_key or api_key_from, the password")
        if self._secure:
            if options.tls.min_version != "1.2":
                raise self._bad("tls.min_version cannot be set with the protocol grpc")
            # Only to find files that cannot be used at the start, with the same words as HTTP.
            tls_context(options.tls, options.who)
        self._channel: grpc.Channel | None = None
        self._process = 0
        self._abandoned: list[grpc.Channel] = []

    def send(self, request: bytes, count: int, seconds: float) -> ExportResult:
        """Send a request, serialized, and wait for the answer, at most so many s.

        ``count`` is how many points, spans or records it holds.
        """
        try:
            metadata = self._metadata()
            channel = self._opened()
        except TransportError as error:
            return result_of_error(error)
        try:
            export: Any = channel.unary_unary(
                self._service.method, response_deserializer=self._service.response.FromString
            )
            response = export(
                request, timeout=seconds, metadata=metadata, compression=self._compression
            )
        except grpc.RpcError as error:
            result = self._result(error, seconds)
            if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                self.close()
            return result
        says = self._mask.shown(response.partial_success.error_message)
        return messages.result_of(self._service, response, count, says)

    def close(self) -> None:
        """Close the channel."""
        channel, self._channel = self._channel, None
        if channel is not None and self._process == os.getpid():
            channel.close()

    def _opened(self) -> grpc.Channel:
        if self._channel is not None and self._process != os.getpid():
            # Its threads and locks are the parent's; to close it, or to let it be collected,
            # could wait for them for ever.
            self._abandoned.append(self._channel)
            self._channel = None
        if self._channel is None:
            options: list[tuple[str, Any]] = [*_OPTIONS]
            if self._options.proxy is not None:
                options.append(("grpc.http_proxy", self._options.proxy))
            elif is_loopback(endpoint_host(self._options.endpoint or "")):
                # gRPC would ask the environment's proxy, which cannot reach this machine.
                options.append(("grpc.enable_http_proxy", 0))
            if self._secure:
                credentials = _credentials(self._options.tls)
                self._channel = grpc.secure_channel(self._target, credentials, options)
            else:
                self._channel = grpc.insecure_channel(self._target, options)
            self._process = os.getpid()
        return self._channel

    def _metadata(self) -> list[tuple[str, str]]:
        headers = dict(self._headers)
        if self._key is not None and "authorization" not in headers:
            key = self._key.read()
            self._mask.add(key)
            if self._options.user is None:
                headers["authorization"] = f"Bearer {key}"
            else:
                pair = base64.b64encode(f"{self._options.user}:{key}".encode()).decode()
                headers["authorization"] = f"Basic {pair}"
            self._mask.add_header(headers["authorization"])
            if not headers["authorization"].isascii():
                raise TransportError(
                    Reason.CONFIGURATION, "the key holds characters that no gRPC metadata has"
                )
        return list(headers.items())

    def _result(self, error: Any, seconds: float) -> ExportResult:
        trailers = {str(key): value for key, value in error.trailing_metadata() or ()}
        details = trailers.get(_STATUS_DETAILS, b"")
        wait = messages.status_from(details).retry_after if isinstance(details, bytes) else None
        proxied = self._options.proxy is not None
        call = GrpcCall(self._peer, self._secure, proxied, seconds, self._mask.shown)
        return outcome_of(error.code(), error.details() or "", wait, call)

    def _bad(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self._options.who}: {what}")


def _target(endpoint: str, who: str) -> tuple[str, bool]:
    """What gRPC calls the endpoint (grpc/doc/naming.md), and whether over TLS."""
    parts = urlsplit(endpoint)
    if parts.scheme == "unix":
        return f"unix:{parts.path}", False
    if parts.scheme not in _PORTS:
        raise ConfigurationError(
            f"{who}: endpoint {shown_endpoint(endpoint)!r} must be a URL such as "
            "'http://localhost:4317' for the protocol grpc"
        )
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"dns:///{host}:{parts.port or _PORTS[parts.scheme]}", parts.scheme.endswith("s")


def _credentials(tls: TlsOptions) -> grpc.ChannelCredentials:
    certificate, key = tls.cert_file, tls.key_file or tls.cert_file
    try:
        return grpc.ssl_channel_credentials(
            tls.ca_file.expanduser().read_bytes() if tls.ca_file else _system_authorities(),
            key.expanduser().read_bytes() if key else None,
            certificate.expanduser().read_bytes() if certificate else None,
        )
    except OSError as error:
        raise TransportError(
            Reason.CONFIGURATION, f"a file of tls cannot be read: {error.strerror}"
        ) from None


def _system_authorities() -> bytes | None:
    """What the system trusts, as for HTTP; ``None``, gRPC's own list, where it has no list."""
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    return "".join(map(ssl.DER_cert_to_PEM_cert, found)).encode() or None
