"""Record which names PyObjC's Metal wheel knows, for checking the metal driver without a Mac.

    python tests/accelerator/record_metal_names.py pyobjc_framework_metal-….whl > \
        tests/accelerator/pyobjc_metal_names.json

The wheel's ``Metal/_metadata.py`` is data in Python: it is run here against an ``objc`` that only
writes down what it is told.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

METADATA = "Metal/_metadata.py"

# The protocols of the compute path; without this the list would be 40 times what a test needs.
SELECTORS = re.compile(
    r"""
    new(Library|Function|ComputePipelineState|CommandQueue|Buffer|Event|Fence|Heap)\w*
    | (command|compute|blit)\w* | dispatch\w* | setBuffers?:\w* | setBytes:\w*
    | setComputePipelineState | endEncoding | commit | enqueue | waitUntil\w* | add\w+Handler
    | GPU(Start|End)Time | kernel(Start|End)Time | status | error\w* | contents | length | name
    | functionNames | supportsFamily | registryID | has\w+ | is\w+ | max\w+ | threadExecutionWidth
    | currentAllocatedSize | recommendedMaxWorkingSetSize | device | label | didModifyRange
    """,
    re.VERBOSE,
)
ENUMS = re.compile(
    r"MTL(CommandBuffer(Error|Status)|LibraryError|GPUFamily|ResourceStorageMode|StorageMode)\w+"
)
FUNCTIONS = re.compile(r"MTL(CreateSystemDefaultDevice|CopyAllDevices|SizeMake)")
CONSTANTS = re.compile(r"MTL(CommandBuffer|Library)Error\w*")

# PyObjC's own bridge knows these without metadata, so the wheel is silent on them.
DEFAULT_BRIDGE = {
    "code": ("NSError", "Apple metal-cpp, Foundation/NSError.hpp: Integer code() const"),
    "domain": ("NSError", "Apple metal-cpp, Foundation/NSError.hpp: ErrorDomain domain() const"),
    "localizedDescription": (
        "NSError",
        "Apple metal-cpp, Foundation/NSError.hpp: String* localizedDescription() const",
    ),
    "as_buffer": (
        "objc.varlist",
        "PyObjC docs/api/module-objc.rst: objc.varlist.as_buffer(count), a writable memoryview",
    ),
    "autorelease_pool": (
        "objc",
        "PyObjC docs/api/module-objc.rst: objc.autorelease_pool(), a context manager",
    ),
    "width": ("MTLSize", "Metal/_metadata.py: field of the struct MTLSize"),
}


class _Anything:
    """Takes the place of what the metadata calls and we do not record."""

    def __getattr__(self, name: str) -> _Anything:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> _Anything:
        return self


def metadata_of(source: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Run the metadata; return its variables, and each selector's description."""
    selectors: dict[str, dict[str, Any]] = {}

    def register(_: bytes, selector: bytes, description: dict[str, Any]) -> None:
        selectors.setdefault(selector.decode(), description)

    objc = ModuleType("objc")
    objc.__dict__.update(
        arch="arm64",
        registerMetaDataForSelector=register,
        createStructType=lambda name, encoding, fields: (name, encoding, fields),
        __getattr__=lambda name: _Anything(),
    )
    variables: dict[str, Any] = {"__name__": "Metal._metadata"}
    before = sys.modules.get("objc")
    sys.modules["objc"] = objc
    try:
        exec(compile(source, METADATA, "exec"), variables)
    finally:
        if before is None:
            del sys.modules["objc"]
        else:
            sys.modules["objc"] = before
    return variables, selectors


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def names_of(wheel: Path) -> dict[str, Any]:
    """What the record holds."""
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read(METADATA)
    variables, selectors = metadata_of(source.decode())
    enums = dict(
        part.split("@", 1) for part in variables["enums"].strip("$").split("$") if "@" in part
    )
    constants = {part.split("@")[0] for part in variables["constants"].strip("$").split("$")}
    _, encoding, fields = variables["misc"]["MTLSize"]
    return {
        "package": "pyobjc-framework-Metal",
        "version": wheel.name.split("-")[1],
        "wheel": wheel.name,
        "file": METADATA,
        "sha256": hashlib.sha256(source).hexdigest(),
        "selectors": {
            name: {
                "arguments": name.count(":"),
                "returns": _text(description.get("retval", {}).get("type", "")),
            }
            for name, description in sorted(selectors.items())
            if SELECTORS.match(name)
        },
        "functions": sorted(name for name in variables["functions"] if FUNCTIONS.fullmatch(name)),
        "enums": {n: int(v) for n, v in sorted(enums.items()) if ENUMS.fullmatch(n)},
        "constants": sorted(name for name in constants if CONSTANTS.fullmatch(name)),
        "structs": {"MTLSize": {"encoding": _text(encoding), "fields": fields}},
        "default_bridge": {
            name: {"of": owner, "source": source}
            for name, (owner, source) in DEFAULT_BRIDGE.items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(names_of(Path(sys.argv[1])), indent=1))
