"""Which machine and which process this is, in OpenTelemetry's words.

The names are those of the semantic conventions for resources
(https://opentelemetry.io/docs/specs/semconv/resource/): ``host``, ``os``, ``process``.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metalscope.sensors.base import SensorUnavailableError

if TYPE_CHECKING:
    from metalscope.sensors.native.iokit import IOKit

__all__ = ["host_id", "identity", "platform_uuid"]

# machine-id(5). The second is where D-Bus kept it before systemd did.
_MACHINE_ID: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))

# IOKit/IOKitKeys.h: kIOPlatformUUIDKey.
_PLATFORM: Final = "IOPlatformExpertDevice"
_UUID: Final = "IOPlatformUUID"

# Semantic conventions, host.arch: their words for what uname(1) says.
_ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "arm64": "arm64",
    "aarch64": "arm64",
    "armv7l": "arm32",
    "i386": "x86",
    "i686": "x86",
    "ppc64le": "ppc64",
    "ppc64": "ppc64",
    "s390x": "s390x",
}


def identity() -> dict[str, str | int]:
    """Attributes of this host and process; those that cannot be read are left out."""
    found: dict[str, str | int | None] = {
        "host.name": platform.node() or None,
        "host.id": host_id(),
        "host.arch": _ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower()),
        "os.type": sys.platform,
        "os.description": _os_description(),
        "os.version": platform.mac_ver()[0] or platform.release() or None,
        "process.pid": os.getpid(),
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": ".".join(map(str, sys.version_info[:3])),
        "process.runtime.description": " ".join(sys.version.split()),
    }
    return {name: value for name, value in found.items() if value}


@cache
def host_id() -> str | None:
    """The machine's own id, the same after a restart; ``None`` where it cannot be read.

    The hardware's UUID on macOS, as its registry has it; elsewhere ``/etc/machine-id``.
    """
    if sys.platform == "darwin":
        from metalscope.sensors.native.corefoundation import CoreFoundation  # noqa: PLC0415
        from metalscope.sensors.native.iokit import IOKit  # noqa: PLC0415 - of a Mac alone

        try:
            return platform_uuid(IOKit(CoreFoundation()))
        except SensorUnavailableError:
            return None
    for path in _MACHINE_ID:
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        # "uninitialized" stands there in an image that has not been started yet.
        if re.fullmatch(r"[0-9a-f]{32}", text):
            return text
    return None


def platform_uuid(iokit: IOKit) -> str | None:
    """The hardware's UUID in the registry of a Mac; ``None`` where it is not there.

    Raises:
        SensorUnavailableError: the registry cannot be asked.
    """
    with iokit.services(_PLATFORM) as entries:
        found = [iokit.property(entry, _UUID) for entry in entries]
    return next((one for one in found if isinstance(one, str) and one), None)


def _os_description() -> str | None:
    if macos := platform.mac_ver()[0]:
        return f"macOS {macos}"
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return platform.platform() or None
