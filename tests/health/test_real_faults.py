"""Faults of real devices through a real, running manager: what health says, and how it recovers."""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from contextlib import suppress

import pytest
from standing import part, wait_until

from metalscope.accelerator import MetalAccelerator
from metalscope.errors import (
    CircuitOpenError,
    CompilationError,
    DeviceLostError,
    OperationTimeoutError,
    OutOfMemoryError,
    ResourceLimitExceededError,
)
from metalscope.export_status import BreakerState
from metalscope.health_report import HealthEventKind, HealthStatus
from metalscope.manager import MetalTelemetryManager
from metalscope.operation import Component
from metalscope.options import HealthMonitorOptions, MetalTelemetryOptions

HEALTHY, DEGRADED, CRITICAL, UNKNOWN = (
    HealthStatus.HEALTHY,
    HealthStatus.DEGRADED,
    HealthStatus.CRITICAL,
    HealthStatus.UNKNOWN,
)
FAILURES = 3
"""In a row open a breaker."""

GOOD = """
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(1) fn good() { out[0] = 1.0; }
"""
BROKEN = "@compute @workgroup_size(1) fn broken() { let x: f32 = 1u; }"
# Long by its many threads: a software Vulkan ends a loop after 65,535 turns.
SLOW = """
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(1)
fn slow(@builtin(global_invocation_id) id: vec3u) {
    var s = out[0];
    for (var i = 0u; i < 30000u; i++) { s = fract(s * 1.0001 + 0.1); }
    out[id.x % 8] = s;
}
"""
SLOW_THREADS = 2000


def need(module):
    if importlib.util.find_spec(module) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{module} is not installed, and under CI it must be")
        pytest.skip(f"{module} is not installed")


class Watched:
    """A running manager and every report that a tick of it made."""

    def __init__(self):
        self.tel = MetalTelemetryManager(
            MetalTelemetryOptions(
                tick_interval="20ms",
                history_window="1500ms",
                health_monitor=HealthMonitorOptions(
                    recovery_period="200ms",
                    circuit_breaker_threshold=FAILURES,
                    circuit_breaker_timeout="300ms",
                    anomaly_detectors=(),
                ),
            )
        )
        self.reports = []
        self.found_at = 0
        self.tel.subscribe(lambda snapshot: self.reports.append(snapshot.health))

    def start(self):
        self.tel.start()
        wait_until(lambda: self.tel.get_snapshot().recent.seconds > 0)

    def until(self, component, status, *, why="", work=None):
        """Wait, and work, until a tick finds a component in a status for a reason.

        What was found before is where it looks from, so that nothing is missed between.
        """

        def there():
            if work is not None:
                work()
            for number in range(self.found_at, len(self.reports)):
                found = part(self.reports[number], component)
                if found.status is status and why in str(found.reasons):
                    self.found_at = number
                    return True
            return False

        wait_until(there, 60)

    def breaker(self, name):
        return next(b for b in self.tel.get_snapshot().health.breakers if b.name == name)

    def told(self, kind):
        return [e.message for e in self.tel.health.latest_events(1000) if e.kind == kind]


@pytest.fixture
def watched():
    made = Watched()
    made.start()
    yield made
    made.tel.shutdown()


@pytest.fixture
def webgpu(watched):
    need("wgpu")
    with MetalAccelerator("webgpu", watched.tel, guard=True) as accelerator:
        yield accelerator
        # A launch that timed out may not have reached the queue, and wgpu ends the process over
        # work for a device that is gone.
        for thread in threading.enumerate():
            if thread.name == "metalscope-webgpu":
                thread.join(60)


@pytest.fixture
def mlx(watched):
    need("mlx")
    with MetalAccelerator("mlx", watched.tel, guard=True) as accelerator:
        yield accelerator


def fail(call, error):
    for _ in range(FAILURES):
        with pytest.raises(error):
            call()


def recovers(watched, name, call):
    """The breaker refuses, then lets ``call`` through as its trial, and closes."""
    assert watched.breaker(name).state is BreakerState.OPEN
    with pytest.raises(CircuitOpenError):
        call()
    end = time.monotonic() + 60
    while True:
        with suppress(CircuitOpenError):
            call()
            break
        assert time.monotonic() < end, "it never lets a trial through"
        time.sleep(0.02)
    assert watched.breaker(name).state is BreakerState.CLOSED
    told = watched.told(HealthEventKind.BREAKER)
    assert told[0].startswith(f"circuit breaker '{name}' is open: {FAILURES} failures in a row")
    assert told[-2:] == [
        f"circuit breaker '{name}' lets a trial through",
        f"circuit breaker '{name}' is closed",
    ]


def test_memory_that_the_system_refuses(watched, mlx):
    fail(lambda: mlx.allocate(1 << 50), OutOfMemoryError)
    watched.until(Component.MEMORY, DEGRADED, why="out_of_memory in")
    watched.until(
        Component.MEMORY, DEGRADED, why="is open after 3 failures in a row, the last with OutOf"
    )
    recovers(watched, "memory", lambda: mlx.allocate(64).free())
    watched.until(Component.MEMORY, DEGRADED, why="was degraded until")
    watched.until(Component.MEMORY, HEALTHY, work=lambda: mlx.allocate(64).free())


def test_memory_that_is_refused_often_is_critical(watched):
    need("mlx")
    with MetalAccelerator("mlx", watched.tel) as unguarded:
        for _ in range(20):
            with pytest.raises(OutOfMemoryError):
                unguarded.allocate(1 << 50)
    watched.until(Component.MEMORY, CRITICAL, why="out_of_memory in")


def test_mlx_memory_that_fills_up_to_its_limit(watched):
    need("mlx")
    import mlx.core as mx

    from metalscope.sensors.mlx import MlxSensor

    sensor = MlxSensor(mx)
    limit = mx.set_memory_limit(64 << 20)
    held = mx.get_active_memory()
    try:
        watched.tel.add_sensor(sensor)
        watched.until(Component.MEMORY, HEALTHY, why="mlx_active memory")
        arrays = [mx.zeros((((51 << 20) - held) // 4,))]
        mx.eval(arrays)
        watched.until(Component.MEMORY, DEGRADED, why="% in use, above 70 %")
        arrays.append(mx.zeros(((9 << 20) // 4,)))
        mx.eval(arrays)
        watched.until(Component.MEMORY, CRITICAL, why="% in use, above 90 %")
        arrays.clear()
        watched.until(Component.MEMORY, CRITICAL, why="was critical until")
        watched.until(Component.MEMORY, HEALTHY, why="mlx_active memory")
        told = [t.split(":")[0] for t in watched.told(HealthEventKind.STATUS) if "memory is" in t]
        assert told == [
            "memory is degraded, was healthy",
            "memory is critical, was degraded",
            "memory is healthy, was critical",
        ]
    finally:
        watched.tel.remove_sensor(sensor)
        mx.set_memory_limit(limit)


@pytest.mark.webgpu
def test_a_buffer_beyond_what_the_device_takes(watched, webgpu):
    too_large = webgpu.device_info.max_buffer_bytes + 4
    fail(lambda: webgpu.allocate(too_large), ResourceLimitExceededError)
    watched.until(Component.MEMORY, DEGRADED, why="resource_limit_exceeded in")
    recovers(watched, "memory", lambda: webgpu.allocate(64).free())
    watched.until(Component.MEMORY, HEALTHY, work=lambda: webgpu.allocate(64).free())


@pytest.mark.webgpu
def test_a_kernel_that_does_not_compile(watched, webgpu):
    with pytest.raises(CompilationError):
        webgpu.compile(BROKEN)
    watched.until(Component.COMPILER, HEALTHY, why="1 compilation_error in")
    for _ in range(FAILURES - 1):
        with pytest.raises(CompilationError):
            webgpu.compile(BROKEN)
    watched.until(Component.COMPILER, DEGRADED, why="compilation_error in")
    recovers(watched, "compiler", lambda: webgpu.compile(GOOD))
    watched.until(Component.COMPILER, HEALTHY, work=lambda: webgpu.compile(GOOD))


@pytest.mark.webgpu
def test_a_device_that_is_lost(watched, webgpu):
    kernel, out = webgpu.compile(GOOD), webgpu.allocate(64)
    webgpu.launch(kernel, [], [out], threads=1)
    watched.until(Component.DEVICE, HEALTHY)
    webgpu._driver.device.destroy()
    with pytest.raises(DeviceLostError):
        webgpu.launch(kernel, [], [out], threads=1)
    watched.until(Component.DEVICE, CRITICAL, why="1 device_lost in")
    for _ in range(FAILURES - 1):
        with pytest.raises(DeviceLostError):
            webgpu.launch(kernel, [], [out], threads=1)
    watched.until(Component.DEVICE, CRITICAL, why="circuit breaker 'device' is open after 3")
    with MetalAccelerator("webgpu", watched.tel, guard=True) as another:
        recovers(watched, "device", lambda: another.allocate(64).free())
        watched.until(Component.DEVICE, HEALTHY, work=lambda: another.allocate(64).free())
    told = [text for text in watched.told(HealthEventKind.STATUS) if text.startswith("device")]
    assert told[0].startswith("device is critical, was "), told
    assert not told[-1].startswith("device is critical"), told


@pytest.mark.webgpu
def test_a_lost_device_that_nobody_uses_any_more_does_not_stay_critical(watched, webgpu):
    webgpu._driver.device.destroy()
    with pytest.raises(DeviceLostError):
        webgpu.allocate(64)
    watched.until(Component.DEVICE, CRITICAL, why="1 device_lost")
    watched.until(Component.DEVICE, UNKNOWN)


@pytest.mark.webgpu
def test_a_kernel_that_the_device_does_not_end_in_time(watched, webgpu):
    slow, out = webgpu.compile(SLOW), webgpu.allocate(64)

    def late():
        webgpu.launch(slow, [], [out], threads=SLOW_THREADS, timeout=0.0002)

    fail(late, OperationTimeoutError)
    watched.until(Component.KERNEL, DEGRADED, why="timeout in")
    assert watched.breaker("kernel").last_error == "OperationTimeoutError"
    with pytest.raises(CircuitOpenError):
        late()


def test_a_kernel_that_hangs_until_it_is_let_go(watched, mlx):
    import mlx.core as mx

    gate = threading.Event()

    def hang():
        gate.wait(60)
        return mx.ones((16,))

    kernel, out = mlx.compile(hang), mlx.allocate(64, dtype="float32")
    fail(lambda: mlx.launch(kernel, [], [out], timeout=0.01), OperationTimeoutError)
    watched.until(Component.KERNEL, DEGRADED, why="timeout in")
    watched.until(Component.KERNEL, DEGRADED, why="circuit breaker 'kernel' is open")
    gate.set()
    recovers(watched, "kernel", lambda: mlx.launch(kernel, [], [out], timeout=30))
    watched.until(Component.KERNEL, HEALTHY, work=lambda: mlx.launch(kernel, [], [out]))
