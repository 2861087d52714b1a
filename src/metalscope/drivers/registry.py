"""Which drivers there are, and which of them ``auto`` takes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from metalscope.drivers.base import Driver
from metalscope.errors import ConfigurationError, DeviceUnavailableError, MissingExtraError
from metalscope.plugins import entry_points_of
from metalscope.spelling import nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["AUTO", "ENTRY_POINT_GROUP", "driver_names", "open_driver"]

AUTO: Final = "auto"
ENTRY_POINT_GROUP: Final = "metalscope.drivers"

_BUILT_IN: Final = {
    "metal": ("metalscope.drivers.metal", "MetalDriver"),
    "webgpu": ("metalscope.drivers.webgpu", "WebGPUDriver"),
    "mlx": ("metalscope.drivers.mlx", "MLXDriver"),
}

# On a GPU the nearest to the hardware first: metal has no layer between, webgpu takes kernels as
# source and tells device time, mlx does neither. Without a GPU MLX's processor build is made for
# speed and a software Vulkan for checking, so there it is the other way round.
_ON_GPU: Final = ("metal", "webgpu", "mlx")
_ON_PROCESSOR: Final = ("mlx", "webgpu")


def driver_names() -> tuple[str, ...]:
    """The drivers that may be asked for by name, those of other packages last."""
    return (*_BUILT_IN, *_others())


def open_driver(name: str = AUTO) -> Driver[Any, Any]:
    """Open a driver by name, or the best there is.

    Raises:
        ConfigurationError: there is no driver of that name.
        MissingExtraError: its library is not installed.
        DeviceUnavailableError: it has no device; for ``auto``, with every driver's reason.
    """
    return _open_best() if name == AUTO else _load(name).open()


def _open_best() -> Driver[Any, Any]:
    reasons: dict[str, str] = {}
    others = tuple(_others())
    for gpu_only, order in ((True, (*_ON_GPU, *others)), (False, (*_ON_PROCESSOR, *others))):
        for name in order:
            try:
                return _load(name).open(gpu_only=gpu_only)
            except (DeviceUnavailableError, MissingExtraError) as error:
                reasons[name] = str(error)
    listed = "".join(f"\n  {name}: {reason}" for name, reason in reasons.items())
    raise DeviceUnavailableError(f"no driver found a device:{listed}")


def _load(name: str) -> type[Driver[Any, Any]]:
    if name in _BUILT_IN:
        module, attribute = _BUILT_IN[name]
        kind: type[Driver[Any, Any]] = getattr(import_module(module), attribute)
        return kind
    others = _others()
    if name not in others:
        known = (AUTO, *_BUILT_IN, *others)
        meant = nearest(name, known)
        hint = f"; did you mean {meant!r}?" if meant else ""
        raise ConfigurationError(f"no driver is called {name!r}{hint} Known: {', '.join(known)}")
    try:
        loaded: type[Driver[Any, Any]] = others[name].load()
    except Exception as error:
        raise DeviceUnavailableError(f"{others[name].value} does not load: {error}") from error
    return loaded


def _others() -> dict[str, EntryPoint]:
    found = entry_points_of(ENTRY_POINT_GROUP)
    return {name: point for name, point in found.items() if name not in (AUTO, *_BUILT_IN)}
