"""Shaders and small pieces of work on a real WebGPU device, as a program would write them."""

from __future__ import annotations

from typing import Any

import wgpu

SOURCE = """
@group(0) @binding(0) var<storage, read_write> data: array<f32>;

@compute @workgroup_size(1)
fn double(@builtin(global_invocation_id) id: vec3u) { data[id.x] = 2.0 * data[id.x]; }

@compute @workgroup_size(1)
fn add_one(@builtin(global_invocation_id) id: vec3u) { data[id.x] = data[id.x] + 1.0; }

// Long by its many threads: a software Vulkan ends a loop after 65,535 turns.
@compute @workgroup_size(1)
fn slow(@builtin(global_invocation_id) id: vec3u) {
    var s = data[0];
    for (var i = 0u; i < 30000u; i++) { s = fract(s * 1.0001 + 0.1); }
    data[id.x % 4] = s;
}
"""
TRIANGLE = """
@vertex fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
    return vec4f(f32(i % 2) * 4.0 - 1.0, f32(i / 2) * 4.0 - 1.0, 0.0, 1.0);
}
@fragment fn red() -> @location(0) vec4f { return vec4f(1.0, 0.0, 0.0, 1.0); }
"""
BROKEN = "@compute @workgroup_size(1) fn broken() { let x: f32 = 1u; }"

USAGE = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST
FLOATS = 4


def open_device() -> Any:
    adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
    return adapter.request_device_sync()


class Work:
    """One buffer of four floats and a pipeline for each kernel."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.module = device.create_shader_module(code=SOURCE)
        self.buffer = device.create_buffer(size=4 * FLOATS, usage=USAGE)
        entries = [
            {"binding": 0, "visibility": wgpu.ShaderStage.COMPUTE, "buffer": {"type": "storage"}}
        ]
        self.layout = device.create_bind_group_layout(entries=entries)
        self.group = device.create_bind_group(
            layout=self.layout, entries=[{"binding": 0, "resource": {"buffer": self.buffer}}]
        )
        self.pipelines = {name: self.pipeline(name) for name in ("double", "add_one", "slow")}

    def pipeline(self, entry: str, **more: Any) -> Any:
        return self.device.create_compute_pipeline(
            layout=self.device.create_pipeline_layout(bind_group_layouts=[self.layout]),
            compute={"module": self.module, "entry_point": entry},
            **more,
        )

    def encoded(self, *pipelines: Any, threads: int = FLOATS) -> Any:
        encoder = self.device.create_command_encoder()
        for one in pipelines:
            encoding = encoder.begin_compute_pass()
            encoding.set_pipeline(self.pipelines[one] if isinstance(one, str) else one)
            encoding.set_bind_group(0, self.group)
            encoding.dispatch_workgroups(threads)
            encoding.end()
        return encoder.finish()

    def submit(self, *pipelines: Any, threads: int = FLOATS) -> None:
        self.device.queue.submit([self.encoded(*pipelines, threads=threads)])

    def values(self) -> list[float]:
        return self.device.queue.read_buffer(self.buffer).cast("f").tolist()
