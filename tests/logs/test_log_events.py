"""What metalscope logs by itself: each record fits its event's schema, and says what was known."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from logger_kit import Logged, logged

from alert_samples import CHANNEL, FIRING, PENDING, RESOLVED
from health_samples import EVENT
from metalscope import attributes as names
from metalscope.correlating import correlation
from metalscope.health_report import ComponentHealth, HealthReport, HealthStatus
from metalscope.log_options import LoggingOptions, LogSinkOptions
from metalscope.logs.events import EVENTS
from metalscope.logs.operation_events import OperationEvents
from metalscope.logs.snapshot_events import SnapshotEvents
from metalscope.manager import MetalTelemetryManager
from metalscope.operation import Component, ErrorSeverity, OperationKind
from metalscope.options import MetalTelemetryOptions
from metalscope.readings import MemoryPressure, ResourceKind, ResourceMetrics
from metalscope.snapshot import (
    InternalMetrics,
    MetalTelemetrySnapshot,
    NotableOperation,
    SinkStatus,
    TelemetryEvent,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCHEMA = json.loads((files("metalscope") / "assets/schema/log-v1.schema.json").read_text())
FITS = jsonschema.Draft202012Validator(SCHEMA)


def snapshot(**parts: Any) -> MetalTelemetrySnapshot:
    return MetalTelemetrySnapshot(NOW, NOW, **parts)


def told(*snapshots: MetalTelemetrySnapshot, resolved: Any = None) -> list[dict[str, Any]]:
    """What is logged of snapshots that come one after the other."""
    one = logged(level="debug")
    events = SnapshotEvents(one.log, resolved=lambda _: resolved)
    for each in snapshots:
        events.consume(each)
    return lines(one)


def lines(one: Logged) -> list[dict[str, Any]]:
    assert one.log.flush(10)
    found = [json.loads(line) for line in one.shipper.lines]
    for each in found:
        FITS.validate(each)
    return found


def pressure(level: MemoryPressure) -> MetalTelemetrySnapshot:
    return snapshot(
        resources=(
            ResourceMetrics(ResourceKind.MEMORY_PRESSURE, "system", "", level),
            ResourceMetrics(ResourceKind.MEMORY, "active", "m1", 1024.0, limit=4096.0),
        )
    )


def test_memory_pressure_is_told_of_when_it_changes() -> None:
    levels = (MemoryPressure.LOW, MemoryPressure.HIGH, MemoryPressure.HIGH,
              MemoryPressure.CRITICAL, MemoryPressure.LOW)  # fmt: skip
    found = told(*map(pressure, levels))
    assert [(one["event"], one["severity"], one[names.MEMORY_PRESSURE]) for one in found] == [
        ("metal.memory.pressure", "warning", "high"),
        ("metal.memory.pressure", "error", "critical"),
        ("metal.memory.pressure", "info", "low"),
    ]
    assert found[0][names.MEMORY_USED] == 1024
    assert found[0][names.MEMORY_PRESSURE_BEFORE] == "low"


def test_health_is_told_of_when_a_status_changes_with_the_reasons() -> None:
    def with_memory(status: HealthStatus, *reasons: str) -> MetalTelemetrySnapshot:
        memory = ComponentHealth(Component.MEMORY, status, reasons)
        return snapshot(health=HealthReport(status, (memory,)))

    found = told(
        snapshot(),
        with_memory(HealthStatus.HEALTHY),
        with_memory(HealthStatus.CRITICAL, "95 % full", "it grows"),
        with_memory(HealthStatus.CRITICAL, "96 % full"),
        with_memory(HealthStatus.HEALTHY),
    )
    assert [(one["severity"], one.get(names.HEALTH_COMPONENT)) for one in found] == [
        ("error", None), ("error", "memory"), ("info", None), ("info", "memory"),
    ]  # fmt: skip
    assert found[1][names.HEALTH_REASONS] == ["95 % full", "it grows"]
    assert found[1]["message"] == "memory is critical: 95 % full; it grows"


def test_what_is_unwell_from_the_start_is_told_of_at_once() -> None:
    found = told(snapshot(health=HealthReport(HealthStatus.DEGRADED)))
    assert [one[names.HEALTH_STATUS_BEFORE] for one in found] == ["unknown"]


def test_each_health_event_is_told_of_once_with_its_own_time() -> None:
    first = snapshot(health=HealthReport(HealthStatus.HEALTHY, events=(EVENT,)))
    later = replace(EVENT, sequence=EVENT.sequence + 1, message="again")
    second = snapshot(health=HealthReport(HealthStatus.HEALTHY, events=(EVENT, later)))
    found = told(first, second, second)
    assert [one["message"] for one in found] == [EVENT.message, "again"]
    assert found[0]["timestamp"].startswith(EVENT.timestamp.strftime("%Y-%m-%dT%H:%M:%S"))


def test_an_alert_is_told_of_from_its_firing_to_its_end() -> None:
    worse = replace(FIRING, severity=ErrorSeverity.CRITICAL)
    taken = replace(worse, acknowledged=RESOLVED.acknowledged)
    over = replace(FIRING, resolution="the condition no longer holds")
    found = told(
        snapshot(alerts=(PENDING,)),
        snapshot(alerts=(FIRING, PENDING)),
        snapshot(alerts=(FIRING,)),
        snapshot(alerts=(worse,)),
        snapshot(alerts=(taken,)),
        snapshot(),
        resolved=over,
    )
    assert [one["event"].rpartition(".")[2] for one in found] == [
        "firing", "firing", "acknowledged", "resolved",
    ]  # fmt: skip
    assert {one["correlation_id"] for one in found} == {"req-1"}
    assert found[0][names.ALERT_LABELS] == {"device": "m1", "name": "attention"}
    assert found[2][names.ALERT_BY] == "ada"
    assert found[3][names.ALERT_RESOLUTION] == "the condition no longer holds"
    assert found[3][names.ALERT_STATE] == "resolved"


def test_delivery_is_told_of_when_it_begins_to_fail_and_when_it_works() -> None:
    fine = replace(CHANNEL, last_error="")
    sink = SinkStatus("loki", "loki", waiting=7, last_error="refused")
    failing = snapshot(internals=InternalMetrics(channels=(CHANNEL,), sinks=(sink,)))
    working = snapshot(internals=InternalMetrics(channels=(fine,), sinks=(sink,)))
    found = told(failing, failing, working)
    assert [(one["event"], one[names.RECEIVER_ROLE]) for one in found] == [
        ("metalscope.export.failed", "channel"),
        ("metalscope.export.failed", "log sink"),
        ("metalscope.export.recovered", "channel"),
    ]
    assert found[1][names.RECEIVER_WAITING] == 7


def test_a_custom_event_is_told_of_with_what_it_belonged_to() -> None:
    event = TelemetryEvent(3, NOW, "checkout", {"tenant": "a"}, "order-17", "ab" * 16)
    found = told(snapshot(events=(event,)), snapshot(events=(event,)))
    assert [one["message"] for one in found] == ["checkout"]
    assert (found[0]["correlation_id"], found[0]["trace_id"]) == ("order-17", "ab" * 16)
    assert found[0][names.EVENT_PROPERTIES] == {"tenant": "a"}


# -- operations ----------------------------------------------------------------------------------


def of_operations(
    *operations: tuple[NotableOperation, BaseException | None],
    remembered: Sequence[Any] = (),
    latest: MetalTelemetrySnapshot | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    one = logged(level="debug")
    events = OperationEvents(
        one.log, LoggingOptions(**options), remembered=lambda: remembered, latest=lambda: latest
    )
    for operation, error in operations:
        events(operation, error)
    return lines(one)


def notable(**parts: Any) -> NotableOperation:
    known: dict[str, Any] = {"kind": OperationKind.EXECUTE, "name": "matmul", "device": "m1"}
    return NotableOperation(NOW, **(known | parts))


def test_an_error_says_what_ran_where_with_what_and_what_ran_before() -> None:
    me = threading.get_ident()
    failed = notable(outcome="out_of_memory", duration_ms=12.5, nbytes=4096, correlation_id="c",
                     trace_id="ab" * 16, span_id="cd" * 8)  # fmt: skip
    before = [
        (("execute", "embed", "m1", "ok"), 1_500_000, 0, 1, me),
        (("execute", "other", "", "ok"), 9_000_000, 0, 2, me + 1),
        (("allocate", "cache", "", "timeout"), None, 2048, 3, me),
        (("execute", "matmul", "m1", "out_of_memory"), 12_500_000, 4096, 4, me),
    ]
    (found,) = of_operations(
        (failed, MemoryError("no room")), remembered=before, latest=pressure(MemoryPressure.HIGH)
    )
    assert (found["event"], found["severity"]) == ("metal.operation.error", "error")
    assert found["message"] == "execute matmul on m1 failed after 12.5 ms: out_of_memory, 4.0 KiB"
    assert (found["exception_type"], found["exception_message"]) == ("MemoryError", "no room")
    assert found[names.ERROR_TYPE] == "out_of_memory"
    assert found[names.OPERATIONS_BEFORE] == [
        "execute embed on m1 1.5 ms",
        "allocate cache 2.0 KiB timeout",
    ]
    assert (found[names.MEMORY_USED], found[names.MEMORY_LIMIT]) == (1024, 4096)
    assert found[names.MEMORY_PRESSURE] == "high"
    assert (found["trace_id"], found["span_id"]) == ("ab" * 16, "cd" * 8)


def test_a_slow_one_says_from_where_on_it_is_slow() -> None:
    (found,) = of_operations((notable(duration_ms=150.0, gpu_ms=90.0), None))
    assert (found["event"], found["severity"]) == ("metal.operation.slow", "warning")
    assert (found[names.OPERATION_THRESHOLD], found[names.OPERATION_GPU]) == (100.0, 90.0)


def test_slow_ones_are_not_told_of_where_that_is_off() -> None:
    assert of_operations((notable(duration_ms=150.0), None), enable_performance_logging=False) == []


def test_of_many_that_fail_a_few_are_told_of_and_the_rest_counted() -> None:
    failed = notable(outcome="timeout")
    other = notable(outcome="timeout", name="softmax")
    found = of_operations(*[(failed, None)] * 20, (other, None), events_per_second=5)
    assert [one[names.OPERATION_NAME] for one in found] == ["matmul"] * 5 + ["softmax"]


# -- all of it, in a manager ---------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.ndjson"


def options(log: Path, **logging: Any) -> MetalTelemetryOptions:
    sink = LogSinkOptions(type="file", endpoint=f"file://{log}", format="json")
    return MetalTelemetryOptions(
        logging=LoggingOptions(sinks=(sink,), **logging), tick_interval="10ms"
    )


def written(log: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.read_text().splitlines()]
    for one in found:
        FITS.validate(one)
    return found


def test_a_manager_logs_from_its_start_to_its_end(log: Path) -> None:
    with MetalTelemetryManager(options(log)) as tel:
        with correlation("order-17"):
            tel.record("execute", "quick", duration_ns=1)
            tel.record("execute", "slow", duration_ns=200_000_000)
            with pytest.raises(MemoryError), tel.operation("allocate", "big", nbytes=7):
                raise MemoryError("no room")
            tel.record_custom_event("checkout")
        tel.log.info("said by the application", user_count=3)
    found = written(log)
    assert [one.get("event") for one in found if one["severity"] != "info"] == [
        "metal.operation.slow", "metal.operation.error",
    ]  # fmt: skip
    by_event = {one.get("event"): one for one in found}
    error = by_event["metal.operation.error"]
    assert error["correlation_id"] == by_event["metal.custom"]["correlation_id"] == "order-17"
    assert error[names.OPERATIONS_BEFORE] == ["execute quick 1e-06 ms", "execute slow 200 ms"]
    assert by_event[None]["user_count"] == 3
    assert found[0]["event"] == "metalscope.started"
    assert found[-1]["event"] == "metalscope.stopped"
    assert (found[-1][names.OPERATIONS], found[-1][names.ERRORS]) == (3, 1)


def test_every_operation_is_logged_where_that_is_asked_for(log: Path) -> None:
    with MetalTelemetryManager(options(log, log_operations=True, level="debug")) as tel:
        with tel.operation("execute", "matmul", device="m1") as operation:
            operation.add_bytes(64)
            operation.set_gpu_ns(2_000_000)
        tel.record("compile", "matmul", duration_ns=3_000_000, error="compilation_error")
        assert tel.get_snapshot().total_operations == 2
    found = [one for one in written(log) if one["severity"] == "debug"]
    assert [one["event"].rpartition(".")[2] for one in found] == ["start", "end", "end"]
    assert (found[1][names.OPERATION_BYTES], found[1][names.OPERATION_GPU]) == (64, 2.0)
    assert (found[2][names.OPERATION_OUTCOME], found[2][names.OPERATION_DURATION]) == (
        "compilation_error", 3.0,
    )  # fmt: skip


def test_started_again_it_logs_each_operation_once(log: Path) -> None:
    tel = MetalTelemetryManager(options(log, log_operations=True, level="debug"))
    for _ in range(2):
        tel.start()
        tel.record("execute", "matmul", duration_ns=1)
        tel.shutdown()
    events = [one["event"] for one in written(log)]
    assert events.count("metal.operation.end") == 2
    assert tel.log.dropped == 0


def test_where_logging_is_off_nothing_is_written_and_nothing_kept(log: Path) -> None:
    off = options(log, enabled=False)
    with MetalTelemetryManager(off) as tel:
        tel.record("execute", "slow", duration_ns=10**10, error="timeout")
        assert tel.get_snapshot().notable == ()
    assert not log.exists()


def test_an_application_may_log_although_events_are_not_logged(log: Path) -> None:
    with MetalTelemetryManager(options(log, enabled=False)) as tel:
        tel.log.warning("by hand")
    assert [one["message"] for one in written(log)] == ["by hand"]


def test_a_manager_that_starts_again_logs_again(log: Path) -> None:
    tel = MetalTelemetryManager(options(log))
    for _ in range(2):
        tel.start()
        tel.record("execute", "slow", duration_ns=200_000_000)
        tel.shutdown()
    events = [one["event"] for one in written(log)]
    assert events.count("metal.operation.slow") == 2
    assert events.count("metalscope.stopped") == 2


def test_what_is_logged_after_the_end_opens_nothing_anew(log: Path) -> None:
    tel = MetalTelemetryManager(options(log)).start()
    tel.log.info("before")
    tel.shutdown()
    size = log.stat().st_size
    tel.log.info("after")
    assert tel.log.flush(10)
    assert (log.stat().st_size, tel.log.dropped) == (size, 1)


def test_every_event_is_in_the_schema_and_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "logging-events.md").read_text()
    named = {one["if"]["properties"]["event"]["const"] for one in SCHEMA["allOf"]}
    assert named == {one.name for one in EVENTS}
    assert all(f"### `{one.name}`" in page for one in EVENTS)
    known = {getattr(names, name) for name in names.__all__}
    assert {field.name for one in EVENTS for field in one.fields} <= known
