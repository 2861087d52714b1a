"""What every driver does alike: the same tests on mlx, webgpu and metal."""

from __future__ import annotations

import array
import threading

import pytest
from languages import COUNT, FACTOR, SLOW_THREADS, floats, unpack

from metalscope.accelerator import MetalAccelerator
from metalscope.errors import (
    CompilationError,
    InvalidArgumentError,
    InvalidOperationError,
    MetalOperationError,
    OperationTimeoutError,
    OutOfMemoryError,
    ResourceLimitExceededError,
)
from metalscope.manager import MetalTelemetryManager
from metalscope.operation import MetalError

NBYTES = 4 * COUNT
X = [float(i % 32) for i in range(COUNT)]
Y = [0.5 * (i % 8) for i in range(COUNT)]


def vector(acc, values=None):
    buffer = acc.allocate(NBYTES, dtype="float32")
    if values is not None:
        acc.copy_in(buffer, floats(values))
    return buffer


def compiled(acc, language, name):
    return acc.compile(language.sources[name], language.entries[name], name=name)


def counted(tel):
    """Executions by kind, name and outcome."""
    return {
        (str(operation.kind), operation.name, outcome.outcome): outcome.count
        for operation in tel.get_snapshot().operations
        for outcome in operation.outcomes
    }


def series(tel, kind, name):
    return next(o for o in tel.get_snapshot().operations if (o.kind, o.name) == (kind, name))


def memory(tel, driver):
    return [r for r in tel.get_snapshot().resources if r.name == f"accelerator_{driver}"]


# -- doing the work ------------------------------------------------------------------------------


def test_saxpy_computes_what_it_says(acc, language):
    x, y, out = vector(acc, X), vector(acc, Y), vector(acc)
    acc.launch(compiled(acc, language, "saxpy"), [x, y], [out], threads=COUNT)
    expected = [FACTOR * a + b for a, b in zip(X, Y, strict=True)]
    assert list(unpack(acc.copy_out(out))) == expected
    assert list(unpack(acc.copy_out(x))) == X, "an input was written to"


def test_a_second_kernel_of_the_same_source_runs_in_two_dimensions(acc, language):
    x, y, out = vector(acc, X), vector(acc, Y), vector(acc)
    acc.launch(compiled(acc, language, "negate"), [x, y], [out], threads=(25, 40))
    assert list(unpack(acc.copy_out(out))) == [-a for a in X]


def test_a_launch_with_time_enough_ends_as_one_without(acc, language):
    x, y, out = vector(acc, X), vector(acc, Y), vector(acc)
    acc.launch(compiled(acc, language, "saxpy"), [x, y], [out], threads=COUNT, timeout=60)
    assert unpack(acc.copy_out(out))[5] == FACTOR * X[5] + Y[5]


def test_new_memory_is_zero(acc):
    assert acc.copy_out(acc.allocate(77)) == bytes(77)


@pytest.mark.parametrize(("offset", "size"), [(0, 64), (0, 1), (3, 6), (5, 59), (8, 8), (63, 1)])
def test_bytes_written_anywhere_come_back_and_their_neighbours_stay(acc, offset, size):
    before = bytes(range(100, 164))
    data = bytes(range(1, size + 1))
    buffer = acc.allocate(64)
    acc.copy_in(buffer, before)
    acc.copy_in(buffer, data, offset=offset)
    assert acc.copy_out(buffer) == before[:offset] + data + before[offset + size :]
    assert acc.copy_out(buffer, offset=offset, nbytes=size) == data


def test_odd_sizes_keep_their_last_bytes(acc):
    buffer = acc.allocate(7)
    acc.copy_in(buffer, b"abcdefg")
    assert acc.copy_out(buffer) == b"abcdefg"
    assert acc.copy_out(buffer, offset=6) == b"g"


def test_anything_with_a_buffer_is_data(acc):
    numpy = pytest.importorskip("numpy")
    buffer = acc.allocate(32)
    for data in (
        array.array("d", [1.0, 2.0, 3.0, 4.0]),
        numpy.arange(4, dtype="float64").reshape(2, 2),
        numpy.arange(4, dtype="complex64") * 1j,
        memoryview(bytes(range(32))),
    ):
        acc.copy_in(buffer, data)
        assert acc.copy_out(buffer) == bytes(memoryview(data).tobytes())


def test_threads_of_one_accelerator_do_not_mix_their_work_up(acc, language, tel):
    saxpy = compiled(acc, language, "saxpy")
    wrong: list[object] = []

    def work(number):
        try:
            with vector(acc, [float(number)] * COUNT) as x, vector(acc, Y) as y, vector(acc) as out:
                for _ in range(5):
                    acc.launch(saxpy, [x, y], [out], threads=COUNT)
                    if unpack(acc.copy_out(out))[0] != FACTOR * number + Y[0]:
                        wrong.append(number)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert series(tel, "execute", "saxpy").executions == 20
    assert memory(tel, acc.driver_name)[0].current == 0


# -- what is recorded ----------------------------------------------------------------------------


def test_every_operation_is_counted_once_with_its_bytes(acc, language, tel):
    x, y = vector(acc, X), vector(acc, Y)
    out = acc.allocate(NBYTES, dtype="float32", name="result")
    saxpy = compiled(acc, language, "saxpy")
    for _ in range(3):
        acc.launch(saxpy, [x, y], [out], threads=COUNT)
    acc.synchronize()
    acc.copy_out(out, nbytes=40)
    assert counted(tel) == {
        ("allocate", "buffer", "ok"): 2,
        ("allocate", "result", "ok"): 1,
        ("transfer", "copy_in", "ok"): 2,
        ("transfer", "copy_out", "ok"): 1,
        ("compile", "saxpy", "ok"): 1,
        ("execute", "saxpy", "ok"): 3,
        ("synchronize", "synchronize", "ok"): 1,
    }
    assert series(tel, "allocate", "buffer").nbytes == 2 * NBYTES
    assert series(tel, "transfer", "copy_in").nbytes == 2 * NBYTES
    assert series(tel, "transfer", "copy_out").nbytes == 40
    assert {o.device for o in tel.get_snapshot().operations} == {acc._driver.device_label}


def test_device_time_stands_where_the_device_tells_it_and_is_absent_elsewhere(acc, language, tel):
    x, y, out = vector(acc, X), vector(acc, Y), vector(acc)
    for _ in range(2):
        acc.launch(compiled(acc, language, "saxpy"), [x, y], [out], threads=COUNT)
    executed = series(tel, "execute", "saxpy")
    (outcome,) = executed.outcomes
    if language.tells_device_time:
        assert outcome.gpu_count == 2
        assert 0 < executed.gpu_ms <= executed.durations.total_ms
    else:
        assert (outcome.gpu_count, executed.gpu_ms) == (0, None)


def test_the_device_and_its_memory_are_in_the_snapshot(acc, tel):
    first, second = acc.allocate(1000), acc.allocate(500)
    (reading,) = memory(tel, acc.driver_name)
    assert (reading.kind, reading.unit) == ("memory", "bytes")
    assert (reading.current, reading.peak, reading.limit) == (1500, 1500, None)
    first.free()
    second.free()
    acc.allocate(100)
    assert tel.get_snapshot().system.devices == (acc.device_info,)
    assert acc.device_info.backend == acc.driver_name
    assert acc.device_info.name


def test_freed_memory_leaves_the_current_figure_and_not_the_peak(acc):
    with acc.allocate(1000), acc.allocate(500):
        pass
    acc.allocate(100)
    (reading,) = acc._pool.read()
    assert (reading.current, reading.peak) == (100, 1500)


def test_two_accelerators_of_one_device_share_one_memory_reading(acc, language, tel):
    with MetalAccelerator(language.driver, tel) as other:
        acc.allocate(1000)
        other.allocate(10)
        (reading,) = memory(tel, language.driver)
        assert reading.current == 1010
    (reading,) = acc._pool.read()
    assert reading.current == 1000


def test_a_closed_accelerator_leaves_no_reading_behind(language, tel):
    acc = MetalAccelerator(language.driver, tel)
    acc.allocate(1000)
    acc.close()
    assert memory(tel, language.driver) == []


# -- failing -------------------------------------------------------------------------------------


def fails(acc, tel, error, call):
    """The call raises exactly this error, and one more failure of it is recorded."""
    before = sum(o.errors.get(error.metal_error, 0) for o in tel.get_snapshot().operations)
    with pytest.raises(MetalOperationError) as raised:
        call()
    assert type(raised.value) is error, raised.value
    assert tel.get_snapshot().errors[error.metal_error] == before + 1
    return str(raised.value)


def test_source_that_does_not_compile_brings_the_compilers_own_text(acc, language, tel):
    def build_and_run():
        kernel = acc.compile(language.broken, name="broken")
        # MLX traces when a kernel first runs; the others never come here.
        assert language.driver == "mlx"
        acc.launch(kernel, [vector(acc, X), vector(acc, Y)], [vector(acc)], threads=COUNT)

    assert language.broken_text in fails(acc, tel, CompilationError, build_and_run)
    kind = "execute" if language.driver == "mlx" else "compile"
    assert counted(tel)[(kind, "broken", "compilation_error")] == 1


def test_source_of_another_language_is_refused(acc, language, tel):
    source = "text" if language.driver == "mlx" else (lambda x: x)
    text = fails(acc, tel, InvalidArgumentError, lambda: acc.compile(source))
    assert language.driver in text


def test_an_entry_that_is_not_there_is_refused(acc, language, tel):
    source = language.sources["saxpy"]
    fails(acc, tel, InvalidArgumentError, lambda: acc.compile(source, "nowhere"))


def test_source_with_several_entries_needs_one_named(acc, language, tel):
    if language.driver == "mlx":
        pytest.skip("a function is its only entry")
    text = fails(acc, tel, InvalidArgumentError, lambda: acc.compile(language.sources["saxpy"]))
    assert "saxpy" in text
    assert "negate" in text


def test_threads_are_asked_for_where_the_source_cannot_say_them(acc, language, tel):
    if language.driver == "mlx":
        pytest.skip("arrays know their sizes")
    saxpy = compiled(acc, language, "saxpy")
    buffers = [vector(acc), vector(acc)], [vector(acc)]
    text = fails(acc, tel, InvalidArgumentError, lambda: acc.launch(saxpy, *buffers))
    assert "threads" in text


@pytest.mark.parametrize("threads", [0, -1, (), (1, 1, 1, 1), (4, 0)])
def test_impossible_threads_are_refused(acc, language, tel, threads):
    saxpy = compiled(acc, language, "saxpy")
    fails(acc, tel, InvalidArgumentError, lambda: acc.launch(saxpy, threads=threads))


@pytest.mark.parametrize(
    "arguments",
    [
        {"nbytes": 0},
        {"nbytes": -4},
        {"nbytes": 2.5},
        {"nbytes": 6, "dtype": "float32"},
        {"nbytes": 8, "dtype": "float31"},
        {"nbytes": 8, "dtype": "float32", "shape": (3,)},
    ],
)
def test_memory_of_an_impossible_shape_is_refused(acc, tel, arguments):
    fails(acc, tel, InvalidArgumentError, lambda: acc.allocate(**arguments))
    assert counted(tel) == {("allocate", "buffer", "invalid_argument"): 1}


@pytest.mark.parametrize(
    ("data", "offset"), [(b"x" * 9, 0), (b"x", 8), (b"x", -1), (b"", 0), ("text", 0), (7, 0)]
)
def test_data_that_does_not_fit_is_refused_and_changes_nothing(acc, tel, data, offset):
    buffer = acc.allocate(8)
    acc.copy_in(buffer, b"12345678")
    fails(acc, tel, InvalidArgumentError, lambda: acc.copy_in(buffer, data, offset=offset))
    assert acc.copy_out(buffer) == b"12345678"
    assert series(tel, "transfer", "copy_in").nbytes == 8


@pytest.mark.parametrize(("offset", "nbytes"), [(0, 9), (8, None), (-1, 2), (0, 0), (4, 5)])
def test_bytes_that_are_not_there_cannot_be_read(acc, tel, offset, nbytes):
    buffer = acc.allocate(8)
    fails(
        acc, tel, InvalidArgumentError, lambda: acc.copy_out(buffer, offset=offset, nbytes=nbytes)
    )


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_is_a_positive_time(acc, tel, timeout):
    fails(acc, tel, InvalidArgumentError, lambda: acc.synchronize(timeout=timeout))


def test_more_memory_than_there_can_be_is_refused_with_the_fitting_word(acc, language, tel):
    error = OutOfMemoryError if language.driver == "mlx" else ResourceLimitExceededError
    fails(acc, tel, error, lambda: acc.allocate(1 << 46))
    (reading,) = acc._pool.read()
    assert reading.current == 0
    assert series(tel, "allocate", "buffer").nbytes == 0


def test_a_freed_buffer_is_not_used(acc, language, tel):
    saxpy = compiled(acc, language, "saxpy")
    x, y, out = vector(acc), vector(acc), vector(acc)
    y.free()
    y.free()
    fails(acc, tel, InvalidOperationError, lambda: acc.launch(saxpy, [x, y], [out], threads=COUNT))
    fails(acc, tel, InvalidOperationError, lambda: acc.copy_out(y))
    fails(acc, tel, InvalidOperationError, lambda: acc.copy_in(y, b"1234"))
    acc.copy_out(x)


def test_buffers_and_kernels_of_another_accelerator_are_refused(acc, language, tel):
    with MetalAccelerator(language.driver, tel) as other:
        foreign, kernel = other.allocate(8), compiled(other, language, "saxpy")
        fails(acc, tel, InvalidArgumentError, lambda: acc.copy_out(foreign))
        fails(acc, tel, InvalidArgumentError, lambda: acc.launch(kernel, threads=1))
        fails(acc, tel, InvalidArgumentError, lambda: acc.launch(language.sources, threads=1))
        with pytest.raises(InvalidArgumentError):
            acc.free(foreign)


def test_a_closed_accelerator_does_nothing_more(language, tel):
    acc = MetalAccelerator(language.driver, tel)
    kernel, buffer = compiled(acc, language, "saxpy"), acc.allocate(8)
    acc.close()
    acc.close()
    assert acc.closed
    for call in (
        lambda: acc.allocate(8),
        lambda: acc.copy_in(buffer, b"12345678"),
        lambda: acc.copy_out(buffer),
        lambda: acc.compile(language.sources["saxpy"], language.entries["saxpy"]),
        lambda: acc.launch(kernel, threads=1),
        acc.synchronize,
    ):
        fails(acc, tel, InvalidOperationError, call)
    buffer.free()


def test_a_launch_that_takes_too_long_is_left_and_synchronize_waits_for_it(acc, language, tel):
    slow = acc.compile(language.slow, name="slow")
    out = vector(acc)
    with pytest.raises(OperationTimeoutError):
        acc.launch(slow, [], [out], threads=SLOW_THREADS, timeout=0.02)
    assert counted(tel)[("execute", "slow", "timeout")] == 1
    with pytest.raises(OperationTimeoutError):
        acc.synchronize(timeout=0.01)
    language.release_slow()
    acc.synchronize()
    assert counted(tel)[("synchronize", "synchronize", "ok")] == 1
    acc.copy_in(out, floats(X))
    assert list(unpack(acc.copy_out(out))) == X


def test_an_accelerator_closed_under_a_launch_lets_it_end(language, tel):
    if language.gpu is None and language.driver != "mlx":
        pytest.skip("needs a kernel that waits for the test")
    acc = MetalAccelerator(language.driver, tel)
    slow, out = acc.compile(language.slow, name="slow"), vector(acc)
    thread = threading.Thread(target=acc.launch, args=(slow, [], [out]), kwargs={"threads": 1})
    thread.start()
    while not acc._in_flight:
        thread.join(0.001)
    out.free()
    acc.close()
    assert acc._pool.current == NBYTES, "memory went while a launch used it"
    language.release_slow()
    thread.join(60)
    assert counted(tel)[("execute", "slow", "ok")] == 1
    assert acc._pool.current == 0
    assert memory(tel, language.driver) == []


# -- telemetry of its own ------------------------------------------------------------------------


def test_without_telemetry_it_has_its_own_and_shuts_it_down(language, monkeypatch):
    monkeypatch.setattr("metalscope.default._default", None)
    with MetalAccelerator(language.driver) as acc:
        assert acc.telemetry.is_running
        acc.allocate(64)
        report = acc.get_telemetry_report()
        assert report.snapshot.total_operations == 1
    assert not acc.telemetry.is_running


def test_the_processes_default_telemetry_is_used_and_left_running(language, monkeypatch):
    with MetalTelemetryManager() as default:
        monkeypatch.setattr("metalscope.default._default", default)
        with MetalAccelerator(language.driver) as acc:
            acc.allocate(64)
            assert acc.telemetry is default
        assert default.is_running
        assert default.get_snapshot().total_operations == 1


def test_export_hands_a_fresh_snapshot_to_every_consumer(acc, tel):
    seen = []
    tel.subscribe(seen.append)
    acc.allocate(64)
    assert acc.export_telemetry() is seen[0]
    assert seen[0].total_operations == 1


def test_it_says_what_it_runs_on(acc, language, caplog, tel):
    caplog.set_level("INFO", logger="metalscope")
    with MetalAccelerator(language.driver, tel) as other:
        assert language.driver in caplog.text
        assert other.device_info.name in caplog.text
        assert repr(other).startswith(f"<MetalAccelerator {language.driver} on ")
    assert "closed" in repr(other)
    assert other.language


def test_recorded_errors_are_the_words_of_the_exceptions(acc, tel):
    with pytest.raises(InvalidArgumentError):
        acc.allocate(0)
    assert tel.get_snapshot().errors == {MetalError.INVALID_ARGUMENT: 1}
