"""PyTorch on a Metal device, through a stand-in with PyTorch's own names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
import torch
from mps_stand_in import FUNCTIONS, OPERATION_MS, Device, MpsTensor
from torch import nn

from metalscope import (
    MetalError,
    MetalTelemetryManager,
    MetalTelemetryOptions,
    instrument,
    uninstrument,
)
from metalscope.errors import classify
from metalscope.instrument import settle
from metalscope.instrument._torch_device_times import MAX_PENDING
from recorded import Recorded

GPU_NS = round(OPERATION_MS * 1e6)


class Twice(nn.Module):
    """Two operations on the device."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 1) * 2


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    for name in FUNCTIONS:
        monkeypatch.setattr(torch.mps, name, getattr(made, name))
    monkeypatch.setattr(torch.mps, "Event", made.Event)
    backend = torch.backends.mps
    monkeypatch.setattr(backend, "is_available", lambda: True)
    monkeypatch.setattr(backend, "get_name", lambda: "Apple M9")
    monkeypatch.setattr(backend, "get_core_count", lambda: 10)
    return made


def instrumented(every: int) -> Iterator[Recorded]:
    options = MetalTelemetryOptions(torch={"device_time_every": every})
    telemetry = MetalTelemetryManager(options)
    instrument("torch", telemetry)
    yield Recorded(telemetry)
    uninstrument("torch")


@pytest.fixture
def recorded(device: Device) -> Iterator[Recorded]:
    """With the device's time of every call."""
    yield from instrumented(1)


@pytest.fixture
def sampled(device: Device) -> Iterator[Recorded]:
    """With the device's time of every third call."""
    yield from instrumented(3)


def seen(recorded: Recorded) -> dict[tuple[str, str], tuple[int, int, int | None]]:
    """Executions, how many of them have a device time, and its sum, without waiting for any."""
    snapshot = recorded.telemetry.get_snapshot()
    assert dict(snapshot.internals.errors) == {}
    return {
        (str(one.kind), one.name): (
            one.executions,
            sum(outcome.gpu_count for outcome in one.outcomes),
            sum(outcome.gpu_ns for outcome in one.outcomes),
        )
        for one in snapshot.operations
    }


def test_the_stand_in_has_the_names_and_parameters_of_torch_mps() -> None:
    made = Device()
    for name in FUNCTIONS:
        real = inspect.signature(getattr(torch.mps, name))
        assert list(real.parameters) == list(inspect.signature(getattr(made, name)).parameters)
        assert name in torch.mps.__all__
    for name in ("record", "wait", "query", "synchronize", "elapsed_time", "__init__"):
        real = inspect.signature(vars(torch.mps.Event)[name])
        stands_in = inspect.signature(vars(made.Event)[name])
        assert list(real.parameters) == list(stands_in.parameters)
    for name in ("is_available", "get_name", "get_core_count"):
        assert callable(getattr(torch.backends.mps, name))


def test_a_forward_has_the_device_s_time_once_the_program_waits(
    device: Device, recorded: Recorded
) -> None:
    x = MpsTensor(torch.ones(4), device)
    Twice()(x)
    assert seen(recorded) == {}
    torch.mps.synchronize()
    assert seen(recorded) == {
        ("execute", "Twice"): (1, 1, 2 * GPU_NS),
        ("synchronize", "synchronize"): (1, 0, 0),
    }
    assert device.forced_waits == 0
    assert {one.device for one in recorded.all().values()} == {"mps:0"}


def test_reading_a_value_is_a_wait_too(device: Device, recorded: Recorded) -> None:
    x = MpsTensor(torch.ones(()), device)
    assert Twice()(x).item() == 4
    assert Twice()(x).cpu().tolist() == 4
    assert seen(recorded) == {
        ("execute", "Twice"): (2, 2, 4 * GPU_NS),
        ("synchronize", "item"): (1, 0, 0),
        ("synchronize", "tolist"): (1, 0, 0),
        ("transfer", "cpu"): (1, 0, 0),
    }
    assert recorded.one("synchronize", "item").device == "mps:0"
    moved = recorded.one("transfer", "cpu")
    assert (moved.device, moved.nbytes) == ("mps:0", 4)
    assert device.forced_waits == 0


def test_a_read_within_a_forward_is_recorded_as_the_wait_it_is(
    device: Device, recorded: Recorded
) -> None:
    class Looks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if bool(x) else -x

    Looks()(MpsTensor(torch.ones(()), device))
    assert seen(recorded)["synchronize", "bool"][0] == 1


def test_nobody_is_made_to_wait_for_a_time(device: Device, recorded: Recorded) -> None:
    x = MpsTensor(torch.ones(4), device)
    for _ in range(MAX_PENDING + 10):
        Twice()(x)
    # Of those that nobody has waited for, only so many are kept.
    assert seen(recorded)["execute", "Twice"] == (10, 0, 0)
    assert device.forced_waits == 0
    torch.mps.synchronize()
    assert seen(recorded)["execute", "Twice"] == (
        MAX_PENDING + 10,
        MAX_PENDING,
        2 * GPU_NS * MAX_PENDING,
    )


def test_only_some_calls_are_timed_and_all_are_counted(device: Device, sampled: Recorded) -> None:
    x = MpsTensor(torch.ones(4), device)
    for _ in range(7):
        Twice()(x)
    assert device.events == 2 * 3
    assert seen(sampled)["execute", "Twice"] == (4, 0, 0)
    torch.mps.synchronize()
    assert seen(sampled)["execute", "Twice"] == (7, 3, 6 * GPU_NS)


def test_nothing_on_the_host_is_timed_on_the_device(device: Device, recorded: Recorded) -> None:
    Twice()(torch.ones(4))
    assert device.events == 0
    assert seen(recorded) == {("execute", "Twice"): (1, 0, 0)}


def test_settling_waits_for_the_work_and_for_no_longer_than_it_may(
    device: Device, recorded: Recorded
) -> None:
    x = MpsTensor(torch.ones(4), device)
    Twice()(x)
    assert not settle(0.05)
    assert seen(recorded)["execute", "Twice"] == (1, 0, 0)
    Twice()(x)
    device.synchronize()
    assert settle(5)
    assert seen(recorded)["execute", "Twice"] == (2, 1, 2 * GPU_NS)


def test_uninstrument_leaves_no_call_uncounted(device: Device, recorded: Recorded) -> None:
    Twice()(MpsTensor(torch.ones(4), device))
    uninstrument("torch")
    assert seen(recorded) == {("execute", "Twice"): (1, 0, 0)}


def test_an_event_that_fails_is_an_absent_time_and_an_internal_error(
    device: Device, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("Invalid Event ID")

    x = MpsTensor(torch.ones(4), device)
    Twice()(x)
    monkeypatch.setattr(device.Event, "query", fail)
    torch.mps.synchronize()
    monkeypatch.setattr(device.Event, "record", fail)
    Twice()(x)
    snapshot = recorded.telemetry.get_snapshot()
    assert dict(snapshot.internals.errors) == {"instrument.torch": 2}
    (forwards,) = [one for one in snapshot.operations if one.name == "Twice"]
    assert (forwards.executions, sum(one.gpu_count for one in forwards.outcomes)) == (2, 0)


def test_waiting_for_an_event_and_emptying_the_cache_are_synchronizes(
    device: Device, recorded: Recorded
) -> None:
    event = torch.mps.Event()
    event.record()
    event.synchronize()
    torch.mps.empty_cache()
    assert seen(recorded) == {
        ("synchronize", "event_synchronize"): (1, 0, 0),
        ("synchronize", "empty_cache"): (1, 0, 0),
    }


def test_a_kernel_of_the_program_is_a_compile_and_an_execute_each_launch(
    device: Device, recorded: Recorded
) -> None:
    x = MpsTensor(torch.ones(4), device)
    library = torch.mps.compile_shader("kernel void double(...) {}")
    assert dir(library) == ["double"]
    for _ in range(3):
        library.double(x, threads=4)
    assert library.double.max_threads_per_threadgroup == 1024
    assert torch.equal(x.cpu(), torch.full((4,), 8.0))
    assert seen(recorded) == {
        ("compile", "compile_shader"): (1, 0, 0),
        ("execute", "double"): (3, 3, 3 * GPU_NS),
        ("transfer", "cpu"): (1, 0, 0),
    }
    uninstrument("torch")
    library.double(x)
    assert seen(recorded)["execute", "double"][0] == 3


def test_kernels_that_do_not_compile_or_are_not_there_raise_as_before(
    device: Device, recorded: Recorded
) -> None:
    with pytest.raises(SyntaxError, match="unknown type name"):
        torch.mps.compile_shader("nonsense")
    assert recorded.one("compile", "compile_shader").errors == {MetalError.COMPILATION_ERROR: 1}
    with pytest.raises(RuntimeError, match="function state object for: halve"):
        _ = torch.mps.load_metallib(b"...").halve


def test_running_out_of_memory_is_out_of_memory(device: Device, recorded: Recorded) -> None:
    device.failure = RuntimeError(
        "MPS backend out of memory (MPS allocated: 20.48 GiB, other allocations: 1.27 GiB, "
        "max allowed: 20.40 GiB). Tried to allocate 33.92 GiB on private pool."
    )
    with pytest.raises(RuntimeError, match="MPS backend out of memory"):
        Twice()(MpsTensor(torch.ones(4), device))
    assert recorded.one("execute", "Twice").errors == {MetalError.OUT_OF_MEMORY: 1}


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (torch.OutOfMemoryError("Tried to allocate 2 GiB"), MetalError.OUT_OF_MEMORY),
        (RuntimeError("Invalid buffer size: 40.00 GiB"), MetalError.RESOURCE_LIMIT_EXCEEDED),
        (RuntimeError("MPS does not support cumsum op"), MetalError.INVALID_OPERATION),
        (
            NotImplementedError(
                "The operator 'aten::x' is not currently implemented for the MPS device."
            ),
            MetalError.INVALID_OPERATION,
        ),
        (
            RuntimeError("Placeholder storage has not been allocated on MPS device!"),
            MetalError.INVALID_ARGUMENT,
        ),
        (
            RuntimeError("Expected all tensors to be on the same device, but found mps:0 and cpu!"),
            MetalError.INVALID_ARGUMENT,
        ),
        (RuntimeError("MPS is not available"), MetalError.DEVICE_UNAVAILABLE),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory"),
        (RuntimeError("something else"), MetalError.INTERNAL_ERROR),
    ],
)
def test_what_torch_raises_is_read_by_its_type_and_text(
    error: Exception, meaning: MetalError | str
) -> None:
    expected = MetalError.OUT_OF_MEMORY if meaning == "memory" else meaning
    assert classify(error) is expected


def test_memory_is_what_torch_says(device: Device, recorded: Recorded) -> None:
    readings = {one.name: one for one in recorded.telemetry.get_snapshot().resources}
    allocated, driver = readings["torch_allocated"], readings["torch_driver"]
    assert (allocated.current, allocated.limit, allocated.peak) == (3_000_000, 30_000_000, None)
    assert (driver.current, driver.limit) == (6_000_000, 30_000_000)
    assert {allocated.device, driver.device} == {"mps:0"}
    uninstrument("torch")
    after = recorded.telemetry.get_snapshot().resources
    assert [one for one in after if one.name.startswith("torch")] == []


def test_the_device_is_described_by_what_torch_says(device: Device, recorded: Recorded) -> None:
    system = recorded.telemetry.get_snapshot().system
    assert system is not None
    (described,) = system.devices
    assert (described.name, described.backend) == ("Apple M9", "torch")
    assert described.recommended_working_set_bytes == 30_000_000
    facts = dict(described.properties)
    assert (facts["device"], facts["gpu_cores"]) == ("mps:0", "10")


def test_in_a_child_that_metal_does_not_serve_nothing_is_read(
    device: Device, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.mps, "_is_in_bad_fork", lambda: True)
    readings = recorded.telemetry.get_snapshot().resources
    assert [one for one in readings if one.name.startswith("torch")] == []
