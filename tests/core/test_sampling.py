"""Sampling spares the clock, never a count; both recorders."""

from __future__ import annotations

import threading
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions


@pytest.fixture(params=["compiled", "pure"], scope="module")
def make(request):
    """Make a recorder that times a share of the operations."""
    recording = import_module(f"metalscope._recorder_{request.param}")

    def made(sample_rate):
        errors = []
        recorder = recording.Recorder(
            max_series=10, on_error=lambda *what: errors.append(what), sample_rate=sample_rate
        )
        recorder.errors = errors
        return recorder

    return made


def the_totals(recorder, outcome="ok"):
    (totals,) = (
        totals for series, totals in recorder.collect().items() if series.outcome == outcome
    )
    return totals


@pytest.mark.parametrize(
    ("rate", "timed"), [(1.0, 1000), (0.5, 500), (0.25, 250), (0.1, 100), (0.001, 1), (0.0, 0)]
)
def test_the_share_asked_for_is_timed_and_all_are_counted(make, rate, timed):
    recorder = make(rate)
    for _ in range(1000):
        with recorder.operation("execute", "f"):
            pass
    totals = the_totals(recorder)
    # A tenth is no sum of powers of two, so the pure recorder's phase may be one late.
    assert abs(totals.durations.count - timed) <= (rate == 0.1)
    assert totals.operations == 1000
    assert not recorder.errors


def test_the_first_operation_of_a_series_is_timed(make):
    recorder = make(0.01)
    with recorder.operation("execute", "rare"):
        pass
    assert the_totals(recorder).durations.count == 1


def test_every_failure_and_every_byte_is_counted(make):
    recorder = make(0.5)
    for _ in range(10):
        with recorder.operation("execute", "f", nbytes=7) as op:
            op.add_bytes(3)
        with pytest.raises(MemoryError), recorder.operation("execute", "f", nbytes=2):
            raise MemoryError
        with recorder.operation("execute", "f") as op:
            op.set_error("timeout")
            op.set_gpu_ns(5)
    assert the_totals(recorder).operations == 10
    assert the_totals(recorder).nbytes == 100
    failed = the_totals(recorder, "out_of_memory")
    assert (failed.operations, failed.nbytes) == (10, 20)
    late = the_totals(recorder, "timeout")
    assert (late.operations, late.gpu_ns, late.gpu_count) == (10, 50, 10)
    assert not recorder.errors


async def test_async_with_is_sampled_too(make):
    recorder = make(0.5)
    for _ in range(4):
        async with recorder.operation("execute", "f", device="gpu:0"):
            pass
    totals = the_totals(recorder)
    assert (totals.operations, totals.untimed) == (4, 2)


def test_record_has_its_duration_and_is_never_sampled(make):
    recorder = make(0.0)
    recorder.record("execute", "f", duration_ns=5)
    totals = the_totals(recorder)
    assert (totals.durations.count, totals.untimed) == (1, 0)


def test_counts_are_exact_on_threads(make):
    recorder = make(0.3)

    def work():
        for _ in range(5000):
            with recorder.operation("execute", "f"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert the_totals(recorder).operations == 20_000


def test_what_is_evicted_takes_its_untimed_ones_with_it(make):
    recorder = make(0.5)
    for _ in range(3):
        with recorder.operation("execute", "f"):
            pass
    ((series, totals),) = recorder.evict(recorder.collect()).items()
    assert (series.name, totals.operations, totals.untimed) == ("f", 3, 1)


@given(rate=st.floats(0, 1), count=st.integers(1, 300))
def test_the_timed_share_is_never_off_by_more_than_one(make, rate, count):
    recorder = make(rate)
    for _ in range(count):
        with recorder.operation("execute", "f"):
            pass
    totals = the_totals(recorder)
    assert totals.operations == count
    assert abs(totals.durations.count - rate * count) <= 1 + 1e-9


def test_a_snapshot_counts_what_was_not_timed():
    tel = MetalTelemetryManager(MetalTelemetryOptions(sample_rate=0.25))
    for _ in range(8):
        with tel.operation("execute", "f"):
            pass
    with pytest.raises(TimeoutError), tel.operation("execute", "f"):
        raise TimeoutError
    snapshot = tel.get_snapshot()
    (operation,) = snapshot.operations
    assert (snapshot.total_operations, snapshot.total_errors) == (9, 1)
    assert (operation.executions, operation.successes, operation.durations.count) == (9, 8, 3)
