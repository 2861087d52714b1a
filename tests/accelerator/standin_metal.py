"""A stand-in for PyObjC's ``Metal`` and ``objc``: real selectors over a GPU in memory.

It knows no shading language. It finds the kernel functions in a source, refuses source that holds
:data:`BROKEN` with an ``NSError`` as the compiler does, and runs a Python function registered under
the kernel's name. Names and values are those of ``pyobjc_metal_names.json``; a test holds it to
that. What Metal ends the process over is an ``AssertionError`` here.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

NAMES = json.loads(Path(__file__).with_name("pyobjc_metal_names.json").read_text())
BROKEN = "undeclared_identifier"

KernelFunction = Callable[..., None]


class MTLSize(NamedTuple):
    width: int
    height: int
    depth: int


class NSError:
    def __init__(self, domain: str, code: int, text: str) -> None:
        self._domain, self._code, self._text = domain, code, text

    def domain(self):
        return self._domain

    def code(self):
        return self._code

    def localizedDescription(self):  # noqa: N802
        return self._text


class VarList:
    def __init__(self, data: bytearray) -> None:
        self._data = data

    def as_buffer(self, count):
        return memoryview(self._data)[:count]


class MTLBuffer:
    def __init__(self, length: int) -> None:
        self.data = bytearray(length)

    def contents(self):
        return VarList(self.data)

    def length(self):
        return len(self.data)


class MTLFunction:
    def __init__(self, name: str) -> None:
        self._name = name

    def name(self):
        return self._name


class MTLLibrary:
    def __init__(self, names: list[str]) -> None:
        self._names = names

    def functionNames(self):  # noqa: N802
        return list(self._names)

    def newFunctionWithName_(self, name):  # noqa: N802
        return MTLFunction(name) if name in self._names else None


class MTLComputePipelineState:
    def __init__(self, function: MTLFunction, run: KernelFunction) -> None:
        self.function, self.run = function, run

    def maxTotalThreadsPerThreadgroup(self):  # noqa: N802
        return 1024

    def threadExecutionWidth(self):  # noqa: N802
        return 32


class MTLComputeCommandEncoder:
    def __init__(self, commands: MTLCommandBuffer) -> None:
        self._commands = commands
        self._pipeline: MTLComputePipelineState | None = None
        self._buffers: dict[int, tuple[MTLBuffer, int]] = {}
        self.ended = False

    def setComputePipelineState_(self, pipeline):  # noqa: N802
        assert isinstance(pipeline, MTLComputePipelineState)
        self._pipeline = pipeline

    def setBuffer_offset_atIndex_(self, buffer, offset, index):  # noqa: N802
        assert isinstance(buffer, MTLBuffer)
        assert 0 <= index < 31
        self._buffers[index] = (buffer, offset)

    def dispatchThreads_threadsPerThreadgroup_(self, threads, group):  # noqa: N802
        assert self._pipeline is not None, "dispatch without a pipeline"
        assert isinstance(threads, MTLSize)
        assert min(threads) > 0
        assert 0 < group.width * group.height * group.depth <= 1024
        buffers = [memoryview(b.data)[offset:] for _, (b, offset) in sorted(self._buffers.items())]
        run = self._pipeline.run
        self._commands.work.append(lambda: run(threads, *buffers))
        self._commands.gpu.groups.append(tuple(group))

    def endEncoding(self):  # noqa: N802
        self.ended = True


class MTLCommandBuffer:
    def __init__(self, gpu: StandInGPU) -> None:
        self.gpu = gpu
        self.work: list[Callable[[], None]] = []
        self._encoders: list[MTLComputeCommandEncoder] = []
        self._handlers: list[Callable] = []
        self._done = threading.Event()
        self._status = NAMES["enums"]["MTLCommandBufferStatusNotEnqueued"]
        self._error: NSError | None = None
        self._start = self._end = 0.0

    def computeCommandEncoder(self):  # noqa: N802
        self._encoders.append(MTLComputeCommandEncoder(self))
        return self._encoders[-1]

    def addCompletedHandler_(self, handler):  # noqa: N802
        assert self._status == NAMES["enums"]["MTLCommandBufferStatusNotEnqueued"]
        self._handlers.append(handler)

    def commit(self):
        assert all(encoder.ended for encoder in self._encoders), "commit before endEncoding"
        self._status = NAMES["enums"]["MTLCommandBufferStatusCommitted"]
        threading.Thread(target=self._execute, daemon=True).start()

    def waitUntilCompleted(self):  # noqa: N802
        self._done.wait()

    def status(self):
        return self._status

    def error(self):
        return self._error

    def GPUStartTime(self):  # noqa: N802
        return self._start

    def GPUEndTime(self):  # noqa: N802
        return self._end

    def _execute(self) -> None:
        with self.gpu.in_order:
            failure = self.gpu.next_failure
            self.gpu.next_failure = None
            if failure is None:
                if self.work:
                    self._start = time.monotonic()
                for work in self.work:
                    work()
                if self.work:
                    self._end = time.monotonic()
                self._status = NAMES["enums"]["MTLCommandBufferStatusCompleted"]
            else:
                domain = "MTLCommandBufferErrorDomain"
                code = NAMES["enums"][failure]
                self._error = NSError(domain, code, f"the GPU gave up ({failure})")
                self._status = NAMES["enums"]["MTLCommandBufferStatusError"]
        for handler in self._handlers:
            handler(self)
        self._done.set()


class MTLCommandQueue:
    def __init__(self, gpu: StandInGPU) -> None:
        self._gpu = gpu

    def commandBuffer(self):  # noqa: N802
        return MTLCommandBuffer(self._gpu)


class MTLDevice:
    def __init__(self, gpu: StandInGPU) -> None:
        self._gpu = gpu

    def name(self):
        return "Stand-in GPU"

    def registryID(self):  # noqa: N802
        return 0x1000003A7

    def hasUnifiedMemory(self):  # noqa: N802
        return True

    def recommendedMaxWorkingSetSize(self):  # noqa: N802
        return 1 << 34

    def maxBufferLength(self):  # noqa: N802
        return 1 << 28

    def maxThreadsPerThreadgroup(self):  # noqa: N802
        return MTLSize(1024, 1024, 1024)

    def supportsFamily_(self, family):  # noqa: N802
        return family <= NAMES["enums"]["MTLGPUFamilyApple8"]

    def newCommandQueue(self):  # noqa: N802
        return MTLCommandQueue(self._gpu)

    def newBufferWithLength_options_(self, length, options):  # noqa: N802
        assert 0 < length <= self.maxBufferLength()
        assert options == NAMES["enums"]["MTLResourceStorageModeShared"]
        if self._gpu.out_of_memory:
            return None
        return MTLBuffer(length)

    def newLibraryWithSource_options_error_(self, source, options, error):  # noqa: N802
        assert error is None, "PyObjC takes None for an out argument"
        if BROKEN in source:
            line = 1 + source[: source.index(BROKEN)].count("\n")
            text = f"program_source:{line}:9: error: use of undeclared identifier '{BROKEN}'"
            code = NAMES["enums"]["MTLLibraryErrorCompileFailure"]
            return None, NSError("MTLLibraryErrorDomain", code, text)
        return MTLLibrary(re.findall(r"kernel\s+void\s+(\w+)", source)), None

    def newComputePipelineStateWithFunction_error_(self, function, error):  # noqa: N802
        assert error is None
        run = self._gpu.kernels.get(function.name())
        if run is None:
            return None, NSError("MTLLibraryErrorDomain", 1, "the kernel needs another GPU family")
        return MTLComputePipelineState(function, run), None


class StandInGPU:
    """What a test sets and sees: kernels by name, failures to come, group sizes dispatched."""

    def __init__(self, kernels: dict[str, KernelFunction]) -> None:
        self.kernels = kernels
        self.next_failure: str | None = None
        self.out_of_memory = False
        self.present = True
        self.groups: list[tuple[int, int, int]] = []
        self.pools = 0
        self.in_order = threading.Lock()

    def modules(self) -> dict[str, ModuleType]:
        """``Metal`` and ``objc``, to stand in :data:`sys.modules`."""
        metal, objc = ModuleType("Metal"), ModuleType("objc")
        metal.__dict__.update(NAMES["enums"])
        metal.__dict__.update({name: name for name in NAMES["constants"]})
        metal.MTLSize = metal.MTLSizeMake = MTLSize
        metal.MTLCreateSystemDefaultDevice = lambda: MTLDevice(self) if self.present else None
        objc.autorelease_pool = self._autorelease_pool
        return {"Metal": metal, "objc": objc}

    @contextmanager
    def _autorelease_pool(self):
        self.pools += 1
        yield
