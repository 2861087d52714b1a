"""wgpu-py: buffers, shaders, pipelines, submitted work, reads, mappings, errors.

What is recorded and what its duration means is described in docs/webgpu.md. The module loads wgpu
only when it installs its hooks.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalscope.instrument import _webgpu_names as names
from metalscope.instrument._patch import Patches
from metalscope.instrument._probe import hide_frame
from metalscope.instrument._webgpu_calls import (
    Call,
    noting,
    noting_result,
    only_failures,
    promising,
    recorded,
    submitting,
)
from metalscope.instrument._webgpu_completion import Completions
from metalscope.instrument._webgpu_memory import LiveBuffers
from metalscope.instrument._webgpu_scope import Scope, device_info, meaning, within_driver

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["INSTRUMENT", "WebGPUInstrument"]

# Work that is only prepared: of no interest unless it fails.
_PREPARING: Final = (
    "create_bind_group",
    "create_bind_group_layout",
    "create_pipeline_layout",
    "create_query_set",
)


class _Installed(NamedTuple):
    """What one installation put in place."""

    telemetry: MetalTelemetryManager
    scope: Scope
    buffers: LiveBuffers


class WebGPUInstrument:
    """Hooks wgpu-py. One for the process: wgpu is one module."""

    # Not "wgpu": the classes that programs get objects of are the backend's, and it is loaded when
    # an adapter is first asked for.
    module: Final = "wgpu.backends.wgpu_native"

    def __init__(self) -> None:
        self._patches = Patches()
        self._completions: Completions | None = None
        self._installed: _Installed | None = None

    def install(self, telemetry: MetalTelemetryManager) -> None:
        """Put the hooks in place; all of them, or none where one fails."""
        native = import_module(self.module)
        backend = sys.modules[type(native.gpu).__module__]
        completions = self._completions = self._completions or Completions(native.ffi, native.lib)
        scope = Scope(backend.classes.GPUError)
        buffers = LiveBuffers()
        try:
            self._patch_device(backend.GPUDevice, scope, buffers)
            self._patch_buffer(backend.GPUBuffer, scope, buffers)
            self._patch_queue(backend.GPUQueue, scope, completions)
            self._patch_encoders(backend, scope)
            self._patch_errors(backend, scope)
        except BaseException:
            self._patches.restore()
            raise
        telemetry.add_sensor(buffers)
        self._installed = _Installed(telemetry, scope, buffers)
        scope.telemetry = telemetry

    def remove(self) -> None:
        """Take the hooks out again."""
        self._patches.restore()
        installed, self._installed = self._installed, None
        if installed is not None:
            installed.scope.telemetry = None
            installed.telemetry.remove_sensor(installed.buffers)

    def settle(self, timeout: float) -> bool:
        """Wait until work submitted so far is recorded; false where time ran out."""
        return self._completions is None or self._completions.settle(timeout)

    # -- what is hooked ----------------------------------------------------------------------

    def _replace(self, cls: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        """Replace a method where it is defined; which of them there are differs by version."""
        owner = next((one for one in cls.__mro__ if name in vars(one)), None)
        if owner is not None:
            self._patches.replace(owner, name, wrap(vars(owner)[name]))

    def _record(self, cls: Any, name: str, scope: Scope, call: Call) -> None:
        self._replace(cls, name, lambda original: recorded(scope, original, call))

    def _promise(self, cls: Any, name: str, scope: Scope, call: Call) -> None:
        self._replace(cls, name, lambda original: promising(scope, original, call))

    def _note(self, cls: Any, name: str, scope: Scope, note: Callable[[Any, Any], None]) -> None:
        self._replace(cls, name, lambda original: noting(scope, original, note))

    def _patch_device(self, device: Any, scope: Scope, buffers: LiveBuffers) -> None:
        def keep(buffer: Any, _name: str, _kwargs: Mapping[str, Any], label: str) -> None:
            buffers.add(buffer, label)

        def met(one: Any, _argument: Any) -> None:
            if scope.telemetry is not None and not within_driver():
                scope.telemetry.add_device(device_info(one))

        self._note(device, "__init__", scope, met)
        for name in ("create_buffer", "create_buffer_with_data"):
            self._record(device, name, scope, Call("allocate", name, _size_of_result, keep))
        self._record(device, "create_texture", scope, Call("allocate", "create_texture"))
        shader = Call("compile", names.shader_name, then=_name_shader)
        self._record(device, "create_shader_module", scope, shader)
        for kind, name_of in (("compute", names.compute_name), ("render", names.render_name)):
            made = f"create_{kind}_pipeline"
            self._record(device, made, scope, Call("compile", name_of, then=_name_pipeline))
            promised = Call("compile", name_of, then=_name_promised)
            self._promise(device, f"{made}_async", scope, promised)
        for name in _PREPARING:
            self._replace(device, name, functools.partial(only_failures, scope))
        self._note(device, "destroy", scope, lambda one, _: buffers.device_destroyed(one))

    def _patch_buffer(self, buffer: Any, scope: Scope, buffers: LiveBuffers) -> None:
        self._record(buffer, "map_sync", scope, Call("synchronize", "map_sync"))
        self._promise(buffer, "map_async", scope, Call("synchronize", "map_async"))
        self._record(buffer, "read_mapped", scope, Call("transfer", "read_mapped", _bytes_read))
        written = Call("transfer", "write_mapped", _bytes_of(0, "data"))
        self._record(buffer, "write_mapped", scope, written)
        self._note(buffer, "destroy", scope, lambda one, _: buffers.destroyed(one))

    def _patch_queue(self, queue: Any, scope: Scope, completions: Completions) -> None:
        self._replace(queue, "submit", lambda original: submitting(scope, original, completions))
        for name, nbytes in (
            ("write_buffer", _bytes_written),
            ("read_buffer", _bytes_read),
            ("write_texture", _bytes_of(1, "data")),
            ("read_texture", _bytes_read),
        ):
            self._record(queue, name, scope, Call("transfer", name, nbytes))
        done = "on_submitted_work_done"
        self._record(queue, f"{done}_sync", scope, Call("synchronize", f"{done}_sync"))
        self._promise(queue, f"{done}_async", scope, Call("synchronize", f"{done}_async"))

    def _patch_encoders(self, backend: Any, scope: Scope) -> None:
        encoder = backend.GPUCommandEncoder
        for name in ("begin_compute_pass", "begin_render_pass"):
            self._replace(encoder, name, lambda one: noting_result(scope, one, names.begin_work))
        for one in (encoder, backend.GPURenderBundleEncoder):
            wrap = functools.partial(only_failures, scope, then=names.hand_on)
            self._replace(one, "finish", wrap)
        # One of a pass's classes may share its method with a bundle's.
        owners = {
            next(one for one in cls.__mro__ if "set_pipeline" in vars(one)): None
            for cls in (
                backend.GPUComputePassEncoder,
                backend.GPURenderPassEncoder,
                backend.GPURenderBundleEncoder,
            )
        }
        for owner in owners:
            self._note(owner, "set_pipeline", scope, names.note_pipeline)
        self._note(backend.GPURenderPassEncoder, "execute_bundles", scope, names.note_bundles)

    def _patch_errors(self, backend: Any, scope: Scope) -> None:
        # What wgpu-native reports outside of any call, wgpu-py only logs, through this.
        handler: Any = getattr(backend, "error_handler", None)
        if hasattr(handler, "log_error"):
            self._patches.replace(handler, "log_error", _uncaptured(scope, handler.log_error))


INSTRUMENT: Final = WebGPUInstrument()
"""The entry of this library in the table of instruments."""


def _uncaptured(scope: Scope, original: Callable[[str], None]) -> Callable[[str], None]:
    @functools.wraps(original)
    def log_error(message: str) -> None:
        start = perf_counter_ns()
        try:
            original(message)
        except BaseException as error:
            hide_frame(error)
            raise
        telemetry = scope.telemetry
        # The program's own device.destroy() is reported as a loss too.
        if telemetry is None or "device was lost (destroyed)" in message.lower():
            return
        telemetry.record(
            "execute",
            "uncaptured_error",
            duration_ns=perf_counter_ns() - start,
            error=meaning(message, "execute"),
            device=scope.only_device(),
        )

    return log_error


def _name_shader(module: Any, _name: str, kwargs: Mapping[str, Any], _device: str) -> None:
    names.name_shader(module, kwargs)


def _name_pipeline(pipeline: Any, name: str, _kwargs: Mapping[str, Any], _device: str) -> None:
    names.name_pipeline(pipeline, name)


def _name_promised(promise: Any, name: str, _kwargs: Mapping[str, Any], _device: str) -> None:
    # wgpu-native makes it at once; a promise that is really pending leaves the pipeline its label.
    if hasattr(promise._value, "label"):
        names.name_pipeline(promise._value, name)


def _size_of_result(_args: tuple[Any, ...], _kwargs: Mapping[str, Any], result: Any) -> int:
    return int(result.size)


def _bytes_read(_args: tuple[Any, ...], _kwargs: Mapping[str, Any], result: Any) -> int:
    return memoryview(result).nbytes


def _bytes_of(position: int, name: str) -> Callable[[tuple[Any, ...], Mapping[str, Any], Any], int]:
    """Counts the bytes of the data in one argument."""

    def count(args: tuple[Any, ...], kwargs: Mapping[str, Any], _result: Any) -> int:
        return memoryview(args[position] if len(args) > position else kwargs[name]).nbytes

    return count


def _bytes_written(args: tuple[Any, ...], kwargs: Mapping[str, Any], _result: Any) -> int:
    """Of ``write_buffer(buffer, buffer_offset, data, data_offset=0, size=None)``."""
    given = dict(
        zip(("buffer", "buffer_offset", "data", "data_offset", "size"), args, strict=False)
    )
    given.update(kwargs)
    size = given.get("size")
    if size:
        return int(size)
    return memoryview(given["data"]).nbytes - int(given.get("data_offset", 0))
