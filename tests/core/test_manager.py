from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from metalscope.manager import MetalTelemetryManager
from metalscope.operation import MetalError, OperationKind, PerformanceCategory
from metalscope.options import MetalTelemetryOptions
from metalscope.snapshot import (
    SCHEMA_VERSION,
    DeviceInfo,
    HealthStatus,
    ResourceKind,
    ResourceMetrics,
)

FAST_TICK = MetalTelemetryOptions(tick_interval=0.02)


@pytest.fixture
def tel():
    with MetalTelemetryManager(FAST_TICK) as manager:
        yield manager


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def by_name(snapshot):
    return {operation.name: operation for operation in snapshot.operations}


def test_what_is_recorded_stands_in_the_snapshot(tel):
    with tel.operation("execute", "matmul", nbytes=4096, device="gpu:0"):
        pass
    tel.record("allocate", "buffer", duration_ns=1_250_000, nbytes=64)
    tel.record("execute", "matmul", duration_ns=2, error="out_of_memory", device="gpu:0")
    tel.record("execute", "matmul", duration_ns=2, error=TimeoutError(), device="gpu:0")
    snapshot = tel.get_snapshot()
    assert (snapshot.total_operations, snapshot.total_errors, snapshot.error_rate) == (4, 2, 0.5)
    matmul, buffer = by_name(snapshot)["matmul"], by_name(snapshot)["buffer"]
    assert matmul.errors == {MetalError.OUT_OF_MEMORY: 1, MetalError.TIMEOUT: 1}
    assert (matmul.executions, matmul.successes, matmul.nbytes) == (3, 1, 4096)
    assert matmul.gpu_ms is None
    assert buffer.kind is OperationKind.ALLOCATE
    assert buffer.durations.max_ms == 1.25
    assert buffer.categories[PerformanceCategory.NORMAL] == 1


def test_a_timed_function_is_counted_sync_and_async_and_stays_itself(tel):
    @tel.timed("execute")
    def double(x: int) -> int:
        """Twice."""
        return 2 * x

    @tel.timed("transfer", "fetch")
    async def fetch() -> str:
        await asyncio.sleep(0.002)
        return "done"

    assert double(4) == 8
    assert double.__doc__ == "Twice."
    assert asyncio.run(fetch()) == "done"
    with pytest.raises(TypeError):
        double(None)
    operations = by_name(tel.get_snapshot())
    name = next(name for name in operations if name.endswith("double"))
    assert (operations[name].executions, operations[name].error_count) == (2, 1)
    assert operations["fetch"].durations.min_ms >= 1


def test_the_snapshot_is_strict_json_under_a_schema_version(tel):
    tel.record("execute", "k", duration_ns=5, gpu_ns=3)
    tel.record_custom_metric("jobs", 1, {"a": "b"})
    tel.record_custom_metric("size", 1, kind="histogram")
    tel.record_custom_event("deployed", {"version": "1.2"})
    data = json.loads(tel.get_snapshot().to_json())
    assert data["schema_version"] == SCHEMA_VERSION
    assert data["operations"][0]["gpu_ms"] == 3e-6
    assert data["events"][0]["properties"] == {"version": "1.2"}
    assert data["custom"][0]["labels"] == {"a": "b"}
    assert data["system"]["pid"] == os.getpid()
    assert data["timestamp"].endswith("Z")


def test_consumers_are_fed_each_tick_and_one_that_raises_harms_no_other(tel, caplog):
    seen = []

    def broken(_snapshot):
        raise RuntimeError("consumer is broken")

    tel.subscribe(broken)
    unsubscribe = tel.subscribe(seen.append)
    with caplog.at_level(logging.WARNING, "metalscope"):
        wait_until(lambda: len(seen) >= 3)
    unsubscribe()
    assert tel.get_snapshot().internals.errors["consumer"] >= 3
    assert sum("consumer is broken" in record.message for record in caplog.records) <= 1


def test_a_sensor_that_raises_leaves_its_values_absent(tel):
    class Broken:
        name = "broken"

        def read(self):
            yield ResourceMetrics(ResourceKind.GPU_UTILIZATION, "gpu", "gpu:0", 5.0)
            raise OSError("gone")

    class Working:
        name = "working"

        def read(self):
            return [ResourceMetrics(ResourceKind.MEMORY, "pool", "gpu:0", 50.0, limit=200.0)]

    working = Working()
    tel.add_sensor(Broken())
    tel.add_sensor(working)
    snapshot = tel.get_snapshot()
    pools = {r.name: r for r in snapshot.resources}
    assert pools["pool"].utilization_percent == 25.0
    assert snapshot.internals.errors["sensor.broken"] >= 1
    tel.remove_sensor(working)
    assert "pool" not in {r.name for r in tel.get_snapshot().resources}


def test_the_host_is_read_for_real(tel):
    resources = {r.name: r for r in tel.get_snapshot().resources}
    assert resources["process_resident"].current > 1e6
    assert 0 < resources["used"].utilization_percent <= 100
    assert not [r for r in resources.values() if r.kind is ResourceKind.GPU_UTILIZATION]


def test_devices_are_named_once(tel):
    tel.add_device(DeviceInfo("gpu:0", "mlx"))
    tel.add_device(DeviceInfo("gpu:0", "mlx", memory_bytes=5))
    assert tel.get_snapshot().system.devices == (DeviceInfo("gpu:0", "mlx", memory_bytes=5),)


def test_the_recent_window_knows_rates_and_errors(tel):
    wait_until(lambda: tel.get_snapshot().recent.seconds > 0)
    for number in range(100):
        tel.record("execute", "k", duration_ns=2_000_000, error="timeout" if number < 25 else None)
    wait_until(lambda: tel.get_snapshot().recent.operations == 100)
    recent = tel.get_snapshot().recent
    assert recent.error_rate == 0.25
    assert recent.operations_per_second > 0
    assert {point.mean_ms for point in recent.points} == {None, 2.0}


def test_health_follows_what_happened(tel):
    assert tel.get_snapshot().health.components[1].status is HealthStatus.UNKNOWN
    wait_until(lambda: tel.get_snapshot().recent.seconds > 0)
    tel.record("execute", "k", duration_ns=1, error="device_lost")
    wait_until(lambda: tel.get_snapshot().health_status is HealthStatus.CRITICAL)
    device = next(c for c in tel.get_snapshot().health.components if c.component == "device")
    assert "1 device_lost in 1 operations" in device.reasons[0]


def test_disabled_telemetry_counts_nothing_and_stays_out_of_the_way():
    tel = MetalTelemetryManager(MetalTelemetryOptions(enabled=False))
    with tel.operation("execute", "k") as op:
        op.add_bytes(1)
        op.set_error("timeout")
    with pytest.raises(ZeroDivisionError), tel.operation("execute", "k"):
        _ = 1 / 0
    tel.record("execute", "k", duration_ns=1)
    assert tel.get_snapshot().total_operations == 0


def test_series_past_their_retention_leave_and_the_totals_stay():
    tel = MetalTelemetryManager(MetalTelemetryOptions(metrics_retention_period=3600))
    tel.record("execute", "old", duration_ns=1, error="timeout")
    tel.get_snapshot()
    stale = datetime.now(UTC) - timedelta(hours=2)
    tel._series.update(tel._recorder.collect(), stale)
    for operation in tel._series._operations.values():
        object.__setattr__(operation, "last_updated", stale)
    tel.record("execute", "new", duration_ns=1)
    tel._clean_up()
    snapshot = tel.get_snapshot()
    assert set(by_name(snapshot)) == {"new"}
    assert (snapshot.total_operations, snapshot.total_errors) == (2, 1)


def test_start_and_stop_can_be_repeated_and_the_last_tick_reaches_the_consumers():
    tel = MetalTelemetryManager(MetalTelemetryOptions(tick_interval=300))
    seen, stopped = [], []
    tel.subscribe(seen.append)
    assert tel.start() is tel.start()
    assert tel.is_running
    tel.on_shutdown(lambda: stopped.append(len(seen)))
    tel.record("execute", "k", duration_ns=1)
    tel.shutdown()
    tel.shutdown()
    assert not tel.is_running
    assert [snapshot.total_operations for snapshot in seen] == [1]
    assert stopped == [1]
    tel.start()
    assert tel.is_running
    tel.stop()


def test_no_thread_is_left_behind():
    before = set(threading.enumerate())
    with MetalTelemetryManager(FAST_TICK):
        started = {one.name for one in set(threading.enumerate()) - before}
        # Checks of health have a thread each, for as long as they take.
        assert started - {"metalscope-check"} == {"metalscope-tick", "metalscope-ahead"}
    assert set(threading.enumerate()) <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_starts_at_zero_can_start_again_and_the_parent_goes_on(tel):
    tel.record("execute", "parent", duration_ns=1)
    tel.record_custom_metric("jobs", 1)
    tel.record_custom_event("e")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - runs in the child
        try:
            assert not tel.is_running
            first = tel.get_snapshot()
            tel.record("execute", "child", duration_ns=1)
            tel.start()
            tel.shutdown()
            second = tel.get_snapshot()
            answer = [
                first.total_operations, len(first.custom), len(first.events),
                second.total_operations, second.system.pid == os.getpid(),
            ]  # fmt: skip
            os.write(writer, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert json.loads(pipe.read()) == [0, 0, 0, 1, True]
    os.waitpid(pid, 0)
    assert tel.is_running
    assert tel.get_snapshot().total_operations == 1


def run_python(code: str, *, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(env or {})},
    )  # fmt: skip


def test_the_default_telemetry_is_flushed_at_interpreter_exit():
    done = run_python("""
        import metalscope
        tel = metalscope.add_metal_telemetry(tick_interval=300)
        assert metalscope.get_telemetry() is tel and tel.is_running
        tel.subscribe(lambda snapshot: print(snapshot.total_operations))
        tel.record("execute", "k", duration_ns=1)
    """)
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)


def test_a_second_default_replaces_the_first():
    done = run_python("""
        import metalscope
        first = metalscope.add_metal_telemetry(tick_interval=300)
        second = metalscope.add_metal_telemetry({"tick_interval": 300})
        print(first.is_running, second.is_running, metalscope.get_telemetry() is second)
    """)
    assert done.stdout == "False True True\n"


def test_importing_metalscope_loads_no_heavy_library():
    done = run_python("""
        import sys
        import metalscope
        heavy = "pydantic prometheus_client starlette uvicorn typer rich numpy mlx torch wgpu " \\
                "yaml opentelemetry psutil asyncio"
        print([name for name in heavy.split() if name in sys.modules])
    """)
    assert done.stdout == "[]\n"


def test_every_name_of_the_face_is_there():
    done = run_python("""
        import metalscope
        for name in metalscope.__all__:
            assert getattr(metalscope, name) is not None, name
        assert set(metalscope.__all__) <= set(dir(metalscope))
        try:
            metalscope.nonsense
        except AttributeError as error:
            print(error)
    """)
    assert done.stdout == "module 'metalscope' has no attribute 'nonsense'\n", done.stderr


def test_a_killed_consumer_thread_never_blocks_exit():
    code = """
        import threading, metalscope
        tel = metalscope.add_metal_telemetry(tick_interval=0.01)
        tel.subscribe(lambda snapshot: threading.Event().wait())
        import time; time.sleep(0.1)
        print("end", flush=True)
    """
    done = run_python(code)
    assert (done.stdout, done.returncode) == ("end\n", 0)
