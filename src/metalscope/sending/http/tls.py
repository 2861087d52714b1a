"""A secure connection as the options say; certificates are always verified."""

from __future__ import annotations

import ssl
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metalscope.errors import ConfigurationError
from metalscope.sending.http.outcome import TransportError
from metalscope.sending.http.sockets import TlsSocket
from metalscope.sending.http.watched import file_version
from metalscope.sending.result import Reason

if TYPE_CHECKING:
    from metalscope.peer_options import TlsOptions

__all__ = ["Tls", "tls_context"]

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Tls:
    """The TLS of one peer, made anew when one of its files changes: certificates expire.

    Takes what :func:`tls_context` takes, and raises what that raises.
    """

    def __init__(self, options: TlsOptions, who: str, *, client: bool = True) -> None:
        self._make = partial(tls_context, options, who, client=client)
        self._files = [options.ca_file, *((options.cert_file, options.key_file) if client else ())]
        self._version = self._seen()
        self._context = self._make()

    def context(self) -> ssl.SSLContext:
        """The context to make a connection with now.

        Raises:
            TransportError: a file has changed and is not usable, for ``Reason.CONFIGURATION``.
        """
        version = self._seen()
        if version != self._version:
            try:
                self._context = self._make()
            except ConfigurationError as error:
                raise TransportError(Reason.CONFIGURATION, str(error)) from None
            self._version = version
        return self._context

    def _seen(self) -> list[tuple[int, ...]]:
        return [file_version(path) for path in self._files if path is not None]


def tls_context(options: TlsOptions, who: str, *, client: bool = True) -> ssl.SSLContext:
    """A context that trusts ``ca_file``, or what the system trusts.

    Args:
        options: the options of the connection.
        who: whose options they are, as errors begin.
        client: whether to show the client's own certificate, where there is one.

    Raises:
        ConfigurationError: a file is not there, or does not hold what it is to hold.
    """
    if options.ca_file is None:
        context = ssl.create_default_context()
    else:
        context = _trusting(options.ca_file, who)
    context.sslsocket_class = TlsSocket
    context.minimum_version = _VERSIONS[options.min_version]
    if client and options.cert_file is not None:
        _show(context, options.cert_file, options.key_file, who)
    return context


def _trusting(path: Path, who: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path.expanduser())
    except ssl.SSLError:
        raise _bad(who, "ca_file", path, "must hold certificates in PEM") from None
    except (OSError, RuntimeError) as error:
        raise _unreadable(who, "ca_file", path, error) from None


def _show(context: ssl.SSLContext, cert: Path, key: Path | None, who: str) -> None:
    # Each is opened first, so that the error names the one of the two it is about.
    for option, path in (("cert_file", cert), ("key_file", key)):
        if path is not None:
            try:
                path.expanduser().read_bytes()
            except (OSError, RuntimeError) as error:
                raise _unreadable(who, option, path, error) from None
    try:
        context.load_cert_chain(
            cert.expanduser(),
            key and key.expanduser(),
            # Else OpenSSL asks on the terminal.
            password=lambda: "",
        )
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or ""
        if reason == "KEY_VALUES_MISMATCH":
            raise _bad(who, "key_file", key or cert, f"must be the key of {cert}") from None
        raise _bad(
            who,
            "cert_file",
            cert,
            "must hold a certificate in PEM, and it or key_file its key, not encrypted"
            + (f" ({reason})" if reason else ""),
        ) from None


def _unreadable(who: str, option: str, path: Path, error: Exception) -> ConfigurationError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return _bad(who, option, path, f"cannot be read: {why}")


def _bad(who: str, option: str, path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"{who}: tls.{option} {str(path)!r} {what}")
