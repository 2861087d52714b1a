"""Datadog's API v2: what is sent is what its SDK's models allow, and adds up to the totals."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from contexts import context
from datadog_intake import KEY, Intake, checked, keys_in
from faulty_server import (
    CUT_ANSWER,
    GARBAGE_PAGE,
    NEVER_ANSWERS,
    REFUSED,
    FaultyServer,
    answer,
    answer_by,
    faulty_server,
    redirect,
)
from growing import START, durations_ns, grown, totals
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import HOSTILE_NAMES, snapshots

from metalscope.errors import ConfigurationError
from metalscope.export.datadog.exporter import SERIES_IN_A_PART, DatadogExporter, datadog_exporter
from metalscope.export.datadog.points import metric_name, tag
from metalscope.operation import OperationKind
from metalscope.sending.result import Reason, Verdict
from metalscope.snapshot import MetalTelemetrySnapshot, ResourceKind, ResourceMetrics


@pytest.fixture
def intake() -> Intake:
    return Intake()


@pytest.fixture
def server(intake: Intake) -> Iterator[FaultyServer]:
    with faulty_server(intake.answers()) as running:
        yield running


def exporter(server: FaultyServer, **options: object) -> DatadogExporter:
    made = datadog_exporter(
        context("datadog", **({"endpoint": server.url, "api_key": KEY} | options))
    )
    assert isinstance(made, DatadogExporter)
    return made


def with_kernels(count: int) -> MetalTelemetrySnapshot:
    snapshot = grown(1)
    one = snapshot.operations[0]
    return replace(
        snapshot, operations=tuple(replace(one, name=f"kernel_{n}") for n in range(count))
    )


def test_counts_of_several_snapshots_add_up_to_the_totals(
    server: FaultyServer, intake: Intake
) -> None:
    datadog = exporter(server)
    for steps in range(1, 5):
        assert datadog.export(grown(steps)).ok
    for metric, total in totals(grown(4)).items():
        if metric != "metal_gpu_recoveries_total":
            assert intake.total(metric) == pytest.approx(total), metric
    assert {request.path for request in server.requests} == {"/api/v2/series"}


def test_a_cumulative_total_is_never_sent_as_a_count(server: FaultyServer, intake: Intake) -> None:
    datadog = exporter(server)
    datadog.export(grown(3))
    intake.counts.clear()
    datadog.export(grown(4))
    assert intake.total("metal_operations_total", "outcome:ok") == len(durations_ns(3))
    assert intake.total("metal_operations_total", "outcome:timeout") == 2
    assert intake.total("metal_operation_duration_ms_count") == len(durations_ns(3)) + 2
    assert intake.total("metalscope_retired_operations_total") == 0


def test_a_count_says_in_how_many_seconds_it_came(server: FaultyServer, intake: Intake) -> None:
    datadog = exporter(server)
    datadog.export(grown(3))
    assert ("metal_operations_total", 30) in intake.intervals
    datadog.export(grown(4))
    assert ("metal_operations_total", 10) in intake.intervals


def test_gauges_are_gauges_with_their_units(server: FaultyServer, intake: Intake) -> None:
    exporter(server).export(grown(2))
    gauges = {name: value for ((name, _), _), value in intake.gauges.items()}
    assert gauges["metal_gpu_utilization_percent"] == 12.5
    assert gauges["depth"] == -0.5
    assert intake.units["metal_gpu_utilization_percent"] == "percent"
    assert intake.units["metal_operation_duration_ms_sum"] == "millisecond"


def test_buckets_are_counts_by_their_upper_bound(server: FaultyServer, intake: Intake) -> None:
    exporter(server).export(grown(2))
    bucket = "metal_operation_duration_ms_bucket"
    ran = [ns for step in range(2) for ns in durations_ns(step)] + [50_000] * 4
    assert intake.total(bucket, "le:_inf") == 0, "+Inf must not lose its sign and become another"
    assert intake.total(bucket, "le:inf") == len(ran)
    assert intake.total(bucket, "le:0.05") == sum(ns <= 50_000 for ns in ran)


def test_quantiles_are_those_of_the_interval(server: FaultyServer, intake: Intake) -> None:
    datadog = exporter(server)
    datadog.export(grown(3))
    intake.gauges.clear()
    datadog.export(grown(4))
    ran = sorted(durations_ns(3))
    (p50,) = [
        value
        for ((name, tags), _), value in intake.gauges.items()
        if name == "metal_operation_duration_ms.p50" and "outcome:ok" in tags
    ]
    assert p50 == pytest.approx(ran[1] / 1e6, rel=0.0443)


def test_distributions_have_every_duration_once(server: FaultyServer, intake: Intake) -> None:
    datadog = exporter(server, settings={"distributions": True})
    for steps in (1, 3, 4):
        assert datadog.export(grown(steps)).ok
    ran = sorted(ns / 1e6 for step in range(4) for ns in durations_ns(step))
    (values,) = [
        values
        for (name, tags), values in intake.distributions.items()
        if name == "metal_operation_duration_ms" and "outcome:ok" in tags
    ]
    assert sorted(values) == pytest.approx(ran, rel=0.0443)
    assert not any(name.endswith(".p50") for name in intake.metrics())


def test_events_are_sent_once(server: FaultyServer, intake: Intake) -> None:
    datadog = exporter(server)
    datadog.export(grown(1, events=2))
    datadog.export(grown(2, events=3))
    again = exporter(server)
    again.resume(grown(2, events=3))
    again.export(grown(3, events=4))
    assert [event["title"] for event in intake.events] == [f"event {n}" for n in range(1, 5)]
    assert intake.events[0]["text"] == '{"n": 1}'
    assert intake.events[0]["date_happened"] == int(grown(1).timestamp.timestamp())


def test_events_can_be_left_out(server: FaultyServer, intake: Intake) -> None:
    exporter(server, settings={"events": False}).export(grown(1, events=2))
    assert not intake.events


def test_only_the_event_that_failed_is_sent_again(server: FaultyServer, intake: Intake) -> None:
    takes = intake.answers().answer
    events = iter([False, True, False, False])

    def one_fails(request):  # type: ignore[no-untyped-def]
        if request.path == "/api/v1/events" and next(events):
            return 503, {}, b""
        return takes(request)

    server.answers = [answer_by(one_fails)]
    datadog = exporter(server)
    result = datadog.export(grown(1, events=3))
    assert result.reason is Reason.SERVER_ERROR
    assert datadog.export(grown(1, events=3)).ok
    assert [event["title"] for event in intake.events] == ["event 1", "event 2", "event 3"]
    assert [r.path for r in server.requests].count("/api/v2/series") == 1


def test_after_a_restart_counts_go_on_from_what_was_delivered(
    server: FaultyServer, intake: Intake
) -> None:
    exporter(server).export(grown(2))
    again = exporter(server)
    again.resume(grown(2))
    again.export(grown(3))
    expected = totals(grown(3))["metal_operations_total"]
    assert intake.total("metal_operations_total") == expected


def test_a_new_process_counts_from_nothing(server: FaultyServer, intake: Intake) -> None:
    later = grown(1, started_at=START + timedelta(minutes=5), pid=2)
    datadog = exporter(server)
    datadog.export(grown(2))
    datadog.export(later)
    expected = totals(grown(2))["metal_operations_total"] + 3
    assert intake.total("metal_operations_total") == expected


@given(st.lists(st.sampled_from(["ok", "503", "429", "400", "cut"]), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_counts_add_up_whatever_fails(faults: list[str]) -> None:
    intake = Intake()
    kinds = {"503": answer(503), "429": answer(429), "400": answer(400), "cut": CUT_ANSWER}
    with faulty_server(intake.answers()) as server:
        datadog = exporter(server)
        for steps, fault in enumerate(faults, 1):
            server.answers = [kinds.get(fault, intake.answers())]
            assert datadog.export(grown(steps)).ok == (fault == "ok")
        server.answers = [intake.answers()]
        last = grown(len(faults) + 1)
        assert datadog.export(last).ok
        for metric, total in totals(last).items():
            if metric != "metal_gpu_recoveries_total":
                assert intake.total(metric) == pytest.approx(total), (metric, faults)


def test_an_answer_that_was_lost_changes_no_value(server: FaultyServer, intake: Intake) -> None:
    takes = intake.answers().answer
    # It takes them, and the answer does not come.
    server.answers = [answer_by(lambda request: (takes(request), (504, {}, b""))[1])]
    datadog = exporter(server)
    datadog.export(grown(1))
    assert intake.total("jobs_total") == 1.5
    server.answers = [intake.answers()]
    assert datadog.export(grown(1)).ok
    assert datadog.export(grown(1)).ok
    assert intake.total("jobs_total") == 1.5


def test_two_snapshots_in_one_second_both_count(server: FaultyServer, intake: Intake) -> None:
    datadog = exporter(server)
    first = grown(1)
    datadog.export(first)
    soon = replace(grown(2), timestamp=first.timestamp + timedelta(milliseconds=300))
    datadog.export(soon)
    assert intake.total("jobs_total") == 3.0


def test_names_that_datadog_makes_the_same_are_added_up(
    server: FaultyServer, intake: Intake
) -> None:
    snapshot = grown(1)
    one = snapshot.operations[0]
    twice = replace(snapshot, operations=(one, replace(one, name="MatMul")))
    exporter(server).export(twice)
    assert intake.total("metal_operations_total", "name:matmul") == 2 * 3


def test_a_snapshot_too_old_for_datadog_is_let_go_and_its_counts_go_with_the_next(
    server: FaultyServer, intake: Intake
) -> None:
    old = START - timedelta(hours=2)
    datadog = exporter(server)
    result = datadog.export(grown(1, started_at=old))
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.EXPIRED)
    assert not server.requests
    now = replace(grown(2, started_at=old), timestamp=datetime.now(UTC))
    assert datadog.export(now).ok
    assert intake.total("jobs_total") == 3.0
    lenient = exporter(server, settings={"max_age": "1d"})
    assert lenient.export(grown(1, started_at=old)).ok


@given(snapshots)
@settings(max_examples=25, deadline=None)
def test_any_snapshot_is_what_datadogs_models_allow(snapshot: MetalTelemetrySnapshot) -> None:
    intake = Intake()
    recent = replace(snapshot, timestamp=START + timedelta(seconds=5), started_at=START)
    with faulty_server(intake.answers()) as server:
        result = exporter(server).export(recent)
        assert result.ok, result
        assert result.rejected_points == 0
        for request in server.requests:
            checked(request)


def test_numbers_that_are_none_are_absent(server: FaultyServer, intake: Intake) -> None:
    snapshot = grown(1)
    readings = (
        ResourceMetrics(ResourceKind.GPU_UTILIZATION, "a", "m1", math.nan),
        ResourceMetrics(ResourceKind.POWER, "gpu", "m1", math.inf),
    )
    assert exporter(server).export(replace(snapshot, resources=readings)).ok
    assert not {"metal_gpu_utilization_percent", "metal_power_watts"} & intake.metrics()


def test_many_series_go_in_parts_that_datadog_takes(server: FaultyServer, intake: Intake) -> None:
    assert exporter(server).export(with_kernels(120)).ok
    assert len(server.requests) > 1
    assert intake.total("metal_operations_total") == 120 * 3
    for request in server.requests:
        assert len(checked(request)[1]["series"]) <= SERIES_IN_A_PART


def test_a_part_that_is_too_large_is_halved(server: FaultyServer, intake: Intake) -> None:
    server.answers = [answer(413), intake.answers()]
    assert exporter(server).export(grown(1)).ok
    assert intake.total("metal_operations_total") == 3


def test_a_part_that_arrived_is_not_sent_again(server: FaultyServer, intake: Intake) -> None:
    server.answers = [intake.answers(), answer(503), intake.answers()]
    datadog = exporter(server)
    snapshot = with_kernels(120)
    assert datadog.export(snapshot).reason is Reason.SERVER_ERROR
    assert datadog.export(snapshot).ok
    sent = [one["metric"] for r in server.requests for one in checked(r)[1]["series"]]
    refused = checked(server.requests[1])[1]["series"]
    assert len(sent) - len(refused) == len(intake.counts) + len(intake.gauges)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answer(401), Reason.UNAUTHORIZED),
        (answer(403, b'{"errors": ["Forbidden"]}'), Reason.FORBIDDEN),
        (answer(404), Reason.NOT_FOUND),
        (answer(500, b"\xff\xfe"), Reason.SERVER_ERROR),
        (answer(429), Reason.RATE_LIMITED),
        (GARBAGE_PAGE, Reason.GARBAGE),
        (answer(202, b"\xff\xfe no JSON"), Reason.GARBAGE),
        (REFUSED, Reason.REFUSED),
    ],
    ids=str,
)
def test_a_failure_that_may_pass_is_tried_again(fault, reason, server: FaultyServer) -> None:  # type: ignore[no-untyped-def]
    server.answers = [fault]
    result = exporter(server).export(grown(1))
    assert (result.verdict, result.reason) == (Verdict.RETRY, reason)
    assert KEY not in result.detail


def test_what_datadog_refuses_for_good_is_let_go(server: FaultyServer) -> None:
    server.answers = [answer(400, f"no {KEY} here".encode())]
    result = exporter(server).export(grown(1))
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
    assert KEY not in result.detail


def test_a_rate_limit_is_waited_for_as_long_as_datadog_says(server: FaultyServer) -> None:
    server.answers = [answer(429, x_ratelimit_reset="17")]
    assert exporter(server).export(grown(1)).retry_after == timedelta(seconds=17)


def test_an_answer_that_never_comes_is_given_up_in_time(server: FaultyServer) -> None:
    server.answers = [NEVER_ANSWERS]
    began = datetime.now(UTC)
    result = exporter(server, timeout="500ms").export(grown(1))
    assert result.reason is Reason.TIMEOUT
    assert datetime.now(UTC) - began < timedelta(seconds=3)


def test_a_redirect_does_not_carry_the_key_elsewhere(server: FaultyServer) -> None:
    with faulty_server() as elsewhere:
        server.answers = [redirect(elsewhere.url)]
        result = exporter(server).export(grown(1))
        assert result.reason is Reason.REDIRECTED
        assert not elsewhere.requests


def test_the_key_is_in_its_header_only_and_never_logged(
    server: FaultyServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert exporter(server).export(grown(1)).ok
        server.answers = [answer(403)]
        assert not exporter(server).export(grown(2)).ok
    assert keys_in(server) == {KEY}
    assert KEY not in caplog.text
    for request in server.requests:
        others = {name: value for name, value in request.headers.items() if name != "dd-api-key"}
        assert KEY not in str(others)


def test_the_levels_of_others_loggers_stay_as_they_are(server: FaultyServer) -> None:
    logger = logging.getLogger("urllib3")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        exporter(server)
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before)


def test_a_key_in_a_file_is_read_anew(server: FaultyServer, tmp_path: Path) -> None:
    file = tmp_path / "key"
    datadog = exporter(server, api_key=None, api_key_from=f"file:{file}")
    assert datadog.export(grown(1)).reason is Reason.CONFIGURATION
    file.write_text(KEY + "\n")
    assert datadog.export(grown(1)).ok


def test_key_and_site_may_be_in_datadogs_own_variables(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DD_API_KEY", KEY)
    monkeypatch.setenv("DD_APP_KEY", "not to be sent")
    assert exporter(server, api_key=None).export(grown(1)).ok
    monkeypatch.setenv("DD_SITE", "datadoghq.eu")
    elsewhere = exporter(server, endpoint=None)
    assert elsewhere._datadog._http.url == "https://api.datadoghq.eu"
    named = exporter(server, endpoint=None, settings={"site": "us5.datadoghq.com"})
    assert named._datadog._http.url == "https://api.us5.datadoghq.com"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"settings": {"distribution": True}}, "settings.distribution"),
        ({"settings": {"distributions": "yes"}}, "settings.distributions"),
        ({"settings": {"max_age": "soon"}}, "settings.max_age"),
        ({"settings": {"site": "https://x/"}, "endpoint": None}, "settings.site"),
        ({"settings": {"site": "datadoghq.eu"}}, "settings.site"),
        ({"api_key": None}, "api_key"),
        ({"endpoint": "https://api.datadoghq.com/?api_key=a"}, "no query"),
    ],
)
def test_an_option_that_is_not_usable_is_named(  # type: ignore[no-untyped-def]
    options, said, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DD_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=said) as raised:
        exporter(server, name="mine", **options)
    assert "mine" in str(raised.value)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "MatMul", "a" * 300, "trailing_", "Größe 1"])
def test_tags_are_as_datadog_keeps_them(name: str) -> None:
    made = tag("Name", name)
    if made:
        key, _, value = made.partition(":")
        assert key == "name"
        assert value == value.lower()
        assert len(made) <= 200
        assert not value.endswith("_")
        assert "__" not in value
        assert all(c.isalnum() or c in "_-:/." for c in value)


def test_metric_names_are_as_datadog_keeps_them() -> None:
    assert metric_name("queue:depth") == "queue_depth"
    assert metric_name("_private") == "m__private"
    assert metric_name("metal_operations_total") == "metal_operations_total"


def test_the_host_and_the_service_are_said(server: FaultyServer, intake: Intake) -> None:
    snapshot = grown(1)
    assert snapshot.system is not None
    resource = (("host.name", "box"), ("service.version", "1.2"))
    snapshot = replace(snapshot, system=replace(snapshot.system, resource=resource))
    exporter(server, labels={"env": "prod", "team": "ML"}).export(snapshot)
    assert intake.hosts == {"box"}
    for (_, tags), _ in (*intake.counts, *intake.gauges):
        assert {"service:metalscope", "version:1.2", "env:prod", "team:ml"} <= tags
    assert any("kind:" + OperationKind.EXECUTE in tags for (_, tags), _ in intake.counts)
