"""The latest operations that failed or were slow are kept, with what they belonged to."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest

from metalscope.correlating import CURRENT_SPAN, SpanContext, correlation
from metalscope.manager import MetalTelemetryManager
from metalscope.notable import MOST_NOTABLE, NotableOperation
from metalscope.operation import MetalError, OperationKind
from metalscope.operation_watch import OperationWatch
from metalscope.options import LoggingOptions, LogSinkOptions, MetalTelemetryOptions
from metalscope.recorder import Series
from metalscope.snapshot_json import snapshot_from_dict

MS = 1_000_000


@pytest.fixture(params=["compiled", "pure"], scope="module")
def module(request: pytest.FixtureRequest) -> Any:
    return import_module(f"metalscope._recorder_{request.param}")


def watched(module: Any, watch: OperationWatch) -> Any:
    def on_error(room: str, error: BaseException) -> None:
        raise AssertionError(room) from error

    recorder = module.Recorder(max_series=100, on_error=on_error)
    recorder.watch(watch.above_ns, watch)
    return recorder


def test_what_failed_or_was_slow_is_kept_and_the_rest_is_not(module: Any) -> None:
    watch = OperationWatch(100 * MS)
    recorder = watched(module, watch)
    before = datetime.now(UTC)
    recorder.record("execute", "quick", duration_ns=100 * MS, device="m1")
    recorder.record("execute", "slow", duration_ns=101 * MS, nbytes=7, gpu_ns=5 * MS, device="m1")
    recorder.record("allocate", "big", duration_ns=1, error=MetalError.OUT_OF_MEMORY)
    with pytest.raises(TimeoutError), recorder.operation("execute", "raises"):
        raise TimeoutError
    slow, big, raises = watch.latest()
    assert before <= slow.timestamp <= datetime.now(UTC)
    assert (slow.kind, slow.name, slow.device, slow.outcome) == (
        OperationKind.EXECUTE, "slow", "m1", "ok",
    )  # fmt: skip
    assert (slow.duration_ms, slow.gpu_ms, slow.nbytes, slow.failed) == (101.0, 5.0, 7, False)
    assert (big.outcome, big.failed, big.gpu_ms) == ("out_of_memory", True, None)
    assert (raises.name, raises.outcome) == ("raises", "timeout")


def test_it_has_the_ids_of_what_it_belonged_to(module: Any) -> None:
    watch = OperationWatch(None)
    recorder = watched(module, watch)
    token = CURRENT_SPAN.set(SpanContext(0xABC, 0xDEF))
    try:
        with correlation("job-1"):
            recorder.record("execute", "a", duration_ns=1, error="timeout")
    finally:
        CURRENT_SPAN.reset(token)
    recorder.record("execute", "b", duration_ns=10**12)
    recorder.record("execute", "b", duration_ns=1, error="timeout")
    within, without = watch.latest()
    assert (within.correlation_id, within.trace_id, within.span_id) == (
        "job-1", f"{0xABC:032x}", f"{0xDEF:016x}",
    )  # fmt: skip
    assert (without.correlation_id, without.trace_id, without.span_id) == (None, None, None)


def test_only_the_latest_are_kept(module: Any) -> None:
    watch = OperationWatch(None)
    recorder = watched(module, watch)
    for number in range(MOST_NOTABLE + 5):
        recorder.record("execute", f"n{number}", duration_ns=1, error="timeout")
    assert [one.name for one in watch.latest()] == [
        f"n{number}" for number in range(5, MOST_NOTABLE + 5)
    ]


def test_the_threshold_is_the_lowest_that_anyone_asks_for() -> None:
    class Spans:
        threshold_ns = 20

        def notable(self, *_: Any) -> tuple[str, str]:
            return "t" * 32, "s" * 16

    assert OperationWatch(30, Spans()).above_ns == 20
    assert OperationWatch(None, Spans()).above_ns == 20
    assert OperationWatch(10, Spans()).above_ns == 10
    logged: list[NotableOperation] = []
    watch = OperationWatch(30, Spans())
    watch.log_by(lambda operation, _: logged.append(operation))
    watch(Series("execute", "a", "", "ok"), 25, 0, None, None)
    watch(Series("execute", "b", "", "ok"), 31, 0, None, None)
    assert [one.trace_id for one in watch.latest()] == ["t" * 32] * 2
    assert [one.name for one in logged] == ["b"]


def test_a_snapshot_has_them_and_so_has_its_json(tmp_path: Any) -> None:
    sink = LogSinkOptions(type="file", endpoint=f"file://{tmp_path}/log")
    options = MetalTelemetryOptions(logging=LoggingOptions(sinks=(sink,)))
    with MetalTelemetryManager(options) as tel:
        with correlation("job-2"):
            tel.record("execute", "a", duration_ns=1, error="timeout")
            tel.record_custom_event("said")
        snapshot = tel.get_snapshot()
    (notable,) = snapshot.notable
    assert (notable.name, notable.correlation_id) == ("a", "job-2")
    assert snapshot.events[-1].correlation_id == "job-2"
    again = snapshot_from_dict(snapshot.to_dict())
    assert (again.notable, again.events) == (snapshot.notable, snapshot.events)
