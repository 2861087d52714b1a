"""What PyTorch says of its memory on a Metal device, and of its device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metalscope.readings import DeviceInfo, ResourceKind, ResourceMetrics

__all__ = ["TorchSensor", "device_info", "device_label"]

_MPS = "mps:0"
"""There is one: ``torch.mps.device_count()`` is 0 or 1."""


class TorchSensor:
    """Bytes that PyTorch has on the Metal device of this process.

    ``torch_allocated`` is what tensors occupy, ``torch_driver`` all that Metal gave to the process
    for PyTorch, its cache included; the limit of both is ``torch.mps.recommended_max_memory``.
    PyTorch keeps no peak. Without such a device, or in a forked child, which Metal does not serve,
    there is nothing to read.

    Args:
        torch: the module ``torch``.
    """

    name = "torch"

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def read(self) -> Iterator[ResourceMetrics]:
        """Yield memory in bytes."""
        if not has_mps(self._torch):
            return
        mps = self._torch.mps
        limit = mps.recommended_max_memory() or None
        for name, read in (
            ("torch_allocated", mps.current_allocated_memory),
            ("torch_driver", mps.driver_allocated_memory),
        ):
            yield ResourceMetrics(ResourceKind.MEMORY, name, _MPS, current=read(), limit=limit)


def has_mps(torch: Any) -> bool:
    """Whether this process can use a Metal device through PyTorch."""
    if not torch.backends.mps.is_available():
        return False
    in_bad_fork = getattr(torch.mps, "_is_in_bad_fork", None)
    return not (in_bad_fork and in_bad_fork())


def device_label(device: Any) -> str:
    """A ``torch.device`` as a short word, with its index: ``mps:0``, ``cpu:0``."""
    return f"{device.type}:{device.index or 0}"


def device_info(torch: Any) -> DeviceInfo:
    """Describe the Metal device, or where there is none the processor, as PyTorch sees it."""
    version = str(torch.__version__)
    if has_mps(torch):
        backend = torch.backends.mps
        name = backend.get_name() if hasattr(backend, "get_name") else "Apple GPU"
        facts = {"device": _MPS, "torch": version}
        if hasattr(backend, "get_core_count"):
            facts["gpu_cores"] = str(backend.get_core_count())
        return DeviceInfo(
            name=name,
            backend="torch",
            recommended_working_set_bytes=torch.mps.recommended_max_memory() or None,
            properties=tuple(sorted(facts.items())),
        )
    facts = {
        "device": "cpu:0",
        "torch": version,
        "threads": str(torch.get_num_threads()),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
    return DeviceInfo(name="cpu", backend="torch", properties=tuple(sorted(facts.items())))
