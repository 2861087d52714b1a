"""Where a server may listen, and by which names it is asked for."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from metalscope.errors import ConfigurationError
from metalscope.option_types import is_loopback

if TYPE_CHECKING:
    from metalscope.access_options import AccessOptions

__all__ = ["BACKLOG", "authority", "check_bind", "known_hosts", "listen"]

BACKLOG: Final = 128

Listener = TypeVar("Listener", bound=socket.socket)


def check_bind(
    host: str,
    port: int,
    access: AccessOptions | None,
    *,
    has_tls: bool,
    insecure_no_auth: bool,
    insecure_no_tls: bool,
) -> None:
    """Refuse an address that others can reach where they would not be asked who they are.

    Raises:
        ConfigurationError: they would not, or their keys could be read on the way.
    """
    if is_loopback(host):
        return
    place = f"will not listen on {authority(host, port)}: it can be reached from other machines"
    if access is None or not access.is_on:
        if insecure_no_auth:
            return
        raise ConfigurationError(
            f"{place} and no key would be asked for; use 127.0.0.1, or make keys by `metalscope "
            "keys create` and name their file in server.access.keys_file, or insecure_no_auth to "
            "serve it all the same"
        )
    if not has_tls and not insecure_no_tls:
        raise ConfigurationError(
            f"{place} and keys would come over plain HTTP; set server.tls.cert_file and key_file, "
            "or insecure_no_tls where a proxy before it has TLS"
        )
    if access.jwt is None and not insecure_no_auth and not _has_key(access):
        raise ConfigurationError(
            f"{place} and there is no key yet in {access.keys_file}; make one by `metalscope keys "
            "create`"
        )


def known_hosts(host: str, allowed: Collection[str]) -> frozenset[str]:
    """The names that a Host header may carry."""
    from metalscope.server.security import (  # noqa: PLC0415 - loads starlette
        ANY_HOST,
        LOOPBACK_HOSTS,
    )

    if not is_loopback(host) and not allowed:
        return ANY_HOST
    return LOOPBACK_HOSTS | {_bracketed(host)} | frozenset(allowed)


def listen(host: str, port: int, make: type[Listener]) -> Listener:
    """Bind and listen, so that a port in use is known before anything starts."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"cannot listen on {authority(host, port)}: the host is not known ({error})"
        ) from error
    # IPv4 first: `localhost` is printed and typed as 127.0.0.1.
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = make(family, kind, protocol)
    try:
        # So that a restart need not wait for the closed connections of the one before.
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Two sockets may both be bound so; only one can listen.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {authority(host, port)}: {_why(error)}"
        ) from error
    listener.setblocking(False)
    return listener


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            "the port is in use, perhaps by another metalscope; stop that one, choose another "
            "port, or take a free one with --port 0"
        )
    if error.errno == errno.EACCES:
        return "no permission; ports below 1024 need privileges, choose a higher one"
    if error.errno == errno.EADDRNOTAVAIL:
        return "the address is not one of this machine's; use 127.0.0.1"
    return error.strerror or str(error)


def authority(host: str, port: int) -> str:
    """``host:port``, with the brackets of IPv6."""
    return f"{_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host.strip('[]')}]" if ":" in host else host


def _has_key(access: AccessOptions) -> bool:
    if access.keys_file is None:
        return False
    from metalscope.access import key_file  # noqa: PLC0415 - where keys are asked for
    from metalscope.moments import utc_now  # noqa: PLC0415

    try:
        keys = key_file.read(access.keys_file.expanduser())
    except key_file.KeysFileError as error:
        raise ConfigurationError(f"server.access.keys_file: {error}") from error
    now = utc_now()
    return any(key.ended_at(now) is None for key in keys.values())
