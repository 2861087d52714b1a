"""What is WebGPU's own: lost devices, binding, workgroups, limits."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import weakref

import languages
import pytest
from languages import COUNT, SLOW_WGSL, WGSL

from metalscope.accelerator import MetalAccelerator
from metalscope.drivers.wgsl import entry_points
from metalscope.errors import (
    CompilationError,
    DeviceLostError,
    InvalidArgumentError,
    OperationTimeoutError,
    ResourceLimitExceededError,
)
from metalscope.operation import MetalError

pytestmark = pytest.mark.webgpu


@pytest.fixture
def acc(tel):
    languages.need("wgpu")
    with MetalAccelerator("webgpu", tel) as accelerator:
        yield accelerator


def vectors(acc):
    return [acc.allocate(4 * COUNT, dtype="float32") for _ in range(3)]


def test_a_lost_device_is_told_by_every_operation_and_the_process_lives(acc, tel):
    kernel, (x, y, out) = acc.compile(WGSL, "saxpy"), vectors(acc)
    acc._driver.device.destroy()
    for call in (
        lambda: acc.launch(kernel, [x, y], [out], threads=COUNT),
        lambda: acc.launch(kernel, [x, y], [out], threads=COUNT, timeout=30),
        lambda: acc.allocate(64),
        lambda: acc.copy_in(x, b"1234"),
        lambda: acc.copy_out(out),
        lambda: acc.compile(WGSL, "saxpy"),
        acc.synchronize,
    ):
        with pytest.raises(DeviceLostError, match="lost"):
            call()
    assert tel.get_snapshot().errors == {MetalError.DEVICE_LOST: 7}


def test_the_compilers_text_names_line_and_place(acc):
    source = "@compute @workgroup_size(1)\nfn main() { let x: f32 = 1u; }"
    with pytest.raises(CompilationError, match=r"wgsl:2:17") as raised:
        acc.compile(source)
    assert "expected to be `f32`, but got `u32`" in str(raised.value)


def test_a_pipeline_that_does_not_build_is_a_compilation_error(acc):
    source = "@compute @workgroup_size(4096) fn main() {}"
    with pytest.raises(CompilationError, match="4096"):
        acc.compile(source)


@pytest.mark.parametrize("inputs", [0, 1, 3])
def test_buffers_that_do_not_match_the_bindings_are_refused(acc, inputs):
    kernel = acc.compile(WGSL, "saxpy")
    buffers = [acc.allocate(4 * COUNT) for _ in range(inputs)]
    with pytest.raises(InvalidArgumentError):
        acc.launch(kernel, buffers, [acc.allocate(4 * COUNT)], threads=COUNT)


def test_one_buffer_is_not_read_and_written_in_two_bindings(acc):
    kernel, (x, y, _) = acc.compile(WGSL, "saxpy"), vectors(acc)
    with pytest.raises(InvalidArgumentError):
        acc.launch(kernel, [x, y], [x], threads=COUNT)


def test_threads_are_rounded_up_to_whole_workgroups(acc):
    source = """
        @group(0) @binding(0) var<storage, read_write> count: atomic<u32>;
        @compute @workgroup_size(64) fn tally() { atomicAdd(&count, 1u); }
    """
    kernel, count = acc.compile(source), acc.allocate(4)
    for threads, expected in ((1, 64), (64, 128), (65, 256)):
        acc.launch(kernel, [], [count], threads=threads)
        assert int.from_bytes(acc.copy_out(count), sys.byteorder) == expected


def test_a_workgroup_size_that_is_a_constant_is_told_by_the_caller(acc):
    source = """
        override width = 32u;
        @group(0) @binding(0) var<storage, read_write> count: atomic<u32>;
        @compute @workgroup_size(width) fn tally() { atomicAdd(&count, 1u); }
    """
    kernel, count = acc.compile(source), acc.allocate(4)
    with pytest.raises(InvalidArgumentError, match="group="):
        acc.launch(kernel, [], [count], threads=64)
    acc.launch(kernel, [], [count], threads=64, group=32)
    assert int.from_bytes(acc.copy_out(count), sys.byteorder) == 64


def test_a_group_that_is_not_the_kernels_is_refused(acc):
    kernel, (x, y, out) = acc.compile(WGSL, "saxpy"), vectors(acc)
    with pytest.raises(InvalidArgumentError, match="64"):
        acc.launch(kernel, [x, y], [out], threads=COUNT, group=32)


def test_more_workgroups_than_the_device_takes_are_refused(acc):
    kernel, (x, y, out) = acc.compile(WGSL, "saxpy"), vectors(acc)
    with pytest.raises(ResourceLimitExceededError, match="workgroups"):
        acc.launch(kernel, [x, y], [out], threads=1 << 40)


def test_a_buffer_too_large_to_bind_is_a_limit(acc):
    source = """
        @group(0) @binding(0) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(1) fn main() { out[0] = 1.0; }
    """
    limit = acc._driver.device.limits["max-storage-buffer-binding-size"]
    if limit >= acc.device_info.max_buffer_bytes:
        pytest.skip("the device binds whatever it allocates")
    buffer = acc.allocate(limit + 4)
    with pytest.raises(ResourceLimitExceededError, match="limit"):
        acc.launch(acc.compile(source), [], [buffer], threads=1)


def test_a_kernel_without_buffers_runs(acc, tel):
    acc.launch(acc.compile("@compute @workgroup_size(1) fn idle() {}"), threads=1)
    assert tel.get_snapshot().total_errors == 0


def test_freed_buffers_are_given_back_to_wgpu_at_once(acc):
    kernel, buffers = acc.compile(WGSL, "saxpy"), vectors(acc)
    acc.launch(kernel, buffers[:2], buffers[2:], threads=COUNT)
    held = [weakref.ref(buffer._memory) for buffer in buffers]
    assert all(memory() is not None for memory in held)
    for buffer in buffers:
        buffer.free()
    assert all(memory() is None for memory in held)


def test_a_buffer_freed_under_a_launch_that_timed_out_does_not_end_the_process(acc):
    slow, out = acc.compile(SLOW_WGSL), acc.allocate(64)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            acc.launch(slow, [], [out], threads=languages.SLOW_THREADS, timeout=0.01)
    out.free()
    acc.synchronize()


def test_to_synchronize_waits_for_a_launch_that_timed_out_before_it_was_submitted(acc, monkeypatch):
    submitted, go = [], threading.Event()
    kernel = acc.compile("@compute @workgroup_size(1) fn idle() {}")
    run = acc._driver._run

    def late(*args):
        if threading.current_thread() is not threading.main_thread() and not submitted:
            go.wait()
        submitted.append(threading.current_thread().name)
        return run(*args)

    monkeypatch.setattr(acc._driver, "_run", late)
    with pytest.raises(OperationTimeoutError):
        acc.launch(kernel, threads=1, timeout=0.001)
    with pytest.raises(OperationTimeoutError):
        acc.synchronize(timeout=0.01)
    assert submitted == []
    go.set()
    acc.synchronize()
    assert submitted[0] == "metalscope-webgpu"
    assert not acc._driver._late


def test_device_memory_that_runs_out_is_out_of_memory():
    pytest.importorskip("resource")
    languages.need("wgpu")
    code = """
        import resource
        from metalscope.accelerator import MetalAccelerator
        from metalscope.errors import OutOfMemoryError
        from metalscope.manager import MetalTelemetryManager

        tel = MetalTelemetryManager()
        with MetalAccelerator("webgpu", tel) as acc:
            if dict(acc.device_info.properties)["adapter_type"] != "CPU":
                raise SystemExit("a GPU has its own memory")
            held = [acc.allocate(1 << 20)]
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
            try:
                while True:
                    held.append(acc.allocate(64 << 20))
            except OutOfMemoryError as error:
                print("refused:", error)
            held.pop().free()
            print(tel.get_snapshot().errors, len(held))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    if "a GPU has its own memory" in done.stderr:
        pytest.skip("a GPU has its own memory")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "refused:" in done.stdout
    assert "out_of_memory" in done.stdout


@pytest.mark.parametrize(
    ("source", "entries"),
    [
        ("@compute @workgroup_size(64) fn a() {}", {"a": (64, 1, 1)}),
        ("@workgroup_size(8, 4u) @compute fn a() {}", {"a": (8, 4, 1)}),
        ("@compute\n@workgroup_size( 2,3 , 4, )\nfn a() {}", {"a": (2, 3, 4)}),
        ("@compute @workgroup_size(N) fn a() {}", {"a": None}),
        ("// @compute @workgroup_size(1) fn no() {}\nfn helper() {}", {}),
        ("/* @compute fn no() {} */ @vertex fn v() {}", {}),
        (WGSL, {"saxpy": (64, 1, 1), "negate": (8, 8, 1)}),
    ],
)
def test_entries_and_their_workgroup_sizes_are_read_from_the_source(source, entries):
    assert entry_points(source) == entries
