"""Exemplars of operations that run in a trace of OpenTelemetry's own SDK; both recorders."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from metalscope import exemplars as exemplars_module
from metalscope.exemplars import ExemplarBook, newest_by_bucket
from metalscope.histogram import CLASSIC_BOUNDS_MS, DurationHistogram
from metalscope.manager import MetalTelemetryManager
from metalscope.operation import OK, OperationKind
from metalscope.options import MetalTelemetryOptions
from metalscope.processes.merge import counts_of
from metalscope.recorder import MAX_NAME_LENGTH, OTHER, Series
from metalscope.snapshot import (
    Exemplar,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
)
from metalscope.snapshot_json import snapshot_from_dict
from metalscope.traced import TracedRecording

NOW = datetime(2026, 1, 1, tzinfo=UTC)
tracer = TracerProvider().get_tracer("tests")
unsampled = TracerProvider(sampler=ALWAYS_OFF).get_tracer("tests")


class Traced(TracedRecording):
    """A recorder of either kind that hands over what runs in a span."""

    def __init__(self, module: Any, **options: Any) -> None:
        self.errors: list[tuple[str, BaseException]] = []

        def on_error(*what: Any) -> None:
            self.errors.append(what)

        options.setdefault("max_series", 100)
        self.recorder = module.Recorder(on_error=on_error, **options)
        super().__init__(self.recorder, on_error)
        self.operation, self.record = self.recorder.operation, self.recorder.record

    def exemplars(self) -> dict[tuple[str, ...], tuple[Exemplar, ...]]:
        collected = self.collect(self.recorder.collect())
        return {tuple(series): few for series, few in collected.items()}

    def one(self, *series: str) -> Exemplar:
        (exemplar,) = self.exemplars()[series]
        return exemplar

    def counts(self) -> dict[tuple[str, ...], int]:
        return {tuple(s): totals.operations for s, totals in self.recorder.collect().items()}


@pytest.fixture(params=["compiled", "pure"], scope="module")
def module(request: pytest.FixtureRequest) -> Any:
    try:
        return import_module(f"metalscope._recorder_{request.param}")
    except ImportError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the compiled recorder is not built, and under CI it must be: {error}")
        pytest.skip(f"the compiled recorder is not built: {error}")


@pytest.fixture
def traced(module: Any) -> Iterator[Traced]:
    """One that goes wrong nowhere."""
    made = Traced(module)
    yield made
    assert made.errors == []


@pytest.fixture
def every_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later exemplar takes the place of an earlier one at once."""
    monkeypatch.setattr(exemplars_module, "RENEWAL_NS", 0)


def ids(span: trace.Span) -> tuple[str, str]:
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def test_an_operation_in_a_sampled_span_becomes_an_exemplar_of_it(traced: Traced) -> None:
    before = datetime.now(UTC)
    with tracer.start_as_current_span("request") as span, traced.operation("execute", "matmul"):
        pass
    exemplar = traced.one("execute", "matmul", "", OK)
    assert (exemplar.trace_id, exemplar.span_id) == ids(span)
    assert before <= exemplar.timestamp <= datetime.now(UTC)
    (totals,) = traced.recorder.collect().values()
    assert exemplar.value_ms == totals.durations.total_ms


def test_without_a_span_there_is_a_count_and_no_exemplar(traced: Traced) -> None:
    with traced.operation("execute", "matmul"):
        pass
    traced.record("execute", "matmul", duration_ns=5)
    assert traced.counts() == {("execute", "matmul", "", OK): 2}
    assert traced.exemplars() == {}


def test_a_span_that_is_not_sampled_gives_none(traced: Traced) -> None:
    with unsampled.start_as_current_span("request"), traced.operation("execute", "matmul"):
        traced.record("execute", "matmul", duration_ns=5)
    assert traced.counts() == {("execute", "matmul", "", OK): 2}
    assert traced.exemplars() == {}


def test_what_was_timed_elsewhere_belongs_to_the_span_it_is_recorded_in(traced: Traced) -> None:
    with tracer.start_as_current_span("request") as span:
        traced.record(
            "execute", "matmul", duration_ns=2_000_000, nbytes=7, device="gpu:0", gpu_ns=9
        )
        traced.record("execute", "matmul", duration_ns=3_000_000, error="timeout")
    exemplar = traced.one("execute", "matmul", "gpu:0", OK)
    assert (exemplar.value_ms, exemplar.trace_id) == (2.0, ids(span)[0])
    assert traced.one("execute", "matmul", "", "timeout").value_ms == 3.0
    totals = traced.recorder.collect()
    (ok,) = (one for series, one in totals.items() if series.outcome == OK)
    assert (ok.nbytes, ok.gpu_ns, ok.gpu_count, ok.durations.sum_ns) == (7, 9, 1, 2_000_000)


def test_in_a_span_all_that_is_said_of_an_operation_counts_as_without(module: Any) -> None:
    def work(recording: Any) -> None:
        with recording.operation("transfer", "f", nbytes=4, device="gpu:0") as op:
            op.add_bytes(3)
            op.set_gpu_ns(11)
        with recording.operation("transfer", "f") as op:
            op.set_error("timeout")
        with recording.operation("transfer", "f") as op:
            op.set_error("timeout")
            op.set_error(None)
        with pytest.raises(MemoryError), recording.operation("transfer", "f"):
            raise MemoryError
        with suppress(MemoryError), recording.operation("transfer", "f") as op:
            op.set_error("device_lost")
            raise MemoryError
        with pytest.raises(asyncio.CancelledError), recording.operation("transfer", "f"):
            raise asyncio.CancelledError

    def counted(recorder: Any) -> dict[Any, Any]:
        return {s: (t.operations, t.nbytes, t.gpu_ns) for s, t in recorder.collect().items()}

    without, within = Traced(module), Traced(module)
    work(without.recorder)
    with tracer.start_as_current_span("request"):
        work(within)
    assert counted(within.recorder) == counted(without.recorder)
    assert within.errors == without.errors == []
    assert set(within.exemplars()) == {tuple(series) for series in within.recorder.collect()}


async def test_each_of_many_tasks_has_its_own_trace(traced: Traced) -> None:
    spans = {}

    async def work(name: str) -> None:
        with tracer.start_as_current_span(name) as span:
            spans[name] = span
            async with traced.operation("execute", name):
                await asyncio.sleep(0.01)

    await asyncio.gather(*(work(f"f{n}") for n in range(5)))
    for name, span in spans.items():
        exemplar = traced.one("execute", name, "", OK)
        assert (exemplar.trace_id, exemplar.span_id) == ids(span)


def test_a_bucket_keeps_its_exemplar_for_a_second(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracer.start_as_current_span("first") as first:
        traced.record("execute", "f", duration_ns=5)
    with tracer.start_as_current_span("second") as second:
        traced.record("execute", "f", duration_ns=6)
    assert traced.one("execute", "f", "", OK).trace_id == ids(first)[0]
    monkeypatch.setattr(exemplars_module, "RENEWAL_NS", 0)
    with tracer.start_as_current_span("third") as third:
        traced.record("execute", "f", duration_ns=7)
    newest = traced.one("execute", "f", "", OK)
    assert (newest.value_ms, newest.trace_id) == (7e-6, ids(third)[0])
    assert newest.trace_id != ids(second)[0]


@pytest.mark.usefixtures("every_one")
def test_there_is_one_a_classic_bucket_however_many_operations_there_are(traced: Traced) -> None:
    durations = [round(bound * 1e6) + more for bound in CLASSIC_BOUNDS_MS for more in (-1, 0, 1)]
    with tracer.start_as_current_span("request"):
        for duration_ns in durations:
            traced.record("execute", "f", duration_ns=duration_ns)
    few = traced.exemplars()["execute", "f", "", OK]
    # The last of each bucket: its bound itself, as bounds are inclusive, and then what passes all.
    assert [one.value_ms for one in few] == [*CLASSIC_BOUNDS_MS, durations[-1] / 1e6]


def test_an_exemplar_follows_its_operation_to_the_series_that_counts_it(module: Any) -> None:
    traced = Traced(module, max_series=2)
    with tracer.start_as_current_span("request"):
        traced.record("execute", "x" * 500, duration_ns=1)
        traced.record("execute", 42, duration_ns=1)  # type: ignore[arg-type]
        traced.record("execute", "one too many", duration_ns=1)
    assert set(traced.exemplars()) == {
        ("execute", "x" * (MAX_NAME_LENGTH - 1) + "…", "", OK),
        ("execute", "42", "", OK),
        ("execute", OTHER, "", OK),
    }


def test_a_series_that_is_forgotten_takes_its_exemplars_along(traced: Traced) -> None:
    with tracer.start_as_current_span("request"):
        for name in ("kept", "gone"):
            traced.record("execute", name, duration_ns=1)
    assert len(traced.exemplars()) == 2
    (gone,) = (series for series in traced.recorder.collect() if series.name == "gone")
    traced.recorder.evict([gone])
    assert set(traced.exemplars()) == {("execute", "kept", "", OK)}


def test_bad_values_are_told_of_once_and_give_no_exemplar(module: Any) -> None:
    class Hostile:
        __hash__ = None  # type: ignore[assignment]

        def __str__(self) -> str:
            raise RuntimeError("no name")

    traced = Traced(module)
    bad: list[dict[str, Any]] = [
        {"kind": "no kind", "name": "f", "duration_ns": 1},
        {"kind": "execute", "name": Hostile(), "duration_ns": 1},
        {"kind": "execute", "name": "f", "duration_ns": -1},
        {"kind": "execute", "name": "f", "duration_ns": "long"},
    ]
    with tracer.start_as_current_span("request"):
        for one in bad:
            traced.record(**one)
        with traced.operation("no kind", "f"):
            pass
    assert len(traced.errors) == len(bad) + 1
    assert (traced.counts(), traced.exemplars()) == ({}, {})


def test_bad_amounts_are_left_out_and_the_operation_counts(module: Any) -> None:
    traced = Traced(module)
    with (
        tracer.start_as_current_span("request"),
        traced.operation("execute", "f", nbytes=-1) as op,
    ):
        op.add_bytes("many")  # type: ignore[arg-type]
        op.add_bytes(5)
        op.set_gpu_ns(-2)
    (totals,) = traced.recorder.collect().values()
    assert (totals.operations, totals.nbytes, totals.gpu_count) == (1, 5, 0)
    assert len(traced.errors) == 3
    assert traced.one("execute", "f", "", OK)


def test_a_span_that_fails_costs_no_operation(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> trace.Span:
        raise RuntimeError("no span today")

    traced = Traced(module)
    with tracer.start_as_current_span("request"):
        monkeypatch.setattr(trace, "get_current_span", broken)
        with traced.operation("execute", "f"):
            pass
        assert traced.counts() == {("execute", "f", "", OK): 1}
        assert [room for room, _ in traced.errors] == ["recorder"]
        # So it looks while another thread is importing it: nothing is wrong.
        monkeypatch.delattr(trace, "get_current_span")
        traced.record("execute", "f", duration_ns=1)
        assert len(traced.errors) == 1


def test_in_a_trace_an_operation_is_timed_whatever_the_sample_rate(module: Any) -> None:
    traced = Traced(module, sample_rate=0.0)
    for _ in range(5):
        with traced.operation("execute", "f"):
            pass
    with tracer.start_as_current_span("request"), traced.operation("execute", "f"):
        pass
    (totals,) = traced.recorder.collect().values()
    assert (totals.operations, totals.durations.count) == (6, 1)
    assert traced.one("execute", "f", "", OK)


@pytest.mark.usefixtures("every_one")
def test_counts_are_exact_while_threads_record_and_one_collects(traced: Traced) -> None:
    stop = threading.Event()
    recorded = [0] * 3

    def work(number: int) -> None:
        with tracer.start_as_current_span("request"):
            while not stop.is_set():
                with traced.operation("execute", f"f{number % 2}"):
                    pass
                recorded[number] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        traced.exemplars()
    stop.set()
    for thread in threads:
        thread.join()
    assert sum(traced.counts().values()) == sum(recorded) > 0
    few = traced.exemplars()
    assert set(few) == set(traced.counts())
    assert all(0 < len(one) <= len(CLASSIC_BOUNDS_MS) + 1 for one in few.values())


# -- through the manager -------------------------------------------------------------------------


@pytest.fixture
def telemetry() -> MetalTelemetryManager:
    return MetalTelemetryManager(MetalTelemetryOptions(exemplars=True))


def exemplars_of(snapshot: MetalTelemetrySnapshot, name: str) -> tuple[Exemplar, ...]:
    (operation,) = (one for one in snapshot.operations if one.name == name)
    return tuple(exemplar for outcome in operation.outcomes for exemplar in outcome.exemplars)


async def test_every_way_of_recording_gives_exemplars(telemetry: MetalTelemetryManager) -> None:
    @telemetry.timed("execute", "sync")
    def sync() -> int:
        return 1

    @telemetry.timed("execute", "async")
    async def later() -> int:
        return 2

    with tracer.start_as_current_span("request") as span:
        assert (sync(), await later()) == (1, 2)
        with telemetry.operation("execute", "with"):
            pass
        async with telemetry.operation("execute", "async with"):
            pass
        telemetry.record("execute", "record", duration_ns=1)
    snapshot = telemetry.get_snapshot()
    for name in ("sync", "async", "with", "async with", "record"):
        (exemplar,) = exemplars_of(snapshot, name)
        assert (exemplar.trace_id, exemplar.span_id) == ids(span)
    assert dict(snapshot.internals.errors) == {}
    assert snapshot_from_dict(snapshot.to_dict()).operations == snapshot.operations


@pytest.mark.parametrize("options", [{}, {"exemplars": True, "enabled": False}])
def test_switched_off_nothing_stands_before_the_recorder(options: dict[str, bool]) -> None:
    telemetry = MetalTelemetryManager(MetalTelemetryOptions(**options))
    plain = MetalTelemetryManager(MetalTelemetryOptions(enabled=options.get("enabled", True)))
    assert vars(telemetry).keys() & {"operation", "record"} == (
        vars(plain).keys() & {"operation", "record"}
    )
    with tracer.start_as_current_span("request"), telemetry.operation("execute", "f"):
        pass
    assert not any(o.exemplars for one in telemetry.get_snapshot().operations for o in one.outcomes)


@pytest.mark.usefixtures("every_one")
def test_an_exemplar_that_comes_after_its_count_was_collected_is_shown_the_next_time(
    telemetry: MetalTelemetryManager,
) -> None:
    telemetry.record("execute", "f", duration_ns=1)
    first = telemetry.get_snapshot()
    assert exemplars_of(first, "f") == ()
    traced = telemetry._told._traced
    assert traced is not None
    assert traced._book is not None
    (series,) = telemetry._recorder.collect()
    with tracer.start_as_current_span("request") as span:
        traced._book.offer(series, 1, 0, span.get_span_context())
    second = telemetry.get_snapshot()
    assert [one.trace_id for one in exemplars_of(second, "f")] == [ids(span)[0]]
    assert second.operations[0].last_updated == first.operations[0].last_updated
    # What did not change is handed out as it was.
    assert telemetry.get_snapshot().operations[0] is second.operations[0]


def test_what_is_past_retention_is_kept_as_a_count_alone(telemetry: MetalTelemetryManager) -> None:
    with tracer.start_as_current_span("request"):
        telemetry.record("execute", "f", duration_ns=1)
    (series,) = telemetry._recorder.collect()
    telemetry._series.retire(telemetry._recorder.evict([series]))
    snapshot = telemetry.get_snapshot()
    assert (snapshot.operations, snapshot.retired_operations) == ((), 1)
    telemetry.record("execute", "f", duration_ns=1)
    assert exemplars_of(telemetry.get_snapshot(), "f") == ()


def test_a_subclass_with_an_operation_of_its_own_keeps_it() -> None:
    class Mine(MetalTelemetryManager):
        def operation(self, kind: str, name: str, **more: Any) -> Any:
            return super().operation(kind, f"my {name}", **more)

    mine = Mine(MetalTelemetryOptions(exemplars=True))
    with mine.operation("execute", "f"):
        pass
    assert [one.name for one in mine.get_snapshot().operations] == ["my f"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_begins_without_exemplars() -> None:
    code = """
import os, sys
from opentelemetry.sdk.trace import TracerProvider
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
tel = MetalTelemetryManager(MetalTelemetryOptions(exemplars=True))
def traces():
    return [e.trace_id for o in tel.get_snapshot().operations for w in o.outcomes
            for e in w.exemplars]
tracer = TracerProvider().get_tracer("t")
with tracer.start_as_current_span("parent"):
    tel.record("execute", "f", duration_ns=1)
assert len(traces()) == 1
pid = os.fork()
if pid == 0:
    ok = traces() == []
    with tracer.start_as_current_span("child") as span:
        tel.record("execute", "f", duration_ns=1)
    ok = ok and traces() == [format(span.get_span_context().trace_id, "032x")]
    os._exit(0 if ok else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert len(traces()) == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_program_without_opentelemetry_does_not_get_it_by_recording() -> None:
    code = """
import sys
import metalscope
tel = metalscope.add_metal_telemetry(exemplars=True)
with tel.operation("execute", "f"):
    tel.record("execute", "g", duration_ns=1)
assert tel.get_snapshot().total_operations == 2
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    env = {key: value for key, value in os.environ.items() if not key.startswith("METALSCOPE_")}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=env)


# -- choosing and merging ------------------------------------------------------------------------

exemplars = st.builds(
    Exemplar,
    value_ms=st.floats(0, 1e5) | st.sampled_from(CLASSIC_BOUNDS_MS),
    timestamp=st.integers(0, 20).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    trace_id=st.just("1" * 32),
    span_id=st.just("2" * 16),
)


@given(st.lists(exemplars, max_size=60))
def test_of_each_bucket_the_newest_is_chosen(found: list[Exemplar]) -> None:
    chosen = newest_by_bucket(found)
    edges = (-1.0, *CLASSIC_BOUNDS_MS, float("inf"))
    for bucket in range(len(CLASSIC_BOUNDS_MS) + 1):
        inside = [one for one in found if edges[bucket] < one.value_ms <= edges[bucket + 1]]
        if inside:
            assert chosen[bucket] in inside
            assert chosen[bucket].timestamp == max(one.timestamp for one in inside)
        else:
            assert bucket not in chosen
    assert list(chosen) == sorted(chosen)


def test_processes_that_count_together_show_the_newest_of_each_bucket() -> None:
    def of_a_process(*few: Exemplar) -> MetalTelemetrySnapshot:
        outcome = OutcomeMetrics(OK, counted, exemplars=few)
        operation = OperationMetrics(OperationKind.EXECUTE, "f", "", (outcome,))
        return MetalTelemetrySnapshot(NOW, NOW, operations=(operation,))

    counted = DurationHistogram.from_durations([2_000_000])
    old = Exemplar(2.0, NOW, "1" * 32, "1" * 16)
    new = Exemplar(2.1, NOW + timedelta(seconds=5), "2" * 32, "2" * 16)
    slow = Exemplar(80.0, NOW, "3" * 32, "3" * 16)
    merged = counts_of([of_a_process(new), of_a_process(old, slow)])
    assert exemplars_of(merged, "f") == (new, slow)


def test_the_book_hands_out_the_same_tuple_until_something_is_new() -> None:
    book, series = ExemplarBook(), Series("execute", "f", "", OK)
    span = tracer.start_span("request").get_span_context()
    book.offer(series, 5, 0, span)
    first = book.collect([series])
    book.offer(series, 5, 1, span)
    assert book.collect([series])[series] is first[series]
    book.offer(series, 5_000_000, 2, span)
    assert [one.value_ms for one in book.collect([series])[series]] == [5e-6, 5.0]
