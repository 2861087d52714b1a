"""Every exporter against every fault: what is said, what arrives in the end, what is lost."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from os import geteuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fault_outcomes import (
    OF_TLS,
    RETRY_AFTER_SECONDS,
    ROWS,
    SLOW,
    TAKEN,
    Again,
    Outcome,
    Trouble,
    Way,
    outcome_of,
    waits,
)
from fault_peers import PEERS, Peer, Platform
from fault_sites import Site, site_of
from growing import START, STEP, grown, totals
from remote_runs import Run, now, receiving_prometheus

from metalscope.export.attempts import AttemptThread
from metalscope.export.base import MetricsExporter
from metalscope.export.codec import decode, encode
from metalscope.export.exporter import MetalMetricsExporter
from metalscope.export.lane import Lane, LaneTiming, Offer
from metalscope.export.registry import create_exporter
from metalscope.export.timeline import Timeline
from metalscope.export_options import ExporterOptions, ExportOptions
from metalscope.sending.clock import Clock
from metalscope.sending.pace import Pace
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.spool.slots import SpoolSlots
from metalscope.snapshot import CustomMetric, InternalMetrics, MetalTelemetrySnapshot

PATIENT, HURRIED = 10.0, 1.0
"""Seconds one export may take; the second where a fault takes all of them."""

LATE = 1.0
"""How much later than its timeout a try may end on a busy machine, s."""

TRIES = 2


@cache
def snapshot(number: int) -> MetalTelemetrySnapshot:
    """A few series, a histogram and an event, and more in each."""
    made = grown(number, events=number)
    return replace(made, resources=made.resources[:2], internals=InternalMetrics())


class Time:
    """Both clocks of a lane, moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at - 1000)


@dataclass(frozen=True)
class Try:
    """One call of an exporter: when by the manual clock, and how many real s it took."""

    at: float
    seconds: float
    result: ExportResult

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.result.verdict, self.result.reason)


class Attempts(AttemptThread):
    """The real thing, which can be waited for, and notes what came of each."""

    def __init__(self, exporter: MetricsExporter, timeout: timedelta, time: Time) -> None:
        self.raised: list[BaseException] = []
        super().__init__(
            exporter, timeout=timeout, on_error=lambda _, error: self.raised.append(error)
        )
        self.time = time
        self.tries: list[Try] = []
        self._current: Future[ExportResult] | None = None
        self._began = 0.0

    def export(self, snapshot: MetalTelemetrySnapshot) -> Future[ExportResult]:
        self._began = time.monotonic()
        self._current = super().export(snapshot)
        return self._current

    def wait(self) -> bool:
        """Wait for the one that was begun, if any."""
        if self._current is None:
            return False
        result = self._current.result(60)
        self.tries.append(Try(self.time.at, time.monotonic() - self._began, result))
        self._current = None
        return True


class Course:
    """A real exporter, run by a real lane with a queue on disk, by a clock moved by hand."""

    def __init__(self, options: ExporterOptions, directory: Path, time: Time | None = None) -> None:
        self.time = time or Time()
        exporter = create_exporter(options, ExportOptions())
        assert exporter is not None
        assert options.timeout is not None
        self.attempts = Attempts(exporter, options.timeout, self.time)
        slots = SpoolSlots(
            directory,
            options.name,
            max_bytes=10_000_000,
            max_age=timedelta(days=1),
            now=self.time.now,
            elapsed=self.time.monotonic,
        )
        self.spool = slots.open()
        if (delivered := self.spool.last_delivered()) is not None:
            exporter.resume(decode(delivered))
        self.lane = Lane(
            options.name,
            str(options.type),
            spool=self.spool,
            attempts=self.attempts,
            pace=Pace(
                first_delay=timedelta(seconds=1),
                max_delay=timedelta(minutes=5),
                threshold=5,
                open_for=timedelta(minutes=2),
                jitter=lambda: 1.0,
            ),
            timing=LaneTiming(options.timeout, timedelta(milliseconds=100)),
            keeps_history=exporter.keeps_history,
            clock=Clock(self.time.monotonic, self.time.now),
        )

    @property
    def tries(self) -> list[Try]:
        return self.attempts.tries

    def offer(self, given: MetalTelemetrySnapshot) -> None:
        self.lane.offer(Offer(given, lambda: encode(given)))

    def run_until(self, over: Callable[[], bool]) -> None:
        """Do what is due, and let time pass in between, until it is over; two hours at most."""
        end = self.time.at + 7200
        while True:
            wait = self.lane.turn()
            if self.attempts.wait():
                self.lane.turn()
                wait = 0.0
            if over():
                return
            assert self.time.at < end, f"it never ends; {self.lane.status()}"
            self.time.at += wait

    def bring(self, given: MetalTelemetrySnapshot) -> list[Try]:
        """Offer it and run until it is over; return the tries of that."""
        before = len(self.tries)
        self.offer(given)
        self.run_until(lambda: self.lane.status().waiting == 0)
        return self.tries[before:]

    def close(self) -> None:
        self.lane.close(30)
        assert self.attempts.raised == []


@contextmanager
def course(options: ExporterOptions, directory: Path, time: Time | None = None) -> Iterator[Course]:
    """A course that leaves no thread of metalscope behind."""
    before = set(threading.enumerate())
    made = Course(options, directory, time)
    try:
        yield made
    finally:
        made.close()
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith("metalscope"):
                thread.join(5)
                assert not thread.is_alive(), f"{thread.name} was left behind"


@dataclass(frozen=True)
class Undisturbed:
    """What a peer has where nothing goes wrong, after each snapshot."""

    after: tuple[Platform, ...]
    requests: int
    """How many the second took."""


@cache
def undisturbed(peer: Peer, *numbers: int) -> Undisturbed:
    platforms: list[Platform] = []
    took = 0
    with TemporaryDirectory() as name, site_of(peer, Path(name)) as site:
        options = peer.options(site.url, timeout=PATIENT)
        with course(options, Path(name) / "spool") as run:
            for number in numbers:
                before = site.requests
                assert [one.outcome.verdict for one in run.bring(snapshot(number))] == [
                    Verdict.DELIVERED
                ]
                site.settle()
                took = site.requests - before if number == 2 else took
                assert site.platform.changed == []
                copied = {name: getattr(site.platform, name).copy() for name in ("values", "taken")}
                platforms.append(replace(site.platform, **copied))
    return Undisturbed(tuple(platforms), took)


def all_but_file(peers: tuple[Peer, ...] = PEERS) -> list[Any]:
    return [pytest.param(one, id=one.key) for one in peers if one.row.way is not Way.FILE]


ALL = [pytest.param(one, id=one.key) for one in PEERS]


def cases(*ways: Way, but: frozenset[Trouble] = frozenset()) -> list[Any]:
    return [
        pytest.param(peer, trouble, id=f"{peer.key}-{trouble.name.lower()}")
        for peer in PEERS
        if peer.row.way in ways
        for trouble in Trouble
        if trouble not in but and outcome_of(trouble, peer.key) is not None
    ]


ON_THEIR_OWN = frozenset(
    {Trouble.DNS, Trouble.TOO_LARGE, Trouble.DISK_FULL, Trouble.CLOCK_SET_BACK}
)


def check_platform(peer: Peer, site: Site, expected: Platform, *, lost: bool = False) -> None:
    """The platform shows what it would have shown without any fault."""
    site.settle()
    found = site.platform
    assert found.changed == [], "a point it had has another value now"
    assert found.taken.keys() == expected.taken.keys()
    if not lost and peer.row.again is not Again.REPLACED:
        # Each once, not only once in effect.
        assert found.taken == expected.taken
    if peer.row.again is not Again.ADDED or not lost:
        assert found.values == pytest.approx(expected.values)


# -- the reference --------------------------------------------------------------------------------


def test_there_is_a_row_for_each_exporter() -> None:
    assert [peer.key for peer in PEERS] == [row.key for row in ROWS]


@pytest.mark.parametrize("peer", ALL)
def test_what_arrives_without_a_fault_is_what_was_counted(peer: Peer) -> None:
    whole = undisturbed(peer, 1, 2, 3)
    for number, platform in enumerate(whole.after, start=1):
        for name in ("metal_operations_total", "metal_errors_total", "jobs_total"):
            expected = totals(snapshot(number))[name]
            assert platform.total(name) == pytest.approx(expected), name
    # What was refused for good is in the differences of the next.
    without_second = undisturbed(peer, 1, 3).after[-1]
    assert without_second.totals() == pytest.approx(whole.after[-1].totals())


# -- the matrix -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("peer", "trouble"), cases(Way.HTTP, Way.GRPC, Way.UDP, but=ON_THEIR_OWN))
def test_after_a_fault_all_is_there_that_was_not_refused_for_good(
    peer: Peer, trouble: Trouble, tmp_path: Path
) -> None:
    expected = outcome_of(trouble, peer.key)
    assert expected is not None
    tries = TRIES if expected.verdict is Verdict.RETRY and trouble not in SLOW else 1
    timeout = HURRIED if trouble in SLOW else PATIENT
    whole = undisturbed(peer, 1, 2, 3)
    with site_of(peer, tmp_path, tls=trouble in OF_TLS) as site:
        options = peer.options(site.url, timeout=timeout, ca_file=site.ca_file)
        with course(options, tmp_path / "spool") as run:
            assert run.bring(snapshot(1))[-1].result.ok

            is_lost = expected.verdict is Verdict.REJECTED
            site.fail(trouble, tries=tries, requests=whole.requests, for_good=is_lost)
            run.offer(snapshot(2))
            already = len(run.tries)
            run.run_until(lambda: len(run.tries) >= already + tries)
            if trouble is Trouble.REFUSED or peer.row.way is Way.GRPC:
                site.mend()
            run.run_until(lambda: run.lane.status().waiting == 0)
            of_second = run.tries[already:]
            failed = [one for one in of_second if not one.result.ok]
            if peer.row.way is Way.GRPC:
                failed = without_stale(failed)
            assert {one.outcome for one in failed} == {expected}, [one.result for one in failed]
            assert all(one.result.detail for one in failed)
            assert max(one.seconds for one in failed) < timeout + LATE
            if trouble is Trouble.RATE_LIMITED:
                check_waited(of_second)

            if is_lost:
                assert expected.reason is not None
                assert run.lane.status().dropped == {expected.reason: 1}
                site.mend()
            else:
                assert run.lane.status().dropped == {}
                check_after_second(peer, site, whole, trouble, tries)
            assert run.bring(snapshot(3))[-1].result.ok
        if is_lost:
            check_platform(peer, site, undisturbed(peer, 1, 3).after[-1])
        else:
            check_platform(peer, site, whole.after[-1], lost=trouble in TAKEN)


def without_stale(failed: list[Try]) -> list[Try]:
    """But for a first and a last that met the end of a connection from before a change."""
    stale = waits(Reason.RESET)
    if len(failed) > 1 and failed[0].outcome == stale:
        failed = failed[1:]
    if len(failed) > 1 and failed[-1].outcome == stale:
        failed = failed[:-1]
    return failed


def check_waited(tries: list[Try]) -> None:
    for one, following in itertools.pairwise(tries):
        if not one.result.ok:
            assert one.result.retry_after == timedelta(seconds=RETRY_AFTER_SECONDS)
            assert following.at - one.at == pytest.approx(RETRY_AFTER_SECONDS)


def check_after_second(
    peer: Peer, site: Site, whole: Undisturbed, trouble: Trouble, tries: int
) -> None:
    first, second = whole.after[0], whole.after[1]
    check_platform(peer, site, second, lost=trouble in TAKEN)
    if trouble in TAKEN and peer.row.again is not Again.REPLACED:
        of_second = second.taken.keys() - first.taken.keys()
        assert {site.platform.taken[one] for one in of_second} == {tries + 1}
    if trouble in TAKEN and peer.row.again is Again.ADDED:
        # Not what anyone wants, but what is said in the table, to the number.
        before, once = first.totals(), second.totals()
        for name, total in site.platform.totals().items():
            gained = once[name] - before.get(name, 0.0)
            assert total == pytest.approx(once[name] + tries * gained), name


# -- troubles that need something of their own ----------------------------------------------------


@pytest.mark.parametrize("peer", all_but_file())
def test_what_a_wrong_name_held_up_arrives_after_a_restart_with_the_right_one(
    peer: Peer, tmp_path: Path
) -> None:
    """RFC 6761, 6.4: names under ``invalid`` never resolve."""
    time = Time()
    with site_of(peer, tmp_path) as site:
        right = peer.options(site.url, timeout=PATIENT)
        wrong = peer.options(site.url.replace("127.0.0.1", "peer.invalid"), timeout=PATIENT)
        with course(right, tmp_path / "spool", time) as run:
            assert run.bring(snapshot(1))[-1].result.ok
            site.settle()
        with course(wrong, tmp_path / "spool", time) as run:
            run.offer(snapshot(2))
            run.run_until(lambda: len(run.tries) >= TRIES)
            assert {one.outcome for one in run.tries} == {outcome_of(Trouble.DNS, peer.key)}
            assert max(one.seconds for one in run.tries) < PATIENT + LATE
        with course(right, tmp_path / "spool", time) as run:
            assert run.bring(snapshot(3))[-1].result.ok
            check_dropped(peer, run)
        check_platform(peer, site, undisturbed(peer, 1, 2, 3).after[-1])


@pytest.mark.parametrize(
    "peer", [one for one in all_but_file() if one.values[0].row.way is not Way.UDP]
)
def test_what_is_too_large_arrives_in_parts(peer: Peer, tmp_path: Path) -> None:
    expected = outcome_of(Trouble.TOO_LARGE, peer.key)
    with site_of(peer, tmp_path) as site:
        with course(peer.options(site.url, timeout=PATIENT), tmp_path / "spool") as run:
            assert run.bring(snapshot(1))[-1].result.ok
            site.refuse_larger(0.6)
            second = run.bring(snapshot(2))[-1]
            assert second.outcome == expected
            if expected.verdict is Verdict.REJECTED:
                assert run.lane.status().dropped == {expected.reason: 1}
                return
            assert second.result.rejected_points == 0
            assert run.bring(snapshot(3))[-1].result.ok
        check_platform(peer, site, undisturbed(peer, 1, 2, 3).after[-1])


@pytest.mark.parametrize(
    "peer", [one for one in all_but_file() if one.values[0].row.way is Way.HTTP]
)
def test_parts_that_arrived_are_not_sent_again_where_a_later_one_fails(
    peer: Peer, tmp_path: Path
) -> None:
    if peer.row.again is Again.REPLACED:
        pytest.skip("it is one part always")
    with site_of(peer, tmp_path) as site:
        with course(peer.options(site.url, timeout=PATIENT), tmp_path / "spool") as run:
            assert run.bring(snapshot(1))[-1].result.ok
            site.refuse_larger(0.6)
            site.fail(Trouble.UNAVAILABLE, tries=1, requests=20)
            tries = run.bring(snapshot(2))
            assert len(tries) > TRIES
            assert {one.outcome for one in tries[:-1]} == {waits(Reason.SERVER_ERROR)}
            assert tries[-1].result.ok
        check_platform(peer, site, undisturbed(peer, 1, 2).after[-1])


@pytest.mark.parametrize("key", ["influxdb", "webhook", "datadog_v2"])
def test_a_try_in_many_parts_has_the_time_of_one(key: str, tmp_path: Path) -> None:
    [peer] = [one for one in PEERS if one.key == key]
    with site_of(peer, tmp_path) as site:
        with course(peer.options(site.url, timeout=HURRIED), tmp_path / "spool") as run:
            assert run.bring(snapshot(1))[-1].result.ok
            site.refuse_larger(0.4)
            site.pause = HURRIED / 2.5
            tries = run.bring(snapshot(2))
            assert len(tries) > 1
            assert {one.outcome for one in tries[:-1]} == {waits(Reason.TIMEOUT)}
            assert max(one.seconds for one in tries) < 2 * HURRIED
        check_platform(peer, site, undisturbed(peer, 1, 2).after[-1], lost=True)


@pytest.mark.parametrize(
    "peer", [pytest.param(one, id=one.key) for one in PEERS if one.row.way is Way.UDP]
)
def test_a_line_no_datagram_can_carry_is_the_only_one_that_is_lost(
    peer: Peer, tmp_path: Path
) -> None:
    expected = outcome_of(Trouble.TOO_LARGE, peer.key)
    assert expected is not None
    second = snapshot(2)
    endless = CustomMetric("endless", "gauge", (("tenant", "x" * 70_000),), 1.0)
    with site_of(peer, tmp_path) as site:
        with course(peer.options(site.url, timeout=PATIENT), tmp_path / "spool") as run:
            run.bring(snapshot(1))
            [one] = run.bring(replace(second, custom=(*second.custom, endless)))
            assert one.outcome == expected
            assert one.result.rejected_points == (expected.reason is Reason.PARTIAL)
            assert run.bring(snapshot(3))[-1].result.ok
        site.settle()
        whole = undisturbed(peer, 1, 2, 3).after[-1]
        found = {key: value for key, value in site.platform.values.items() if key in whole.values}
        assert found == pytest.approx(whole.values)
        others = [series for series, _ in site.platform.values.keys() - whole.values.keys()]
        assert {name.partition(".")[0] for name, _ in others} <= {"endless"}


@pytest.mark.parametrize("peer", ALL)
def test_where_the_clock_is_set_back_time_goes_on_and_all_arrives(
    peer: Peer, tmp_path: Path
) -> None:
    time = Time()
    timeline = Timeline(time.monotonic)
    with site_of(peer, tmp_path) as site:
        with course(peer.options(site.url, timeout=PATIENT), tmp_path / "spool", time) as run:
            for number, set_back in ((1, 0), (2, 0), (3, 10)):
                due = 1000.0 + STEP.total_seconds() * number
                time.at = max(time.at, due)
                given = snapshot(number)
                shown = given.timestamp - timedelta(minutes=set_back)
                [one] = run.bring(timeline.fit(replace(given, timestamp=shown)))
                assert one.outcome == outcome_of(Trouble.CLOCK_SET_BACK, peer.key)
        check_clock(peer, site)


def check_clock(peer: Peer, site: Site) -> None:
    site.settle()
    whole = undisturbed(peer, 1, 2, 3).after[-1]
    for name in ("metal_operations_total", "metal_errors_total", "jobs_total"):
        assert site.platform.total(name) == pytest.approx(whole.total(name))
    assert site.platform.changed == []
    if peer.row.again is not Again.REPLACED:
        assert site.platform.taken.total() == whole.taken.total()
    assert len({at for _, at in site.platform.values}) >= len({at for _, at in whole.values})


@pytest.mark.server
def test_a_real_prometheus_takes_all_after_the_clock_was_set_back(tmp_path: Path) -> None:
    began, moment = now() - timedelta(minutes=15), Time()
    timeline = Timeline(moment.monotonic)
    with receiving_prometheus(tmp_path / "prometheus") as server:
        run_of = Run(server.url)
        options = ExporterOptions(
            type="prometheus",
            endpoint=run_of.options["endpoint"],
            labels={"run": run_of.label},
            timeout="10s",
        )
        shown = [began, began + STEP, began + 2 * STEP - timedelta(minutes=10)]
        times: list[datetime] = []
        with course(options, tmp_path / "spool", moment) as run:
            for number, at in enumerate(shown, start=1):
                fitted = timeline.fit(replace(snapshot(number), timestamp=at))
                times.append(fitted.timestamp)
                [one] = run.bring(fitted)
                assert one.result.ok, one.result
                moment.at = 1000.0 + STEP.total_seconds() * number
            # Without that it would have been refused.
            [raw] = run.bring(replace(snapshot(4), timestamp=shown[-1]))
            assert raw.result.verdict is Verdict.REJECTED
        for number, at in enumerate(times, start=1):
            [(_, value)] = server.query(f"sum({run_of.selector('jobs_total')})", at.timestamp())
            assert value == totals(snapshot(number))["jobs_total"]
        assert times == sorted(times)


# -- disks ----------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    where = tmp_path / "small"
    where.mkdir()
    if sys.platform != "linux" or geteuid() != 0:
        pytest.skip("only root on Linux can make a disk that is really full")
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(where)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"cannot make a small disk here: {made.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def fill(path: Path) -> None:
    for size in (1000, 1):
        with suppress(OSError), path.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(size))


@pytest.mark.parametrize("peer", all_but_file())
def test_what_a_full_disk_has_no_room_for_waits_in_memory(
    peer: Peer, small_disk: Path, tmp_path: Path
) -> None:
    with site_of(peer, tmp_path) as site:
        with course(peer.options(site.url, timeout=PATIENT), small_disk / "spool") as run:
            assert run.bring(snapshot(1))[-1].result.ok
            fill(small_disk / "other")
            site.fail(Trouble.REFUSED, tries=1, requests=1)
            for number in range(2, 6):
                # The last page of its file has room for one or two.
                run.offer(snapshot(number))
                run.run_until(lambda: len(run.tries) >= 1 + TRIES)
            assert run.spool.stats.disk_error == "No space left on device"
            site.mend()
            assert run.bring(snapshot(6))[-1].result.ok
            check_dropped(peer, run)
        check_platform(peer, site, undisturbed(peer, *range(1, 7)).after[-1])


def check_dropped(peer: Peer, run: Course) -> None:
    """Nothing; but where a peer keeps only the last, what was not the last when it came back."""
    allowed = {Reason.SUPERSEDED} if peer.row.again is Again.REPLACED else set()
    assert run.lane.status().dropped.keys() <= allowed


def test_a_line_there_is_no_room_for_is_written_when_there_is(small_disk: Path) -> None:
    [peer] = [one for one in PEERS if one.row.way is Way.FILE]
    with site_of(peer, small_disk) as site, TemporaryDirectory() as spool:
        with course(peer.options(site.url, timeout=PATIENT), Path(spool)) as run:
            assert run.bring(snapshot(1))[-1].result.ok
            fill(small_disk / "other")
            run.offer(snapshot(2))
            run.run_until(lambda: len(run.tries) >= 1 + TRIES)
            assert {one.outcome for one in run.tries[1:]} == {
                outcome_of(Trouble.DISK_FULL, peer.key)
            }
            site.settle()  # There is no half of a line.
            (small_disk / "other").unlink()
            assert run.bring(snapshot(3))[-1].result.ok
            assert run.lane.status().dropped == {}
        check_platform(peer, site, undisturbed(peer, 1, 2, 3).after[-1])


# -- the host program -----------------------------------------------------------------------------


def test_a_program_whose_peers_all_hang_is_not_held_up(tmp_path: Path) -> None:
    timeout = timedelta(seconds=HURRIED)
    before = set(threading.enumerate())
    raised: list[BaseException] = []
    metrics = MetalMetricsExporter(
        ExportOptions(export_timeout=timeout),
        interval=timedelta(microseconds=1),
        on_error=lambda _, error: raised.append(error),
    )
    with ExitStack() as stack:
        for peer in PEERS:
            site = stack.enter_context(site_of(peer, tmp_path))
            options = peer.options(site.url, timeout=HURRIED)
            exporter = create_exporter(options, ExportOptions())
            assert exporter is not None
            if peer.row.way in {Way.HTTP, Way.GRPC}:
                site.fail(Trouble.SILENCE, tries=1, requests=1)
            elif peer.row.way is Way.UDP:
                site.fail(Trouble.REFUSED, tries=1, requests=1)
            metrics.add(exporter, name=peer.key, timeout=timeout)
        took = []
        for number in range(1, 21):
            began = time.monotonic()
            metrics.consume(snapshot(number))
            took.append(time.monotonic() - began)
        # Were one call waited for, that alone would be longer than all of these.
        assert sum(took) < HURRIED
        metrics.shutdown(2 * HURRIED)
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("metalscope"):
            thread.join(2 * HURRIED + LATE)
            assert not thread.is_alive(), f"{thread.name} was left behind"
    assert [one for one in raised if not isinstance(one, TimeoutError)] == []


# -- the docs -------------------------------------------------------------------------------------


def test_the_tables_in_the_docs_are_those_that_are_asserted_here() -> None:
    script = Path(__file__).parents[2] / "scripts" / "fault_table.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True)
