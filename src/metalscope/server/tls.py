"""TLS of the server: 1.2 and later, certificates that renew themselves, and those of clients."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from metalscope.errors import ConfigurationError

__all__ = ["RenewedContext"]

LOOK_SECONDS: Final = 1.0
"""How often at most the files are looked at; only when a connection comes."""


class RenewedContext(ssl.SSLContext):
    """A context that reads its files again when they have changed.

    Each connection is wrapped by a context of its time. One whose files do not fit each other, as
    while a certificate is being renewed, is never used: the one before stays.
    """

    _files: Callable[[], ssl.SSLContext]
    _paths: tuple[Path, ...]
    _on_error: Callable[[BaseException], None]

    @classmethod
    def of(
        cls,
        *,
        cert_file: Path,
        key_file: Path | None,
        client_ca_file: Path | None,
        on_error: Callable[[BaseException], None],
    ) -> Self:
        """Read the files.

        Args:
            cert_file: the certificate and those between it and a known authority, PEM.
            key_file: its private key, PEM, not encrypted; ``None`` where it is in ``cert_file``.
            client_ca_file: authorities of which a client must bring a certificate, PEM; ``None``
                to ask for none.
            on_error: told when renewed files cannot be used.

        Raises:
            ConfigurationError: a file cannot be used.
        """
        found = cls(ssl.PROTOCOL_TLS_SERVER)
        # Looked at by asyncio and uvicorn; the handshake is made by the context of the moment.
        found.minimum_version = ssl.TLSVersion.TLSv1_2
        found._paths = tuple(path for path in (cert_file, key_file, client_ca_file) if path)
        found._files = lambda: _read(cert_file, key_file, client_ca_file)
        found._on_error = on_error
        found._stamp = found._now()
        found._looked_at = time.monotonic()
        try:
            found._current = found._files()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"server.tls: {_why(error, found._paths)}") from error
        return found

    def wrap_bio(self, *arguments: Any, **more: Any) -> ssl.SSLObject:
        """Begin a connection with what the files hold now."""
        self._renew()
        return self._current.wrap_bio(*arguments, **more)

    def _renew(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        stamp = self._now()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._current = self._files()
        except (OSError, ValueError) as error:
            self._on_error(ConfigurationError(f"server.tls: {_why(error, self._paths)}"))

    def _now(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in self._paths)

    _current: ssl.SSLContext
    _stamp: tuple[tuple[int, int, int] | None, ...]
    _looked_at: float


def _read(cert_file: Path, key_file: Path | None, client_ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A renegotiation costs the server more than the client.
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    with suppress(NotImplementedError):
        context.set_alpn_protocols(["http/1.1"])
    # Without an answer of ours OpenSSL would ask at the host program's terminal.
    context.load_cert_chain(cert_file, key_file, password=_no_password)
    if client_ca_file is not None:
        context.load_verify_locations(client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_password() -> str:
    raise ValueError("the private key must not be encrypted")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - one call for all three
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _why(error: OSError | ValueError, paths: tuple[Path, ...]) -> str:
    if isinstance(error, ssl.SSLError):
        names = ", ".join(map(str, paths))
        reason = error.reason or "no certificate was found"
        return f"{names} cannot be used ({reason.replace('_', ' ').lower()})"
    if isinstance(error, OSError):
        missing = [str(path) for path in paths if not os.access(path, os.R_OK)]
        return f"{', '.join(missing) or 'a file'} cannot be read: {error.strerror or error}"
    return str(error)
