"""What is MLX's own: functions of arrays, their shapes, and threads that MLX uses."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import languages
import pytest
from languages import floats, unpack

import metalscope
from metalscope.accelerator import MetalAccelerator
from metalscope.errors import (
    InvalidArgumentError,
    OutOfMemoryError,
    ResourceLimitExceededError,
)


@pytest.fixture
def acc(tel):
    languages.need("mlx")
    with MetalAccelerator("mlx", tel) as accelerator:
        yield accelerator


def test_a_function_sees_the_shape_and_type_that_were_asked_for(acc):
    seen = []

    def transpose(a):
        seen.append((a.shape, str(a.dtype)))
        return a.T

    a = acc.allocate(24, dtype="float32", shape=(2, 3))
    out = acc.allocate(24, dtype="float32", shape=(3, 2))
    acc.copy_in(a, floats([1, 2, 3, 4, 5, 6]))
    acc.launch(acc.compile(transpose), [a], [out])
    assert seen == [((2, 3), "mlx.core.float32")]
    assert unpack(acc.copy_out(out)) == (1, 4, 2, 5, 3, 6)


def test_a_launch_is_one_operation_also_where_mlx_is_instrumented(tel):
    languages.need("mlx")
    metalscope.instrument("mlx", tel)
    try:
        with MetalAccelerator("mlx", tel) as accelerator:
            x = accelerator.allocate(8, dtype="float32")
            accelerator.copy_in(x, floats([1, 2]))
            accelerator.launch(accelerator.compile(lambda a: 2 * a, name="double"), [x], [x])
            accelerator.synchronize()
            assert unpack(accelerator.copy_out(x)) == (2, 4)
    finally:
        metalscope.uninstrument("mlx")
    counted = sorted((one.kind, one.executions) for one in tel.get_snapshot().operations)
    kinds = ["allocate", "compile", "execute", "synchronize", "transfer", "transfer"]
    assert counted == [(kind, 1) for kind in kinds]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "bfloat16", "int64", "complex64"])
def test_bytes_of_every_type_come_back(acc, dtype):
    buffer = acc.allocate(16, dtype=dtype)
    data = bytes([1, 0] * 8)
    acc.copy_in(buffer, data)
    assert acc.copy_out(buffer) == data
    acc.copy_in(buffer, b"\0\1", offset=6)
    assert acc.copy_out(buffer) == data[:6] + b"\0\1" + data[8:]


def test_a_buffer_may_be_read_and_written_by_one_launch(acc):
    x = acc.allocate(8, dtype="float32")
    acc.copy_in(x, floats([1, 2]))
    double = acc.compile(lambda a: 2 * a, name="double")
    acc.launch(double, [x], [x])
    acc.launch(double, [x], [x])
    assert unpack(acc.copy_out(x)) == (4, 8)


def test_several_outputs_go_to_their_buffers_in_order(acc):
    x, low, high = (acc.allocate(8, dtype="float32") for _ in range(3))
    acc.copy_in(x, floats([1, 2]))
    acc.launch(acc.compile(lambda a: (a - 1, a + 1)), [x], [low, high])
    assert unpack(acc.copy_out(low)) + unpack(acc.copy_out(high)) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    "function",
    [
        lambda a: (a, a),
        lambda a: a[:1],
        lambda a: a > 0,
        lambda a: None,
        lambda a: a @ a.reshape(1, 2),
        lambda a, b: a,
    ],
    ids=["too many", "too short", "another type", "no array", "shapes", "arguments"],
)
def test_a_function_that_does_not_fit_its_buffers_is_refused_and_changes_nothing(acc, function):
    x = acc.allocate(8, dtype="float32")
    acc.copy_in(x, floats([1, 2]))
    with pytest.raises(InvalidArgumentError):
        acc.launch(acc.compile(function, name="wrong"), [x], [x])
    assert unpack(acc.copy_out(x)) == (1, 2)


class OwnError(Exception):
    pass


@pytest.mark.parametrize("timeout", [None, 60])
def test_an_exception_of_the_functions_own_goes_through_untouched(acc, tel, timeout):
    def fails(a):
        raise OwnError("mine")

    x = acc.allocate(8, dtype="float32")
    with pytest.raises(OwnError, match="mine"):
        acc.launch(acc.compile(fails), [x], [x], timeout=timeout)
    assert tel.get_snapshot().total_errors == 1


def test_memory_that_mlx_would_end_the_process_over_is_refused(acc):
    with pytest.raises(OutOfMemoryError):
        acc.allocate(1 << 50, shape=(1 << 25, 1 << 25))
    assert acc.copy_out(acc.allocate(4)) == bytes(4)


def test_a_row_longer_than_mlx_counts_is_a_limit(acc, monkeypatch):
    monkeypatch.setattr("metalscope.drivers.mlx._refuse_the_impossible", lambda nbytes: None)
    with pytest.raises(ResourceLimitExceededError):
        acc.allocate(1 << 32)


def test_a_program_that_used_timeouts_ends_well():
    languages.need("mlx")
    code = """
        from metalscope.accelerator import MetalAccelerator

        def double(x):
            return 2 * x

        with MetalAccelerator("mlx") as acc:
            x = acc.allocate(4000, dtype="float32")
            kernel = acc.compile(double)
            acc.launch(kernel, [x], [x])
            acc.launch(kernel, [x], [x], timeout=30)
            acc.synchronize()
    """
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
