"""Several processes, one scrape: exact, whatever becomes of the processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from metalscope.errors import ConfigurationError
from metalscope.histogram import DurationHistogram
from metalscope.manager import MetalTelemetryManager
from metalscope.operation import OperationKind
from metalscope.options import MetalTelemetryOptions
from metalscope.processes import ProcessFile, ProcessGroup
from metalscope.processes.merge import counts_of
from metalscope.snapshot import (
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    ResourceKind,
    ResourceMetrics,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def start(code: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "METALSCOPE_PROCESSES_DIRECTORY": str(directory)},
    )


WORKER = """
    import sys, time, metalscope
    tel = metalscope.add_metal_telemetry(tick_interval=0.05)
    for _ in range(100):
        tel.record("execute", "k", duration_ns=1000)
    tel.record("execute", "k", duration_ns=1000, error="timeout")
    tel.record_custom_metric("jobs", 5)
    tel.record_custom_metric("depth", 3, kind="gauge")
    tel.record_custom_event("started")
    tel.export_now()  # to the shared file as well
    print("ready", flush=True)
    sys.stdin.readline()
"""


def total(group: ProcessGroup) -> int:
    return group.get_snapshot().total_operations


def test_counts_of_living_ended_and_killed_processes_add_up(tmp_path):
    workers = [start(WORKER, tmp_path) for _ in range(3)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    group = ProcessGroup(tmp_path)
    snapshot = group.get_snapshot()
    assert (snapshot.total_operations, snapshot.total_errors) == (303, 3)
    jobs = [metric for metric in snapshot.custom if metric.name == "jobs"]
    depths = [metric for metric in snapshot.custom if metric.name == "depth"]
    assert [metric.value for metric in jobs] == [15]
    assert {dict(d.labels)["pid"] for d in depths} == {str(worker.pid) for worker in workers}
    assert [event.sequence for event in snapshot.events] == [1, 2, 3]

    workers[0].communicate("end\n")
    os.kill(workers[1].pid, signal.SIGKILL)
    workers[1].communicate()
    snapshot = group.get_snapshot()
    assert (snapshot.total_operations, snapshot.total_errors) == (303, 3)
    assert [m.value for m in snapshot.custom if m.name == "jobs"] == [15]
    assert len([m for m in snapshot.custom if m.name == "depth"]) == 1
    assert len(snapshot.events) == 3
    # Ended processes' files were added to one, so that they do not pile up.
    assert len(list(tmp_path.glob("*-*.json"))) == 1

    workers[2].communicate("end\n")
    assert total(group) == total(ProcessGroup(tmp_path)) == 303
    assert not list(tmp_path.glob("*-*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_workers_that_multiprocessing_forks_count_with_no_word_of_ours(tmp_path):
    program = start(
        """
        import multiprocessing, metalscope
        tel = metalscope.add_metal_telemetry(tick_interval=60, server={"enabled": True, "port": 0})

        def work(n):
            for _ in range(n):
                tel.record("execute", "in worker", duration_ns=1000)

        context = multiprocessing.get_context("fork")
        tel.record("execute", "in parent", duration_ns=1000)
        workers = [context.Process(target=work, args=(50,)) for _ in range(4)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        print(tel.server.url, flush=True)
        input()
        """,
        tmp_path,
    )
    url = program.stdout.readline().strip()
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        text = answer.read().decode()
    program.communicate("end\n")
    counted = {
        sample.labels["name"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "metal_operations_total"
    }
    assert counted == {"in parent": 1, "in worker": 200}
    assert total(ProcessGroup(tmp_path)) == 201


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_leaves_its_parents_file_alone(tmp_path):
    options = MetalTelemetryOptions(processes_directory=tmp_path, tick_interval=0.05)
    with MetalTelemetryManager(options) as tel:
        tel.record("execute", "parent", duration_ns=1)
        pid = os.fork()
        if pid == 0:  # pragma: no cover - runs in the child
            tel.record("execute", "child", duration_ns=1)
            tel.shutdown()
            os._exit(0)
        os.waitpid(pid, 0)
        tel.export_now()
        names = {one.name for one in ProcessGroup(tmp_path).get_snapshot().operations}
        assert names == {"parent", "child"}
    assert total(ProcessGroup(tmp_path)) == 2


def snapshot_of(*durations_ns: int, name: str = "k") -> MetalTelemetrySnapshot:
    outcome = OutcomeMetrics("ok", DurationHistogram.from_durations(durations_ns))
    return MetalTelemetrySnapshot(
        NOW, NOW, operations=(OperationMetrics(OperationKind.EXECUTE, name, "", (outcome,), NOW),)
    )


def test_an_older_snapshot_never_takes_the_place_of_a_newer_one(tmp_path):
    file = ProcessFile(tmp_path)
    file.write(replace(snapshot_of(1, 2), timestamp=NOW + timedelta(seconds=1)))
    file.write(snapshot_of(1))
    assert total(ProcessGroup(tmp_path)) == 2
    file.close()


def test_a_scrape_feeds_no_consumer_but_the_file(tmp_path):
    options = MetalTelemetryOptions(
        processes_directory=tmp_path, tick_interval=300, server={"enabled": True, "port": 0}
    )
    with MetalTelemetryManager(options) as tel:
        fed = []
        tel.subscribe(fed.append)
        tel.record("execute", "k", duration_ns=1)
        with urllib.request.urlopen(f"{tel.server.url}/api/v1/snapshot") as answer:
            assert json.load(answer)["total_operations"] == 1
        assert fed == []


def test_a_reader_killed_while_it_cleans_up_counts_nothing_twice(tmp_path):
    file = ProcessFile(tmp_path)
    file.write(snapshot_of(1, 2, 3))
    file.close()
    kept = {path: path.read_bytes() for path in tmp_path.glob("*-*")}
    assert total(ProcessGroup(tmp_path)) == 3
    assert not list(tmp_path.glob("*-*"))
    for path, content in kept.items():  # as if it had not come to removing them
        path.write_bytes(content)
    assert total(ProcessGroup(tmp_path)) == 3
    assert not list(tmp_path.glob("*-*"))


def test_a_file_that_cannot_be_read_is_set_aside_and_said(tmp_path):
    file = ProcessFile(tmp_path)
    file.write(snapshot_of(1))
    file.close()
    (broken,) = tmp_path.glob("*-*.json")
    broken.write_text("{half a fi")
    group = ProcessGroup(tmp_path)
    snapshot = group.get_snapshot()
    assert snapshot.total_operations == 0
    assert snapshot.internals.errors == {"processes": 1}
    assert broken.with_suffix(".unreadable").exists()


def test_what_processes_hold_is_added_up_and_what_they_read_of_the_host_is_not(tmp_path):
    def reading(active: float, used: float) -> MetalTelemetrySnapshot:
        return MetalTelemetrySnapshot(
            NOW,
            NOW,
            resources=(
                ResourceMetrics(ResourceKind.MEMORY, "mlx_active", "gpu:0", active, 99, 1000),
                ResourceMetrics(ResourceKind.HOST_MEMORY, "used", "", used, None, 5000),
                ResourceMetrics(ResourceKind.CPU_UTILIZATION, "host", "", 50.0),
            ),
        )

    files = [ProcessFile(tmp_path), ProcessFile(tmp_path)]
    for file, active in zip(files, (100, 200), strict=True):
        file.write(reading(active, 3000))
    resources = {one.name: one for one in ProcessGroup(tmp_path).get_snapshot().resources}
    assert (resources["mlx_active"].current, resources["mlx_active"].peak) == (300, None)
    assert resources["used"].current == 3000
    assert resources["host"].current == 50.0
    for file in files:
        file.close()


def test_a_directory_that_cannot_be_used_is_named_before_anything_starts(tmp_path):
    (tmp_path / "file").write_text("")
    options = MetalTelemetryOptions(processes_directory=tmp_path / "file" / "x")
    tel = MetalTelemetryManager(options)
    with pytest.raises(ConfigurationError, match=r"processes_directory = .*file/x"):
        tel.start()
    assert not tel.is_running


@given(st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10**12))), min_size=1))
def test_added_up_counts_equal_those_of_one_process_that_did_it_all(processes):
    snapshots = [
        counts_of([snapshot_of(duration, name=name) for name, duration in process])
        for process in processes
        if process
    ]
    if not snapshots:
        return
    merged = counts_of(snapshots)
    everything = [entry for process in processes for entry in process]
    for operation in merged.operations:
        durations = [duration for name, duration in everything if name == operation.name]
        assert operation.durations == DurationHistogram.from_durations(durations)
    assert merged.total_operations == len(everything)


def test_serve_shows_all_processes_of_a_directory(tmp_path):
    worker = start(WORKER, tmp_path)
    assert worker.stdout.readline() == "ready\n"
    server = subprocess.Popen(
        [sys.executable, "-m", "metalscope", "serve", "--processes", str(tmp_path), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    url = next(word for word in server.stderr.readline().split() if word.startswith("http"))
    deadline = time.monotonic() + 20
    with urllib.request.urlopen(f"{url}api/v1/snapshot") as answer:
        assert json.load(answer)["total_operations"] == 101
    with urllib.request.urlopen(f"{url}api/v1/events") as stream:
        while b"event: snapshot" not in stream.readline():
            assert time.monotonic() < deadline
    worker.communicate("end\n")
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=20)
    assert server.returncode == 0
