"""What MLX says of its memory and its device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metalscope.snapshot import DeviceInfo, ResourceKind, ResourceMetrics

__all__ = ["MlxSensor", "device_info", "device_label"]


class MlxSensor:
    """Bytes in MLX's arrays and in its cache of freed buffers.

    ``mlx_active`` has the process's peak, and as its limit what MLX itself keeps to
    (``mx.get_memory_limit``). The figures are the process's, whatever device it computes on.

    Args:
        mx: the module ``mlx.core``.
    """

    name = "mlx"

    def __init__(self, mx: Any) -> None:
        self._mx = mx

    def read(self) -> Iterator[ResourceMetrics]:
        """Yield memory in bytes."""
        mx = self._mx
        device = device_label(mx)
        yield ResourceMetrics(
            ResourceKind.MEMORY,
            "mlx_active",
            device,
            current=mx.get_active_memory(),
            peak=mx.get_peak_memory(),
            limit=mx.get_memory_limit() or None,
        )
        yield ResourceMetrics(
            ResourceKind.MEMORY, "mlx_cache", device, current=mx.get_cache_memory()
        )


_last: tuple[Any, str] | None = None


def device_label(mx: Any) -> str:
    """The default device as a short word: ``gpu:0``, ``cpu:0``."""
    global _last  # noqa: PLW0603 - a cache of one: asking MLX for the text costs more than a call
    device = mx.default_device()
    last = _last
    if last is not None and device == last[0]:
        return last[1]
    # MLX has no attribute for the index; the text is "Device(gpu, 0)".
    kind, _, index = str(device).removeprefix("Device(").removesuffix(")").partition(", ")
    label = f"{kind}:{index}"
    _last = (device, label)
    return label


def device_info(mx: Any) -> DeviceInfo:
    """Describe the default device with what MLX says of it."""
    facts = dict(mx.device_info())
    label = device_label(mx)
    shown = ("device_name", "memory_size", "max_recommended_working_set_size", "max_buffer_length")
    others = {str(key): str(value) for key, value in facts.items() if key not in shown}
    return DeviceInfo(
        name=str(facts.get("device_name", label)),
        backend="mlx",
        memory_bytes=facts.get("memory_size"),
        recommended_working_set_bytes=facts.get("max_recommended_working_set_size"),
        max_buffer_bytes=facts.get("max_buffer_length"),
        properties=tuple(sorted({"device": label, **others}.items())),
    )
