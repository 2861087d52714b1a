from __future__ import annotations

import array
import asyncio
import functools
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import webgpu_work
import wgpu
from webgpu_work import BROKEN, SOURCE, TRIANGLE, USAGE, Work
from wgpu.backends.wgpu_native import _api as backend

from metalscope import MetalError, MetalTelemetryManager, instrument, uninstrument
from metalscope.accelerator import MetalAccelerator
from metalscope.instrument import _webgpu_calls, _webgpu_completion, _webgpu_names, settle
from metalscope.instrument._webgpu_completion import MIN_PAUSE, Completions
from metalscope.instrument._webgpu_names import MAX_NAMES
from recorded import Recorded

pytestmark = pytest.mark.webgpu


@pytest.fixture(scope="module")
def work() -> Work:
    """Made before there are hooks; the pipelines have to be known by their labels then."""
    return Work(webgpu_work.open_device())


@pytest.fixture
def seen() -> Iterator[Recorded]:
    """wgpu instrumented with telemetry of its own."""
    telemetry = MetalTelemetryManager()
    instrument("webgpu", telemetry)
    yield Recorded(telemetry)
    uninstrument("webgpu")


@pytest.fixture
def fresh(seen: Recorded) -> Work:
    """A device and all that is on it, made under the hooks."""
    return Work(webgpu_work.open_device())


# -- what is made --------------------------------------------------------------------------------


def test_each_buffer_is_one_allocation_with_its_bytes(seen: Recorded, work: Work) -> None:
    work.device.create_buffer(size=1024, usage=USAGE)
    work.device.create_buffer(size=64, usage=USAGE, mapped_at_creation=True)
    work.device.create_buffer_with_data(data=b"12345", usage=USAGE)
    assert seen.counts() == {
        ("allocate", "create_buffer"): 2,
        ("allocate", "create_buffer_with_data"): 1,
    }
    made = seen.one("allocate", "create_buffer")
    assert (made.nbytes, made.device) == (1088, work.device.adapter_info["device"])
    assert seen.one("allocate", "create_buffer_with_data").nbytes == 8, "wgpu rounds up"


def test_a_shader_and_a_pipeline_are_compiled_under_label_or_entry_point(
    seen: Recorded, work: Work
) -> None:
    device = work.device
    device.create_shader_module(code=SOURCE)
    module = device.create_shader_module(code=SOURCE, label="kernels")
    single = device.create_shader_module(code="@compute @workgroup_size(1) fn only() {}")
    triangle = device.create_shader_module(code=TRIANGLE)
    for stage in ({"module": single}, {"module": module, "entry_point": "slow"}):
        device.create_compute_pipeline(layout="auto", compute=stage)
    device.create_compute_pipeline(layout="auto", compute={"module": single}, label="mine")
    render = {
        "layout": "auto",
        "vertex": {"module": triangle},
        "fragment": {"module": triangle, "targets": [{"format": "rgba8unorm"}]},
    }
    device.create_render_pipeline(**render)
    device.create_render_pipeline(**render, label="screen")
    names = {name for kind, name in seen.counts() if kind == "compile"}
    shaders = {"shader double/add_one/slow", "shader kernels", "shader only", "shader corner/red"}
    assert names == shaders | {"only", "slow", "mine", "corner/red", "screen"}
    assert set(seen.counts().values()) == {1}


def test_wgsl_that_does_not_compile_is_a_compilation_error(seen: Recorded, work: Work) -> None:
    with pytest.raises(wgpu.GPUValidationError, match="expected to be `f32`"):
        work.device.create_shader_module(code=BROKEN)
    with pytest.raises(wgpu.GPUValidationError, match="nowhere"):
        work.pipeline("nowhere")
    wrong = {MetalError.COMPILATION_ERROR: 1}
    assert seen.one("compile", "shader broken").errors == wrong
    assert seen.one("compile", "nowhere").errors == wrong


def test_what_passes_a_limit_and_what_is_invalid_are_told_apart(seen: Recorded, work: Work) -> None:
    with pytest.raises(wgpu.GPUValidationError):
        work.device.create_buffer(size=1 << 40, usage=USAGE)
    with pytest.raises(wgpu.GPUValidationError):
        work.device.create_buffer(size=64, usage=0)
    with pytest.raises(TypeError):
        work.device.create_buffer(64)
    assert seen.one("allocate", "create_buffer").errors == {
        MetalError.RESOURCE_LIMIT_EXCEEDED: 1,
        MetalError.INVALID_ARGUMENT: 2,
    }


def test_preparing_work_is_an_operation_only_where_it_fails(seen: Recorded, work: Work) -> None:
    vertices = work.device.create_buffer(size=64, usage=wgpu.BufferUsage.VERTEX)
    entry = {"binding": 0, "resource": {"buffer": work.buffer}}
    work.device.create_bind_group(layout=work.layout, entries=[entry])
    with pytest.raises(wgpu.GPUValidationError):
        work.device.create_bind_group(
            layout=work.layout, entries=[entry | {"resource": {"buffer": vertices}}]
        )
    encoder = work.device.create_command_encoder()
    unbound = encoder.begin_compute_pass()
    unbound.set_pipeline(work.pipelines["double"])
    unbound.dispatch_workgroups(1)
    unbound.end()
    with pytest.raises(wgpu.GPUValidationError):
        encoder.finish()
    invalid = {MetalError.INVALID_OPERATION: 1}
    assert seen.one("execute", "create_bind_group").errors == invalid
    assert seen.one("execute", "finish").errors == invalid
    assert set(seen.counts()) == {
        ("allocate", "create_buffer"),
        ("execute", "create_bind_group"),
        ("execute", "finish"),
    }


# -- submitted work ------------------------------------------------------------------------------


def test_each_submit_is_one_execute_named_by_its_pipelines(seen: Recorded, fresh: Work) -> None:
    device, queue = fresh.device, fresh.device.queue
    fresh.submit("double")
    fresh.submit("double", "add_one", "double")
    queue.submit([fresh.encoded("add_one"), fresh.encoded("double")])
    queue.submit(iter([fresh.encoded("add_one")]))
    named = fresh.pipeline("double", label="mine")
    fresh.submit(named)
    queue.submit([device.create_command_encoder(label="copies").finish()])
    queue.submit([])
    executes = {name: n for (kind, name), n in seen.counts().items() if kind == "execute"}
    assert executes == {
        "double": 1,
        "double+add_one": 1,
        "add_one+double": 1,
        "mine": 1,
        "copies": 1,
        "submit": 2,
    }


def test_the_name_of_a_submission_is_bounded(seen: Recorded, fresh: Work) -> None:
    many = [fresh.pipeline("double", label=f"p{one}") for one in range(3 * MAX_NAMES)]
    fresh.submit(*many)
    fresh.submit(*many[:MAX_NAMES])
    names = {name for kind, name in seen.counts() if kind == "execute"}
    assert names == {"p0+p1+p2+p3+…", "p0+p1+p2+p3"}


def test_pipelines_from_before_the_hooks_have_their_label_or_none(
    work: Work, seen: Recorded
) -> None:
    work.submit("double")
    assert seen.counts() == {("execute", "pipeline"): 1}


def test_drawing_is_named_by_the_pipelines_of_passes_and_bundles(
    seen: Recorded, fresh: Work
) -> None:
    device = fresh.device
    module = device.create_shader_module(code=TRIANGLE)
    made = functools.partial(
        device.create_render_pipeline,
        layout="auto",
        vertex={"module": module},
        fragment={"module": module, "targets": [{"format": "rgba8unorm"}]},
    )
    usage = wgpu.TextureUsage.RENDER_ATTACHMENT | wgpu.TextureUsage.COPY_SRC
    target = device.create_texture(size=(4, 4, 1), format="rgba8unorm", usage=usage)
    bundled = device.create_render_bundle_encoder(color_formats=["rgba8unorm"])
    bundled.set_pipeline(made(label="bundled"))
    bundled.draw(3)
    bundle = bundled.finish()
    encoder = device.create_command_encoder()
    attachment = {"view": target.create_view(), "load_op": "clear", "store_op": "store"}
    drawing = encoder.begin_render_pass(color_attachments=[attachment])
    drawing.set_pipeline(made())
    drawing.draw(3)
    drawing.execute_bundles([bundle])
    drawing.end()
    device.queue.submit([encoder.finish()])
    pixels = device.queue.read_texture({"texture": target}, {"bytes_per_row": 16}, (4, 4, 1))
    assert bytes(pixels[:4]) == b"\xff\x00\x00\xff"
    counts = seen.counts()
    assert counts["execute", "corner/red+bundled"] == 1
    assert counts["allocate", "create_texture"] == 1
    assert seen.one("transfer", "read_texture").nbytes == 64


def test_a_submit_lasts_until_the_work_is_done_and_the_program_does_not_wait(
    seen: Recorded, fresh: Work
) -> None:
    fresh.submit("slow", threads=10)
    assert settle(30)
    started = time.perf_counter_ns()
    fresh.submit("slow", threads=2000)
    submitted = time.perf_counter_ns() - started
    before = {key: one.executions for key, one in listed(seen.telemetry).items()}
    assert before["execute", "slow"] == 1, "it is not counted while it runs"
    # The program does nothing with the device now.
    while listed(seen.telemetry)["execute", "slow"].executions == 1:
        time.sleep(0.01)
    noticed = time.perf_counter_ns() - started
    lasted = seen.one("execute", "slow").durations.max_ns
    assert lasted is not None
    assert submitted < lasted / 2 < lasted <= noticed
    assert submitted + MIN_PAUSE * 1e9 < lasted


def listed(telemetry: MetalTelemetryManager) -> dict[tuple[str, str], Any]:
    return {(str(one.kind), one.name): one for one in telemetry.get_snapshot().operations}


def test_results_are_those_of_the_program_alone(seen: Recorded, fresh: Work) -> None:
    fresh.device.queue.write_buffer(fresh.buffer, 0, array.array("f", [1, 2, 3, 4]))
    for _ in range(3):
        fresh.submit("double", "add_one")
    assert fresh.values() == [15, 23, 31, 39]


def test_threads_submit_at_once_and_every_piece_of_work_is_counted(
    seen: Recorded, fresh: Work
) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            for _ in range(50):
                fresh.submit("double")
                fresh.device.queue.write_buffer(fresh.buffer, 0, b"1234")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []
    counts = seen.counts()
    assert (counts["execute", "double"], counts["transfer", "write_buffer"]) == (200, 200)
    assert seen.one("transfer", "write_buffer").nbytes == 800


def test_settling_waits_for_work_no_longer_than_it_is_given(seen: Recorded, fresh: Work) -> None:
    fresh.submit("slow", threads=10)
    assert settle(30)
    fresh.submit("slow", threads=2000)
    assert not settle(0)
    assert settle(30)
    assert listed(seen.telemetry)["execute", "slow"].executions == 2


def test_more_work_than_is_followed_is_counted_all_the_same(
    seen: Recorded, fresh: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_webgpu_completion, "MAX_FOLLOWED", 1)
    for _ in range(20):
        fresh.submit("slow", threads=20)
    assert seen.counts()["execute", "slow"] == 20


def test_work_of_a_device_that_is_let_go_is_counted(seen: Recorded) -> None:
    one = Work(webgpu_work.open_device())
    one.submit("slow", threads=500)
    one.device.destroy()
    del one
    assert seen.counts()["execute", "slow"] == 1


def test_work_under_way_when_the_hooks_are_taken_out_is_counted_where_it_began(
    seen: Recorded, fresh: Work
) -> None:
    fresh.submit("slow", threads=500)
    uninstrument("webgpu")
    fresh.submit("slow", threads=1)
    # settle() asks only what is instrumented; the thread that looks goes on.
    while ("execute", "slow") not in listed(seen.telemetry):
        time.sleep(0.01)
    assert seen.one("execute", "slow").executions == 1


# -- reads, writes, mappings ---------------------------------------------------------------------


def test_reads_and_writes_are_transfers_with_their_bytes(seen: Recorded, work: Work) -> None:
    queue = work.device.queue
    queue.write_buffer(work.buffer, 0, array.array("f", [1, 2, 3, 4]))
    queue.write_buffer(work.buffer, 0, b"12345678", 4)
    queue.write_buffer(buffer=work.buffer, buffer_offset=0, data=b"12345678", size=4)
    assert bytes(queue.read_buffer(work.buffer, 0, 4)) == b"1234"
    queue.read_buffer(work.buffer)
    texture = work.device.create_texture(
        size=(2, 2, 1),
        format="rgba8unorm",
        usage=wgpu.TextureUsage.COPY_DST | wgpu.TextureUsage.COPY_SRC,
    )
    place, layout = {"texture": texture}, {"bytes_per_row": 8}
    queue.write_texture(place, bytes(range(16)), layout, (2, 2, 1))
    assert bytes(queue.read_texture(place, layout, (2, 2, 1))) == bytes(range(16))
    found = {name: one for (kind, name), one in seen.all().items() if kind == "transfer"}
    assert {name: (one.executions, one.nbytes) for name, one in found.items()} == {
        "write_buffer": (3, 16 + 4 + 4),
        "read_buffer": (2, 4 + 16),
        "write_texture": (1, 16),
        "read_texture": (1, 16),
    }


def test_a_read_is_one_operation_although_wgpu_submits_and_maps_for_it(
    seen: Recorded, work: Work
) -> None:
    work.device.queue.read_buffer(work.buffer)
    assert seen.counts() == {("transfer", "read_buffer"): 1}


def mappable(device: Any) -> Any:
    return device.create_buffer(
        size=64, usage=wgpu.BufferUsage.MAP_READ | wgpu.BufferUsage.COPY_DST
    )


def test_a_mapping_is_a_synchronize_and_what_goes_through_it_a_transfer(
    seen: Recorded, work: Work
) -> None:
    readable = mappable(work.device)
    readable.map_sync(wgpu.MapMode.READ)
    assert readable.read_mapped(0, 16).nbytes == 16
    assert readable.read_mapped(copy=False).nbytes == 64
    readable.unmap()
    written = work.device.create_buffer(size=16, usage=USAGE, mapped_at_creation=True)
    written.write_mapped(b"12345678")
    written.unmap()
    counts = seen.counts()
    assert counts.pop(("allocate", "create_buffer")) == 2
    assert counts == {
        ("synchronize", "map_sync"): 1,
        ("transfer", "read_mapped"): 2,
        ("transfer", "write_mapped"): 1,
    }
    assert seen.one("transfer", "read_mapped").nbytes == 80
    assert seen.one("transfer", "write_mapped").nbytes == 8


def test_what_the_state_of_a_buffer_forbids_is_an_invalid_operation(
    seen: Recorded, work: Work
) -> None:
    with pytest.raises(RuntimeError, match="if its mapped"):
        work.buffer.read_mapped()
    with pytest.raises(wgpu.GPUValidationError, match="MAP_READ"):
        work.device.create_buffer(size=8, usage=USAGE).map_sync(wgpu.MapMode.READ)
    invalid = {MetalError.INVALID_OPERATION: 1}
    assert seen.one("transfer", "read_mapped").errors == invalid
    assert seen.one("synchronize", "map_sync").errors == invalid


def test_awaited_calls_are_counted_when_they_end(seen: Recorded, fresh: Work) -> None:
    async def program() -> tuple[Any, bytes]:
        readable = mappable(fresh.device)
        fresh.submit("slow", threads=300)
        waiting = readable.map_async("READ")
        await waiting
        data = bytes(readable.read_mapped())
        with pytest.raises(RuntimeError, match="currently unmapped"):
            await readable.map_async("READ")
        readable.unmap()
        stage = {"module": fresh.module, "entry_point": "add_one"}
        made = await fresh.device.create_compute_pipeline_async(layout="auto", compute=stage)
        with pytest.raises(wgpu.GPUValidationError):
            await fresh.device.create_compute_pipeline_async(
                layout="auto", compute=stage | {"entry_point": "nowhere"}
            )
        return made, data

    made, data = asyncio.run(program())
    assert (type(made).__name__, data) == ("GPUComputePipeline", bytes(64))
    mapped = seen.one("synchronize", "map_async")
    assert (mapped.executions, mapped.errors) == (2, {MetalError.INVALID_OPERATION: 1})
    assert seen.one("compile", "add_one").executions == 2, "one of them was not awaited"
    assert seen.one("compile", "nowhere").errors == {MetalError.COMPILATION_ERROR: 1}


def test_a_promise_that_is_waited_for_is_counted_once_and_left_as_it_was(
    seen: Recorded, work: Work
) -> None:
    readable = mappable(work.device)
    promise = readable.map_async("READ")
    assert promise.sync_wait() is None
    assert promise.sync_wait() is None
    assert type(promise) is backend.GPUPromise
    assert not {"_wgpu_set_input", "_wgpu_set_error"} & vars(promise).keys()
    readable.unmap()
    assert seen.counts()["synchronize", "map_async"] == 1


def test_a_wait_for_the_queue_is_recorded_as_wgpu_leaves_it(seen: Recorded, work: Work) -> None:
    try:
        work.device.queue.on_submitted_work_done_sync()
        errors = {}
    except TypeError:  # wgpu-py 0.32 does not fit its wgpu-native there
        errors = {MetalError.INVALID_ARGUMENT: 1}
    assert seen.one("synchronize", "on_submitted_work_done_sync").errors == errors


# -- devices and errors --------------------------------------------------------------------------


def test_the_device_is_in_the_snapshot_with_its_limits(seen: Recorded) -> None:
    device = webgpu_work.open_device()
    (found,) = [
        one for one in seen.telemetry.get_snapshot().system.devices if one.backend == "webgpu"
    ]
    assert found.name == device.adapter_info["device"]
    assert found.max_buffer_bytes == device.limits["max-buffer-size"]
    assert dict(found.properties)["backend_type"] == device.adapter_info["backend_type"]


def test_a_lost_device_is_told_by_every_operation(seen: Recorded, fresh: Work) -> None:
    settle(10)
    fresh.device.destroy()
    calls: list[Callable[[], object]] = [
        lambda: fresh.device.create_buffer(size=64, usage=USAGE),
        lambda: fresh.device.queue.write_buffer(fresh.buffer, 0, b"1234"),
        lambda: fresh.device.create_shader_module(code=SOURCE),
        lambda: fresh.submit("double"),
    ]
    for call in calls:
        with pytest.raises(wgpu.GPUError, match="lost"):
            call()
    assert seen.telemetry.get_snapshot().errors == {MetalError.DEVICE_LOST: 4}


def test_an_error_outside_of_any_call_is_counted(seen: Recorded, work: Work) -> None:
    # What wgpu-py registers with wgpu-native, called by wgpu-native: the library is not told to
    # capture errors of this call, which has a usage that there is not.
    struct = backend.new_struct_p("WGPUBufferDescriptor *", size=64, usage=0)
    backend.lib.wgpuBufferRelease(backend.lib.wgpuDeviceCreateBuffer(work.device._internal, struct))
    backend.error_handler.log_error("The WGPU device was lost (unknown):\nunplugged")
    backend.error_handler.log_error("The WGPU device was lost (destroyed):\nby the program")
    assert seen.one("execute", "uncaptured_error").errors == {
        MetalError.INVALID_OPERATION: 1,
        MetalError.DEVICE_LOST: 1,
    }


# -- leaving no trace ----------------------------------------------------------------------------


def frames(call: Callable[[], object]) -> list[tuple[str, str, int | None]]:
    expected = (wgpu.GPUError, RuntimeError, TypeError, AttributeError)
    with pytest.raises(expected) as failure:
        call()
    found = traceback.extract_tb(failure.value.__traceback__)
    return [(one.filename, one.name, one.lineno) for one in found]


def test_tracebacks_are_the_very_ones_of_wgpu_alone(work: Work) -> None:
    device, queue = work.device, work.device.queue
    vertices = device.create_buffer(size=64, usage=wgpu.BufferUsage.VERTEX)
    calls: list[Callable[[], object]] = [
        lambda: device.create_buffer(size=64, usage=0),
        lambda: device.create_buffer_with_data(data=b"1234", usage=0),
        lambda: device.create_shader_module(code=BROKEN),
        lambda: work.pipeline("nowhere"),
        lambda: device.create_compute_pipeline_async(layout=3, compute={"module": work.module}),
        lambda: device.create_bind_group(layout=work.layout, entries=[]),
        lambda: queue.read_buffer(vertices),
        lambda: queue.write_buffer(vertices, 0, b"1234"),
        lambda: queue.submit(3),
        lambda: device.create_buffer(size=8, usage=USAGE).map_sync("READ"),
        lambda: device.create_buffer(size=8, usage=USAGE).map_async("READ"),
        lambda: work.buffer.read_mapped(0),
        lambda: work.encoded(work),
    ]
    bare = [frames(call) for call in calls]
    telemetry = MetalTelemetryManager()
    instrument("webgpu", telemetry)
    try:
        assert [frames(call) for call in calls] == bare
    finally:
        uninstrument("webgpu")
    # The last of them set something in a pass, which is no operation.
    assert telemetry.get_snapshot().total_errors == len(calls) - 1


def held() -> dict[tuple[int, str], object]:
    classes = {
        one
        for name, cls in vars(backend).items()
        if name.startswith("GPU") and isinstance(cls, type)
        for one in cls.__mro__[:-1]
    }
    owners = [*classes, backend.error_handler, backend]
    return {(id(owner), name): value for owner in owners for name, value in vars(owner).items()}


def test_uninstrument_puts_back_the_very_objects() -> None:
    before = held()
    instrument("webgpu", MetalTelemetryManager())
    between = held()
    assert len({key for key in between if before.get(key) is not between[key]}) > 30
    uninstrument("webgpu")
    after = held()
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] for key in before)


def test_wrappers_carry_the_names_and_documents_of_what_they_wrap(seen: Recorded) -> None:
    for method in (
        backend.GPUDevice.create_buffer,
        backend.GPUDevice.create_compute_pipeline_async,
        backend.GPUQueue.submit,
        backend.GPUCommandEncoder.finish,
    ):
        original = method.__wrapped__
        assert (method.__name__, method.__doc__) == (original.__name__, original.__doc__)


def test_instrumenting_with_other_telemetry_moves_over(work: Work) -> None:
    first, second = MetalTelemetryManager(), MetalTelemetryManager()
    instrument("webgpu", first)
    work.values()
    instrument("webgpu", second)
    instrument("webgpu", second)
    try:
        work.values()
    finally:
        uninstrument("webgpu")
    work.values()
    for telemetry in (first, second):
        assert telemetry.get_snapshot().total_operations == 1
        assert [one.backend for one in telemetry.get_snapshot().system.devices] == ["webgpu"]


def test_telemetry_that_fails_is_not_seen_by_the_program(
    seen: Recorded, fresh: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(_webgpu_names, "_names", fail)
    monkeypatch.setattr(_webgpu_calls, "submission_name", fail)
    monkeypatch.setattr(Completions, "_register", fail)
    fresh.submit("double")
    snapshot = seen.telemetry.get_snapshot()
    assert {(one.kind, one.name) for one in snapshot.operations} >= {("execute", "submit")}
    assert set(snapshot.internals.errors) == {"instrument.webgpu"}


# -- the accelerator -----------------------------------------------------------------------------

KERNEL = """
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@compute @workgroup_size(1) fn one(@builtin(global_invocation_id) id: vec3u) { data[id.x] = 1.0; }
"""


@pytest.mark.parametrize("first", ["accelerator", "hooks"])
def test_what_an_accelerator_does_is_counted_once(first: str) -> None:
    telemetry = MetalTelemetryManager()
    if first == "hooks":
        instrument("webgpu", telemetry)
    with MetalAccelerator("webgpu", telemetry) as accelerator:
        instrument("webgpu", telemetry)
        try:
            buffer = accelerator.allocate(8)
            accelerator.copy_in(buffer, b"12345678")
            kernel = accelerator.compile(KERNEL)
            accelerator.launch(kernel, [], [buffer], threads=2)
            accelerator.launch(kernel, [], [buffer], threads=2, timeout=30)
            accelerator.synchronize()
            accelerator.copy_out(buffer)
            with pytest.raises(RuntimeError):
                accelerator.compile(BROKEN)
            beside = Work(webgpu_work.open_device())
            beside.submit("double")
            beside.values()
            assert settle(30)
        finally:
            uninstrument("webgpu")
    snapshot = telemetry.get_snapshot()
    assert dict(snapshot.internals.errors) == {}
    counted = {(str(one.kind), one.name): one.executions for one in snapshot.operations}
    own = {
        ("allocate", "buffer"): 1,
        ("transfer", "copy_in"): 1,
        ("compile", "kernel"): 2,
        ("execute", "kernel"): 2,
        ("synchronize", "synchronize"): 1,
        ("transfer", "copy_out"): 1,
    }
    beside_it = {
        ("allocate", "create_buffer"): 1,
        ("compile", "shader double/add_one/slow"): 1,
        ("compile", "double"): 1,
        ("compile", "add_one"): 1,
        ("compile", "slow"): 1,
        ("execute", "double"): 1,
        ("transfer", "read_buffer"): 1,
    }
    assert counted == own | beside_it
