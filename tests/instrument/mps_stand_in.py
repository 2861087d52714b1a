"""A stand-in for PyTorch's Metal device, where there is none.

``Device`` has the functions and the ``Event`` of ``torch.mps`` under their own names; a test checks
that they are there in the PyTorch that is installed, with the same parameters. ``MpsTensor`` says
that it is on ``mps:0``, and computes on the host. Work is submitted, and is done when somebody
waits, or when the test says so: time on the device is a number, not a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_map

OPERATION_MS = 1.5
"""How long the device takes for one operation."""


class Device:
    """The stream of a Metal device and what ``torch.mps`` says of it."""

    def __init__(self) -> None:
        self.submitted_ms = 0.0
        self.done_ms = 0.0
        self.forced_waits = 0
        """How often somebody asked for a time while work was under way, and so had to wait."""
        self.events = 0
        self.allocated = 3_000_000
        self.failure: Exception | None = None
        device = self

        class Event:
            """As ``torch.mps.Event``: ``elapsed_time`` waits for the stream, and works once."""

            def __init__(self, enable_timing: bool = False) -> None:
                device.events += 1
                self.enable_timing = enable_timing
                self.at_ms: float | None = None
                self.asked = False

            def record(self) -> None:
                self.at_ms = device.submitted_ms

            def wait(self) -> None:
                """Makes later work wait; the program does not."""

            def query(self) -> bool:
                return self.at_ms is not None and device.done_ms >= self.at_ms

            def synchronize(self) -> None:
                device.done_ms = max(device.done_ms, self.at_ms or 0.0)

            def elapsed_time(self, end_event: Any) -> float:
                if device.done_ms < device.submitted_ms:
                    device.forced_waits += 1
                    device.synchronize()
                assert not end_event.asked, "PyTorch would wait forever"
                end_event.asked = True
                assert self.enable_timing
                assert end_event.enable_timing
                return float(end_event.at_ms - self.at_ms)  # type: ignore[operator]

        self.Event = Event

    def submit(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.submitted_ms += OPERATION_MS

    def synchronize(self) -> None:
        self.done_ms = self.submitted_ms

    def empty_cache(self) -> None:
        self.synchronize()

    def current_allocated_memory(self) -> int:
        return self.allocated

    def driver_allocated_memory(self) -> int:
        return 2 * self.allocated

    def recommended_max_memory(self) -> int:
        return 10 * self.allocated

    def compile_shader(self, source: str) -> Any:
        if "kernel" not in source:
            raise SyntaxError("program_source:1:1: error: unknown type name")
        return Library(self)

    def load_metallib(self, source: Any) -> Any:
        return Library(self)


FUNCTIONS = (
    "synchronize",
    "empty_cache",
    "current_allocated_memory",
    "driver_allocated_memory",
    "recommended_max_memory",
    "compile_shader",
    "load_metallib",
)


class Library:
    """As ``torch._C._mps_ShaderLibrary``: kernels are attributes, made anew at each access."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def __getattr__(self, name: str) -> Any:
        if name != "double":
            raise RuntimeError(f"Failed to create function state object for: {name}")
        return Kernel(self._device)

    def __dir__(self) -> list[str]:
        return ["double"]


class Kernel:
    """As ``torch._C._mps_MetalKernel``."""

    max_threads_per_threadgroup = 1024

    def __init__(self, device: Device) -> None:
        self._device = device

    def __call__(self, *args: Any, threads: Any = None, group_size: Any = None) -> None:
        self._device.submit()
        args[0].on_host.mul_(2)


class MpsTensor(torch.Tensor):
    """Says it is on ``mps:0``, and submits each operation to the device."""

    on_host: torch.Tensor
    stream: Device

    @staticmethod
    def __new__(cls, on_host: torch.Tensor, stream: Device) -> MpsTensor:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, on_host.size(), dtype=on_host.dtype, device="mps:0"
        )
        made.on_host = on_host
        made.stream = stream
        return made  # type: ignore[no-any-return]

    def __init__(self, on_host: torch.Tensor, stream: Device) -> None:
        super().__init__()

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        stream = _stream_in(args)
        unwrap: Callable[[Any], Any] = lambda one: one.on_host if isinstance(one, cls) else one  # noqa: E731
        wrap: Callable[[Any], Any] = lambda one: (  # noqa: E731
            cls(one, stream) if isinstance(one, torch.Tensor) else one
        )
        host_args, host_kwargs = tree_map(unwrap, args), tree_map(unwrap, kwargs or {})
        name = func._schema.name
        if (
            name == "aten::_to_copy"
            and torch.device(host_kwargs.get("device", "mps")).type == "cpu"
        ):
            stream.synchronize()
            return func(*host_args, **host_kwargs)
        if name == "aten::_local_scalar_dense":
            stream.synchronize()
            return func(*host_args, **host_kwargs)
        stream.submit()
        return tree_map(wrap, func(*host_args, **host_kwargs))


def _stream_in(values: Any) -> Device:
    for one in values:
        if isinstance(one, MpsTensor):
            return one.stream
        if isinstance(one, (tuple, list)):
            return _stream_in(one)
    raise AssertionError("no tensor of the device")
