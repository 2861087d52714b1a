"""What is Metal's own: its names, its error codes, its limits."""

from __future__ import annotations

import ast
import inspect
import json
import os
import sys
from pathlib import Path

import languages
import pytest
import standin_metal
from languages import COUNT, MSL
from record_metal_names import names_of

import metalscope.drivers.metal as metal_driver
from metalscope.accelerator import MetalAccelerator
from metalscope.drivers.metal import COMMAND_BUFFER_ERRORS, MAX_BUFFERS
from metalscope.errors import (
    CompilationError,
    DeviceUnavailableError,
    MetalOperationError,
    OutOfMemoryError,
    ResourceLimitExceededError,
)
from metalscope.operation import MetalError

NAMES = json.loads(Path(__file__).with_name("pyobjc_metal_names.json").read_text())
# The objects that PyObjC gives; an attribute of one of these is a name of Apple's or PyObjC's.
FOREIGN = {
    "metal", "_metal", "objc", "_objc", "device", "_device", "_queue", "library", "function",
    "commands", "encoder", "pipeline", "buffer", "error", "group",
}  # fmt: skip


@pytest.fixture
def gpu(monkeypatch):
    return languages.stand_in(monkeypatch)


@pytest.fixture
def acc(gpu, tel):
    with MetalAccelerator("metal", tel) as accelerator:
        yield accelerator


# -- the names -----------------------------------------------------------------------------------


def names_used():
    """Each name of Apple's or PyObjC's that the driver uses, with the arguments it is called with.

    An attribute is one when what it is taken of is such an object, by the driver's own variable
    names, or comes out of a call on one.
    """
    tree = ast.parse(inspect.getsource(metal_driver))
    calls = {
        id(node.func): len(node.args) + len(node.keywords)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    used: set[tuple[str, int | None]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_foreign(node.value):
            used.add((node.attr, calls.get(id(node))))
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            used |= {(node.value, None)} if node.value.startswith("MTL") else set()
    return used


def _is_foreign(node):
    if isinstance(node, ast.Name):
        return node.id in FOREIGN
    if isinstance(node, ast.Attribute):
        return node.attr in FOREIGN
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)


# Attributes of Python's own that are taken of the same variables.
PYTHONS = {"append", "removeprefix", "set", "get", "items", "group", "threads"}


def selector_of(name):
    return name.replace("_", ":")


def test_every_name_the_driver_uses_is_one_that_the_published_wheel_knows():
    used = names_used()
    assert len(used) > 40, "the search for names finds too few to mean anything"
    unknown = {
        name
        for name, _ in used
        if selector_of(name) not in NAMES["selectors"]
        and name not in NAMES["enums"]
        and name not in NAMES["constants"]
        and name not in NAMES["functions"]
        and name not in NAMES["default_bridge"]
        and name not in PYTHONS
        and name != "MTLGPUFamily"
    }
    assert unknown == set()


def test_every_selector_is_called_with_as_many_arguments_as_it_has_colons():
    checked = 0
    for name, arguments in names_used():
        described = NAMES["selectors"].get(selector_of(name))
        if described is not None and arguments is not None:
            assert arguments == described["arguments"], name
            checked += 1
    assert checked > 25


def test_the_search_for_names_would_see_a_wrong_one(monkeypatch):
    source = inspect.getsource(metal_driver).replace("waitUntilCompleted", "waitUntilDone")
    monkeypatch.setattr(inspect, "getsource", lambda _: source)
    with pytest.raises(AssertionError, match="waitUntilDone"):
        test_every_name_the_driver_uses_is_one_that_the_published_wheel_knows()


def test_the_stand_in_offers_no_selector_that_the_wheel_does_not_know():
    offered = {
        name
        for cls in vars(standin_metal).values()
        if inspect.isclass(cls) and cls.__module__ == standin_metal.__name__
        if cls.__name__.startswith(("MTL", "NS", "VarList"))
        for name, value in vars(cls).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert "newLibraryWithSource_options_error_" in offered
    known = {*NAMES["selectors"], *map(selector_of, NAMES["default_bridge"])}
    assert {name for name in offered if selector_of(name) not in known} == set()


def test_the_recorded_names_are_those_of_the_wheel():
    wheel = os.environ.get("METALSCOPE_PYOBJC_METAL_WHEEL")
    if not wheel:
        pytest.skip("METALSCOPE_PYOBJC_METAL_WHEEL names no wheel to compare with")
    assert names_of(Path(wheel)) == NAMES


def test_what_the_wheel_is_silent_on_has_a_source_of_its_own():
    assert NAMES["version"] == "12.2.2"
    assert all(entry["of"] and entry["source"] for entry in NAMES["default_bridge"].values())
    assert not set(map(selector_of, NAMES["default_bridge"])) & set(NAMES["selectors"])


# -- the errors ----------------------------------------------------------------------------------


def test_every_code_of_a_failed_command_buffer_has_a_word():
    codes = {
        name
        for name in NAMES["enums"]
        if name.startswith("MTLCommandBufferError") and "Option" not in name
    }
    assert set(COMMAND_BUFFER_ERRORS) == codes


@pytest.mark.parametrize(("constant", "word"), sorted(COMMAND_BUFFER_ERRORS.items()))
def test_a_failed_command_buffer_is_raised_and_recorded_as_its_word(acc, gpu, tel, constant, word):
    kernel = acc.compile(MSL, "saxpy")
    buffers = [acc.allocate(4 * COUNT) for _ in range(3)]
    gpu.next_failure = constant
    with pytest.raises(MetalOperationError, match=constant) as raised:
        acc.launch(kernel, buffers[:2], buffers[2:], threads=COUNT)
    assert raised.value.metal_error is word
    assert tel.get_snapshot().errors == {word: 1}


def test_an_error_of_another_domain_is_an_internal_one(acc, gpu, tel, monkeypatch):
    monkeypatch.setattr(standin_metal.NSError, "domain", lambda self: "NSCocoaErrorDomain")
    gpu.next_failure = "MTLCommandBufferErrorTimeout"
    with pytest.raises(MetalOperationError) as raised:
        acc.synchronize()
    assert raised.value.metal_error is MetalError.INTERNAL_ERROR


def test_a_buffer_that_metal_does_not_give_is_out_of_memory(acc, gpu):
    gpu.out_of_memory = True
    with pytest.raises(OutOfMemoryError, match="4096"):
        acc.allocate(4096)


def test_a_pipeline_that_does_not_build_is_a_compilation_error(acc, gpu):
    del gpu.kernels["saxpy"]
    with pytest.raises(CompilationError, match="another GPU family"):
        acc.compile(MSL, "saxpy")


def test_a_mac_without_a_device_says_so(gpu, tel):
    gpu.present = False
    with pytest.raises(DeviceUnavailableError, match="no Metal device"):
        MetalAccelerator("metal", tel)


@pytest.mark.skipif(sys.platform == "darwin", reason="Metal is there")
def test_elsewhere_than_on_a_mac_no_extra_is_recommended(tel):
    with pytest.raises(DeviceUnavailableError, match="macOS"):
        MetalAccelerator("metal", tel)


# -- the limits ----------------------------------------------------------------------------------


def test_groups_fit_the_pipeline_in_one_dimension_and_in_two(acc, gpu):
    saxpy, negate = acc.compile(MSL, "saxpy"), acc.compile(MSL, "negate")
    buffers = [acc.allocate(4 * 5000) for _ in range(3)]
    acc.launch(saxpy, buffers[:2], buffers[2:], threads=10)
    acc.launch(saxpy, buffers[:2], buffers[2:], threads=5000)
    acc.launch(saxpy, buffers[:2], buffers[2:], threads=5000, group=256)
    acc.launch(negate, buffers[:2], buffers[2:], threads=(50, 100))
    acc.launch(negate, buffers[:2], buffers[2:], threads=(25, 4))
    assert gpu.groups == [(10, 1, 1), (1024, 1, 1), (256, 1, 1), (32, 32, 1), (25, 4, 1)]


def test_a_group_that_metal_would_end_the_process_over_is_refused(acc, gpu):
    kernel = acc.compile(MSL, "saxpy")
    with pytest.raises(ResourceLimitExceededError, match="1024"):
        acc.launch(kernel, threads=4096, group=(64, 32))
    assert gpu.groups == []


def test_more_buffers_than_a_kernel_can_have_are_refused(acc):
    kernel = acc.compile(MSL, "saxpy")
    buffers = [acc.allocate(4) for _ in range(MAX_BUFFERS + 1)]
    with pytest.raises(ResourceLimitExceededError, match=str(MAX_BUFFERS)):
        acc.launch(kernel, buffers, threads=1)


def test_what_metal_autoreleases_goes_with_each_call(acc, gpu):
    kernel = acc.compile(MSL, "saxpy")
    buffers = [acc.allocate(4 * COUNT) for _ in range(3)]
    before = gpu.pools
    for _ in range(3):
        acc.launch(kernel, buffers[:2], buffers[2:], threads=COUNT)
    acc.synchronize()
    assert gpu.pools == before + 4


def test_the_device_is_described_with_what_it_says_of_itself(acc):
    info = acc.device_info
    assert (info.name, info.backend) == ("Stand-in GPU", "metal")
    assert info.recommended_working_set_bytes == 1 << 34
    assert info.max_buffer_bytes == 1 << 28
    assert info.max_threads_per_threadgroup == 1024
    assert info.unified_memory is True
    assert info.memory_bytes is None
    assert dict(info.properties) == {"registry_id": "0x1000003a7", "family": "Apple8"}
