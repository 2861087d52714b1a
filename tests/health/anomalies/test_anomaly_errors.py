from __future__ import annotations

import pytest
from streams import HOUR, MINUTE, Watch, Work, kinds, ordinary

from metalscope.health.anomalies.signals import ALL_OPERATIONS
from metalscope.operation import Component, ErrorSeverity, MetalError

WARM = 0.5 * HOUR


def warm(*, failing: float = 0.0, operations: int = 3) -> Watch:
    watch = Watch(ordinary(1, operations))
    for work in watch.program.operations.values():
        work.failing = failing
    watch.run(WARM)
    assert watch.told == []
    return watch


def test_an_operation_that_begins_to_fail_is_told_of_at_once_with_its_error():
    watch = warm()
    watch.program.operations["softmax"].failing = 0.3
    watch.run(3 * MINUTE)
    (told,) = watch.told
    assert told.first <= WARM + 20
    anomaly = told.anomaly
    assert (anomaly.kind, anomaly.subject) == ("error_rate", "execute softmax")
    assert anomaly.component is MetalError.TIMEOUT.component
    assert anomaly.cause == "errors: timeout"
    assert anomaly.severity is ErrorSeverity.HIGH


def test_one_bad_operation_is_found_among_many_whose_total_hides_it():
    watch = warm(operations=2)
    program = watch.program
    program.operations["busy"] = Work(0.3, 2000.0)
    watch.run(WARM)
    program.operations["softmax"].failing = 0.1
    watch.run(3 * MINUTE)
    assert program.operations["softmax"].per_second / 2000 < 0.01
    assert [told.anomaly.subject for told in watch.told] == ["execute softmax"]


def test_one_burst_of_one_error_across_operations_is_told_of_as_that_error():
    watch = warm()
    for work in watch.program.operations.values():
        work.failing, work.error = 0.2, MetalError.OUT_OF_MEMORY
    watch.run(20)
    for work in watch.program.operations.values():
        work.failing = 0.0
    watch.run(6 * MINUTE)
    (told,) = watch.told
    assert told.anomaly.subject == "out_of_memory"
    assert told.anomaly.component is Component.MEMORY
    assert told.over


def test_different_errors_everywhere_are_told_of_once():
    watch = warm()
    errors = (MetalError.TIMEOUT, MetalError.INTERNAL_ERROR, MetalError.INVALID_ARGUMENT)
    for work, error in zip(watch.program.operations.values(), errors, strict=True):
        work.failing, work.error = 0.2, error
    watch.run(2 * MINUTE)
    subjects = [told.anomaly.subject for told in watch.told]
    assert ALL_OPERATIONS not in subjects
    assert sorted(subjects) == ["execute attention", "execute matmul", "execute softmax"]


def test_a_background_of_errors_is_usual_and_more_of_them_is_not():
    watch = Watch(ordinary(2, 2))
    watch.program.operations["matmul"].failing = 0.02
    watch.run(2 * HOUR)
    assert watch.told == []
    watch.program.operations["matmul"].failing = 0.12
    watch.run(3 * MINUTE)
    (told,) = watch.told
    assert told.latest is not None
    assert told.latest.expected == pytest.approx(2.0, abs=0.6)


def test_a_few_failures_now_and_then_are_no_anomaly():
    watch = Watch(ordinary(3, 2))

    def burst(at: float) -> None:
        watch.program.operations["matmul"].failing = 0.06 if at % 1200 < 10 else 0.0

    watch.run(3 * HOUR, each=burst)
    assert watch.told == []


def test_what_fails_from_the_start_above_the_threshold_of_the_options_is_told_of():
    watch = Watch(ordinary(1, 2))
    watch.program.operations["matmul"].failing = 0.5
    watch.run(3 * MINUTE)
    assert [told.anomaly.subject for told in watch.told] == ["execute matmul"]


def test_failures_end_and_those_that_last_an_hour_are_usual():
    watch = warm(operations=1)
    watch.program.operations["matmul"].failing = 0.2
    watch.run(1.3 * HOUR)
    assert kinds(watch.told) == ["error_rate"]
    assert watch.told[0].over
    assert watch.told[0].last - WARM > 0.9 * HOUR


def test_failures_that_stop_are_over_some_minutes_later():
    watch = warm(operations=1)
    watch.program.operations["matmul"].failing = 0.2
    watch.run(2 * MINUTE)
    watch.program.operations["matmul"].failing = 0.0
    watch.run(6 * MINUTE)
    assert watch.told[0].over
    assert watch.open == []


@pytest.mark.parametrize(
    ("failing", "error", "severity"),
    [
        (0.03, MetalError.TIMEOUT, ErrorSeverity.LOW),
        (0.12, MetalError.TIMEOUT, ErrorSeverity.MEDIUM),
        (0.9, MetalError.TIMEOUT, ErrorSeverity.CRITICAL),
        (0.03, MetalError.OUT_OF_MEMORY, ErrorSeverity.HIGH),
        (0.03, MetalError.DEVICE_LOST, ErrorSeverity.CRITICAL),
    ],
)
def test_severity_is_by_share_and_never_below_the_error_s_own(
    failing: float, error: MetalError, severity: ErrorSeverity
):
    watch = warm(operations=1)
    work = watch.program.operations["matmul"]
    work.per_second, work.failing, work.error = 50.0, failing, error
    watch.run(4 * MINUTE)
    assert watch.open[0].severity is severity
