"""PyTorch: forwards, backwards, steps, compilations, reads and moves, on Metal and elsewhere.

What is recorded and what its duration means is described in docs/torch.md. The module loads
PyTorch only when it installs its hooks.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalscope.instrument._patch import Patches
from metalscope.instrument._probe import Probe
from metalscope.instrument._torch_calls import Calls, Level
from metalscope.instrument._torch_compiled import Compilations
from metalscope.instrument._torch_device_times import DeviceTimes
from metalscope.instrument._torch_dynamo import keep_out
from metalscope.instrument._torch_kernels import Kernels
from metalscope.instrument._torch_operations import Detail
from metalscope.instrument._torch_reads import MOVES, READS, Reads
from metalscope.instrument._torch_state import TorchState
from metalscope.instrument._torch_steps import Steps
from metalscope.sensors.torch import TorchSensor, device_info

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["INSTRUMENT", "TorchInstrument"]

_ROOM: Final = "instrument.torch"
_MPS: Final = "mps:0"


class _Levels(NamedTuple):
    """The sorts of calls of which only the outermost is recorded."""

    forward: Level
    backward: Level
    step: Level


class _Installed(NamedTuple):
    """What one installation put in place."""

    telemetry: MetalTelemetryManager
    probe: Probe
    sensor: TorchSensor
    device_times: DeviceTimes


class TorchInstrument:
    """Hooks PyTorch. One for the process: PyTorch is one module."""

    module: Final = "torch"

    def __init__(self) -> None:
        self._patches = Patches()
        self._installed: _Installed | None = None

    def install(self, telemetry: MetalTelemetryManager) -> None:
        """Put the hooks in place; all of them, or none where one fails."""
        import torch  # noqa: PLC0415 - a GPU library

        options = telemetry.options.torch
        probe = Probe(_ROOM, lambda: _MPS)
        device_times = DeviceTimes(
            functools.partial(torch.mps.Event, enable_timing=True), options.device_time_every
        )
        try:
            self._patch(torch, probe, device_times, options.operations_every)
            telemetry.add_device(device_info(torch))
        except BaseException:
            self._patches.restore()
            raise
        keep_out(torch)
        self._installed = _Installed(telemetry, probe, TorchSensor(torch), device_times)
        telemetry.add_sensor(self._installed.sensor)
        probe.telemetry = telemetry

    def remove(self) -> None:
        """Take the hooks out again."""
        self._patches.restore()
        installed, self._installed = self._installed, None
        if installed is not None:
            installed.device_times.give_up()
            installed.probe.telemetry = None
            installed.telemetry.remove_sensor(installed.sensor)

    def settle(self, timeout: float) -> bool:
        """Wait until the calls that are timed on the device are recorded; false if time ran out."""
        installed = self._installed
        return installed is None or installed.device_times.settle(timeout)

    def _patch(self, torch: Any, probe: Probe, device_times: DeviceTimes, every: int) -> None:
        state = TorchState(torch)
        detail = Detail(torch, probe, state, every)
        calls = Calls(torch, probe, state, device_times, detail)
        levels = _Levels(Level(), Level(), Level())
        replace = self._patches.replace
        module = torch.nn.Module
        replace(module, "__call__", calls.outermost(module.__call__, _module, levels.forward))
        for name in ("backward", "grad"):
            original = getattr(torch.autograd, name)
            wrapper = calls.outermost(original, functools.partial(_named, name), levels.backward)
            replace(torch.autograd, name, wrapper)
        Steps(calls, levels.step, self._patches).install(torch.optim.Optimizer)
        compilations = Compilations(probe, calls, levels.forward, self._patches)
        replace(torch, "compile", compilations.compile(torch.compile, module))
        compilations.watch()
        reads = Reads(torch, probe, state, device_times, forward=levels.forward, step=levels.step)
        self._patch_reads(torch, reads)
        self._patch_mps(torch.mps, reads, Kernels(torch, probe, state, device_times))

    def _patch_reads(self, torch: Any, reads: Reads) -> None:
        replace, tensor = self._patches.replace, torch.Tensor
        for method, name in READS.items():
            replace(tensor, method, reads.read(getattr(tensor, method), name))
        for name in MOVES:
            replace(tensor, name, reads.move(getattr(tensor, name), name))
        replace(torch, "save", reads.file(torch.save, "save"))
        replace(torch, "load", reads.file(torch.load, "load"))

    def _patch_mps(self, mps: Any, reads: Reads, kernels: Kernels) -> None:
        replace = self._patches.replace

        def waiting(owner: Any, method: str, name: str) -> None:
            # Which of these there are differs between versions of PyTorch.
            if method in vars(owner):
                replace(owner, method, reads.wait(vars(owner)[method], name))

        waiting(mps, "synchronize", "synchronize")
        waiting(mps, "empty_cache", "empty_cache")
        waiting(mps.Event, "synchronize", "event_synchronize")
        for name in ("compile_shader", "load_metallib"):
            if name in vars(mps):
                replace(mps, name, kernels.observed(getattr(mps, name), name))


INSTRUMENT: Final = TorchInstrument()
"""The entry of this library in the table of instruments."""


def _module(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any]:
    module = args[0]
    name = type(module).__name__
    # What stands for a module in its compiled forms carries the module's own name.
    if name == "OptimizedModule":
        name = type(module._orig_mod).__name__
    elif name == "RecursiveScriptModule":
        name = str(module.original_name)
    return name, (args[1:], kwargs) if kwargs else args[1:]


def _named(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, Any]:
    return name, (args, kwargs)
