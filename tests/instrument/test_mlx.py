from __future__ import annotations

import copy
import functools
import inspect
import pickle
import re
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from metalscope import MetalError, MetalTelemetryManager, instrument, uninstrument
from metalscope.instrument import settle
from metalscope.instrument._mlx_completion import MAX_MARKERS
from metalscope.instrument._mlx_tree import MAX_LEAVES
from recorded import Recorded

DEVICE = f"{'gpu' if mx.default_device() == mx.Device(mx.gpu) else 'cpu'}:0"


def heavy(products: int = 12, size: int = 512) -> Any:
    """An array not yet evaluated that takes a noticeable time, in few enough operations.

    MLX lets no more than about a hundred run ahead: of more, submitting would have to wait.
    """
    matrix = mx.ones((size, size)) / size
    product = matrix
    for _ in range(products):
        product = product @ matrix
    return product


# -- evaluation ----------------------------------------------------------------------------------


def test_each_eval_is_one_execute_with_the_bytes_of_its_arrays(recorded: Recorded) -> None:
    for _ in range(3):
        mx.eval(mx.ones((10, 10)) + 1)
    mx.eval({"a": [mx.zeros(5), (mx.zeros(5, dtype=mx.int8), "no array")], "b": None})
    evaluated = recorded.one("execute", "eval")
    assert evaluated.executions == 4
    assert evaluated.nbytes == 3 * 400 + 20 + 5
    assert evaluated.device == DEVICE


def test_the_walk_for_bytes_ends_at_its_bound(recorded: Recorded) -> None:
    mx.eval([mx.array(1, dtype=mx.int8)] * (MAX_LEAVES + 500))
    assert recorded.one("execute", "eval").nbytes == MAX_LEAVES


def test_the_duration_of_eval_contains_the_work(recorded: Recorded) -> None:
    work = heavy()
    started = time.perf_counter_ns()
    mx.eval(work)
    took = time.perf_counter_ns() - started
    # What is not the work is far less than half of so long an evaluation.
    assert took * 0.5 < recorded.one("execute", "eval").durations.sum_ns <= took


def test_a_failing_eval_raises_what_mlx_raises_and_is_an_error(recorded: Recorded) -> None:
    with pytest.raises(RuntimeError, match=r"\[Inverse::eval_cpu\]"):
        mx.eval(mx.linalg.inv(mx.zeros((3, 3)), stream=mx.cpu))
    assert recorded.one("execute", "eval").errors == {MetalError.INTERNAL_ERROR: 1}


def test_calls_with_bad_arguments_raise_as_before(recorded: Recorded) -> None:
    for call in (lambda: mx.synchronize("x"), mx.load, lambda: mx.eval(x=1)):
        with pytest.raises(TypeError) as ours:
            call()
        assert not isinstance(ours.value, AssertionError)
    assert recorded.one("synchronize", "synchronize").errors == {MetalError.INVALID_ARGUMENT: 1}


def test_synchronize_is_recorded_with_whatever_stream_it_is_given(recorded: Recorded) -> None:
    mx.synchronize()
    mx.synchronize(mx.default_stream(mx.default_device()))
    mx.synchronize(stream=mx.default_stream(mx.default_device()))
    assert recorded.counts() == {("synchronize", "synchronize"): 3}


# -- asynchronous evaluation ---------------------------------------------------------------------


def test_async_eval_lasts_until_the_work_is_complete_and_does_not_wait(recorded: Recorded) -> None:
    work = heavy()
    started = time.perf_counter_ns()
    mx.async_eval(work)
    submitted = time.perf_counter_ns() - started
    mx.synchronize()
    completed = time.perf_counter_ns() - started
    pause_s = 1.0
    time.sleep(pause_s)
    ops = recorded.one("execute", "async_eval")
    assert ops.executions == 1
    assert ops.nbytes == work.nbytes
    assert submitted < completed / 2 < ops.durations.sum_ns < completed + pause_s * 1e9


def test_nothing_is_recorded_before_asynchronous_work_is_complete(recorded: Recorded) -> None:
    mx.async_eval(heavy())
    pending = recorded.telemetry.get_snapshot().total_operations
    assert pending == 0
    assert recorded.counts() == {("execute", "async_eval"): 1}


def test_asynchronous_work_that_nobody_reads_is_counted(recorded: Recorded) -> None:
    for _ in range(20):
        mx.async_eval(mx.ones((8, 8)) @ mx.ones((8, 8)))
    assert recorded.counts() == {("execute", "async_eval"): 20}


def test_more_asynchronous_work_than_there_are_markers_is_counted(recorded: Recorded) -> None:
    x = heavy()
    for _ in range(4 * MAX_MARKERS):
        x = x + 1
        mx.async_eval(x)
    assert recorded.counts() == {("execute", "async_eval"): 4 * MAX_MARKERS}


def test_values_are_right_while_completion_is_watched(recorded: Recorded) -> None:
    x = mx.zeros((50,))
    for _ in range(300):
        x = x + 1
        mx.async_eval(x, {"twice": [x * 2]})
    assert x.tolist() == [300.0] * 50
    assert recorded.counts()["execute", "async_eval"] == 300


def test_threads_submit_at_once_and_every_evaluation_is_counted(recorded: Recorded) -> None:
    def work() -> None:
        stream = mx.new_stream(mx.default_device())
        with mx.stream(stream):
            x = mx.zeros((20,))
            for _ in range(50):
                x = x + 1
                mx.async_eval(x)
            assert x.sum().item() == 1000
            for _ in range(50):
                mx.eval(x + 1)

    failures: list[BaseException] = []
    before, threading.excepthook = (
        threading.excepthook,
        lambda args: failures.append(args.exc_value or AssertionError()),
    )
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    finally:
        threading.excepthook = before
    assert failures == []
    counts = recorded.counts()
    assert counts["execute", "async_eval"] == 200
    assert counts["execute", "eval"] == 200
    assert counts["synchronize", "item"] == 4


def test_streams_that_are_cleared_away_are_made_anew(recorded: Recorded) -> None:
    if not hasattr(mx, "clear_streams"):
        pytest.skip("this MLX has no clear_streams")

    def work() -> None:
        mx.async_eval(mx.ones(3) + 1)
        mx.synchronize()
        mx.clear_streams()
        fresh = mx.new_stream(mx.cpu)
        mx.async_eval(mx.add(mx.array([1.0]), 1, stream=fresh))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert recorded.one("execute", "async_eval").successes == 2


def test_async_eval_of_nothing_or_of_what_is_there_counts(recorded: Recorded) -> None:
    ready = mx.array([1, 2])
    mx.eval(ready)
    mx.async_eval()
    mx.async_eval([None, "x"])
    mx.async_eval(ready)
    assert recorded.one("execute", "async_eval").successes == 3


def test_the_program_gets_the_exception_of_failing_asynchronous_work_and_it_is_counted(
    recorded: Recorded,
) -> None:
    # The failing product waits behind long work on its stream, so the submission comes first.
    stream = mx.new_stream(mx.cpu)
    with mx.stream(stream):
        slow = heavy()
        failing = mx.linalg.inv(mx.zeros((3, 3)) + 0 * slow[:3, :3], stream=stream)
    mx.async_eval(failing)
    with pytest.raises(RuntimeError, match=r"\[Inverse::eval_cpu\]"):
        failing.tolist()
    # MLX hands the failure to whoever touches the work first after it happened: the read always
    # fails; whether the completion sees it too is decided by which of them comes first.
    assert recorded.one("execute", "async_eval").executions == 1
    assert recorded.one("synchronize", "tolist").errors == {MetalError.INTERNAL_ERROR: 1}


def test_async_eval_inside_a_transformation_fails_as_before(recorded: Recorded) -> None:
    def function(x: Any) -> Any:
        y = x * 2
        mx.async_eval(y)
        return y

    with pytest.raises(ValueError, match="Not allowed inside a graph transformation"):
        mx.compile(function)(mx.array(1.0))
    assert recorded.one("execute", "async_eval").errors == {MetalError.INVALID_ARGUMENT: 1}


# -- reads ---------------------------------------------------------------------------------------

READS: dict[str, tuple[Callable[[Any], object], object]] = {
    "item": (lambda x: x.item(), 3),
    "tolist": (lambda x: x.tolist(), 3),
    "numpy": (lambda x: x.__array__().tolist(), 3),
    "float": (float, 3.0),
    "int": (int, 3),
    "bool": (bool, True),
    "complex": (complex, 3 + 0j),
    "repr": (repr, "array(3, dtype=int32)"),
    "format": (lambda x: f"{x}", "3"),
    "pickle": (lambda x: pickle.loads(pickle.dumps(x)).shape, ()),
    "dlpack": (lambda x: type(x.__dlpack__()).__name__, "PyCapsule"),
}


@pytest.mark.parametrize("name", READS)
def test_reading_a_value_is_one_synchronize(name: str, recorded: Recorded) -> None:
    read, value = READS[name]
    assert read(mx.array(1) + mx.array(2)) == value
    counts = recorded.counts()
    assert counts.pop(("synchronize", name)) == 1
    assert counts == {}
    assert recorded.one("synchronize", name).nbytes == 4


def test_an_array_as_an_index_is_a_read(recorded: Recorded) -> None:
    assert [10, 20, 30][mx.array(1)] == 20
    assert recorded.counts() == {("synchronize", "int"): 1}


def test_numpy_and_memoryview_still_share_the_memory(recorded: Recorded) -> None:
    x = mx.arange(4) + 0
    assert np.array(x, copy=False).tolist() == memoryview(x).tolist() == [0, 1, 2, 3]


def test_a_failing_read_raises_what_mlx_raises(recorded: Recorded) -> None:
    with pytest.raises(ValueError, match="length-1"):
        mx.ones((2, 2)).item()
    assert recorded.one("synchronize", "item").errors == {MetalError.INVALID_ARGUMENT: 1}


# -- compiled functions --------------------------------------------------------------------------


def test_a_compile_for_each_trace_and_an_execute_for_each_call(recorded: Recorded) -> None:
    bodies = 0

    @mx.compile
    def double(x: Any) -> Any:
        nonlocal bodies
        bodies += 1
        return x + x

    calls = 0
    for shape in ((2,), (3,), (2,), (4, 4), (3,)):
        mx.eval(double(mx.ones(shape)))
        calls += 1
    name = "test_a_compile_for_each_trace_and_an_execute_for_each_call.<locals>.double"
    counts = recorded.counts()
    assert bodies == 3
    assert counts == {
        ("compile", name): bodies,
        ("execute", name): calls,
        ("execute", "eval"): calls,
    }


def named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    function.__qualname__ = name
    return function


def test_a_compile_ends_with_the_trace_and_the_execute_begins_there(recorded: Recorded) -> None:
    def slow(x: Any) -> Any:
        time.sleep(0.05)
        return x + 1

    compiled = mx.compile(named(slow, "slow"))
    started = time.perf_counter_ns()
    compiled(mx.ones(2))
    took = time.perf_counter_ns() - started
    compile_ns = recorded.one("compile", "slow").durations.sum_ns
    execute_ns = recorded.one("execute", "slow").durations.sum_ns
    assert compile_ns >= 50_000_000
    assert compile_ns + execute_ns <= took


def test_every_way_to_call_compile_is_seen(recorded: Recorded) -> None:
    state = [mx.array(1.0)]

    @functools.partial(mx.compile, inputs=state, outputs=state)
    def step(x: Any) -> Any:
        state[0] = state[0] + x
        return state[0] * 2

    @functools.partial(mx.compile, shapeless=True)
    def shapeless(x: Any, *, y: Any) -> Any:
        return x * y

    by_keyword = mx.compile(fun=named(lambda x: x - 1, "by_keyword"))
    positional = mx.compile(named(lambda x: x - 1, "positional"), None, None, False)
    assert [step(mx.array(2.0)).item() for _ in range(3)] == [6.0, 10.0, 14.0]
    assert state[0].item() == 7.0
    assert shapeless(mx.ones(3), y=mx.ones(3)).tolist() == [1, 1, 1]
    assert shapeless(mx.ones(5), y=mx.ones(5)).tolist() == [1] * 5
    assert by_keyword(mx.array(3)).item() == positional(mx.array(3)).item() == 2
    counts = recorded.counts()
    prefix = "test_every_way_to_call_compile_is_seen.<locals>."
    assert counts["execute", prefix + "step"] == 3
    assert counts["compile", prefix + "step"] == 1
    assert counts["execute", prefix + "shapeless"] == 2
    assert counts["compile", prefix + "shapeless"] == 1
    assert counts["execute", "by_keyword"] == counts["execute", "positional"] == 1


def test_names_see_through_partials_transformations_and_callable_objects(
    recorded: Recorded,
) -> None:
    class Layer:
        def __call__(self, x: Any) -> Any:
            return x * 3

    Layer.__qualname__ = "Layer"

    def loss(x: Any, scale: float = 1.0) -> Any:
        return (x * scale).sum()

    named(loss, "loss")
    mx.compile(functools.partial(loss, scale=2.0))(mx.ones(2))
    mx.compile(mx.grad(loss))(mx.ones(2))
    mx.compile(Layer())(mx.ones(2))
    assert recorded.counts() == {
        ("compile", "loss"): 2,
        ("execute", "loss"): 2,
        ("compile", "Layer"): 1,
        ("execute", "Layer"): 1,
    }


def test_calls_inside_a_trace_execute_nothing(recorded: Recorded) -> None:
    inner = mx.compile(named(lambda x: x + 1, "inner"))
    outer = mx.compile(named(lambda x: inner(inner(x)) * 2, "outer"))
    assert outer(mx.array(1)).item() == 6
    assert outer(mx.array(2)).item() == 8
    counts = recorded.counts()
    assert counts["execute", "outer"] == 2
    assert ("execute", "inner") not in counts
    assert inner(mx.array(1)).item() == 2
    assert recorded.counts()["execute", "inner"] == 1


def test_a_failing_trace_is_a_compile_that_failed_and_no_execute(recorded: Recorded) -> None:
    multiply = mx.compile(named(lambda x, y: x @ y, "multiply"))
    with pytest.raises(ValueError, match="matmul"):
        multiply(mx.ones((2, 3)), mx.ones((4, 5)))
    with pytest.raises(ValueError, match="Function arguments must be"):
        multiply(object(), mx.ones((4, 5)))
    assert multiply(mx.ones((2, 3)), mx.ones((3, 2))).shape == (2, 2)
    ops = recorded.all()
    assert ops["compile", "multiply"].errors == {MetalError.INVALID_ARGUMENT: 1}
    assert ops["compile", "multiply"].successes == 1
    assert ops["execute", "multiply"].errors == {MetalError.INVALID_ARGUMENT: 1}
    assert ops["execute", "multiply"].successes == 1


def test_while_compilation_is_disabled_calls_are_no_compiles(recorded: Recorded) -> None:
    add = mx.compile(named(lambda x: x + 1, "add"))
    mx.disable_compile()
    try:
        add(mx.array(1))
        add(mx.array(1))
    finally:
        mx.enable_compile()
    assert recorded.counts() == {("execute", "add"): 2}
    add(mx.array(1))
    add(mx.array(1))
    assert recorded.counts() == {("execute", "add"): 4, ("compile", "add"): 1}


def test_two_compilations_of_one_function_share_their_traces_as_in_mlx() -> None:
    def traces() -> int:
        bodies = 0

        def function(x: Any) -> Any:
            nonlocal bodies
            bodies += 1
            return x + 1

        first, second = mx.compile(function), mx.compile(function)
        first(mx.ones(2))
        second(mx.ones(2))
        return bodies

    bare = traces()
    instrument("mlx", MetalTelemetryManager())
    try:
        assert traces() == bare
    finally:
        uninstrument("mlx")


def test_a_compiled_function_looks_like_mlx_s_own(recorded: Recorded) -> None:
    def function(x: Any, y: int = 2) -> Any:
        """Adds."""
        return x + y

    function.note = "kept"  # type: ignore[attr-defined]

    def look(compiled: Any) -> dict[str, object]:
        return {
            "doc": compiled.__doc__,
            "name": compiled.__name__,
            "qualname": compiled.__qualname__,
            "module": compiled.__module__,
            "code": compiled.__code__,
            "dict": dict(compiled.__dict__, __wrapped__=None),
            "note": compiled.note,
            "signature": str(inspect.signature(compiled)),
            "repr": re.sub("0x[0-9a-f]+", "", repr(compiled)),
            "unwrapped": inspect.unwrap(compiled, stop=lambda one: one is function).__name__,
            "none": hasattr(compiled, "no_such_attribute"),
            "binds": hasattr(type(compiled), "__get__"),
            "copy": _failure(lambda: copy.copy(compiled)),
            "deepcopy": _failure(lambda: copy.deepcopy(compiled)),
            "pickle": _failure(lambda: pickle.dumps(compiled)),
            "set": _failure(lambda: setattr(compiled, "other", 1)) is not None,
        }

    ours = look(mx.compile(function))
    uninstrument("mlx")
    assert ours == look(mx.compile(function))


def _failure(call: Callable[[], object]) -> str | None:
    try:
        call()
    except Exception as error:
        return repr(error)
    return None


def test_a_compiled_function_as_a_class_attribute_does_not_bind(recorded: Recorded) -> None:
    class Model:
        activation = mx.compile(lambda x: x * 2)

    assert Model().activation(mx.array(2)).item() == 4


def test_a_compiled_function_can_be_transformed(recorded: Recorded) -> None:
    square = mx.compile(lambda x: x * x)
    assert mx.grad(square)(mx.array(3.0)).item() == 6.0
    assert mx.vmap(square)(mx.array([1.0, 2.0])).tolist() == [1.0, 4.0]


def test_what_cannot_be_compiled_is_refused_as_before(recorded: Recorded) -> None:
    with pytest.raises(TypeError, match="compile"):
        mx.compile(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="compile"):
        mx.compile()  # type: ignore[call-arg]


# -- kernels and files ---------------------------------------------------------------------------


def test_a_metal_kernel_is_recorded_under_its_name(recorded: Recorded) -> None:
    kernel = mx.fast.metal_kernel(
        name="halve", input_names=["a"], output_names=["b"], source="b[0] = a[0];"
    )
    bare = mx.fast.metal_kernel.__wrapped__(
        name="halve", input_names=["a"], output_names=["b"], source="b[0] = a[0];"
    )
    assert kernel.__doc__ == bare.__doc__
    assert kernel.__name__ == bare.__name__

    def call() -> None:
        kernel(
            inputs=[mx.ones(1)],
            grid=(1, 1, 1),
            threadgroup=(1, 1, 1),
            output_shapes=[(1,)],
            output_dtypes=[mx.float32],
        )

    if mx.metal.is_available():
        call()
        assert recorded.one("execute", "halve").successes == 1
    else:
        with pytest.raises(RuntimeError, match=r"^\[metal_kernel\] No Metal back-end\.$"):
            call()
        assert recorded.one("execute", "halve").errors == {MetalError.DEVICE_UNAVAILABLE: 1}


def test_saves_and_loads_are_transfers_with_their_bytes(recorded: Recorded, tmp_path: Path) -> None:
    weights = {"a": mx.ones((10, 10)), "b": mx.zeros(5)}
    mx.save(str(tmp_path / "a.npy"), weights["a"])
    mx.savez(str(tmp_path / "w.npz"), **weights)
    mx.savez_compressed(str(tmp_path / "c.npz"), weights["b"])
    mx.save_safetensors(str(tmp_path / "w.safetensors"), weights, metadata={"x": "y"})
    loaded = mx.load(str(tmp_path / "w.safetensors"))
    mx.load(str(tmp_path / "a.npy"))
    with (tmp_path / "f.npy").open("wb") as file:
        mx.save(file, weights["b"])
    assert loaded["b"].tolist() == [0] * 5
    transfers = {key[1]: one for key, one in recorded.all().items() if key[0] == "transfer"}
    assert {name: (one.executions, one.nbytes) for name, one in transfers.items()} == {
        "save": (2, 420),
        "savez": (1, 420),
        "savez_compressed": (1, 20),
        "save_safetensors": (1, 420),
        "load": (2, 820),
    }


def test_a_file_that_is_not_there_raises_what_mlx_raises(
    recorded: Recorded, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="nope"):
        mx.load(str(tmp_path / "nope.npy"))
    assert recorded.one("transfer", "load").error_count == 1


# -- being invisible -----------------------------------------------------------------------------


def test_tracebacks_are_the_very_ones_of_mlx_alone(recorded: Recorded) -> None:
    compiled = mx.compile(_fail)
    kernel = mx.fast.metal_kernel(
        name="k", input_names=["a"], output_names=["b"], source="b[0] = a[0];"
    )
    calls: list[Callable[[], object]] = [
        lambda: mx.eval(mx.linalg.inv(mx.zeros((2, 2)), stream=mx.cpu)),
        lambda: mx.ones((2, 2)).item(),
        lambda: compiled(mx.ones(1)),
        lambda: mx.compile(3),  # type: ignore[arg-type]
        lambda: mx.load("/no/such/file.npy"),
        lambda: kernel(1),
    ]
    for call in calls:
        with pytest.raises((RuntimeError, ValueError, TypeError)) as failure:
            call()
        files = {frame.filename for frame in traceback.extract_tb(failure.value.__traceback__)}
        assert files == {__file__}


def _fail(x: Any) -> Any:
    raise ValueError("in the function")


def test_wrappers_carry_the_names_and_documents_of_what_they_wrap(recorded: Recorded) -> None:
    for function in (mx.eval, mx.async_eval, mx.compile, mx.synchronize, mx.load, mx.array.item):
        original = function.__wrapped__  # type: ignore[attr-defined]
        assert function.__name__ == original.__name__
        assert function.__doc__ == original.__doc__
        assert function.__module__ == original.__module__


def held() -> dict[tuple[int, str], object]:
    return {
        (id(owner), name): value
        for owner in (mx, mx.fast, mx.array, mx.random, mx.linalg, mx.metal)
        for name, value in vars(owner).items()
    }


def test_uninstrument_puts_back_the_very_objects() -> None:
    before = held()
    telemetry = MetalTelemetryManager()
    instrument("mlx", telemetry)
    between = held()
    changed = {key for key in before if between[key] is not before[key]}
    assert len(changed) > 15
    uninstrument("mlx")
    after = held()
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] for key in before)
    assert (repr(mx.array(1)), float(mx.array(1)), bool(mx.array(0))) == (
        "array(1, dtype=int32)",
        1.0,
        False,
    )
    assert telemetry.get_snapshot().total_operations == 0


def test_instrumenting_twice_counts_once_and_uninstrument_is_idempotent() -> None:
    telemetry = MetalTelemetryManager()
    before = held()
    instrument("mlx", telemetry)
    instrument("mlx", telemetry)
    mx.eval(mx.ones(1))
    uninstrument("mlx")
    uninstrument("mlx")
    assert telemetry.get_snapshot().total_operations == 1
    assert all(one is before[key] for key, one in held().items())


def test_instrumenting_with_other_telemetry_moves_over() -> None:
    first, second = MetalTelemetryManager(), MetalTelemetryManager()
    instrument("mlx", first)
    compiled = mx.compile(lambda x: x + 1)
    compiled(mx.ones(1))
    instrument("mlx", second)
    try:
        compiled(mx.ones(1))
        mx.eval(mx.ones(1))
    finally:
        uninstrument("mlx")
    assert first.get_snapshot().total_operations == 2
    assert second.get_snapshot().total_operations == 2
    assert [one for one in first.get_snapshot().resources if one.name.startswith("mlx")] == []


def test_what_the_program_kept_goes_on_working_and_records_no_more(recorded: Recorded) -> None:
    kept_eval, compiled = mx.eval, mx.compile(lambda x: x + 1)
    uninstrument("mlx")
    value = compiled(mx.array(1))
    kept_eval(value)
    assert value.item() == 2
    assert recorded.counts() == {}


def test_a_replacement_by_somebody_else_is_left_in_place(recorded: Recorded) -> None:
    ours = mx.eval

    def theirs(*args: Any) -> Any:
        return ours(*args)

    original = ours.__wrapped__  # type: ignore[attr-defined]
    mx.eval = theirs
    try:
        uninstrument("mlx")
        assert mx.eval is theirs
        mx.eval(mx.ones(1))
    finally:
        mx.eval = original
    assert recorded.counts() == {}


def test_telemetry_that_is_off_records_nothing_and_changes_nothing() -> None:
    from metalscope import MetalTelemetryOptions

    telemetry = MetalTelemetryManager(MetalTelemetryOptions(enabled=False))
    instrument("mlx", telemetry)
    try:
        x = mx.compile(lambda x: x + 1)(mx.array(1))
        mx.async_eval(x)
        assert x.item() == 2
        assert settle(30)
    finally:
        uninstrument("mlx")
    assert telemetry.get_snapshot().total_operations == 0


# -- memory and device ---------------------------------------------------------------------------


def test_memory_is_what_mlx_says(recorded: Recorded) -> None:
    block = mx.zeros((256, 1024))
    mx.eval(block)
    readings = {one.name: one for one in recorded.telemetry.get_snapshot().resources}
    active = readings["mlx_active"]
    assert active.current == mx.get_active_memory() >= block.nbytes
    assert active.peak == mx.get_peak_memory() >= active.current
    assert active.limit == mx.get_memory_limit() > 0
    assert (active.device, active.unit) == (DEVICE, "bytes")
    assert readings["mlx_cache"].current == mx.get_cache_memory()


def test_the_device_is_named_and_the_sensor_goes_with_the_instrument(recorded: Recorded) -> None:
    snapshot = recorded.telemetry.get_snapshot()
    assert snapshot.system is not None
    (device,) = snapshot.system.devices
    assert device.backend == "mlx"
    assert device.name == mx.device_info()["device_name"]
    assert dict(device.properties)["device"] == DEVICE
    uninstrument("mlx")
    after = recorded.telemetry.get_snapshot().resources
    assert [one for one in after if one.name.startswith("mlx")] == []


def test_an_operation_is_labelled_with_the_default_device_of_the_moment(
    recorded: Recorded,
) -> None:
    before = mx.default_device()
    try:
        mx.set_default_device(mx.cpu)
        mx.eval(mx.ones(1))
    finally:
        mx.set_default_device(before)
    assert recorded.one("execute", "eval").device == "cpu:0"
