"""Whether the server's port is free, and who has it otherwise; whether endpoints can be reached."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from metalscope.doctor.ask import ForeignAnswerError, NoAnswerError, ask_json, reach
from metalscope.doctor.diagnosis import Diagnosis, State

__all__ = ["GROUP", "base_url", "check_endpoint", "check_port", "identity"]

GROUP: Final = "server"

ANSWER_SECONDS: Final = 3.0

# IANA, "Service Name and Transport Protocol Port Number Registry"; gRPC's is OTLP's.
_PORTS: Final = {"http": 80, "https": 443, "grpc": 4317, "grpcs": 4317}
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def base_url(host: str, port: int) -> str:
    """Where a server with these options is found from this machine."""
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_port(host: str, port: int) -> Iterator[Diagnosis]:
    """Listen there for a moment; where that is not possible, ask who is there."""
    name = f"port {port}"
    facts: dict[str, Any] = {"host": host, "port": port, "free": True}
    if port == 0:
        yield Diagnosis(GROUP, name, State.WORKS, what="any free one is taken", facts=facts)
        return
    try:
        _listen(host, port)
    except OSError as error:
        facts["free"] = False
        if error.errno == errno.EADDRINUSE:
            yield _in_use(name, base_url(host, port), facts)
        else:
            yield Diagnosis(
                GROUP,
                name,
                State.BROKEN,
                why=f"cannot listen on {host}: {error.strerror or error}",
                remedy="set server.host to an address of this machine and server.port above 1023",
                facts=facts,
            )
        return
    yield Diagnosis(GROUP, name, State.WORKS, what=f"free on {host}", facts=facts)


def check_endpoint(group: str, name: str, endpoint: str) -> Iterator[Diagnosis]:
    """Whether what data is sent to lets itself be connected to."""
    parts = urlsplit(endpoint)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)
    facts = {"host": host, "port": port}
    try:
        reach(host, port, timeout=ANSWER_SECONDS)
    except NoAnswerError as error:
        why = f"{host}:{port} cannot be reached: {error}"
        remedy = "start it, or mend the endpoint"
        yield Diagnosis(group, name, State.BROKEN, why=why, remedy=remedy, facts=facts)
        return
    what = f"{host}:{port} takes connections"
    yield Diagnosis(group, name, State.WORKS, what=what, facts=facts)


def identity(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Version, process and host of the metalscope that gave a snapshot.

    Raises:
        ForeignAnswerError: it is no snapshot.
    """
    system = snapshot.get("system")
    if "schema_version" not in snapshot or not isinstance(system, dict):
        raise ForeignAnswerError("it is answered with JSON that is no snapshot")
    return {
        "version": system.get("metalscope"),
        "pid": system.get("pid"),
        "host": system.get("host"),
        "uptime_seconds": snapshot.get("uptime_seconds"),
        "health": snapshot.get("health_status"),
    }


def _listen(host: str, port: int) -> None:
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    # As the server does: IPv4 first, and past closed connections of the one before.
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    with socket.socket(family, kind, protocol) as probe:
        with suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()


def _in_use(name: str, base: str, facts: dict[str, Any]) -> Diagnosis:
    try:
        who = identity(ask_json(base, "/api/v1/snapshot", timeout=ANSWER_SECONDS))
    except (ForeignAnswerError, NoAnswerError) as error:
        return Diagnosis(
            GROUP,
            name,
            State.BROKEN,
            why=f"in use, and not by a metalscope that answers: {error}",
            remedy="stop what has it, or set server.port or --port to another",
            facts=facts,
        )
    return Diagnosis(
        GROUP,
        name,
        State.WORKS,
        what=f"in use by metalscope {who['version']}, process {who['pid']}",
        why="another one needs another port",
        facts={**facts, **who},
    )
