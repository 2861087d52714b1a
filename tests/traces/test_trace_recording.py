"""Operations as spans, on both recorders: what becomes one, and that counting stays as it is."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_spans import Tracing

from metalscope.correlating import SpanContext, UnsampledContext, correlation, current_span
from metalscope.operation import OK
from metalscope.traces.span import Decision

MS = 1_000_000


@pytest.fixture(params=["compiled", "pure"], scope="module")
def module(request: pytest.FixtureRequest) -> Any:
    try:
        return import_module(f"metalscope._recorder_{request.param}")
    except ImportError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the compiled recorder is not built, and under CI it must be: {error}")
        pytest.skip(f"the compiled recorder is not built: {error}")


@pytest.fixture
def make(module: Any) -> Any:
    """Makes one, whose errors are looked at after the test."""
    made: list[Tracing] = []

    def make(**options: Any) -> Tracing:
        options.setdefault("slow_threshold_ms", 10_000)
        made.append(Tracing(module, **options))
        return made[-1]

    yield make
    assert [one.errors for one in made] == [[] for _ in made]
    assert current_span() is None


Make = Callable[..., Tracing]


def test_request_eval_and_kernels_are_parents_and_children(make: Make) -> None:
    tracing = make()
    with correlation("order-17"), tracing.span("request"):
        with tracing.operation("synchronize", "eval"):
            with tracing.operation("execute", "matmul", nbytes=4, device="gpu:0") as operation:
                operation.add_bytes(3)
                operation.set_gpu_ns(2 * MS)
            tracing.record("execute", "add", duration_ns=5)
        with tracing.operation("transfer", "copy"):
            pass
    assert tracing.kept.parents() == {
        "request": None,
        "synchronize eval": "request",
        "execute matmul": "synchronize eval",
        "execute add": "synchronize eval",
        "transfer copy": "request",
    }
    assert len({span.trace_id for span in tracing.spans}) == 1
    assert {span.correlation_id for span in tracing.spans} == {"order-17"}
    matmul = tracing.kept.one("execute matmul")
    assert matmul.attributes == {
        "metal.operation.kind": "execute",
        "metal.operation.name": "matmul",
        "metal.device.name": "gpu:0",
        "metal.operation.outcome": OK,
        "metal.operation.bytes": 7,
        "metal.operation.gpu_ms": 2.0,
    }
    assert tracing.kept.one("execute add").duration_ns == 5
    assert tracing.counts() == {"eval": 1, "matmul": 1, "add": 1, "copy": 1}
    # Durations are those that were counted.
    (totals,) = (t for s, t in tracing.recorder.collect().items() if s.name == "matmul")
    assert (totals.durations.sum_ns, totals.nbytes, totals.gpu_ns) == (
        matmul.duration_ns, 7, 2 * MS,
    )  # fmt: skip
    eval_span = tracing.kept.one("synchronize eval")
    assert eval_span.start_ns <= matmul.start_ns
    assert tracing.always.spans == tracing.spans


async def test_operations_of_tasks_that_run_at_once_keep_apart(make: Make) -> None:
    tracing = make()

    async def work(name: str) -> None:
        async with tracing.span(name), tracing.operation("synchronize", f"{name} eval"):
            await asyncio.sleep(0)
            async with tracing.operation("execute", f"{name} kernel"):
                await asyncio.sleep(0.001)

    await asyncio.gather(*(work(f"w{n}") for n in range(6)))
    parents = tracing.kept.parents()
    for n in range(6):
        assert parents[f"execute w{n} kernel"] == f"synchronize w{n} eval"
        assert parents[f"synchronize w{n} eval"] == f"w{n}"
    assert len({span.trace_id for span in tracing.spans}) == 6


def test_an_operation_outside_of_any_trace_begins_one_with_what_is_in_it(make: Make) -> None:
    tracing = make()
    with tracing.operation("synchronize", "eval"), tracing.operation("execute", "kernel"):
        pass
    tracing.record("execute", "alone", duration_ns=7)
    assert tracing.kept.parents() == {
        "execute kernel": "synchronize eval", "synchronize eval": None, "execute alone": None,
    }  # fmt: skip
    assert len({span.trace_id for span in tracing.spans}) == 2


def test_as_many_operations_begin_a_trace_as_the_ratio_says(make: Make) -> None:
    tracing = make(sample_ratio=0.1, source=random.Random(4))
    for _ in range(10_000):
        with tracing.operation("execute", "f"):
            pass
        tracing.record("execute", "g", duration_ns=1)
    kept, of = len(tracing.spans), 20_000
    assert abs(kept - of * 0.1) <= 6 * math.sqrt(of * 0.1 * 0.9)
    assert tracing.counts() == {"f": 10_000, "g": 10_000}
    assert all(tracing.tracer.sampler.keeps(span.trace_id) for span in tracing.spans)


def test_within_a_trace_that_is_not_kept_no_operation_is(make: Make) -> None:
    tracing = make(sample_ratio=0.0)
    with tracing.span("request", parent=UnsampledContext(1, 2)):
        for _ in range(100):
            with tracing.operation("execute", "f"):
                assert type(current_span()) is UnsampledContext
    assert tracing.spans == []
    assert tracing.counts() == {"f": 100}


def test_in_a_trace_an_operation_is_timed_whatever_the_sample_rate(make: Make) -> None:
    tracing = make(sample_rate=0.0, sample_ratio=0.0)
    with tracing.operation("execute", "f"):
        pass
    with tracing.span("request", parent=SpanContext(1, 2)), tracing.operation("execute", "f"):
        pass
    (totals,) = tracing.recorder.collect().values()
    assert (totals.operations, totals.durations.count) == (2, 1)


def test_a_failed_operation_says_what_went_wrong(make: Make) -> None:
    tracing = make()
    error = MemoryError("no room")
    with pytest.raises(MemoryError) as caught, tracing.operation("allocate", "f"):
        raise error
    assert caught.value is error
    with tracing.operation("execute", "g") as operation:
        operation.set_error("timeout")
    with tracing.operation("execute", "h") as operation:
        operation.set_error("timeout")
        operation.set_error(None)
    with suppress(ValueError), tracing.operation("execute", "i") as operation:
        operation.set_error("device_lost")
        raise ValueError("then this")
    with suppress(asyncio.CancelledError), tracing.operation("execute", "j"):
        raise asyncio.CancelledError
    tracing.record("execute", "k", duration_ns=1, error=TimeoutError("late"))
    said = {
        span.name: (span.failed, span.error, span.attributes.get("error.type"))
        for span in tracing.spans
    }
    assert said == {
        "allocate f": (True, "MemoryError: no room", "out_of_memory"),
        "execute g": (True, "timeout", "timeout"),
        "execute h": (False, "", None),
        "execute i": (True, "ValueError: then this", "device_lost"),
        "execute j": (False, "", None),
        "execute k": (True, "TimeoutError: late", "timeout"),
    }


def test_an_operation_of_a_generator_that_is_dropped_is_counted_and_leaves_nothing(
    make: Make,
) -> None:
    tracing = make()

    def generate() -> Any:
        with tracing.operation("execute", "f"):
            yield 1

    with tracing.span("request") as request:
        stream = generate()
        next(stream)
        del stream
        gc.collect()
        assert current_span() is request.context
    assert tracing.counts() == {"f": 1}
    assert not tracing.kept.one("execute f").failed


# -- what is kept for what it was ----------------------------------------------------------------


def test_a_slow_or_failed_operation_is_kept_with_all_around_it(make: Make) -> None:
    tracing = make(sample_ratio=0.0, slow_threshold_ms=50)
    with tracing.span("request"):
        with tracing.span("eval"):
            tracing.record("execute", "fast", duration_ns=1)
            tracing.record("execute", "slow", duration_ns=51 * MS, nbytes=9, gpu_ns=MS)
        with tracing.span("other"):
            pass
        with suppress(MemoryError), tracing.operation("execute", "failed"):
            raise MemoryError("no room")
    assert tracing.kept.parents() == {
        "execute slow": "eval", "eval": "request", "execute failed": "request", "request": None,
    }  # fmt: skip
    slow = tracing.kept.one("execute slow")
    assert (slow.decision, slow.duration_ns) == (Decision.SLOW, 51 * MS)
    assert slow.attributes["metal.operation.bytes"] == 9
    assert slow.attributes["metal.operation.gpu_ms"] == 1.0
    failed = tracing.kept.one("execute failed")
    assert (failed.decision, failed.failed) == (Decision.FAILED, True)
    assert failed.error == "MemoryError: no room"
    assert tracing.tracer.counts == {"sampled": 0, "slow": 1, "failed": 1, "around": 2}


def test_outside_of_any_trace_it_begins_one_and_its_ids_are_told(make: Make) -> None:
    tracing = make(sample_ratio=0.0, slow_threshold_ms=50)
    tracing.record("execute", "slow", duration_ns=51 * MS)
    (span,) = tracing.spans
    ((_, ids),) = tracing.notable
    assert ids == (f"{span.trace_id:032x}", f"{span.span_id:016x}")
    assert span.parent_id == 0
    # The id itself says that this trace was not among those chosen.
    assert not tracing.tracer.sampler.keeps(span.trace_id)


def test_what_was_not_timed_is_kept_if_it_failed(make: Make) -> None:
    tracing = make(sample_ratio=0.0, sample_rate=0.0)
    with suppress(MemoryError), tracing.operation("execute", "f"):
        raise MemoryError
    (span,) = tracing.spans
    assert (span.decision, span.duration_ns) == (Decision.FAILED, 0)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_nothing_has_two_spans(make: Make, ratio: float) -> None:
    """Whoever watches is told of all of them, and has the ids of the one span each has."""
    tracing = make(sample_ratio=ratio, slow_threshold_ms=50, watch_above_ns=-1)
    tracing.record("execute", "slow", duration_ns=51 * MS)
    tracing.record("execute", "failed", duration_ns=51 * MS, error="timeout")
    with tracing.span("request"):
        tracing.record("execute", "slow inner", duration_ns=52 * MS)
        with suppress(MemoryError), tracing.operation("execute", "failed inner"):
            raise MemoryError
        with tracing.operation("execute", "fast inner"):
            pass
    names = [name for name in tracing.kept.names() if name != "request"]
    kept = ["execute slow", "execute failed", "execute slow inner", "execute failed inner"]
    assert names == [*kept, "execute fast inner"][: 4 + round(ratio)]
    told = {series[1]: ids for series, ids in tracing.notable}
    assert set(told) == {"slow", "failed", "slow inner", "failed inner", "fast inner"}
    for span in tracing.spans:
        if span.name != "request":
            name = span.attributes["metal.operation.name"]
            assert told[name] == (f"{span.trace_id:032x}", f"{span.span_id:016x}")
    if not ratio:
        assert told["fast inner"] is None


def test_whoever_is_told_may_record_himself(make: Make) -> None:
    tracing = make(sample_ratio=1.0, slow_threshold_ms=50)
    traced = tracing.traced

    def told(series: Any, *what: Any) -> None:
        if series.name == "slow":
            tracing.record("execute", "within", duration_ns=60 * MS)
        tracing.notable.append((tuple(series), traced.notable(series, *what)))

    tracing.recorder.watch(traced.threshold_ns, told)
    tracing.record("execute", "slow", duration_ns=51 * MS)
    assert sorted(tracing.kept.names()) == ["execute slow", "execute within"]
    assert len({ids for _, ids in tracing.notable}) == 2


def test_keeping_can_be_turned_off(make: Make) -> None:
    tracing = make(
        sample_ratio=0.0, slow_threshold_ms=1, keep_slow=False, keep_failed=False,
        watch_above_ns=-1,
    )  # fmt: skip
    tracing.record("execute", "slow", duration_ns=51 * MS)
    tracing.record("execute", "failed", duration_ns=51 * MS, error="timeout")
    assert tracing.spans == []
    assert [ids for _, ids in tracing.notable] == [None, None]


# -- counting ------------------------------------------------------------------------------------

Step = tuple[str, Any]
steps = st.recursive(
    st.one_of(
        st.tuples(st.just("record"), st.sampled_from([None, "timeout", MemoryError("x")])),
        st.tuples(st.just("add"), st.sampled_from([0, 3, -1, "many", 2**63])),
        st.tuples(st.just("gpu"), st.sampled_from([0, 5, -1])),
        st.tuples(st.just("error"), st.sampled_from(["timeout", None, "no such", ValueError("y")])),
        st.tuples(st.just("raise"), st.just(ValueError("z"))),
    ),
    lambda inner: st.tuples(
        st.sampled_from(["operation", "bytes", "span", "unsampled"]), st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)


def perform(tracing: Tracing, plan: list[Step], stack: list[Any]) -> None:
    for what, detail in plan:
        if what == "record":
            tracing.record("execute", "recorded", duration_ns=3, nbytes=2, error=detail)
        elif what in {"operation", "bytes"}:
            nbytes = 5 if what == "bytes" else 0
            with (
                suppress(ValueError),
                tracing.operation("execute", f"depth {len(stack)}", nbytes=nbytes) as operation,
            ):
                perform(tracing, detail, [*stack, operation])
        elif what in {"span", "unsampled"}:
            parent = UnsampledContext(1, 2) if what == "unsampled" else None
            with suppress(ValueError), tracing.span("span", parent=parent):
                perform(tracing, detail, stack)
        elif what == "raise":
            raise detail
        elif stack:
            operation = stack[-1]
            {"add": operation.add_bytes, "gpu": operation.set_gpu_ns, "error": operation.set_error}[
                what
            ](detail)


@given(st.lists(steps, max_size=5))
def test_everything_counts_as_without_tracing(plan: list[Step]) -> None:
    for name in ("compiled", "pure"):
        module = import_module(f"metalscope._recorder_{name}")
        found = []
        for ratio in (1.0, 0.5, None):
            tracing = Tracing(module, sample_ratio=ratio or 0.0, exemplars=True)
            if ratio is None:
                tracing.record_plainly(module)
            with suppress(ValueError):
                perform(tracing, plan, [])
            counted = {
                tuple(series): (totals.operations, totals.nbytes, totals.gpu_ns, totals.gpu_count)
                for series, totals in tracing.recorder.collect().items()
            }
            told = [(room, type(error), str(error)) for room, error in tracing.errors]
            found.append((counted, told))
            if ratio == 1.0:
                inside = [s for s in tracing.spans if s.name != "span"]
                assert len({(s.trace_id, s.span_id) for s in inside}) == len(inside)
            assert current_span() is None
        assert found[0] == found[1] == found[2]


def test_bad_values_are_told_of_once_and_become_no_span(module: Any) -> None:
    class Hostile:
        __hash__ = None  # type: ignore[assignment]

        def __str__(self) -> str:
            raise RuntimeError("no name")

    tracing = Tracing(module)
    bad: list[dict[str, Any]] = [
        {"kind": "no kind", "name": "f", "duration_ns": 1},
        {"kind": "execute", "name": Hostile(), "duration_ns": 1},
        {"kind": "execute", "name": "f", "duration_ns": -1},
        {"kind": "execute", "name": "f", "duration_ns": "long"},
    ]
    for one in bad:
        tracing.record(**one)
    with tracing.operation("no kind", "f"):
        pass
    with tracing.operation("execute", Hostile()):
        pass
    assert len(tracing.errors) == len(bad) + 2
    assert (tracing.counts(), tracing.spans) == ({}, [])
    for wrong in ({}, {"name": "f", "color": 1}, {"name": "f"}):
        with pytest.raises(TypeError):
            tracing.record("execute", **wrong)
    with pytest.raises(TypeError):
        tracing.operation("execute")


def test_odd_names_are_texts_in_a_span(make: Make) -> None:
    tracing = make()
    for name in (42, "x" * 500, "\ud800"):
        tracing.record("execute", name, duration_ns=1)
    assert [span.attributes["metal.operation.name"] for span in tracing.spans] == [
        "42", "x" * 199 + "…", "?",
    ]  # fmt: skip


def test_where_spans_cannot_be_made_operations_are_counted(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing = Tracing(module)

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no spans today")

    monkeypatch.setattr(tracing.tracer, "begin", broken)
    with tracing.operation("execute", "f"):
        pass
    tracing.record("execute", "g", duration_ns=1)
    monkeypatch.undo()
    monkeypatch.setattr(tracing.tracer, "finish", broken)
    with tracing.operation("execute", "f"):
        pass
    assert tracing.counts() == {"f": 2, "g": 1}
    assert {str(error) for _, error in tracing.errors} == {"no spans today"}


def test_counts_are_exact_while_threads_record_in_and_out_of_traces(make: Make) -> None:
    tracing = make(sample_ratio=0.3, exemplars=True)

    def work() -> None:
        for _ in range(300):
            with ExitStack() as stack:
                stack.enter_context(tracing.operation("execute", "outer"))
                with tracing.operation("execute", "inner"):
                    pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracing.counts() == {"outer": 1200, "inner": 1200}
    assert tracing.tracer.counts["sampled"] == len(tracing.spans) > 0
    parents = {span.span_id for span in tracing.spans if span.name == "execute outer"}
    assert all(
        span.parent_id in parents | {0} for span in tracing.spans if span.name == "execute inner"
    )


# -- exemplars -----------------------------------------------------------------------------------


def test_a_span_of_ours_is_what_an_exemplar_leads_to(make: Make) -> None:
    tracing = make(exemplars=True)
    with correlation("order-17"), tracing.span("request"), tracing.operation("execute", "f"):
        pass
    span = tracing.kept.one("execute f")
    ((exemplar,),) = tracing.traced.collect(tracing.recorder.collect()).values()
    assert (exemplar.trace_id, exemplar.span_id) == (
        f"{span.trace_id:032x}", f"{span.span_id:016x}",
    )  # fmt: skip
    assert exemplar.value_ms == span.duration_ns / MS
    assert exemplar.correlation_id == "order-17"


def test_what_is_kept_for_being_slow_gives_no_exemplar_of_a_trace_with_holes(make: Make) -> None:
    tracing = make(exemplars=True, sample_ratio=0.0, slow_threshold_ms=1)
    tracing.record("execute", "f", duration_ns=2 * MS)
    assert len(tracing.spans) == 1
    assert tracing.traced.collect(tracing.recorder.collect()) == {}


def test_exemplars_alone_lead_to_a_span_that_came_from_elsewhere(module: Any) -> None:
    from metalscope.correlating import CURRENT_SPAN
    from metalscope.traced import TracedRecording

    recorder = module.Recorder(max_series=10, on_error=print)
    traced = TracedRecording(recorder, print)
    token = CURRENT_SPAN.set(SpanContext(1, 2))
    recorder.record("execute", "f", duration_ns=1)
    CURRENT_SPAN.reset(token)
    ((exemplar,),) = traced.collect(recorder.collect()).values()
    assert (exemplar.trace_id, exemplar.span_id) == ("0" * 31 + "1", "0" * 15 + "2")
    assert traced.threshold_ns == 2**63 - 1


# -- a fork --------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("pure", ["0", "1"])
def test_a_forked_child_counts_anew_and_has_ids_of_its_own(pure: str) -> None:
    code = """
import os
from kept_spans import Tracing
from metalscope import recorder
import sys
module = sys.modules[recorder.Recorder.__module__]
tracing = Tracing(module, sample_ratio=0.5)
def run():
    first = []
    for n in range(200):
        tracing.record("execute", str(n % 50), duration_ns=1)
    return [span.name for span in tracing.spans], {span.trace_id for span in tracing.spans}
reading, writing = os.pipe()
from metalscope.correlating import SpanContext
with tracing.span("request", parent=SpanContext(1, 2)), tracing.operation("execute", "f"):
    tracing.spans.clear()
    pid = os.fork()
    if pid == 0:
        assert tracing.tracer.counts["sampled"] == 0
        assert tracing.counts() == {}
        with tracing.span("in the child"):
            pass
        assert tracing.kept.one("in the child").trace_id == 1
        tracing.spans.clear()
# What began in the parent is the parent's.
assert [span.name for span in tracing.spans] == ["execute f", "request"] * (pid != 0)
tracing.spans.clear()
names, ids = run()
if pid == 0:
    os.write(writing, repr((names, ids)).encode())
    os._exit(0)
os.close(writing)
theirs = b""
while part := os.read(reading, 65536):
    theirs += part
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
child_names, child_ids = eval(theirs)
assert not ids & child_ids
assert names != child_names
assert not tracing.errors
"""
    env = {**os.environ, "METALSCOPE_PURE_PYTHON": pure}
    env["PYTHONPATH"] = os.path.dirname(__file__)  # noqa: PTH120 - as text
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=env)
