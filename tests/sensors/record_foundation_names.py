"""Record what PyObjC's Cocoa wheel knows of NSProcessInfo, to hold the thermal sensor against it.

    python tests/sensors/record_foundation_names.py pyobjc_framework_cocoa-….whl > \
        tests/sensors/recorded/pyobjc_foundation_names.json

The wheel's ``Foundation/_metadata.py`` is data: what is looked for is one line of it, or a part of
one. PyObjC does not describe a method whose types the runtime tells it well enough, so
``thermalState`` is there by the numbers it returns.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

METADATA = "Foundation/_metadata.py"
BY_DOCUMENTATION = {
    "processInfo": "https://developer.apple.com/documentation/foundation/processinfo/processinfo",
    "thermalState": "https://developer.apple.com/documentation/foundation/processinfo/thermalstate-swift.property",
    "isLowPowerModeEnabled": "https://developer.apple.com/documentation/foundation/processinfo/islowpowermodeenabled",
}


def names_of(wheel: Path) -> dict[str, Any]:
    """What the record holds."""
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read(METADATA)
    text = source.decode()
    selectors = re.findall(
        r'r\(b"NSProcessInfo", b"(is\w+)", \{"retval": \{"type": b?"(\w)"\}\}\)', text
    )
    states = re.findall(r"\$NSProcessInfoThermalState([A-Z][a-z]+)@(\d)", text)
    return {
        "package": "pyobjc-framework-Cocoa",
        "version": wheel.name.split("-")[1],
        "wheel": wheel.name,
        "file": METADATA,
        "sha256": hashlib.sha256(source).hexdigest(),
        "selectors": dict(selectors),
        "thermal_states": {name: int(number) for name, number in states},
        "documentation": BY_DOCUMENTATION,
    }


if __name__ == "__main__":
    print(json.dumps(names_of(Path(sys.argv[1])), indent=1))
