"""An accelerator that passes its operations through the circuit breakers of the telemetry."""

from __future__ import annotations

import array

import pytest

from metalscope.accelerator import MetalAccelerator
from metalscope.drivers.base import Driver
from metalscope.errors import (
    CircuitOpenError,
    CompilationError,
    DeviceLostError,
    OperationTimeoutError,
    OutOfMemoryError,
)
from metalscope.export_status import BreakerState
from metalscope.snapshot import DeviceInfo

CLOSED, OPEN = BreakerState.CLOSED, BreakerState.OPEN
THRESHOLD = 5


class Fragile(Driver):
    """A device whose operations all fail with ``error`` while there is one."""

    name, language = "fragile", "glass"
    device_info = DeviceInfo("a vase", "fragile")

    def __init__(self):
        self.error = None
        self.asked = []

    @classmethod
    def open(cls, *, gpu_only=False):
        return cls()

    def _does(self, what):
        self.asked.append(what)
        if self.error is not None:
            raise self.error
        return what

    def allocate(self, layout):
        return self._does("allocate")

    def copy_in(self, memory, data, offset):
        self._does("copy_in")

    def copy_out(self, memory, offset, nbytes):
        self._does("copy_out")
        return bytes(nbytes)

    def compile(self, source, entry):
        return self._does("compile")

    def launch(self, program, inputs, outputs, grid, timeout):
        self._does("launch")

    def synchronize(self, timeout):
        self._does("synchronize")

    def free(self, memory):
        self.asked.append("free")

    def close(self):
        pass


@pytest.fixture
def driver():
    return Fragile()


@pytest.fixture
def acc(driver, tel):
    with MetalAccelerator(driver, tel, guard=True) as accelerator:
        yield accelerator


@pytest.fixture
def works(acc):
    """All that an accelerator does, by what the driver is asked for."""
    buffer, kernel = acc.allocate(8), acc.compile("source")
    return {
        "allocate": lambda: acc.allocate(8),
        "compile": lambda: acc.compile("source"),
        "copy_in": lambda: acc.copy_in(buffer, b"12"),
        "copy_out": lambda: acc.copy_out(buffer),
        "launch": lambda: acc.launch(kernel, [buffer]),
        "synchronize": acc.synchronize,
    }


def states(tel):
    return {one.name: one.state for one in tel.health.breakers.statuses()}


def fail(driver, work, error, times=THRESHOLD):
    driver.error = error
    for _ in range(times):
        with pytest.raises(type(error)) as caught:
            work()
        assert caught.value is error


GATED = {
    "memory": {"allocate"},
    "compiler": {"compile"},
    "kernel": {"launch", "synchronize", "copy_in", "copy_out"},
    "device": {"allocate", "compile", "launch", "synchronize", "copy_in", "copy_out"},
}


@pytest.mark.parametrize(
    ("work", "error"),
    [
        ("allocate", OutOfMemoryError("full")),
        ("compile", CompilationError("line 3")),
        ("launch", OperationTimeoutError("long")),
        ("synchronize", OperationTimeoutError("long")),
        ("copy_out", OperationTimeoutError("long")),
        *((work, DeviceLostError("gone")) for work in sorted(GATED["device"])),
    ],
)
def test_failures_in_a_row_shut_what_they_are_failures_of(driver, tel, works, work, error):
    breaker = error.metal_error.component.value
    fail(driver, works[work], error)
    assert {name for name, state in states(tel).items() if state is OPEN} == {breaker}
    driver.error = None
    driver.asked.clear()
    for name, other in works.items():
        if name in GATED[breaker]:
            with pytest.raises(CircuitOpenError, match=breaker):
                other()
        else:
            other()
    assert set(driver.asked) == set(works) - GATED[breaker]


def test_device_errors_of_different_operations_count_together(driver, tel, works):
    for work in ("allocate", "compile", "launch", "copy_in", "synchronize"):
        assert states(tel)["device"] is CLOSED
        fail(driver, works[work], DeviceLostError("gone"), times=1)
    assert states(tel)["device"] is OPEN


def test_a_refused_call_is_no_operation_and_counted_as_refused(driver, acc, tel, works):
    fail(driver, works["allocate"], OutOfMemoryError("full"))
    before = tel.get_snapshot()
    for _ in range(3):
        with pytest.raises(CircuitOpenError):
            acc.allocate(8, name="refused")
    after = tel.get_snapshot()
    assert after.total_operations == before.total_operations
    assert after.total_errors == before.total_errors == THRESHOLD
    assert "refused" not in {operation.name for operation in after.operations}
    assert acc.breaker("memory").status().rejected == 3


def test_what_is_let_through_is_recorded_as_without_a_guard(driver, tel):
    for guard in (False, True):
        with MetalAccelerator(driver, tel, guard=guard) as acc:
            acc.copy_in(acc.allocate(8), b"1234")
    recorded = {o.name: (o.executions, o.nbytes) for o in tel.get_snapshot().operations}
    assert recorded == {"buffer": (2, 16), "copy_in": (2, 8)}


def test_memory_can_be_freed_whatever_is_shut(driver, acc, works):
    buffer = acc.allocate(8)
    fail(driver, works["allocate"], OutOfMemoryError("full"))
    fail(driver, works["launch"], DeviceLostError("gone"))
    buffer.free()
    assert driver.asked[-1] == "free"


def test_a_guarded_call_in_a_block_of_the_same_breaker_counts_once(driver, acc, works):
    driver.error = OutOfMemoryError("full")
    with pytest.raises(OutOfMemoryError), acc.breaker("memory"):
        works["allocate"]()
    assert acc.breaker("memory").status().failures == 1


def test_without_a_guard_no_call_is_refused(driver, tel):
    with MetalAccelerator(driver, tel) as acc:
        fail(driver, lambda: acc.allocate(8), OutOfMemoryError("full"), times=3 * THRESHOLD)
        assert states(tel) == {}


def test_the_accelerators_breaker_is_the_telemetrys(acc, tel):
    assert acc.breaker("kernel") is tel.breaker("kernel")
    assert acc.breaker("attention", "kernel") is tel.breaker("attention")


def test_two_accelerators_of_one_telemetry_share_their_breakers(driver, tel, works):
    with MetalAccelerator(Fragile(), tel, guard=True) as other:
        fail(driver, works["allocate"], OutOfMemoryError("full"))
        with pytest.raises(CircuitOpenError):
            other.allocate(8)


def test_a_real_device_without_memory_is_let_alone(tel):
    with MetalAccelerator("mlx", tel, guard=True) as acc:
        for _ in range(THRESHOLD):
            with pytest.raises(OutOfMemoryError):
                acc.allocate(1 << 46)
        with pytest.raises(CircuitOpenError, match="memory"):
            acc.allocate(8)
        acc.compile(lambda a: a)
        assert states(tel)["memory"] is OPEN


def test_a_real_device_computes_under_guard(tel):
    with MetalAccelerator("mlx", tel, guard=True) as acc:
        x, out = acc.allocate(16, dtype="float32"), acc.allocate(16, dtype="float32")
        acc.copy_in(x, array.array("f", [1, 2, 3, 4]))
        acc.launch(acc.compile(lambda a: a * 2), [x], [out])
        assert list(array.array("f", acc.copy_out(out))) == [2, 4, 6, 8]
    assert {one.rejected for one in tel.health.breakers.statuses()} == {0}
