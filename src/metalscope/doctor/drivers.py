"""Whether a driver of ``MetalAccelerator`` opens a device, and bytes come back from it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Final

from metalscope.doctor.diagnosis import Diagnosis, State
from metalscope.drivers.arguments import Layout
from metalscope.drivers.base import Driver
from metalscope.drivers.registry import AUTO, open_driver
from metalscope.errors import DeviceUnavailableError, MissingExtraError

__all__ = ["GROUP", "check_auto", "check_driver"]

GROUP: Final = "drivers"

_PATTERN: Final = bytes(range(64))

# Where drivers.base.load and the registry say that a library is there and fails.
_FAILS_TO_LOAD: Final = "does not load"


def check_driver(name: str) -> Iterator[Diagnosis]:
    """Open the driver, write memory of its device and read it back."""
    try:
        driver = open_driver(name)
    except MissingExtraError as error:
        yield _not_installed(name, error)
        return
    except DeviceUnavailableError as error:
        state = State.BROKEN if _FAILS_TO_LOAD in str(error) else State.ABSENT
        yield Diagnosis(GROUP, name, state, why=str(error))
        return
    device = driver.device_info
    properties = dict(device.properties)
    facts = {"device": device.name, "backend": device.backend, "properties": properties}
    what = _described(device.name, properties)
    read = _there_and_back(driver)
    if read == _PATTERN:
        yield Diagnosis(GROUP, name, State.WORKS, what=what, facts=facts)
    else:
        why = "bytes written to its memory came back changed"
        yield Diagnosis(GROUP, name, State.BROKEN, what=what, why=why, facts=facts)


def check_auto() -> Iterator[Diagnosis]:
    """Which driver ``auto`` takes."""
    try:
        driver = open_driver(AUTO)
    except DeviceUnavailableError:
        # Each driver's own line has its reason.
        yield Diagnosis(GROUP, AUTO, State.ABSENT, why="no driver found a device")
        return
    device = driver.device_info.name
    facts = {"driver": driver.name, "device": device}
    yield Diagnosis(GROUP, AUTO, State.WORKS, what=f"takes {driver.name}: {device}", facts=facts)


def _there_and_back(driver: Driver[Any, Any]) -> bytes:
    memory = driver.allocate(Layout.of(len(_PATTERN), "uint8", None))
    driver.copy_in(memory, memoryview(_PATTERN), 0)
    read = driver.copy_out(memory, 0, len(_PATTERN))
    driver.free(memory)
    return read


def _described(device: str, properties: dict[str, str]) -> str:
    # WebGPU says which API is below it, MLX which of its devices it is.
    more = [
        properties[key] for key in ("backend_type", "adapter_type", "device") if key in properties
    ]
    return f"{device} ({', '.join(more)})" if more else device


def _not_installed(name: str, error: MissingExtraError) -> Diagnosis:
    cause = error.__cause__
    module = (cause.name or "").partition(".")[0] if isinstance(cause, ImportError) else ""
    if module and _is_there(module):
        why = f"{module} is installed and does not load: {cause}"
        return Diagnosis(GROUP, name, State.BROKEN, why=why, remedy=_upgrade(error.extra))
    why = f"{module or 'its library'} is not installed"
    return Diagnosis(GROUP, name, State.ABSENT, why=why, remedy=_upgrade(error.extra))


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _upgrade(extra: str) -> str:
    return f"pip install --upgrade 'metalscope[{extra}]'"
