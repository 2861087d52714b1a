"""An alert shows figures, the operations most concerned, and traces in which they ran."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alert_engine_kit import START, Driven, rule

from metalscope.alert_report import AlertEvidence
from metalscope.alerts.engine.thresholds import measured_by
from metalscope.histogram import DurationHistogram
from metalscope.notable import NotableOperation
from metalscope.operation import OK, Component, ErrorSeverity, MetalError, OperationKind
from metalscope.snapshot import Exemplar, OperationMetrics, OutcomeMetrics

EXECUTE, ALLOCATE = OperationKind.EXECUTE, OperationKind.ALLOCATE
NOTHING = DurationHistogram()


def ms(*values):
    return DurationHistogram.from_durations([round(value * 1e6) for value in values])


def exemplar(trace, after=0, value=1.0):
    return Exemplar(value, START + timedelta(seconds=after), trace, "s")


def operation(name, ok=100, kind=EXECUTE, *, durations=NOTHING, traces=(), nbytes=0, **errors):
    outcomes = [OutcomeMetrics(OK, durations, nbytes, untimed=ok, exemplars=tuple(traces))]
    for error, count in errors.items():
        outcomes.append(OutcomeMetrics(MetalError(error), NOTHING, untimed=count))
    return OperationMetrics(kind, name, "m1", tuple(outcomes))


def evidence(one, values, *operations, notable=()):
    engine = Driven(one)
    engine.turn_to(
        START + timedelta(minutes=1), values, operations=operations, notable=tuple(notable)
    )
    return engine.only.evidence


@pytest.mark.parametrize(
    ("expr", "title", "measured", "raised", "unit"),
    [
        ("trouble > 5", "{value:percent}", "trouble", "raised above 5 %", "percent"),
        ("5 < trouble", "", "trouble", "raised above 5", ""),
        ("trouble >= -1.5", "", "trouble", "raised at -1.5 or more", ""),
        ("trouble > 5 and trouble < 9", "", "trouble", "raised above 5", ""),
        ("trouble", "", "trouble", "", ""),
        ("sqrt(trouble) > 5", "", "sqrt(trouble)", "raised above 5", ""),
        (
            "100 * metal_memory_usage_bytes / (metal_memory_limit_bytes > 0) > 85",
            "{pool} is {value:percent} full",
            "memory usage / memory limit",
            "raised above 85 %",
            "percent",
        ),
        (
            "max_over_time(metal_memory_usage_bytes[5m]) > 1e9",
            "",
            "greatest memory usage in 5m",
            "raised above 1000000000",
            "bytes",
        ),
        (
            "sum by (type) (increase(metal_errors_total[10m])) >= 10",
            "",
            "errors in 10m",
            "raised at 10 or more",
            "",
        ),
        (
            "histogram_quantile(0.95, sum by (le) (rate(metal_operation_duration_ms_bucket[5m]))) "
            "> 100",
            "",
            None,
            "raised above 100",
            "ms",
        ),
        (
            "metal_predicted_timestamp_seconds - time() < 3600",
            "{value:duration}",
            "predicted timestamp from now",
            "raised below 1h",
            "s",
        ),
    ],
)
def test_a_rule_says_what_it_measures_and_from_where_on(expr, title, measured, raised, unit):
    found = measured_by(rule(expr=expr, summary=title), ErrorSeverity.MEDIUM)
    assert (found.raised, found.unit) == (raised, unit)
    assert measured is None or found.text == measured


def test_the_figure_has_the_threshold_that_was_reached():
    one = rule(severities={"high": "trouble > 7", "critical": "trouble > 8"})
    (figure,) = evidence(one, {"a": 9.5}).figures
    assert figure.name == "trouble (raised above 5, critical above 8)"
    assert figure.value == 9.5


def test_what_is_all_or_nothing_has_no_figure():
    flag = rule(expr="max(trouble) > 0", severities={"high": "max(trouble) > 0"})
    assert evidence(flag, {"a": 1}).figures == ()
    assert evidence(flag, {"a": 2}).figures[0].name == "trouble"


def test_an_expression_too_long_to_read_is_a_value():
    long = "trouble + " * 20 + "trouble > 5"
    assert measured_by(rule(expr=long), ErrorSeverity.MEDIUM).in_words == "value (raised above 5)"


def test_an_alert_of_an_operation_shows_that_operation():
    found = evidence(
        rule(),
        {"attention": 9},
        operation("matmul", timeout=50),
        operation("attention", 93, durations=ms(*[10] * 20), timeout=4, internal_error=3),
    )
    assert found.operations == (
        "execute attention on m1: 7 of 120 failed (timeout 4, internal_error 3), p95 10 ms",
    )


def test_an_alert_without_an_operation_shows_those_that_failed_most():
    found = evidence(
        rule(expr="max(trouble) > 5", component=Component.KERNEL),
        {"a": 9},
        *(operation(f"k{n}", timeout=n) for n in range(8)),
    )
    names = [text.split()[1] for text in found.operations]
    assert names == ["k7", "k6", "k5", "k4", "k3"]


def test_an_alert_of_a_type_of_error_shows_those_that_failed_so():
    one = rule(expr="max(trouble) > 5", labels={"type": "out_of_memory"})
    found = evidence(
        one, {"a": 9}, operation("a", timeout=90), operation("b", timeout=1, out_of_memory=2)
    )
    assert found.operations == ("execute b on m1: 3 of 103 failed (out_of_memory 2, timeout 1)",)


@pytest.mark.parametrize(
    ("subject", "names"),
    [("execute b on m1", ["b"]), ("out_of_memory", ["c"]), ("something else", ["a", "b", "c"])],
)
def test_an_alert_of_an_anomaly_shows_what_the_anomaly_is_about(subject, names):
    one = rule(expr="max(trouble) > 5", labels={"subject": subject})
    operations = (
        operation("a", timeout=90),
        operation("b", timeout=2),
        operation("c", out_of_memory=1),
    )
    found = evidence(one, {"x": 9}, *operations)
    assert [text.split()[1] for text in found.operations] == names


def test_an_alert_of_memory_shows_who_takes_it_where_nothing_failed():
    found = evidence(
        rule(expr="max(trouble) > 5", component=Component.MEMORY),
        {"a": 9},
        operation("small", 2, ALLOCATE, nbytes=1024),
        operation("weights", 3, ALLOCATE, nbytes=3 * 2**30),
        operation("copied", 2, nbytes=2**40),
    )
    assert found.operations == (
        "allocate weights on m1: 3 times, 3.0 GiB in all",
        "allocate small on m1: 2 times, 1.0 KiB in all",
    )


def test_an_alert_of_durations_shows_the_slowest_and_their_slowest_traces():
    slow = rule(expr="max(metal_operation_duration_ms_count) > 1")
    found = evidence(
        slow,
        {},
        operation("quick", durations=ms(1, 1)),
        operation(
            "slow", durations=ms(300, 300), traces=[exemplar("t1", 9, 200), exemplar("t2", 1, 300)]
        ),
        operation("never timed"),
    )
    assert [text.split()[1] for text in found.operations] == ["slow", "quick"]
    assert found.trace_ids == ("t2", "t1")


def test_traces_are_of_what_failed_the_latest_first_and_each_once():
    failed = OutcomeMetrics(
        MetalError.TIMEOUT,
        NOTHING,
        untimed=9,
        exemplars=tuple(exemplar(f"f{n % 7}", n) for n in range(20)),
    )
    fine = OutcomeMetrics(OK, NOTHING, untimed=9, exemplars=(exemplar("ok", 99),))
    found = evidence(rule(), {"a": 9}, OperationMetrics(EXECUTE, "a", "m1", (fine, failed)))
    assert found.trace_ids == ("f5", "f4", "f3", "f2", "f1")


def noted(name, number, outcome=OK, *, took=None, trace=None):
    return NotableOperation(
        START + timedelta(seconds=number), EXECUTE, name, "m1", outcome, took,
        correlation_id=f"c{number}", trace_id=trace,
    )  # fmt: skip


def test_an_alert_names_the_work_in_which_operations_failed_the_latest_first():
    notable = [
        noted("a", 1, MetalError.TIMEOUT, trace="t1"),
        noted("a", 2, took=500.0),
        noted("b", 3, MetalError.TIMEOUT),
        noted("a", 4, MetalError.TIMEOUT),
    ]
    found = evidence(rule(), {"a": 9}, operation("a", timeout=9), notable=notable)
    assert (found.correlation_ids, found.trace_ids) == (("c4", "c1"), ("t1",))


def test_an_alert_of_durations_names_the_work_that_was_slowest():
    slow = rule(expr="max(metal_operation_duration_ms_count) > 1")
    notable = [noted("a", 1, took=200.0), noted("a", 2, took=900.0), noted("a", 3, took=300.0)]
    found = evidence(slow, {}, operation("a", durations=ms(300, 300)), notable=notable)
    assert found.correlation_ids == ("c2", "c3", "c1")


def test_evidence_is_of_when_it_fired_or_got_worse():
    engine = Driven(rule(severities={"critical": "trouble > 8"}, **{"for": 60}))
    said = []
    for minute, value in enumerate((6, 6, 6.5, 9, 9, 7), start=1):
        engine.turn_to(START + timedelta(minutes=minute), {"a": value})
        said.append([one.value for one in engine.only.evidence.figures])
    assert said == [[], [6], [6], [6], [9], [9]]


def test_what_fires_with_nothing_to_show_shows_nothing():
    found = evidence(rule(expr="trouble"), {"elsewhere": 1.0}, operation("attention", timeout=9))
    assert (found.operations, found.trace_ids) == ((), ())
    assert found.correlation_ids == AlertEvidence().correlation_ids
