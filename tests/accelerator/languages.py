"""The same kernels in each driver's language, so that one suite runs on all drivers."""

from __future__ import annotations

import importlib.util
import os
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from standin_metal import BROKEN, StandInGPU

COUNT = 1000
FACTOR = 2.5

WGSL = """
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn saxpy(@builtin(global_invocation_id) id: vec3u) {
    if (id.x < arrayLength(&out)) { out[id.x] = 2.5 * x[id.x] + y[id.x]; }
}

@compute @workgroup_size(8, 8)
fn negate(@builtin(global_invocation_id) id: vec3u) {
    let i = id.y * 25 + id.x;
    if (id.x < 25 && i < arrayLength(&out)) { out[i] = -x[i] + 0.0 * y[i]; }
}
"""

# Long by its many threads: a software Vulkan ends a loop after 65,535 turns.
SLOW_WGSL = """
@group(0) @binding(0) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(1)
fn slow(@builtin(global_invocation_id) id: vec3u) {
    var s = out[0];
    for (var i = 0u; i < 30000u; i++) { s = fract(s * 1.0001 + 0.1); }
    out[id.x % 8] = s;
}
"""

MSL = """
#include <metal_stdlib>
using namespace metal;

kernel void saxpy(device const float* x [[buffer(0)]], device const float* y [[buffer(1)]],
                  device float* out [[buffer(2)]], uint i [[thread_position_in_grid]]) {
    out[i] = 2.5f * x[i] + y[i];
}

kernel void negate(device const float* x [[buffer(0)]], device const float* y [[buffer(1)]],
                   device float* out [[buffer(2)]], uint2 id [[thread_position_in_grid]]) {
    uint i = id.y * 25 + id.x;
    out[i] = -x[i] + 0.0f * y[i];
}
"""

SLOW_MSL = """
#include <metal_stdlib>
using namespace metal;

kernel void slow(device float* out [[buffer(0)]], uint id [[thread_position_in_grid]]) {
    float s = out[0];
    for (uint i = 0; i < 3000000; i++) { s = fract(s * 1.0001f + 0.1f); }
    out[id % 8] = s;
}
"""
SLOW_THREADS = 20_000


def saxpy(x: Any, y: Any) -> Any:
    return FACTOR * x + y


def negate(x: Any, y: Any) -> Any:
    return -x + 0 * y


def untraceable(x: Any, y: Any) -> Any:
    return x if (x + y).sum().item() > 0 else y


@dataclass
class Language:
    """One driver and what the suite needs said in its language."""

    driver: str
    sources: dict[str, Any]
    entries: dict[str, str | None]
    broken: Any
    broken_text: str
    slow: Any
    release_slow: Callable[[], None]
    gpu: StandInGPU | None = None

    @property
    def tells_device_time(self) -> bool:
        return self.driver != "mlx"


def webgpu() -> Language:
    need("wgpu")
    return Language(
        "webgpu",
        sources={"saxpy": WGSL, "negate": WGSL},
        entries={"saxpy": "saxpy", "negate": "negate"},
        broken=f"@compute @workgroup_size(1) fn main() {{ let x = {BROKEN}; }}",
        broken_text=BROKEN,
        slow=SLOW_WGSL,
        release_slow=lambda: None,
    )


def mlx() -> Language:
    need("mlx")
    gate = threading.Event()

    def slow() -> Any:
        import mlx.core as mx

        gate.wait(60)
        return mx.ones((COUNT,))

    return Language(
        "mlx",
        sources={"saxpy": saxpy, "negate": negate},
        entries={"saxpy": None, "negate": None},
        broken=untraceable,
        broken_text="function transformations",
        slow=slow,
        release_slow=gate.set,
    )


def metal(monkeypatch: pytest.MonkeyPatch) -> Language:
    """The real one on a Mac; the stand-in elsewhere."""
    language = Language(
        "metal",
        sources={"saxpy": MSL, "negate": MSL},
        entries={"saxpy": "saxpy", "negate": "negate"},
        broken=f"kernel void broken() {{ int x = {BROKEN}; }}",
        broken_text="undeclared identifier",
        slow=SLOW_MSL,
        release_slow=lambda: None,
    )
    if sys.platform == "darwin" and importlib.util.find_spec("Metal") is not None:
        return language
    gate = threading.Event()
    language.release_slow = gate.set
    language.gpu = stand_in(monkeypatch, slow=lambda threads, out: gate.wait(60))
    return language


def stand_in(monkeypatch: pytest.MonkeyPatch, **more: Any) -> StandInGPU:
    """Put the stand-in in PyObjC's place, with the kernels of :data:`MSL`."""
    gpu = StandInGPU({"saxpy": _run_saxpy, "negate": _run_negate, **more})
    for name, module in gpu.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return gpu


def need(module: str) -> None:
    if importlib.util.find_spec(module) is not None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{module} is not installed, and under CI it must be")
    pytest.skip(f"{module} is not installed")


def floats(values: Any) -> bytes:
    return struct.pack(f"={len(values)}f", *values)


def unpack(data: bytes) -> tuple[float, ...]:
    return struct.unpack(f"={len(data) // 4}f", data)


def _run_saxpy(threads: Any, x: memoryview, y: memoryview, out: memoryview) -> None:
    for i in range(threads.width):
        out.cast("f")[i] = FACTOR * x.cast("f")[i] + y.cast("f")[i]


def _run_negate(threads: Any, x: memoryview, y: memoryview, out: memoryview) -> None:
    for i in range(threads.width * threads.height):
        with suppress(IndexError):
            out.cast("f")[i] = -x.cast("f")[i] + 0 * y.cast("f")[i]
