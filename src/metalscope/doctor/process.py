"""Whether a running metalscope is alive, and whether its metrics arrive."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from metalscope._version import __version__
from metalscope.doctor.ask import ForeignAnswerError, NoAnswerError, ask, ask_json
from metalscope.doctor.diagnosis import Diagnosis, State
from metalscope.doctor.server import identity
from metalscope.semconv import OPERATIONS

__all__ = ["GROUP", "check_process"]

GROUP: Final = "process"

LONGEST_WAIT_SECONDS: Final = 12.0
"""For a tick; one of a longer interval is not waited for."""

BETWEEN_LOOKS_SECONDS: Final = 0.2

_HOW_TO_START: Final = "metalscope run YOUR_PROGRAM, or metalscope serve"


def check_process(url: str, expected: bool, timeout: float) -> Iterator[Diagnosis]:
    """Ask a running process twice, a tick apart.

    Args:
        url: its base address.
        expected: whether somebody says that there is one.
        timeout: seconds to wait for each answer.
    """
    try:
        before = ask_json(url, "/api/v1/snapshot", timeout=timeout)
        who = identity(before)
    except (NoAnswerError, ForeignAnswerError) as error:
        state = State.BROKEN if expected else State.ABSENT
        remedy = f"start one: {_HOW_TO_START}; or give the address with --url"
        yield Diagnosis(GROUP, "alive", state, why=f"{url}: {error}", remedy=remedy)
        return
    what = f"{url} is metalscope {who['version']}, process {who['pid']} on {who['host']}"
    if isinstance(up := who["uptime_seconds"], int | float):
        what += f", up {up:.0f} s"
    why = "" if who["version"] == __version__ else f"here it is metalscope {__version__}"
    yield Diagnosis(GROUP, "alive", State.WORKS, what=what, why=why, facts={"url": url, **who})
    try:
        yield from _arriving(url, before, timeout)
    except (NoAnswerError, ForeignAnswerError) as error:
        yield Diagnosis(
            GROUP, "metrics", State.BROKEN, why=f"{url}: {error}", remedy="look at its log"
        )


def _arriving(url: str, before: dict[str, Any], timeout: float) -> Iterator[Diagnosis]:
    first = _scrape(url, timeout)
    yield _tick(url, timeout)
    second = _scrape(url, timeout)
    after = ask_json(url, "/api/v1/snapshot", timeout=timeout)
    yield _metrics(first, second)
    yield _internal_errors(before, after)


def _scrape(url: str, timeout: float) -> dict[str, float]:
    """How many samples /metrics has, and how many operations they count.

    Raises:
        NoAnswerError: there is no answer.
        ForeignAnswerError: it is not what a Prometheus reads.
    """
    samples, operations = 0, 0.0
    try:
        for family in text_string_to_metric_families(ask(url, "/metrics", timeout=timeout)):
            samples += len(family.samples)
            operations += sum(
                sample.value for sample in family.samples if sample.name == OPERATIONS.name
            )
    except ValueError as error:
        raise ForeignAnswerError(f"/metrics is not what a Prometheus reads: {error}") from error
    return {"samples": samples, "operations": operations}


def _tick(url: str, timeout: float) -> Diagnosis:
    """Wait for the recent activity to have another newest point."""
    points = _points(url, timeout)
    newest = points[-1:]
    usual = points[-1] - points[-2] if len(points) > 1 else None
    started = monotonic()
    while (waited := monotonic() - started) < LONGEST_WAIT_SECONDS:
        sleep(BETWEEN_LOOKS_SECONDS)
        if _points(url, timeout)[-1:] != newest:
            facts = {"waited_seconds": round(waited, 1)}
            return Diagnosis(GROUP, "tick", State.WORKS, what="it collects", facts=facts)
    why = f"it collected nothing for {LONGEST_WAIT_SECONDS:g} s"
    if usual is None or usual >= LONGEST_WAIT_SECONDS:
        remedy = "ask again later: its tick_interval may be longer than that"
        return Diagnosis(GROUP, "tick", State.ABSENT, why=why, remedy=remedy)
    why += f" and did every {usual:.1f} s: its page stands still and nothing is exported"
    remedy = "look at its log, and restart it"
    return Diagnosis(GROUP, "tick", State.BROKEN, why=why, remedy=remedy)


def _points(url: str, timeout: float) -> list[float]:
    """When it collected lately, in seconds since the epoch."""
    points = ask_json(url, "/api/v1/recent", timeout=timeout).get("points")
    try:
        return [float(point[0]) for point in points or ()]
    except (TypeError, LookupError, ValueError) as error:
        raise ForeignAnswerError("/api/v1/recent is answered with JSON of another form") from error


def _metrics(first: dict[str, float], second: dict[str, float]) -> Diagnosis:
    counted = [int(first["operations"]), int(second["operations"])]
    facts = {"samples": int(second["samples"]), "operations": counted}
    samples = f"{facts['samples']} samples at /metrics"
    if not second["samples"]:
        why = "/metrics is empty"
        return Diagnosis(GROUP, "metrics", State.BROKEN, why=why, facts=facts)
    if counted[1] > counted[0]:
        what = f"{samples}, and operations arrive: {counted[0]}, then {counted[1]}"
        return Diagnosis(GROUP, "metrics", State.WORKS, what=what, facts=facts)
    if counted[1] < counted[0]:
        why = f"{OPERATIONS.name} went from {counted[0]} back to {counted[1]}: it was restarted"
        return Diagnosis(GROUP, "metrics", State.WORKS, what=samples, why=why, facts=facts)
    why = "no operation was recorded so far" if not counted[1] else "no operation came meanwhile"
    return Diagnosis(
        GROUP,
        "metrics",
        State.WORKS,
        what=f"{samples}, {counted[1]} operations",
        why=why,
        remedy="" if counted[1] else "run the program's GPU work under metalscope run",
        facts=facts,
    )


def _internal_errors(before: dict[str, Any], after: dict[str, Any]) -> Diagnosis:
    earlier, later = (dict(one.get("internals", {}).get("errors", {})) for one in (before, after))
    facts = {"errors": later}
    name = "internal errors"
    if not later:
        return Diagnosis(GROUP, name, State.WORKS, what="none", facts=facts)
    what = ", ".join(f"{room} {count}" for room, count in sorted(later.items()))
    if sum(later.values()) > sum(earlier.values()):
        why = "something fails inside it right now"
        remedy = "its log says what, under the logger metalscope"
        return Diagnosis(GROUP, name, State.BROKEN, what=what, why=why, remedy=remedy, facts=facts)
    return Diagnosis(GROUP, name, State.WORKS, what=what, why="earlier, and no more", facts=facts)
