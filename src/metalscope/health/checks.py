"""Checks that take time or may hang, each on a thread of its own: free disk, and the user's own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from time import monotonic
from typing import Final

from metalscope.errors import InvalidNameError
from metalscope.fork import reset_in_child
from metalscope.health.hysteresis import Level
from metalscope.health.rules import EXIT_POINTS, Finding
from metalscope.health_report import HealthStatus
from metalscope.operation import Component

__all__ = ["CHECK_TIME_LIMIT", "Check", "CheckResult", "Checks", "FreeDisk"]

CHECK_TIME_LIMIT: Final = 10.0
"""Seconds a check may take where it is added without a limit; Prometheus gives a scrape as many."""

DISK: Final = Level(degraded=90.0, critical=100.0, exit_below=EXIT_POINTS)
"""Percent of the disk that is not free: the original system's "less than 10 % free degrades".

It never alone makes anything critical: what is full is at 100, not above.
"""

MAX_TEXT: Final = 500
"""Characters kept of what a check says."""

logger = logging.getLogger("metalscope")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found; ``reason`` says it in words and numbers."""

    status: HealthStatus
    reason: str = ""


Check = Callable[[], CheckResult | bool | None]
"""``True``, or ``None`` after nothing was raised, is healthy; ``False`` and an exception are not.

How bad it is beyond that is said by a :class:`CheckResult`.
"""


class _Running:
    """One check with its last answer; ``started`` is when it was last asked, in seconds."""

    __slots__ = ("answer", "asked", "check", "component", "limit", "name", "raised", "started")

    def __init__(self, name: str, component: Component, check: Check, limit: float) -> None:
        self.name = name
        self.component = component
        self.check = check
        self.limit = limit
        self.forget()

    def forget(self) -> None:
        self.started: float | None = None
        self.asked = False
        """Whether it has not answered yet."""
        self.answer: CheckResult | None = None
        self.raised = False


class Checks:
    """Asks each check every ``interval`` seconds, never twice at once. Any thread may call.

    A check that hangs holds its own thread, and no other check and no tick with it.

    Args:
        interval: seconds between two questions to one check.
        on_error: told of what goes wrong that is not the check's.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        interval: float,
        *,
        on_error: Callable[[str, BaseException], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._interval = interval
        self._on_error = on_error
        self._clock = clock
        self._checks: dict[str, _Running] = {}
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget all answers; the checks stay. The threads of a parent are not in its child."""
        self._lock = threading.RLock()
        for one in self._checks.values():
            one.forget()

    def add(
        self, name: str, component: Component, check: Check, limit: float = CHECK_TIME_LIMIT
    ) -> Callable[[], None]:
        """Ask ``check`` from the next tick on; return a function that ends it.

        Raises:
            InvalidNameError: the name is empty, or there is a check of this name.
            ValueError: ``limit``, in seconds, is not above 0.
        """
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_TEXT:
            raise InvalidNameError(f"check name {name!r} must be text of 1 to {MAX_TEXT} letters")
        if not (isfinite(limit) and limit > 0):
            raise ValueError(f"check {name!r}: the time limit must be above 0 s, got {limit!r}")
        added = _Running(name, Component(component), check, limit)
        with self._lock:
            if name in self._checks:
                raise InvalidNameError(f"there is a check named {name!r} already")
            # Anew, so that who goes through them needs no lock.
            self._checks = {**self._checks, name: added}

        def remove() -> None:
            with self._lock:
                if self._checks.get(name) is added:
                    self._checks = {n: one for n, one in self._checks.items() if n != name}

        return remove

    def start_due(self) -> None:
        """Ask every check whose time has come and which is not still being asked."""
        now = self._clock()
        for one in self._checks.values():
            with self._lock:
                due = one.started is None or now - one.started >= self._interval
                if not due or one.asked:
                    continue
                one.started, one.asked = now, True
            thread = threading.Thread(
                target=self._ask, args=(one,), name="metalscope-check", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                # No thread to be had now: asked again when it is due again.
                one.asked = False
                self._on_error("health", error)

    def asking(self) -> int:
        """How many checks are being asked at this moment."""
        return sum(one.asked for one in self._checks.values())

    def findings(self) -> Iterator[Finding]:
        """What each check last said, or for how long it has not answered."""
        now = self._clock()
        for one in self._checks.values():
            with self._lock:
                waiting, started, answer = one.asked, one.started, one.answer
            if waiting and started is not None and now - started > one.limit:
                yield Finding(
                    one.component,
                    HealthStatus.DEGRADED,
                    f"check {one.name!r} has not answered for {now - started:.0f} s",
                )
            elif answer is not None:
                yield Finding(one.component, answer.status, answer.reason)

    def _ask(self, one: _Running) -> None:
        raised = False
        try:
            answer = _read(one.name, one.check())
        except BaseException as error:
            raised = True
            # The type alone: a text may hold a secret, and reasons reach every exporter.
            answer = CheckResult(
                HealthStatus.DEGRADED, f"check {one.name!r} raised {type(error).__name__}"
            )
            if not one.raised:
                logger.warning("check %r raised", one.name, exc_info=error)
        with self._lock:
            one.asked, one.answer, one.raised = False, answer, raised


class FreeDisk:
    """A check of how much is free on the volume that the working directory is on."""

    NAME: Final = "disk"

    def __init__(self) -> None:
        self._before = HealthStatus.UNKNOWN

    def __call__(self) -> CheckResult:
        """Look at the volume; ``unknown`` where it does not say, or the directory is gone."""
        import psutil  # noqa: PLC0415 - this module is loaded where nothing is ever checked

        try:
            usage = psutil.disk_usage(".")
        except OSError as error:
            why = f"the working directory's disk cannot be asked: {type(error).__name__}"
            return CheckResult(HealthStatus.UNKNOWN, why)
        if not usage.total:
            return CheckResult(HealthStatus.UNKNOWN, "the working directory's disk has no size")
        free = 100.0 * usage.free / usage.total
        status = self._before = DISK.status(100.0 - free, self._before)
        reason = f"{free:.1f} % of the working directory's disk is free"
        if status is not HealthStatus.HEALTHY:
            least = 100.0 - DISK.degraded
            reason += (
                f", below {least:.0f} %"
                if free < least
                else f", was below {least:.0f} % and is not yet above {least + EXIT_POINTS:.0f} %"
            )
        return CheckResult(status, reason)


def _read(name: str, said: object) -> CheckResult:
    if isinstance(said, CheckResult):
        reason = f"check {name!r}: {said.reason}" if said.reason else f"check {name!r}"
        return CheckResult(HealthStatus(said.status), reason[:MAX_TEXT])
    if said is None or said is True:
        return CheckResult(HealthStatus.HEALTHY, f"check {name!r} passed")
    if said is False:
        return CheckResult(HealthStatus.DEGRADED, f"check {name!r} failed")
    return CheckResult(
        HealthStatus.DEGRADED,
        f"check {name!r} returned {type(said).__name__}, not a CheckResult, bool or None",
    )
