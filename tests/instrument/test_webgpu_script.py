"""A program that knows nothing of metalscope, alone and under `metalscope run`."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.webgpu

# It counts what it does itself, and prints that and all its results.
PROGRAM = """
    import asyncio, json, sys, traceback
    from collections import Counter
    import wgpu

    SOURCE = '''
    @group(0) @binding(0) var<storage, read_write> data: array<f32>;
    @compute @workgroup_size(1)
    fn double(@builtin(global_invocation_id) id: vec3u) { data[id.x] = 2.0 * data[id.x]; }
    @compute @workgroup_size(1)
    fn add_one(@builtin(global_invocation_id) id: vec3u) { data[id.x] = data[id.x] + 1.0; }
    '''
    did, nbytes = Counter(), Counter()

    def count(kind, name, size=0):
        did[f"{kind} {name}"] += 1
        nbytes[f"{kind} {name}"] += size

    adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
    device = adapter.request_device_sync()
    usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST
    buffers = []
    for size in (16, 64, 256):
        buffers.append(device.create_buffer(size=size, usage=usage))
        count("allocate", "create_buffer", size)
    buffers.append(device.create_buffer_with_data(data=bytes(16), usage=usage))
    count("allocate", "create_buffer_with_data", 16)
    module = device.create_shader_module(code=SOURCE)
    count("compile", "shader double/add_one")
    pipelines = {}
    for entry in ("double", "add_one"):
        pipelines[entry] = device.create_compute_pipeline(
            layout="auto", compute={"module": module, "entry_point": entry}
        )
        count("compile", entry)

    def bound(pipeline, buffer):
        return device.create_bind_group(
            layout=pipeline.get_bind_group_layout(0),
            entries=[{"binding": 0, "resource": {"buffer": buffer}}],
        )

    def dispatch(*names):
        encoder = device.create_command_encoder()
        for name in names:
            compute = encoder.begin_compute_pass()
            compute.set_pipeline(pipelines[name])
            compute.set_bind_group(0, bound(pipelines[name], buffers[0]))
            compute.dispatch_workgroups(4)
            compute.end()
        device.queue.submit([encoder.finish()])
        count("execute", "+".join(names))

    for step in range(37):
        if step % 5 == 0:
            dispatch("double", "add_one")
        else:
            dispatch("add_one")
        if step % 4 == 0:
            print(device.queue.read_buffer(buffers[0]).cast("f").tolist())
            count("transfer", "read_buffer", 16)
        if step % 9 == 0:
            device.queue.write_buffer(buffers[0], 0, bytes(8))
            count("transfer", "write_buffer", 8)

    for kind, name, wrong in (
        ("compile", "shader oops", lambda: device.create_shader_module(
            code="@compute @workgroup_size(1) fn oops() { let x: f32 = 1u; }")),
        ("execute", "create_bind_group", lambda: bound(pipelines["double"], device)),
        ("allocate", "create_buffer", lambda: device.create_buffer(size=64, usage=0)),
    ):
        try:
            wrong()
        except Exception as error:
            print(type(error), error, [f"{f.name} {f.lineno}" for f in
                                       traceback.extract_tb(error.__traceback__)])
            count(kind, name)
            did["errors"] += 1

    async def later():
        readable = device.create_buffer(
            size=16, usage=wgpu.BufferUsage.MAP_READ | wgpu.BufferUsage.COPY_DST)
        count("allocate", "create_buffer", 16)
        encoder = device.create_command_encoder(label="copy")
        encoder.copy_buffer_to_buffer(buffers[0], 0, readable, 0, 16)
        device.queue.submit([encoder.finish()])
        count("execute", "copy")
        await readable.map_async("READ")
        count("synchronize", "map_async")
        print(readable.read_mapped().cast("f").tolist())
        count("transfer", "read_mapped", 16)
        readable.unmap()

    asyncio.run(later())
    dispatch("double")  # nobody waits for this one
    json.dump([did, nbytes], open(sys.argv[1], "w"))
    raise SystemExit(3)
"""


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(PROGRAM))
    return file


def test_a_program_is_recorded_exactly_and_does_the_same(script: Path, tmp_path: Path) -> None:
    own, report = tmp_path / "own.json", tmp_path / "report.json"
    alone = python(script, own)
    assert alone.returncode == 3, alone.stderr
    did, nbytes = json.loads(own.read_text())
    watched = python(
        "-m", "metalscope", "run", "--no-server", "--quiet", "--report", report, script, own
    )
    assert (watched.stdout, watched.stderr, watched.returncode) == (
        alone.stdout,
        alone.stderr,
        alone.returncode,
    )
    assert json.loads(own.read_text()) == [did, nbytes]

    snapshot: dict[str, Any] = json.loads(report.read_text())["snapshot"]
    assert snapshot["internals"]["errors"] == {}
    counted = {f"{one['kind']} {one['name']}": one for one in snapshot["operations"]}
    errors = did.pop("errors")
    assert {key: one["executions"] for key, one in counted.items()} == did
    assert {key: one["nbytes"] for key, one in counted.items()} == nbytes
    assert snapshot["total_errors"] == errors == 3
    assert "webgpu" in [one["backend"] for one in snapshot["system"]["devices"]]


def test_it_is_not_recorded_where_other_libraries_are_asked_for(
    script: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    watched = python(
        "-m", "metalscope", "run", "--no-server", "--quiet", "--instrument", "mlx",
        "--report", report, script, tmp_path / "own.json",
    )  # fmt: skip
    assert watched.returncode == 3, watched.stderr
    assert json.loads(report.read_text())["snapshot"]["total_operations"] == 0


def test_knowing_of_it_loads_no_wgpu() -> None:
    done = python(
        "-c",
        textwrap.dedent("""
            import sys
            from metalscope import MetalTelemetryManager
            from metalscope.instrument import instrument_on_import, settle
            import metalscope.instrument.webgpu
            instrument_on_import(MetalTelemetryManager())
            print(settle(1), "wgpu" in sys.modules, "cffi" in sys.modules)
            import wgpu
            print("wgpu.backends.wgpu_native" in sys.modules)
        """),
    )
    assert (done.stdout, done.stderr) == ("True False False\nFalse\n", "")


def test_where_wgpu_is_not_installed_the_extra_is_named() -> None:
    done = python(
        "-c",
        textwrap.dedent("""
            import sys
            sys.modules["wgpu"] = None
            import metalscope
            try:
                metalscope.instrument("webgpu", metalscope.MetalTelemetryManager())
            except metalscope.errors.MissingExtraError as error:
                print(error.extra)
        """),
    )
    assert (done.stdout, done.stderr) == ("webgpu\n", "")


def test_a_forked_child_waits_for_nothing_of_its_parent() -> None:
    done = python(
        "-c",
        textwrap.dedent(f"""
            import os, sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            import metalscope
            from metalscope.instrument import settle
            telemetry = metalscope.MetalTelemetryManager()
            metalscope.instrument("webgpu", telemetry)
            import webgpu_work
            work = webgpu_work.Work(webgpu_work.open_device())
            work.submit("slow", threads=1000)
            child = os.fork()
            if not child:
                counted = telemetry.get_snapshot().total_operations
                os._exit(0 if settle(0) and counted == 0 else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), settle(30))
            print([one.executions for one in telemetry.get_snapshot().operations
                   if one.kind == "execute"])
        """),
    )
    assert done.stdout == "0 True\n[1]\n", done.stderr
