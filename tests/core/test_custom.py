from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from metalscope.custom import CustomMetrics, EventLog
from metalscope.errors import InvalidNameError


@pytest.fixture
def metrics() -> CustomMetrics:
    return CustomMetrics(max_series=10)


def test_counters_add_gauges_hold_and_histograms_observe(metrics):
    metrics.record("jobs", 2, None, "counter")
    metrics.record("jobs", 3, None, "counter")
    metrics.record("depth", 7, {"queue": "a"}, "gauge")
    metrics.record("depth", 4, {"queue": "a"}, "gauge")
    metrics.record("batch", 3, None, "histogram")
    metrics.record("batch", 10**9, None, "histogram")
    batch, depth, jobs = metrics.collect()
    assert (jobs.value, depth.value, depth.labels) == (5, 4, (("queue", "a"),))
    assert (batch.count, batch.value) == (2, 10**9 + 3)
    assert dict(batch.buckets)[5.0] == 1
    assert dict(batch.buckets)[2.5] == 0
    assert dict(batch.buckets)[10_000.0] == 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1st",
        "with space",
        "dash-ed",
        "naïve",
        "metal_mine",
        "metalscope_x",
        "a\n",
        "rule:x",
        None,
    ],
)
def test_a_name_that_breaks_the_rules_is_refused_with_the_name_in_the_text(metrics, name):
    with pytest.raises(InvalidNameError, match="custom metric"):
        metrics.record(name, 1, None, "counter")
    assert metrics.collect() == ()


@pytest.mark.parametrize("label", ["le", "quantile", "__name__", "a-b", "1", ""])
def test_a_label_that_breaks_the_rules_is_refused(metrics, label):
    with pytest.raises(InvalidNameError, match="label"):
        metrics.record("fine", 1, {label: "x"}, "counter")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "many", None])
def test_a_value_that_is_no_finite_number_is_refused(metrics, value):
    with pytest.raises(ValueError, match="finite"):
        metrics.record("fine", value, None, "gauge")


def test_a_counter_cannot_go_down(metrics):
    with pytest.raises(ValueError, match="cannot go down"):
        metrics.record("jobs", -1, None, "counter")


def test_an_unknown_kind_is_refused(metrics):
    with pytest.raises(ValueError, match="counter, gauge, histogram"):
        metrics.record("jobs", 1, None, "summary")


def test_a_name_keeps_its_kind_and_its_labels(metrics):
    metrics.record("jobs", 1, {"q": "a"}, "counter")
    with pytest.raises(InvalidNameError, match="is a counter"):
        metrics.record("jobs", 1, {"q": "a"}, "gauge")
    with pytest.raises(InvalidNameError, match="labels"):
        metrics.record("jobs", 1, None, "counter")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("jobs", "counter"), ("jobs_total", "gauge")),
        (("jobs_total", "counter"), ("jobs", "gauge")),
        (("size", "histogram"), ("size_sum", "gauge")),
        (("size_count", "gauge"), ("size", "histogram")),
    ],
)
def test_two_metrics_that_would_be_exposed_under_one_name_are_refused(metrics, first, second):
    metrics.record(first[0], 1, None, first[1])
    with pytest.raises(InvalidNameError, match="would be exposed as"):
        metrics.record(second[0], 1, None, second[1])


def test_past_the_cap_label_values_become_other_and_new_metrics_are_let_go(metrics):
    for number in range(100):
        metrics.record("jobs", 1, {"tenant": f"t{number}"}, "counter")
    assert metrics.overflowed == 90
    series = {dict(one.labels)["tenant"]: one.value for one in metrics.collect()}
    assert series["other"] == 90
    assert sum(series.values()) == 100
    metrics.record("more", 1, None, "counter")
    assert metrics.overflowed == 91
    assert {one.name for one in metrics.collect()} == {"jobs"}


def test_threads_lose_no_count(metrics):
    def work() -> None:
        for _ in range(2000):
            metrics.record("jobs", 1, None, "counter")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.collect()[0].value == 8000


def test_events_keep_order_and_the_newest_within_the_cap():
    log = EventLog(max_events=3, retention=timedelta(hours=1))
    for number in range(5):
        log.record("event", {"n": number})
    assert [event.properties["n"] for event in log.latest(10)] == [2, 3, 4]
    assert [event.sequence for event in log.latest(2)] == [4, 5]
    assert log.dropped == 2


def test_event_properties_become_plain_data():
    log = EventLog(max_events=3, retention=timedelta(hours=1))
    event = log.record(
        "e",
        {
            "nan": float("nan"),
            "set": {1},
            "object": 1j,
            "deep": {"a": {"b": {"c": {"d": {"e": 1}}}}},
        },
    )
    assert event.properties["nan"] == "nan"
    assert event.properties["set"] == [1]
    assert event.properties["object"] == "1j"
    assert event.properties["deep"]["a"]["b"]["c"] == {"d": "{'e': 1}"}


@pytest.mark.parametrize(
    ("name", "properties"), [("", None), (None, None), ("e", [1]), ("e", {1: 2})]
)
def test_an_event_without_a_name_or_with_odd_properties_is_refused(name, properties):
    with pytest.raises(InvalidNameError, match="event"):
        EventLog(max_events=3, retention=timedelta(hours=1)).record(name, properties)


def test_events_past_their_retention_are_forgotten():
    log = EventLog(max_events=3, retention=timedelta(hours=1))
    log.record("e", None)
    log.forget_old(datetime.now(UTC) + timedelta(minutes=59))
    assert len(log.latest(10)) == 1
    log.forget_old(datetime.now(UTC) + timedelta(minutes=61))
    assert log.latest(10) == ()
