"""MetalMetricsExporter with exporters of one's own, good and bad, on real threads."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import snapshots

from metalscope.errors import ConfigurationError
from metalscope.export.base import MetricsExporter
from metalscope.export.exporter import MetalMetricsExporter
from metalscope.export_options import ExportOptions
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.snapshot import MetalTelemetrySnapshot

FULL = snapshots.full()
ROOT = Path(__file__).parents[2]


class Keeps(MetricsExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.has: list[MetalTelemetrySnapshot] = []
        self.resumed: MetalTelemetrySnapshot | None = None
        self.ended = 0
        self.threads: set[int] = set()

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult | None:
        self.threads.add(threading.get_ident())
        self.has.append(snapshot)
        return ExportResult.delivered(1)

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        self.resumed = delivered

    def shutdown(self) -> None:
        self.ended += 1


class KeepsLater(MetricsExporter):
    """The same, as coroutines."""

    def __init__(self) -> None:
        self.has: list[MetalTelemetrySnapshot] = []
        self.loops: set[int] = set()

    async def export(self, snapshot: MetalTelemetrySnapshot) -> None:
        self.loops.add(id(asyncio.get_running_loop()))
        await asyncio.sleep(0.001)
        self.has.append(snapshot)

    async def shutdown(self) -> None:
        self.loops.add(id(asyncio.get_running_loop()))


class Hangs(MetricsExporter):
    """Does not come back before it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def export(self, snapshot: MetalTelemetrySnapshot) -> None:
        self.let_go.wait(60)


class HangsLater(MetricsExporter):
    """Awaits what never comes."""

    async def export(self, snapshot: MetalTelemetrySnapshot) -> None:
        await asyncio.sleep(3600)


class Raises(MetricsExporter):
    """Has a bug."""

    def export(self, snapshot: MetalTelemetrySnapshot) -> None:
        raise ZeroDivisionError("a bug")

    def shutdown(self) -> None:
        raise ZeroDivisionError("another")


class Nonsense(MetricsExporter):
    """Returns what is no result."""

    def export(self, snapshot: MetalTelemetrySnapshot) -> Any:
        return "fine"


class Down(MetricsExporter):
    """Cannot reach its peer."""

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        return ExportResult.retry(Reason.REFUSED, "nothing listens")


class OnlyLast(Keeps):
    """Of a peer that keeps only the last."""

    keeps_history: ClassVar[bool] = False


def exporter_of(
    errors: list[tuple[str, BaseException]] | None = None,
    interval: float | None = 3600,
    **options: Any,
) -> MetalMetricsExporter:
    collected = [] if errors is None else errors
    return MetalMetricsExporter(
        ExportOptions(**{"export_timeout": "500ms", "shutdown_timeout": "2s"} | options),
        interval=None if interval is None else timedelta(seconds=interval),
        on_error=lambda room, error: collected.append((room, error)),
    )


def later(seconds: float) -> MetalTelemetrySnapshot:
    return replace(FULL, timestamp=FULL.timestamp + timedelta(seconds=seconds))


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def test_sync_and_async_exporters_are_given_the_snapshot() -> None:
    exporter, sync, later_ = exporter_of(), Keeps(), KeepsLater()
    exporter.add(sync, name="sync")
    exporter.add(later_, name="async")
    results = exporter.export_now(FULL)
    exporter.shutdown()
    assert results == {"sync": ExportResult.delivered(1), "async": ExportResult.delivered()}
    assert sync.has == later_.has == [FULL]
    assert sync.ended == 1
    assert len(later_.loops) == 1, "a client made in a loop is used in that loop"
    assert threading.get_ident() not in sync.threads


def test_bad_exporters_harm_no_good_one_and_not_the_caller() -> None:
    errors: list[tuple[str, BaseException]] = []
    exporter, good, hangs = exporter_of(errors), Keeps(), Hangs()
    bad = {"hangs": hangs, "hangs later": HangsLater(), "raises": Raises(), "odd": Nonsense()}
    for name, one in bad.items():
        exporter.add(one, name=name)
    exporter.add(good, name="good")
    began = time.monotonic()
    results = exporter.export_now(FULL, timeout=3)
    took = time.monotonic() - began
    assert results["good"].ok
    assert results["hangs"].reason is Reason.TIMEOUT
    assert results["hangs later"].reason is Reason.TIMEOUT
    assert results["raises"].reason is Reason.EXPORTER_ERROR
    assert "ZeroDivisionError" in results["raises"].detail
    assert results["odd"].detail == "it returned str, not an ExportResult"
    assert took < 3, "nobody waits for longer than one export may take"
    for second in range(1, 20):
        exporter.export_now(later(second), timeout=0)
    until(lambda: len(good.has) == 20)
    exporter.shutdown()
    hangs.let_go.set()
    assert ("export", "ZeroDivisionError") in [(room, type(e).__name__) for room, e in errors]


def test_feeding_never_blocks() -> None:
    exporter, hangs = exporter_of(interval=0.001), Hangs()
    exporter.add(hangs, name="hangs")
    slowest = 0.0
    for second in range(500):
        began = time.perf_counter()
        exporter.consume(later(second))
        slowest = max(slowest, time.perf_counter() - began)
    hangs.let_go.set()
    exporter.shutdown()
    assert slowest < 0.4, "the export hangs for half a second at least"


def test_each_has_its_own_schedule() -> None:
    exporter, often, seldom = exporter_of(interval=3600), Keeps(), Keeps()
    exporter.add(often, name="often", interval=timedelta(milliseconds=1))
    exporter.add(seldom, name="seldom")
    for second in range(5):
        exporter.consume(later(second))
        time.sleep(0.01)
    until(lambda: len(often.has) == 5)
    assert [one.timestamp for one in seldom.has] == [FULL.timestamp]
    exporter.shutdown()


def test_the_last_snapshot_is_exported_at_the_end() -> None:
    exporter, keeps = exporter_of(interval=3600), Keeps()
    exporter.add(keeps, name="one")
    for second in range(5):
        exporter.consume(later(second))
    exporter.shutdown()
    assert [one.timestamp for one in keeps.has] == [FULL.timestamp, later(4).timestamp]
    exporter.shutdown()
    assert keeps.ended == 1


def test_where_nothing_is_exported_unasked_the_end_exports_nothing_either() -> None:
    exporter, keeps = exporter_of(interval=None), Keeps()
    exporter.add(keeps, name="one")
    exporter.consume(FULL)
    exporter.shutdown()
    assert keeps.has == []


def test_the_end_does_not_wait_for_a_peer_that_is_down() -> None:
    exporter = exporter_of(shutdown_timeout="30s")
    exporter.add(Down(), name="down")
    exporter.consume(FULL)
    began = time.monotonic()
    exporter.shutdown()
    assert time.monotonic() - began < 10


def test_the_end_waits_no_longer_than_it_is_told() -> None:
    exporter, hangs = exporter_of(export_timeout="1h"), Hangs()
    exporter.add(hangs, name="hangs")
    exporter.consume(FULL)
    began = time.monotonic()
    exporter.shutdown(timeout=0.3)
    assert time.monotonic() - began < 5
    hangs.let_go.set()


def test_what_did_not_go_out_is_there_for_the_next_process(tmp_path: Path) -> None:
    spool = {"directory": tmp_path}
    first = exporter_of(spool=spool)
    first.add(Down(), name="one")
    first.export_now(FULL)
    first.consume(later(1))
    first.shutdown()
    second, keeps = exporter_of(spool=spool), Keeps()
    second.add(keeps, name="one")
    until(lambda: len(keeps.has) == 2)
    second.shutdown()
    assert [one.timestamp for one in keeps.has] == [FULL.timestamp, later(1).timestamp]
    third, resumed = exporter_of(spool=spool), Keeps()
    third.add(resumed, name="one")
    third.shutdown()
    assert resumed.has == []
    assert resumed.resumed is not None
    assert resumed.resumed.timestamp == later(1).timestamp


def test_two_exporters_cannot_have_one_name() -> None:
    exporter = exporter_of()
    exporter.add(Keeps(), name="one")
    with pytest.raises(ConfigurationError, match="an exporter named 'one' already"):
        exporter.add(Keeps(), name="one")
    exporter.shutdown()


def test_the_status_counts_what_became_of_everything() -> None:
    exporter = exporter_of()
    exporter.add(Keeps(), name="good", type="custom")
    exporter.add(Down(), name="down")
    exporter.export_now(FULL)
    exporter.export_now(later(1))
    good, down = exporter.status()
    assert (good.name, good.type, good.queued, good.delivered, good.points) == (
        "good", "custom", 2, 2, 2,
    )  # fmt: skip
    assert (down.delivered, down.waiting, down.failures) == (0, 2, {"refused": 2})
    assert down.last_error == "nothing listens"
    assert down.waiting_bytes > 0
    exporter.shutdown()


# -- under a manager -----------------------------------------------------------------------------


def test_a_manager_runs_exporters_from_code_and_shows_how_they_do() -> None:
    keeps = Keeps()
    with MetalTelemetryManager(MetalTelemetryOptions(tick_interval="20ms")) as telemetry:
        telemetry.add_exporter(keeps, name="mine", interval=timedelta(milliseconds=20))
        telemetry.record("execute", "matmul", duration_ns=1_000_000)
        until(lambda: len(keeps.has) >= 3)
        snapshot = telemetry.export_now()
        (status,) = telemetry.get_snapshot().internals.exporters
        assert status.name == "mine"
        assert status.delivered >= 3
    assert keeps.has[-1].total_operations == 1
    assert snapshot.timestamp in [one.timestamp for one in keeps.has]
    times = [one.timestamp for one in keeps.has]
    assert times == sorted(set(times))
    assert keeps.ended == 1


def test_a_manager_that_is_started_again_exports_again(tmp_path: Path) -> None:
    file = tmp_path / "out.ndjson"
    options = MetalTelemetryOptions(
        reporting_interval="1h",
        export={"exporters": [{"type": "custom", "endpoint": f"file://{file}"}]},
    )
    telemetry = MetalTelemetryManager(options)
    for run in (1, 2):
        telemetry.start()
        telemetry.record("execute", "matmul", duration_ns=1)
        telemetry.shutdown()
        assert file.read_text().splitlines()[-1].replace(" ", "").count(f'"value":{run}') >= 1
    assert telemetry.exporter is None


def test_an_exporter_can_be_added_before_the_start() -> None:
    keeps = Keeps()
    telemetry = MetalTelemetryManager(MetalTelemetryOptions(tick_interval="20ms"))
    telemetry.add_exporter(keeps, name="mine")
    with telemetry:
        until(lambda: len(keeps.has) >= 1)
    assert keeps.ended == 1


def test_what_was_counted_last_reaches_the_exporter() -> None:
    keeps = Keeps()
    with MetalTelemetryManager(MetalTelemetryOptions(reporting_interval="1h")) as telemetry:
        telemetry.add_exporter(keeps, name="mine")
        for _ in range(7):
            telemetry.record("execute", "matmul", duration_ns=1_000_000)
    assert keeps.has[-1].total_operations == 7


def test_a_program_that_ends_without_shutdown_exports_its_last_counts(tmp_path: Path) -> None:
    file = tmp_path / "out.ndjson"
    program = f"""
import metalscope
tel = metalscope.add_metal_telemetry(
    reporting_interval="1h",
    export={{"exporters": [{{"type": "custom", "endpoint": "file://{file}"}}]}},
)
for _ in range(5):
    tel.record("execute", "matmul", duration_ns=1_000_000)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=60)
    last = file.read_text().splitlines()[-1]
    assert '"matmul"' in last
    assert '"value":5' in last.replace(" ", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_exports_nothing_of_the_parents(tmp_path: Path) -> None:
    program = f"""
import os, sys, threading
from pathlib import Path
from metalscope.export.base import MetricsExporter
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions

class Writes(MetricsExporter):
    def export(self, snapshot):
        with open({str(tmp_path / "pids")!r}, "a") as file:
            file.write(f"{{os.getpid()}}\\n")

tel = MetalTelemetryManager(MetalTelemetryOptions(
    tick_interval="20ms", export={{"spool": {{"directory": {str(tmp_path / "spool")!r}}}}}))
tel.start()
tel.add_exporter(Writes(), name="w")
tel.export_now()
if os.fork() == 0:
    tel.export_now()
    tel.shutdown()
    os._exit(0)
os.wait()
tel.shutdown()
print(os.getpid())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert set((tmp_path / "pids").read_text().split()) == {done.stdout.strip()}


def test_an_exporter_of_another_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    (tmp_path / "their_exporter.py").write_text(
        "from metalscope.export.base import MetricsExporter\n"
        "class Theirs(MetricsExporter):\n"
        "    def __init__(self, context):\n"
        "        self.path = context.options.settings['path']\n"
        "        self.view = context.view\n"
        "    def export(self, snapshot):\n"
        "        names = sorted(f.metric.name for f in self.view.families(snapshot))\n"
        "        open(self.path, 'w').write(' '.join(names))\n"
    )
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[metalscope.exporters]\ntheirs = their_exporter:Theirs\n"
    )
    program = f"""
import metalscope
tel = metalscope.add_metal_telemetry(export={{"exporters": [{{
    "type": "theirs", "settings": {{"path": {str(tmp_path / "out")!r}}},
    "metrics": {{"allow": ["metal_operations_total"]}},
}}]}})
tel.record("execute", "matmul", duration_ns=1)
tel.shutdown()
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, timeout=60)
    assert (tmp_path / "out").read_text() == "metal_operations_total"


def test_an_unfit_exporter_is_told_at_start_and_nothing_runs_on() -> None:
    options = MetalTelemetryOptions(
        export={"exporters": [{"type": "grafana_cloud", "name": "g"}]}, tick_interval="20ms"
    )
    before = threading.active_count()
    telemetry = MetalTelemetryManager(options)
    with pytest.raises(ConfigurationError, match=r"exporter 'g': endpoint"):
        telemetry.start()
    assert not telemetry.is_running
    assert threading.active_count() == before


def test_a_rejected_snapshot_is_not_waited_for() -> None:
    class Refuses(MetricsExporter):
        def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
            return ExportResult.rejected(Reason.SCHEMA, "no")

    exporter = exporter_of()
    exporter.add(Refuses(), name="one")
    assert exporter.export_now(FULL)["one"].verdict is Verdict.REJECTED
    exporter.shutdown()
    exporter.shutdown()
