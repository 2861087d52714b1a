"""What the predictor says of a program's past, with and without a history."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from metalscope.forecast.base import Forecaster
from metalscope.forecast.predictions import MAX_RECORDS, MAX_SECONDS, Predictor
from metalscope.health_options import HealthMonitorOptions, HistoryOptions
from metalscope.health_report import (
    BreakerStatus,
    BurnRate,
    HealthReport,
    ObjectiveStatus,
    PredictionKind,
)
from metalscope.histogram import DurationHistogram
from metalscope.history import History, HistoryError
from metalscope.operation import Component, OperationKind
from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics, OutcomeMetrics

START = datetime(2026, 1, 5, tzinfo=UTC)
GB = 1e9
HOUR = timedelta(hours=1)


def pool(current: float, limit: float | None = 10 * GB, name: str = "active") -> ResourceMetrics:
    return ResourceMetrics(ResourceKind.MEMORY, name, "m1", current, None, limit)


def work(ok: int = 0, **failed: int) -> OperationMetrics:
    outcomes = [OutcomeMetrics("ok", DurationHistogram(), untimed=ok)]
    outcomes += [
        OutcomeMetrics(error, DurationHistogram(), untimed=count)
        for error, count in sorted(failed.items())
    ]
    return OperationMetrics(OperationKind.EXECUTE, "matmul", "m1", tuple(outcomes))


class Watched:
    """A predictor on a clock that the test sets."""

    def __init__(self, history: History | None = None, **more: object) -> None:
        self.now = START
        self.failures: list[BaseException] = []
        self.predictor = Predictor(
            history,
            HealthMonitorOptions(),
            on_error=lambda _room, error: self.failures.append(error),
            now=lambda: self.now,
            **more,
        )

    def tick(
        self,
        *resources: ResourceMetrics,
        after: timedelta = timedelta(minutes=1),
        operations: tuple[OperationMetrics, ...] = (),
        breakers: tuple[BreakerStatus, ...] = (),
    ) -> None:
        self.now += after
        health = HealthReport(breakers=breakers)
        self.predictor.observe(
            MetalTelemetrySnapshot(self.now, START, operations, resources, health)
        )

    def found(self, kind: PredictionKind) -> list:
        found = [one for one in self.predictor.predict() if one.kind == kind]
        assert self.failures == []
        return found


# -- memory ----------------------------------------------------------------------------------------


def test_a_leak_is_predicted_without_a_history():
    watched = Watched()
    for minute in range(121):
        watched.tick(pool((4 + minute / 60) * GB))
    (found,) = watched.found(PredictionKind.MEMORY_EXHAUSTED)
    assert (found.at - watched.now) / HOUR == pytest.approx(4, abs=0.1)
    assert found.earliest <= found.at <= found.latest
    assert (found.value, found.unit, found.confidence) == (10 * GB, "bytes", 0.9)
    assert found.subject == "memory:active:m1"
    assert found.component is Component.MEMORY
    assert "active memory reaches its limit of 10.0 GB in 4" in found.message
    assert "growing by 1.0 GB an hour" in found.evidence[0]


def test_memory_that_stays_is_not_predicted():
    watched = Watched()
    for minute in range(121):
        watched.tick(pool((8 + minute % 7 / 10) * GB), pool(4 * GB, None, "cache"))
    assert watched.found(PredictionKind.MEMORY_EXHAUSTED) == []


def test_memory_without_a_limit_is_not_followed_and_others_only_up_to_a_number():
    watched = Watched()
    watched.tick(pool(1.0, None), *(pool(1.0, 2.0, f"pool {i}") for i in range(MAX_RECORDS + 5)))
    assert len(watched.predictor._records) == MAX_RECORDS


def test_a_leak_makes_memory_a_risk_as_sure_as_its_interval():
    watched = Watched()
    for minute in range(121):
        watched.tick(pool((4 + minute / 60) * GB))
    (found,) = watched.found(PredictionKind.FAILURE_RISK)
    assert (found.subject, found.value) == ("memory", pytest.approx(0.95))
    assert any("reaches its limit" in line for line in found.evidence)


# -- budgets ---------------------------------------------------------------------------------------


def objective(good: int, total: int, *rates: float) -> ObjectiveStatus:
    windows = (300.0, 1800.0, 3600.0, 21_600.0)
    burn = tuple(BurnRate(s, r) for s, r in zip(windows, rates, strict=True))
    return ObjectiveStatus("works", 0.99, 86_400.0 * 30, 86_400.0 * 30, good, total, burn)


def test_a_budget_that_burns_is_gone_in_what_is_left_by_the_rate():
    status = objective(99_500, 100_000, 50.0, 40.0, 30.0, 20.0)
    watched = Watched(objectives=lambda: [status])
    (found,) = watched.found(PredictionKind.BUDGET_SPENT)
    # Half of 30 days' budget is left: at a rate of 30 that is half a day.
    assert (found.at - watched.now) / HOUR == pytest.approx(12)
    assert (found.earliest - watched.now) / HOUR == pytest.approx(9)
    assert (found.latest - watched.now) / HOUR == pytest.approx(18)
    assert found.subject == "works"
    assert found.evidence[0] == "50.0% of the budget is left"


@pytest.mark.parametrize(
    "status",
    [
        objective(100_000, 100_000, 0.0, 0.0, 0.0, 0.0),
        objective(99_500, 100_000, 50.0, 40.0, 30.0, 0.5),  # an outburst that is hours old
        objective(99_500, 100_000, 2.0, 2.0, 2.0, 2.0),  # a week
        objective(98_000, 100_000, 50.0, 40.0, 30.0, 20.0),  # gone
        objective(49, 50, 50.0, 40.0, 30.0, 20.0),
    ],
)
def test_a_budget_that_lasts_or_is_gone_or_says_too_little_is_not_predicted(status):
    assert Watched(objectives=lambda: [status]).found(PredictionKind.BUDGET_SPENT) == []


# -- risk without a history ------------------------------------------------------------------------


def test_counted_failures_are_a_risk_with_their_evidence():
    watched = Watched()
    watched.tick(after=timedelta(hours=30), operations=(work(100),))
    assert watched.found(PredictionKind.FAILURE_RISK) == []
    watched.tick(operations=(work(100, device_lost=2, invalid_argument=50),))
    (found,) = watched.found(PredictionKind.FAILURE_RISK)
    assert found.component is Component.DEVICE
    assert 0.3 < found.value < 0.9
    assert found.lower < found.value < found.upper
    assert found.evidence[0].startswith("2 device_lost in 1 different hours, last 2026-01-06 06h")


def test_restarts_before_this_program_are_not_its_past_and_later_ones_are():
    watched = Watched()
    restarts = ResourceMetrics(ResourceKind.RECOVERIES, "gpu", "m1", 7)
    watched.tick(restarts, after=timedelta(hours=30))
    assert watched.found(PredictionKind.FAILURE_RISK) == []
    watched.tick(ResourceMetrics(ResourceKind.RECOVERIES, "gpu", "m1", 8))
    (found,) = watched.found(PredictionKind.FAILURE_RISK)
    assert found.evidence[0].startswith("1 restarts of the GPU")


def test_an_opened_breaker_counts_against_its_component():
    watched = Watched()
    watched.tick(after=timedelta(hours=30))
    watched.predictor.predict()
    watched.tick(
        breakers=(
            BreakerStatus("kernel", component=Component.KERNEL, opened=1),
            BreakerStatus("mine", opened=5),
        )
    )
    (found,) = watched.found(PredictionKind.FAILURE_RISK)
    assert found.component is Component.KERNEL


def test_heat_is_told_beside_a_risk_and_is_no_part_of_it():
    def risk(*resources: ResourceMetrics):
        watched = Watched()
        watched.tick(after=timedelta(hours=30), operations=(work(1, device_lost=1),))
        watched.tick(*resources, operations=(work(1, device_lost=1),))
        (found,) = watched.found(PredictionKind.FAILURE_RISK)
        return found

    cool, hot = risk(), risk(ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", 2))
    assert hot.value == cool.value
    assert hot.evidence[-1] == "thermal state is serious"


# -- with a history --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history() -> Iterator[History]:
    """Three days by ten minutes: work by day, a lost device on the second, memory that grows."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        failures: list[BaseException] = []
        elapsed = [0.0]
        kept = History(
            HistoryOptions(path=Path(directory).resolve() / "past.sqlite"),
            on_error=lambda _room, error: failures.append(error),
            elapsed=lambda: elapsed[0],
        )
        ok = 0
        for tick in range(3 * 144 + 1):
            elapsed[0] = tick * 600.0
            hour = tick / 6
            operations = work(ok, **({"device_lost": 1} if hour >= 30 else {}))
            kept.append(
                MetalTelemetrySnapshot(
                    START + timedelta(seconds=elapsed[0]),
                    START,
                    (operations,),
                    (pool((4 + hour / 10) * GB),),
                )
            )
            assert kept.flush(10)
            ok += 60_000 if 8 <= hour % 24 < 18 else 6_000
        kept.close()
        yield kept
        assert failures == []


def test_load_is_forecast_by_the_hour_of_day(history: History):
    watched = Watched(history)
    watched.now = START + timedelta(days=3)
    (found,) = watched.found(PredictionKind.LOAD)
    load = watched.predictor.load()
    assert len(load.values) == 24
    # What ran in a tick is counted at its end, so the hour of a change holds one tick of before.
    assert list(load.values) == pytest.approx(
        [100 if 8 <= hour < 18 else 10 for hour in range(24)], abs=16
    )
    assert 8 <= found.at.hour < 18
    assert found.value == pytest.approx(100, rel=0.1)
    assert found.lower <= found.value <= found.upper
    assert found.unit == "operations/s"


def test_a_restarted_program_knows_of_the_leak_and_the_failure_before(history: History):
    watched = Watched(history)
    watched.now = START + timedelta(days=3)
    watched.tick(pool(11.2 * GB, 12 * GB))
    (exhausted,) = watched.found(PredictionKind.MEMORY_EXHAUSTED)
    assert (exhausted.at - watched.now) / HOUR == pytest.approx(8, abs=0.5)
    device = next(
        one
        for one in watched.found(PredictionKind.FAILURE_RISK)
        if one.component is Component.DEVICE
    )
    assert device.evidence == ("1 device_lost in 1 different hours, last 2026-01-06 06h UTC",)
    assert 0.1 < device.value < 0.6


def test_a_history_that_cannot_be_read_keeps_nothing_else_back(tmp_path: Path):
    gone = History.open_readonly(tmp_path / "none.sqlite")
    status = objective(99_500, 100_000, 50.0, 40.0, 30.0, 20.0)
    watched = Watched(gone, objectives=lambda: [status])
    for minute in range(121):
        watched.tick(pool((4 + minute / 60) * GB), operations=(work(1, device_lost=1),))
    watched.now = START + timedelta(hours=2)
    found = {one.kind for one in watched.predictor.predict()}
    assert found == {PredictionKind.MEMORY_EXHAUSTED, PredictionKind.BUDGET_SPENT, "failure_risk"}
    assert {type(one) for one in watched.failures} == {HistoryError}


# -- the thread ------------------------------------------------------------------------------------


class Slow(Forecaster):
    """Says when it is asked, and answers when it may."""

    def __init__(self) -> None:
        self.asked, self.may = threading.Event(), threading.Event()
        self.calls = 0

    def forecast(self, series, steps, *, confidence=0.9):
        self.calls += 1
        self.asked.set()
        assert self.may.wait(20)


def test_two_rounds_never_run_at_once():
    slow = Slow()
    watched = Watched(forecaster=slow)
    for minute in range(60):
        watched.tick(pool((4 + minute / 60) * GB))
    thread = threading.Thread(target=watched.predictor.predict)
    thread.start()
    assert slow.asked.wait(20)
    assert watched.predictor.predict() == ()
    slow.may.set()
    thread.join()
    assert slow.calls == 1


def test_a_round_ends_when_its_time_is_over():
    passed = [0.0]

    class Lasting(Forecaster):
        calls = 0

        def forecast(self, series, steps, *, confidence=0.9):
            self.calls += 1
            passed[0] += MAX_SECONDS / 2

    lasting = Lasting()
    watched = Watched(forecaster=lasting, elapsed=lambda: passed[0])
    for minute in range(60):
        watched.tick(*(pool((4 + minute / 60) * GB, name=f"pool {i}") for i in range(10)))
    watched.predictor.predict()
    assert lasting.calls == 2


def test_it_looks_ahead_by_itself_each_interval_until_it_is_stopped():
    slow = Slow()
    slow.may.set()
    predictor = Predictor(
        None,
        HealthMonitorOptions(anomaly_detection_interval="10ms"),
        on_error=lambda _room, error: None,
        forecaster=slow,
    )
    for minute in range(60):
        predictor.observe(
            MetalTelemetrySnapshot(START + timedelta(minutes=minute), START, (), (pool(5 * GB),))
        )
    predictor.start()
    predictor.start()
    assert slow.asked.wait(20)
    predictor.stop()
    calls = slow.calls
    assert predictor._thread is None
    assert not [one for one in threading.enumerate() if one.name == "metalscope-ahead"]
    assert slow.calls == calls


def test_a_fault_of_a_forecaster_is_told_and_the_thread_lives_on():
    class Broken(Forecaster):
        def forecast(self, series, steps, *, confidence=0.9):
            raise ZeroDivisionError

    watched = Watched(forecaster=Broken())
    for _ in range(60):
        watched.tick(pool(5 * GB))
    assert watched.predictor.predict() == ()
    assert [type(one) for one in watched.failures] == [ZeroDivisionError]
