"""Health by gRPC's own protocol, ``grpc.health.v1.Health``.

It is what Kubernetes' gRPC probes, gRPC clients and load balancers ask
(https://github.com/grpc/grpc/blob/master/doc/health-checking.md). The service is that of the
package ``grpcio-health-checking``; here it is told what to say.

The name ``""`` stands for the whole, ``metalscope.memory`` and its like for one component. A
component or a whole that is healthy, degraded or unknown is ``SERVING``, and one that is critical
is ``NOT_SERVING``: who asks by this protocol has only these two to act on, a degraded process still
works, and one that has not worked yet is not to be restarted for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.health_check import HealthCheckResult, MetalBackendHealthCheck
from metalscope.health_json import Verdict, verdict_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from metalscope.health_check.check import HealthSource
    from metalscope.health_report import HealthReport
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["OVERALL", "GrpcHealth", "add_health_service", "service_name"]

OVERALL: Final = ""
"""The name of the whole."""

JOIN_SECONDS: Final = 5.0

Statuses = dict[str, bool]
"""Whether each service serves, by its name."""


def service_name(component: str) -> str:
    """The name by which a component is asked for, such as ``metalscope.memory``."""
    return f"metalscope.{component}"


def add_health_service(
    server: Any,
    source: HealthSource | MetalBackendHealthCheck | None = None,
    *,
    interval: float = 10.0,
) -> GrpcHealth:
    """Add the health service to a gRPC server that has none yet, and keep it true.

    Statuses change with the tick that changes them, and a check is made each ``interval`` besides,
    so that telemetry that hangs is found out. What ``Watch`` streams to follows.

    Args:
        server: a ``grpc.server`` or a ``grpc.aio.server``; the latter within its event loop.
        source: telemetry, or a check of yours; the process's default telemetry where ``None``.
        interval: the longest time between two checks, in s.

    Returns:
        What ends it. Close it before the server is stopped: clients are then told to go elsewhere.

    Raises:
        ConfigurationError: there is no telemetry, or the server is of asyncio and no loop runs.
        MissingExtraError: grpcio or grpcio-health-checking is not installed.
    """
    try:
        import grpc  # noqa: PLC0415 - an extra
        from grpc_health.v1 import health, health_pb2_grpc  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the gRPC health service", "grpc", cause=str(error)) from error

    check = source if isinstance(source, MetalBackendHealthCheck) else None
    if check is None:
        check = MetalBackendHealthCheck(source)  # type: ignore[arg-type]  # no check, as seen above
    if check.telemetry is None:
        raise ConfigurationError(
            "the gRPC health service needs telemetry: call add_metal_telemetry() before it"
        )
    voice: _Voice
    if isinstance(server, grpc.aio.Server):
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError as error:
            raise ConfigurationError(
                "the health service of an asyncio server must be added within its event loop"
            ) from error
        aio_servicer = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(aio_servicer, server)
        voice = _AioVoice(aio_servicer, loop)
    else:
        from metalscope.health_grpc_servicer import Servicer  # noqa: PLC0415 - an extra

        servicer = Servicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        voice = _Voice(servicer)
    return GrpcHealth(check, voice, interval=interval)


class GrpcHealth:
    """Keeps a health service true until :meth:`close`. Made by :func:`add_health_service`.

    It ends by itself when the telemetry it began with is shut down.
    """

    def __init__(self, check: MetalBackendHealthCheck, voice: _Voice, *, interval: float) -> None:
        self._check = check
        self._voice = voice
        self._interval = interval
        self._told: Statuses = {}
        self._seen: HealthReport | None = None
        self._closed = False
        self._wake = threading.Event()
        self._unsubscribe: Callable[[], None] | None = None
        # Until the first check has spoken, nothing is claimed.
        voice.tell({OVERALL: False})
        self._thread = threading.Thread(
            target=self._follow, name="metalscope-grpc-health", daemon=True
        )
        telemetry = check.telemetry
        subscribe = getattr(telemetry, "subscribe", None)
        if subscribe is not None:
            self._unsubscribe = subscribe(self._on_tick)
        on_shutdown = getattr(telemetry, "on_shutdown", None)
        if on_shutdown is not None:
            on_shutdown(self.close)
        self._thread.start()

    def close(self) -> None:
        """Say ``NOT_SERVING`` of everything, for good. Idempotent; from any thread."""
        self._closed = True
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()
        self._wake.set()
        self._voice.end()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _on_tick(self, snapshot: MetalTelemetrySnapshot) -> None:
        seen, self._seen = self._seen, snapshot.health
        if seen is None or _statuses(seen) != _statuses(snapshot.health):
            self._wake.set()

    def _follow(self) -> None:
        while not (self._closed or self._voice.is_mute):
            self._wake.clear()
            now = _serving(self._check.check())
            changed = {name: ok for name, ok in now.items() if self._told.get(name) is not ok}
            if changed and not self._closed:
                self._told |= changed
                self._voice.tell(changed)
            self._wake.wait(self._interval)


class _Voice:
    """Tells a servicer; of one that is not asyncio's, from any thread."""

    def __init__(self, servicer: Any) -> None:
        from grpc_health.v1.health_pb2 import HealthCheckResponse  # noqa: PLC0415 - an extra

        self._servicer = servicer
        self._words = {True: HealthCheckResponse.SERVING, False: HealthCheckResponse.NOT_SERVING}

    def tell(self, statuses: Mapping[str, bool]) -> None:
        """Have the service say so from now on."""
        for name, ok in statuses.items():
            self._servicer.set(name, self._words[ok])

    def end(self) -> None:
        """Have it say ``NOT_SERVING`` of everything, whatever it is told later."""
        self._servicer.enter_graceful_shutdown()

    @property
    def is_mute(self) -> bool:
        """Whether nobody can hear it any more."""
        return False


class _AioVoice(_Voice):
    """Tells a servicer of asyncio, on its loop, in the order in which it was told."""

    def __init__(self, servicer: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(servicer)
        self._loop = loop

    def tell(self, statuses: Mapping[str, bool]) -> None:
        for name, ok in statuses.items():
            self._run(partial(self._servicer.set, name, self._words[ok]))

    def end(self) -> None:
        self._run(self._servicer.enter_graceful_shutdown)

    @property
    def is_mute(self) -> bool:
        return self._loop.is_closed()

    def _run(self, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
        word = begin()
        try:
            asyncio.run_coroutine_threadsafe(word, self._loop)
        except RuntimeError:  # the loop has closed, and the server with it
            word.close()


def _statuses(report: HealthReport) -> dict[str, str]:
    components = {one.component.value: one.status.value for one in report.components}
    return {OVERALL: report.status.value, **components}


def _serving(result: HealthCheckResult) -> Statuses:
    """What each service is to say. Of a check that could not be made the whole does not serve."""
    components = {
        service_name(one.component.value): verdict_of(one.status, result.fail_on)
        is not Verdict.FAIL
        for one in result.report.components
    }
    return {OVERALL: result.verdict is not Verdict.FAIL, **components}
