"""The server's own thread: bound in the caller's, started, and stopped without loose ends."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.fork import reset_in_child
from metalscope.option_types import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    import uvicorn

    from metalscope.health_check.audience import HealthDetails
    from metalscope.server.source import TelemetrySource
    from metalscope.server.sse import EventHub

__all__ = ["RunningServer", "start_server"]

BACKLOG: Final = 128
GRACE_SECONDS: Final = 1
"""How long open responses may take to end once the streams were told to."""

JOIN_SECONDS: Final = 5.0

logger = logging.getLogger("metalscope.server")


def start_server(
    manager: TelemetrySource,
    *,
    host: str,
    port: int,
    insecure_no_auth: bool = False,
    health_details: HealthDetails = "local",
) -> RunningServer:
    """Serve ``manager`` over HTTP on a daemon thread; return when it answers.

    Args:
        manager: a :class:`~metalscope.manager.MetalTelemetryManager`, or what looks like one.
        host: a name or an IP address. One that other machines can reach is refused, since no key
            is asked for, unless ``insecure_no_auth``.
        port: a TCP port; 0 takes a free one, which ``RunningServer.port`` tells.
        insecure_no_auth: serve beyond this machine all the same.
        health_details: who is told which component is unwell and why: programs of this machine
            (``local``), everybody (``always``) or nobody (``never``).

    Raises:
        ConfigurationError: the address may not or cannot be used; nothing was started.
        MissingExtraError: starlette or uvicorn is not installed.
    """
    if not insecure_no_auth and not is_loopback(host):
        raise ConfigurationError(
            f"will not listen on {_authority(host, port)}: it can be reached from other machines "
            "and no key would be asked for; use 127.0.0.1, or insecure_no_auth to serve it all "
            "the same"
        )
    try:
        import uvicorn  # noqa: PLC0415 - an extra

        from metalscope.server import app as web  # noqa: PLC0415 - loads starlette
        from metalscope.server.security import ANY_HOST, LOOPBACK_HOSTS  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the HTTP server", "server", cause=str(error)) from error

    listener = _listen(host, port)
    try:
        allowed = LOOPBACK_HOSTS | {_bracketed(host)} if is_loopback(host) else ANY_HOST
        app = web.create_app(manager, allowed_hosts=allowed, health_details=health_details)
        config = uvicorn.Config(
            app,
            # Nothing of the host program's is touched: no logging set up, no event loop policy.
            log_config=None,
            access_log=False,
            http="h11",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            backlog=BACKLOG,
        )
        server = RunningServer(
            uvicorn.Server(config), app.state.hub, listener, host, manager.internal_error
        )
        server.start()
    except BaseException:
        listener.close()
        raise
    return server


class RunningServer:
    """A server that answers until :meth:`stop`. Made by :func:`start_server`."""

    def __init__(
        self,
        server: uvicorn.Server,
        hub: EventHub,
        listener: socket.socket,
        host: str,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._server = server
        self._hub = hub
        self._listener = listener
        self._on_error = on_error
        self._stop_lock = threading.Lock()
        self.host = host
        """The host as it was asked for."""
        self.port: int = listener.getsockname()[1]
        """The TCP port that is listened on."""
        self._thread = threading.Thread(target=self._run, name="metalscope-http", daemon=True)
        self._ready = threading.Event()
        reset_in_child(self)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page, such as ``http://127.0.0.1:9464``."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
        return f"http://{_authority(everywhere.get(self.host, self.host), self.port)}"

    @property
    def skipped(self) -> int:
        """Live updates that slow viewers did not get because a newer one took their place."""
        return self._hub.skipped

    def start(self) -> None:
        """Start the thread; return once it answers."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End the open streams, release the port and join the thread. Idempotent."""
        with self._stop_lock:
            self._hub.close()
            self._server.should_exit = True
            if self._thread is not threading.current_thread():
                self._thread.join(JOIN_SECONDS)
            self._listener.close()

    def start_at_zero(self) -> None:
        """In a forked child: let go of the port, which is the parent's to serve and release."""
        self._stop_lock = threading.Lock()
        self._listener.close()

    def _run(self) -> None:
        try:
            with _own_log_records(threading.get_ident()), self._runner() as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - law: it must not surface in the program
            self._on_error("server", error)
        finally:
            self._ready.set()

    def _runner(self) -> asyncio.Runner:
        # Not by the event loop policy, which is the host program's.
        return asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)

    async def _serve(self) -> None:
        asyncio.get_running_loop().call_soon(self._ready.set)
        await self._server.serve(sockets=[self._listener])
        # What a viewer that does not read has kept open.
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


@contextmanager
def _own_log_records(thread: int) -> Iterator[None]:
    """Take what uvicorn logs on our thread to our own logger, at debug level.

    uvicorn's loggers are global, and the host program may run an uvicorn of its own: neither their
    level nor their handlers are touched, and its records pass.
    """

    def is_not_ours(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        logger.debug("uvicorn: %s", record.getMessage(), exc_info=record.exc_info)
        return False

    loggers = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error", "uvicorn.access")]
    for one in loggers:
        one.addFilter(is_not_ours)
    try:
        yield
    finally:
        for one in loggers:
            one.removeFilter(is_not_ours)


def _listen(host: str, port: int) -> socket.socket:
    """Bind and listen, so that a port in use is known before anything starts."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"cannot listen on {_authority(host, port)}: the host is not known ({error})"
        ) from error
    # IPv4 first: `localhost` is printed and typed as 127.0.0.1.
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
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
            f"cannot listen on {_authority(host, port)}: {_why(error)}"
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


def _authority(host: str, port: int) -> str:
    return f"{_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host.strip('[]')}]" if ":" in host else host
