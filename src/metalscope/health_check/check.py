"""MetalBackendHealthCheck: collects, runs the application's probe, and answers in time."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from metalscope.health_check.audience import HealthDetails
from metalscope.health_check.result import HealthCheckResult, ProbeResult
from metalscope.health_check.single_flight import OverdueError, SingleFlight
from metalscope.health_json import FailOn, Verdict, unwell, verdict_of
from metalscope.health_report import HealthStatus
from metalscope.moments import utc_now

if TYPE_CHECKING:
    from metalscope.health_check.asgi import ASGIApp
    from metalscope.health_check.wsgi import WSGIApp
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["HealthSource", "MetalBackendHealthCheck", "Probe"]

NO_TELEMETRY: Final = "there is no telemetry: add_metal_telemetry() has not been called"

Probe = Callable[[], object]
"""What an application runs to see whether the back end works: it raises, or returns ``False``,
where it does not."""

logger = logging.getLogger("metalscope.health")


class HealthSource(Protocol):
    """The part of :class:`~metalscope.manager.MetalTelemetryManager` that a check needs."""

    def get_snapshot(self) -> MetalTelemetrySnapshot:
        """Collect now; called on a thread of the check's own."""
        ...


class MetalBackendHealthCheck:
    """Says whether the Metal back end of this process can work, within a time, whatever hangs.

    A check collects telemetry and runs the probe on a daemon thread. Who asks while a check is
    under way is given that one's answer, so there are never two at once, and one that hangs is one
    thread, however often it is asked for. It can be called from any thread.

    Args:
        telemetry: a manager, or what looks like one; where ``None``, the process's default at the
            time of each check.
        timeout: how long, in s, a check may take; one that takes longer has failed.
        probe: the application's own part of the check, such as a tiny kernel. It has failed where
            it raises or returns ``False``. It is no coroutine function.
        stale_after: how long ago, in s, telemetry's last tick may be; ``None`` where it does not
            matter.
        fail_on: the mildest status that is a failure.
        details: who, of those who ask over HTTP, is told more than the status.

    Raises:
        ValueError: ``timeout`` or ``stale_after`` is not above 0, or a word is not one of those.
        TypeError: ``probe`` is a coroutine function, or cannot be called.
    """

    def __init__(
        self,
        telemetry: HealthSource | None = None,
        *,
        timeout: float = 2.0,
        probe: Probe | None = None,
        stale_after: float | None = None,
        fail_on: FailOn = "critical",
        details: HealthDetails = "local",
    ) -> None:
        if not timeout > 0:
            raise ValueError(f"timeout must be above 0 s, not {timeout!r}")
        if stale_after is not None and not stale_after > 0:
            raise ValueError(f"stale_after must be above 0 s, not {stale_after!r}")
        if fail_on not in ("critical", "degraded"):
            raise ValueError(f"fail_on must be critical or degraded, not {fail_on!r}")
        if details not in ("local", "always", "never"):
            raise ValueError(f"details must be local, always or never, not {details!r}")
        if probe is not None and (not callable(probe) or inspect.iscoroutinefunction(probe)):
            raise TypeError("probe must be a function that is called without arguments, not async")
        self.timeout = timeout
        self.fail_on: FailOn = fail_on
        self.details: HealthDetails = details
        self._telemetry = telemetry
        self._probe = probe
        self._stale_after = stale_after
        self._step = ""
        self._last_failure: type[BaseException] | None = None
        self._flight = SingleFlight(self._look, timeout=timeout, name="metalscope-health-check")

    @property
    def telemetry(self) -> HealthSource | None:
        """What is checked: what was given, else the process's default now, if there is one."""
        if self._telemetry is not None:
            return self._telemetry
        from metalscope.default import get_telemetry  # noqa: PLC0415 - not where one was given

        return get_telemetry()

    def check(self) -> HealthCheckResult:
        """Check now, or join the check under way; returns within the timeout and never raises."""
        began = perf_counter()
        try:
            return self._flight.ask()
        except OverdueError:
            return self._overdue(began)
        except RuntimeError as error:
            return self._impossible(error, began)

    __call__ = check

    async def acheck(self) -> HealthCheckResult:
        """As :meth:`check`, without holding up the event loop; it needs asyncio."""
        began = perf_counter()
        try:
            return await self._flight.aask()
        except OverdueError:
            return self._overdue(began)
        except RuntimeError as error:
            return self._impossible(error, began)

    # -- in web frameworks -------------------------------------------------------------------

    @cached_property
    def asgi(self) -> ASGIApp:
        """An ASGI application that answers with the health document, to run or to mount."""
        from metalscope.health_check.asgi import asgi_app  # noqa: PLC0415 - where it is used

        return asgi_app(self)

    @cached_property
    def wsgi(self) -> WSGIApp:
        """A WSGI application that answers with the health document, to run or to mount."""
        from metalscope.health_check.wsgi import wsgi_app  # noqa: PLC0415 - where it is used

        return wsgi_app(self)

    @cached_property
    def starlette_endpoint(self) -> Callable[[Any], Any]:
        """An endpoint for a route of Starlette or FastAPI."""
        from metalscope.health_check import frameworks  # noqa: PLC0415 - loads Starlette

        return frameworks.starlette_endpoint(self)

    def django_view(self, request: Any) -> Any:
        """A view of Django."""
        from metalscope.health_check import frameworks  # noqa: PLC0415 - loads Django

        return frameworks.django_view(self, request)

    async def django_async_view(self, request: Any) -> Any:
        """An asynchronous view of Django."""
        from metalscope.health_check import frameworks  # noqa: PLC0415 - loads Django

        return await frameworks.django_async_view(self, request)

    def flask_view(self) -> Any:
        """A view of Flask, of an application or of a blueprint."""
        from metalscope.health_check import frameworks  # noqa: PLC0415 - loads Flask

        return frameworks.flask_view(self)

    # -- on the check's thread ---------------------------------------------------------------

    def _look(self) -> HealthCheckResult:
        began = perf_counter()
        self._step = "collecting telemetry"
        seen = self._collect()
        self._step = "the probe"
        probe = self._run_probe() if self._probe is not None else None
        status, snapshot = HealthStatus.UNKNOWN, seen.snapshot
        verdict, reasons = Verdict.FAIL, [seen.failure]
        if snapshot is not None and not seen.failure:
            status = snapshot.health_status
            verdict = verdict_of(status, self.fail_on)
            reasons = [unwell(snapshot.health)]
        if probe is not None and probe.failure:
            status, verdict = HealthStatus.CRITICAL, Verdict.FAIL
            reasons.append(f"probe: {probe.failure}")
        return HealthCheckResult(
            status=status,
            verdict=verdict,
            reason="; ".join(filter(None, reasons)),
            duration_s=perf_counter() - began,
            time=snapshot.timestamp if snapshot is not None else utc_now(),
            snapshot=snapshot,
            probe=probe,
            telemetry_failure=seen.failure,
            fail_on=self.fail_on,
        )

    def _collect(self) -> _Collected:
        telemetry = self.telemetry
        if telemetry is None:
            return _Collected(failure=NO_TELEMETRY)
        try:
            snapshot = telemetry.get_snapshot()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the check's finding
            tell = getattr(telemetry, "internal_error", None)
            if tell is not None:
                tell("health_check", error)
            # Its text may hold what is nobody else's business; it is logged.
            return _Collected(failure=f"telemetry cannot be collected: {type(error).__name__}")
        return _Collected(snapshot, self._stale(snapshot))

    def _stale(self, snapshot: MetalTelemetrySnapshot) -> str:
        if self._stale_after is None:
            return ""
        points = snapshot.recent.points
        last: datetime = points[-1].timestamp if points else snapshot.started_at
        age = (utc_now() - last).total_seconds()
        if age <= self._stale_after:
            return ""
        return f"the last tick was {age:.0f} s ago, more than {self._stale_after:g} s"

    def _run_probe(self) -> ProbeResult:
        assert self._probe is not None  # noqa: S101 - for the type checker
        began = perf_counter()
        failure: type[BaseException] | None = None
        why = ""
        try:
            answer = self._probe()
            if answer is False:
                why = "it returned False"
            elif inspect.isawaitable(answer):
                why = "it is asynchronous, and nothing awaits it"
        except BaseException as error:  # SystemExit, too, is no more than a failed probe here.
            failure, why = type(error), f"it raised {type(error).__name__}"
            if failure is not self._last_failure:
                logger.warning("the health check's probe fails", exc_info=error)
        self._last_failure = failure
        return ProbeResult(perf_counter() - began, why)

    def _overdue(self, began: float) -> HealthCheckResult:
        why = f"{self._step or 'the check'} has not ended within {self.timeout:g} s"
        probing = self._step == "the probe"
        status = HealthStatus.CRITICAL if probing else HealthStatus.UNKNOWN
        probe = ProbeResult(None, why) if probing else None
        return self._failed(status, why, began, probe)

    def _impossible(self, error: RuntimeError, began: float) -> HealthCheckResult:
        why = f"no thread can be started for the check: {error}"
        return self._failed(HealthStatus.UNKNOWN, why, began)

    def _failed(
        self, status: HealthStatus, why: str, began: float, probe: ProbeResult | None = None
    ) -> HealthCheckResult:
        return HealthCheckResult(
            status=status,
            verdict=Verdict.FAIL,
            reason=why,
            duration_s=perf_counter() - began,
            time=utc_now(),
            probe=probe,
            telemetry_failure="" if probe is not None else why,
            fail_on=self.fail_on,
        )


@dataclass(frozen=True, slots=True)
class _Collected:
    """A snapshot, or why there is none, or none to be trusted."""

    snapshot: MetalTelemetrySnapshot | None = None
    failure: str = ""
