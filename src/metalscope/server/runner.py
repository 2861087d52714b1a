"""The server's own thread: bound in the caller's, started, and stopped without loose ends."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from metalscope.errors import MissingExtraError
from metalscope.fork import reset_in_child
from metalscope.option_types import is_loopback
from metalscope.server.binding import BACKLOG, authority, check_bind, known_hosts, listen

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Iterator

    import uvicorn

    from metalscope.access_options import AccessOptions
    from metalscope.export.view import MetricView
    from metalscope.health_check.audience import HealthDetails
    from metalscope.page.data import PageData
    from metalscope.page_options import PageOptions
    from metalscope.server.source import TelemetrySource
    from metalscope.server.sse import EventHub
    from metalscope.server_options import ServerLimitsOptions, ServerTlsOptions

__all__ = ["RunningServer", "start_server"]

GRACE_SECONDS: Final = 1
"""How long open responses may take to end once the streams were told to."""

JOIN_SECONDS: Final = 5.0

MOST_INCOMPLETE_BYTES: Final = 32 * 1024
"""What is held of a request whose headers have not ended; more than a request may have, so that
one that is complete and too large is told so."""

logger = logging.getLogger("metalscope.server")


def start_server(
    manager: TelemetrySource,
    *,
    host: str,
    port: int,
    insecure_no_auth: bool = False,
    insecure_no_tls: bool = False,
    health_details: HealthDetails = "local",
    tls: ServerTlsOptions | None = None,
    access: AccessOptions | None = None,
    external: MetricView | None = None,
    allowed_hosts: Collection[str] = (),
    limits: ServerLimitsOptions | None = None,
    page: PageOptions | PageData | None = None,
    forecaster: str = "robust",
) -> RunningServer:
    """Serve ``manager`` over HTTP on a daemon thread; return when it answers.

    Args:
        manager: a :class:`~metalscope.manager.MetalTelemetryManager`, or what looks like one.
        host: a name or an IP address. One that other machines can reach is refused unless keys
            are asked for, or ``insecure_no_auth``, and with keys unless there is TLS, or
            ``insecure_no_tls``.
        port: a TCP port; 0 takes a free one, which ``RunningServer.port`` tells.
        insecure_no_auth: serve beyond this machine although nobody is asked for a key.
        insecure_no_tls: take keys from beyond this machine over plain HTTP.
        health_details: who is told which component is unwell and why: programs of this machine
            (``local``), everybody (``always``) or nobody (``never``).
        tls: the certificate, and the authorities of those of clients; plain HTTP without one.
        access: who is asked for a key, and the audit log.
        external: the metrics as those see them whose role is external.
        allowed_hosts: names by which the server is asked for, besides those of this machine; on a
            host that others can reach any name is one where none is given.
        limits: what a peer may take.
        page: where the page's past comes from, and pages of one's own, or the options that say so;
            the defaults without it, by which the last hours are kept. Closed with the server.
        forecaster: the name of who makes the page's forecasts.

    Raises:
        ConfigurationError: the address may not or cannot be used, or a file of keys, certificates,
            pages or the audit log cannot; nothing was started.
        MissingExtraError: starlette or uvicorn is not installed.
    """
    check_bind(
        host,
        port,
        access,
        has_tls=tls is not None and tls.cert_file is not None,
        insecure_no_auth=insecure_no_auth,
        insecure_no_tls=insecure_no_tls,
    )
    try:
        import uvicorn  # noqa: PLC0415 - an extra

        from metalscope.page.data import PageData  # noqa: PLC0415
        from metalscope.server import app as web  # noqa: PLC0415 - loads starlette
        from metalscope.server.door import Access  # noqa: PLC0415
        from metalscope.server.limits import (  # noqa: PLC0415
            CountingListener,
            LimitedProtocol,
            limits_of,
            most_connections,
        )
        from metalscope.server.security import HSTS  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the HTTP server", "server", cause=str(error)) from error

    def failed(error: BaseException) -> None:
        manager.internal_error("server", error)

    limited = limits_of(limits)
    context = _context(tls, failed)
    listener = None
    ending = ExitStack()
    try:
        door = Access.of(access, on_error=failed)
        ending.callback(door.close)
        listener = listen(host, port, CountingListener)
        listener.most = most_connections(limited.max_connections)
        if not isinstance(page, PageData):
            page = PageData.of(manager, page or _usual_page(), forecaster=forecaster)
        ending.callback(page.close)
        app = web.create_app(
            manager,
            allowed_hosts=known_hosts(host, allowed_hosts),
            health_details=health_details,
            access=door,
            external=external,
            # Not for "localhost", which is the name of all that a developer runs.
            headers=HSTS if context is not None and not is_loopback(host) else None,
            page=page,
        )
        config = uvicorn.Config(
            app,
            # Nothing of the host program's is touched: no logging set up, no event loop policy.
            log_config=None,
            access_log=False,
            http=cast(
                "type[asyncio.Protocol]",
                partial(LimitedProtocol, limits=limited, on_malformed=door.malformed),
            ),
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=MOST_INCOMPLETE_BYTES,
        )
        config.load()
        # Not by uvicorn's own options: it reads the files once.
        config.ssl = context
        server = RunningServer(
            uvicorn.Server(config),
            app.state.hub,
            listener,
            host,
            manager.internal_error,
            is_tls=context is not None,
            at_end=ending.close,
        )
        server.start()
    except BaseException:
        if listener is not None:
            listener.close()
        ending.close()
        raise
    return server


def _usual_page() -> PageOptions:
    from metalscope.page_options import PageOptions  # noqa: PLC0415 - loads pydantic

    return PageOptions.defaults()


def _context(
    tls: ServerTlsOptions | None, on_error: Callable[[BaseException], None]
) -> ssl.SSLContext | None:
    if tls is None or tls.cert_file is None:
        return None
    from metalscope.server.tls import RenewedContext  # noqa: PLC0415 - where it is wanted

    return RenewedContext.of(
        cert_file=tls.cert_file,
        key_file=tls.key_file,
        client_ca_file=tls.client_ca_file,
        on_error=on_error,
    )


class RunningServer:
    """A server that answers until :meth:`stop`. Made by :func:`start_server`."""

    def __init__(
        self,
        server: uvicorn.Server,
        hub: EventHub,
        listener: socket.socket,
        host: str,
        on_error: Callable[[str, BaseException], None],
        *,
        is_tls: bool = False,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._server = server
        self._hub = hub
        self._listener = listener
        self._on_error = on_error
        self._scheme = "https" if is_tls else "http"
        self._at_end = at_end
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
        return f"{self._scheme}://{authority(everywhere.get(self.host, self.host), self.port)}"

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
            self._at_end()

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
        from metalscope.server.limits import LimitedLoop  # noqa: PLC0415 - loads uvicorn

        return asyncio.Runner(loop_factory=LimitedLoop)

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
