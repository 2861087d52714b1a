from __future__ import annotations

import json
import platform
import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from breeze_endpoint import KEY, Breeze, NotAnItemError, breeze_endpoint, check
from contexts import context
from faulty_server import (
    CUT_ANSWER,
    GARBAGE,
    GARBAGE_PAGE,
    GOOD,
    NEVER_ANSWERS,
    REFUSED,
    RESET_AFTER_REQUEST,
    UNKNOWN_CA,
    Fault,
    answer,
    answer_by,
    faulty_server,
    redirect,
)
from growing import START, STEP, grown, totals
from hypothesis import given, settings
from snapshots import NOW, full
from snapshots import snapshots as any_snapshot

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.export.application_insights.address import VARIABLE, Address
from metalscope.export.application_insights.exporter import ApplicationInsightsExporter
from metalscope.export_options import ExporterOptions
from metalscope.families import families
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.snapshot import CustomMetric, MetalTelemetrySnapshot, TelemetryEvent

# One item a series; recoveries are counted since boot, and what was before nobody's.
ITEMS = sum(
    len(family.values) + len(family.distributions)
    for family in families(full())
    if family.metric.name != "metal_gpu_recoveries_total"
)

Series = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture(autouse=True)
def no_resource_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def exporter(url: str | None, **options: Any) -> ApplicationInsightsExporter:
    options = {"api_key": KEY, "timeout": 5} | options
    return ApplicationInsightsExporter(
        context("application_insights", endpoint=url, name="insights", **options)
    )


def export(url: str, snapshot: MetalTelemetrySnapshot, **options: Any) -> ExportResult:
    made = exporter(url, **options)
    try:
        return made.export(snapshot)
    finally:
        made.shutdown()


def with_events(snapshot: MetalTelemetrySnapshot, *numbers: int) -> MetalTelemetrySnapshot:
    return replace(
        snapshot,
        events=tuple(
            TelemetryEvent(n, snapshot.timestamp, f"event {n}", {"n": n, "deep": {"a": [1]}})
            for n in numbers
        ),
    )


def sums(breeze: Breeze) -> dict[Series, list[float]]:
    """What a query adds up: sum and count of all items of a series."""
    added: dict[Series, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for name, properties, point in breeze.metrics():
        series = name, frozenset(properties.items())
        added[series][0] += point["value"]
        added[series][1] += point.get("count", 1)
    return dict(added)


# -- the numbers ---------------------------------------------------------------------------------


def test_the_numbers_of_everything_are_those_of_the_snapshot() -> None:
    with breeze_endpoint() as (breeze, server):
        result = export(server.url, full())
    assert breeze.refused == []
    expected: dict[Series, list[float]] = {}
    for family in families(full()):
        metric = family.metric
        # Counted since boot, of which nothing happened since the last snapshot: there was none.
        if metric.name == "metal_gpu_recoveries_total":
            continue
        for labels, value in family.values:
            expected[metric.name, frozenset(zip(metric.labels, labels, strict=True))] = [value, 1]
        for labels, one in family.distributions:
            assert one.sum is not None
            series = metric.name, frozenset(zip(metric.labels, labels, strict=True))
            expected[series] = [one.sum, one.count]
    assert sums(breeze) == expected
    assert result == ExportResult.delivered(len(expected))


def test_sums_over_exports_are_the_totals() -> None:
    with breeze_endpoint() as (breeze, server):
        made = exporter(server.url)
        for steps in (1, 2, 5, 9):
            assert made.export(grown(steps)).ok
    added: dict[str, float] = defaultdict(float)
    for (name, _), (value, _) in sums(breeze).items():
        added[name] += value
    for name, total in totals(grown(9)).items():
        # It counts since boot: what was before the first export is nobody's.
        if name != "metal_gpu_recoveries_total":
            assert added[name] == pytest.approx(total), name


def test_durations_are_exact_in_count_and_sum_over_exports() -> None:
    with breeze_endpoint() as (breeze, server):
        made = exporter(server.url)
        for steps in (3, 7):
            made.export(grown(steps))
    added = sums(breeze)
    (operation,) = grown(7).operations
    for outcome in operation.outcomes:
        labels = {"kind": "execute", "name": "matmul", "device": "m1", "outcome": outcome.outcome}
        value, count = added["metal_operation_duration_ms", frozenset(labels.items())]
        assert count == outcome.durations.count
        assert value == pytest.approx(outcome.durations.total_ms)


def test_extremes_are_given_where_they_are_known_only() -> None:
    with breeze_endpoint() as (breeze, server):
        made = exporter(server.url)
        made.export(grown(3))
        first = durations(breeze)
        breeze.items.clear()
        made.export(grown(7))
        second = durations(breeze)
    known = {outcome.outcome: outcome.durations for outcome in grown(3).operations[0].outcomes}
    for outcome, point in first.items():
        assert (point["min"], point["max"]) == (known[outcome].min_ms, known[outcome].max_ms)
    assert second.keys() == first.keys()
    assert not any({"min", "max"} & point.keys() for point in second.values())


def durations(breeze: Breeze) -> dict[str, dict[str, Any]]:
    return {
        properties["outcome"]: point
        for name, properties, point in breeze.metrics()
        if name == "metal_operation_duration_ms"
    }


@settings(max_examples=25, deadline=None)
@given(any_snapshot)
def test_of_any_snapshot_every_item_is_one_of_the_protocol(
    snapshot: MetalTelemetrySnapshot,
) -> None:
    with breeze_endpoint() as (breeze, server):
        result = export(server.url, snapshot)
    assert breeze.refused == []
    assert result.ok
    assert result.points == len(breeze.items)


def test_values_the_protocol_has_no_word_for_are_left_out() -> None:
    custom = (
        *(CustomMetric("depth", "gauge", (("q", str(v)),), v) for v in (nan, inf, -inf, 1.0)),
        CustomMetric("changes", "histogram", (), -3.0, 2, ((1.0, 2),)),
        CustomMetric("never", "histogram", (), 0.0, 0, ((1.0, 0),)),
    )
    with breeze_endpoint() as (breeze, server):
        assert export(server.url, replace(full(), custom=custom)).ok
    found = {(name, properties.get("q")) for name, properties, _ in breeze.metrics()}
    assert {pair for pair in found if pair[0] in {"depth", "changes", "never"}} == {
        ("depth", "1.0")
    }


# -- who says it, and when -----------------------------------------------------------------------


def test_time_role_and_instance_are_those_of_the_snapshot() -> None:
    snapshot = full()
    assert snapshot.system is not None
    attributes = (("host.name", "studio"), ("service.version", "1.2"))
    snapshot = replace(snapshot, system=replace(snapshot.system, resource=attributes))
    with breeze_endpoint() as (breeze, server):
        export(server.url, with_events(snapshot, 1))
    assert {item["data"]["baseType"] for item in breeze.items} == {"MetricData", "EventData"}
    for item in breeze.items:
        assert datetime.fromisoformat(item["time"]) == NOW
        tags = item["tags"]
        assert tags["ai.cloud.role"] == "metalscope"
        assert tags["ai.cloud.roleInstance"] == "box:1"
        assert tags["ai.device.id"] == "studio"
        assert tags["ai.application.ver"] == "1.2"


def test_the_host_it_is_sent_from_is_not_named() -> None:
    with breeze_endpoint() as (breeze, server):
        export(server.url, with_events(full(), 1))
    here = platform.node()
    assert here
    for item in breeze.items:
        assert item["tags"]["ai.device.id"] == "box:1"
        assert here not in item["tags"].values()


def test_labels_of_the_options_are_properties_of_every_metric() -> None:
    with breeze_endpoint() as (breeze, server):
        export(server.url, full(), labels={"team": "vision"})
    assert breeze.items
    assert {properties["team"] for _, properties, _ in breeze.metrics()} == {"vision"}


def test_only_what_the_options_allow_is_sent() -> None:
    metrics = {"allow": ["metal_operations_total"], "rename": {"metal_operations_total": "ops"}}
    with breeze_endpoint() as (breeze, server):
        export(server.url, full(), metrics=metrics)
    assert {name for name, _, _ in breeze.metrics()} == {"ops_total"}


# -- events --------------------------------------------------------------------------------------


def test_events_are_event_telemetry_and_are_sent_once() -> None:
    with breeze_endpoint() as (breeze, server):
        made = exporter(server.url)
        made.export(with_events(grown(1), 1, 2))
        made.export(with_events(grown(2), 1, 2, 3))
    data = [item["data"]["baseData"] for item in breeze.events()]
    assert [event["name"] for event in data] == ["event 1", "event 2", "event 3"]
    assert data[0]["properties"] == {"n": "1", "deep": '{"a":[1]}'}


@pytest.mark.parametrize(
    "key",
    [
        "exception.type",
        "exception.message",
        "microsoft.custom_event.name",
        "microsoft.availability.name",
        "session.id",
        "enduser.id",
        "client.address",
        "ai.operation.name",
    ],
)
def test_an_event_stays_an_event_whatever_its_properties_are_called(key: str) -> None:
    event = TelemetryEvent(1, NOW, "checkout", {key: "what the application says"})
    with breeze_endpoint() as (breeze, server):
        export(server.url, replace(full(), events=(event,)))
    (item,) = breeze.events()
    assert item["data"]["baseData"]["name"] == "checkout"
    assert item["data"]["baseData"]["properties"] == {f"event.{key}": "what the application says"}
    assert "what the application says" not in item["tags"].values()


# -- what did not arrive -------------------------------------------------------------------------


def added_up(breeze: Breeze, name: str) -> float:
    return sum(value for (metric, _), (value, _) in sums(breeze).items() if metric == name)


def test_what_did_not_arrive_is_in_the_next_difference() -> None:
    breeze = Breeze()
    with faulty_server(answer(400), answer(503), breeze.fault) as server:
        made = exporter(server.url)
        assert made.export(grown(2)).verdict is Verdict.REJECTED
        assert made.export(grown(4)).verdict is Verdict.RETRY
        assert made.export(grown(4)).ok
        assert made.export(grown(5)).ok
    assert added_up(breeze, "metal_operations_total") == totals(grown(5))["metal_operations_total"]


def test_after_a_restart_it_counts_from_what_arrived() -> None:
    with breeze_endpoint() as (breeze, server):
        made = exporter(server.url)
        made.resume(grown(4))
        made.export(grown(6))
    expected = (
        totals(grown(6))["metal_operations_total"] - totals(grown(4))["metal_operations_total"]
    )
    assert added_up(breeze, "metal_operations_total") == expected


def test_another_process_counts_from_nothing() -> None:
    with breeze_endpoint() as (breeze, server):
        made = exporter(server.url)
        made.export(grown(4))
        made.export(grown(2, started_at=START + 10 * STEP, pid=2))
    expected = sum(totals(grown(steps))["metal_operations_total"] for steps in (4, 2))
    assert added_up(breeze, "metal_operations_total") == expected


def test_items_refused_for_good_do_not_hold_up_the_rest() -> None:
    def refuse(item: dict[str, Any]) -> tuple[int, str] | None:
        power = item["data"]["baseData"]["metrics"][0]["name"] == "metal_power_watts"
        return (400, "Field 'x' is too long") if power else None

    with breeze_endpoint(Breeze(refuse=refuse)) as (_, server):
        made = exporter(server.url)
        result = made.export(full())
        assert made.export(replace(full(), timestamp=NOW + timedelta(seconds=1))).ok
    assert result.ok
    assert (result.reason, result.rejected_points) == (Reason.PARTIAL, 1)
    assert result.points == ITEMS - 1
    assert "Field 'x' is too long" in result.detail


def test_items_that_may_be_taken_later_are_sent_again_alone() -> None:
    busy = {"metal_power_watts": 2, "metal_operations_total": 1}

    def refuse(item: dict[str, Any]) -> tuple[int, str] | None:
        name = item["data"]["baseData"]["metrics"][0]["name"]
        if busy.get(name, 0) <= 0:
            return None
        busy[name] -= 1
        return 503, "busy"

    with breeze_endpoint(Breeze(refuse=refuse)) as (breeze, server):
        made = exporter(server.url)
        first, second, third = (made.export(full()) for _ in range(3))
    assert (first.verdict, first.reason) == (Verdict.RETRY, Reason.SERVER_ERROR)
    assert "busy" in first.detail
    assert second.verdict is Verdict.RETRY
    assert third == ExportResult.delivered(ITEMS)
    sent = [len(json.loads(request.content)) for request in server.requests]
    assert sent == [ITEMS, 2, 1]
    assert max(count for _, count in sums(breeze).values() if count) == 4
    assert len(breeze.items) == ITEMS


def test_a_throttled_item_is_waited_with_as_long_as_is_asked() -> None:
    breeze = Breeze(refuse=lambda item: (429, "slow down") if "power" in str(item) else None)

    def throttled(request: Any) -> Any:
        status, headers, body = breeze(request)
        return status, {**headers, "retry-after": "11"}, body

    with faulty_server(answer_by(throttled)) as server:
        result = export(server.url, full())
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.RATE_LIMITED)
    assert result.retry_after == timedelta(seconds=11)


def test_where_every_item_is_refused_the_snapshot_is() -> None:
    with breeze_endpoint(Breeze(refuse=lambda _: (400, "no"))) as (_, server):
        result = export(server.url, full())
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)


def test_items_that_were_refused_without_a_word_are_counted() -> None:
    body = json.dumps({"itemsAccepted": ITEMS - 3, "errors": []}).encode()
    with faulty_server(answer(200, body)) as server:
        result = export(server.url, full())
    assert (result.points, result.rejected_points) == (ITEMS - 3, 3)


def test_a_wrong_key_is_waited_for_and_is_not_shown() -> None:
    def wrong(request: Any) -> Any:
        message = f"Invalid instrumentation key {KEY}"
        errors = [{"index": 0, "statusCode": 400, "message": message}]
        return 400, {}, json.dumps({"itemsAccepted": 0, "errors": errors}).encode()

    with faulty_server(answer_by(wrong)) as server:
        result = export(server.url, full())
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.UNAUTHORIZED)
    assert "Invalid instrumentation key" in result.detail
    assert KEY not in result.detail


def test_a_request_too_large_is_sent_in_parts() -> None:
    breeze = Breeze()

    def small(request: Any) -> Any:
        return breeze(request) if len(request.content) < 10_000 else (413, {}, b"")

    with faulty_server(answer_by(small)) as server:
        result = export(server.url, with_events(full(), 1, 2, 3))
    assert result == ExportResult.delivered(ITEMS + 3)
    assert len(breeze.items) == ITEMS + 3


FAILURES: list[tuple[Fault, Reason]] = [
    (answer(401), Reason.UNAUTHORIZED),
    (answer(402), Reason.RATE_LIMITED),
    (answer(403), Reason.FORBIDDEN),
    (answer(404), Reason.NOT_FOUND),
    (answer(408), Reason.SERVER_ERROR),
    (answer(429, retry_after="7"), Reason.RATE_LIMITED),
    (answer(439, retry_after="7"), Reason.RATE_LIMITED),
    (answer(500), Reason.SERVER_ERROR),
    (answer(503), Reason.SERVER_ERROR),
    (answer(200, b"{}"), Reason.GARBAGE),
    (answer(200, b"thanks"), Reason.GARBAGE),
    (answer(204), Reason.GARBAGE),
    (redirect("https://elsewhere.example/v2.1/track"), Reason.REDIRECTED),
    (redirect("https://x.services.visualstudio.com.evil.example/", 307), Reason.REDIRECTED),
    (redirect("/v2.1/track"), Reason.REDIRECTED),
    (answer(308), Reason.REDIRECTED),
    (answer(302, location="https://x.services.visualstudio.com/"), Reason.REDIRECTED),
    (REFUSED, Reason.REFUSED),
    (RESET_AFTER_REQUEST, Reason.RESET),
    (CUT_ANSWER, Reason.RESET),
    (GARBAGE, Reason.GARBAGE),
    (GARBAGE_PAGE, Reason.GARBAGE),
    (NEVER_ANSWERS, Reason.TIMEOUT),
    (UNKNOWN_CA, Reason.TLS),
]


@pytest.mark.parametrize(("fault", "reason"), FAILURES, ids=str)
def test_a_failure_is_told_once_by_its_reason_and_nothing_is_lost(
    fault: Fault, reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    breeze = Breeze()
    with faulty_server(fault) as server:
        made = exporter(server.url, timeout=1, tls={"ca_file": server.ca_file})
        result = made.export(grown(3))
        assert (result.verdict, result.reason) == (Verdict.RETRY, reason)
        assert result.detail
        assert KEY not in result.detail
        # The SDK tries nothing again of itself.
        assert server.connections <= 1
        server.answers = [breeze.fault]
        assert made.export(grown(3)).ok
    assert added_up(breeze, "metal_operations_total") == totals(grown(3))["metal_operations_total"]
    # Nor does it complain by itself: whoever runs the exporter does.
    assert [record for record in caplog.records if record.name.startswith("azure")] == []


# -- redirects -----------------------------------------------------------------------------------


def test_a_redirect_on_the_same_host_is_followed_and_kept() -> None:
    with breeze_endpoint() as (breeze, there), faulty_server(redirect(f"{there.url}/x")) as here:
        made = exporter(here.url)
        assert made.export(grown(1)).ok
        assert made.export(grown(2)).ok
    assert len(here.requests) == 1
    assert len(there.requests) == 2
    assert added_up(breeze, "metal_operations_total") == totals(grown(2))["metal_operations_total"]


def test_when_the_place_redirected_to_fails_it_begins_where_the_options_say() -> None:
    breeze = Breeze()
    with faulty_server(answer(503)) as there, faulty_server(redirect(there.url)) as here:
        made = exporter(here.url)
        assert made.export(grown(1)).reason is Reason.SERVER_ERROR
        here.answers = [breeze.fault]
        assert made.export(grown(1)).ok
    assert len(there.requests) == 1


def test_two_places_that_redirect_to_each_other_are_given_up_on() -> None:
    with faulty_server(GOOD) as there, faulty_server(redirect(there.url)) as here:
        there.answers = [redirect(here.url)]
        result = export(here.url, full())
        assert len(here.requests) + len(there.requests) < 50
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.REDIRECTED)


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    with (
        breeze_endpoint() as (_, there),
        faulty_server(redirect(there.url), tls=True) as here,
    ):
        result = export(here.url, full(), tls={"ca_file": here.ca_file})
        assert there.requests == []
    assert result.reason is Reason.REDIRECTED


# -- nobody else is spoken to --------------------------------------------------------------------

SPEAKS = """
    import json, logging, sys, threading, time
    sys.path[:0] = {path!r}
    asked = set()
    def hook(event, args):
        if event == "socket.getaddrinfo":
            asked.add(f"{{args[0]}}:{{args[1]}}")
        elif event == "socket.connect" and isinstance(args[1], tuple):
            asked.add(f"{{args[1][0]}}:{{args[1][1]}}")
    sys.addaudithook(hook)
    logging.disable()
    {run}
    time.sleep(1)
    threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    print(json.dumps([sorted(asked), threads]), flush=True)
    import os
    os._exit(0)
"""

OURS = """
from contexts import context
from growing import grown
from metalscope.export.application_insights.exporter import ApplicationInsightsExporter
made = ApplicationInsightsExporter(
    context("application_insights", endpoint={url!r}, api_key={key!r})
)
for steps in (1, 2):
    assert made.export(grown(steps, events=steps)).ok
made.shutdown()
"""

THE_SDK_ALONE = """
from growing import grown
from metalscope.export.otlp.metrics import metrics_data
from metalscope.export.view import MetricView
from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter
made = AzureMonitorMetricExporter(
    connection_string="InstrumentationKey={key};IngestionEndpoint={url}",
    disable_offline_storage=True,
)
made.export(metrics_data(grown(1), MetricView()))
"""


def spoken_to(run: str, url: str) -> tuple[list[str], list[str]]:
    """Whom a program asked for or connected to, and the threads it left running."""
    program = textwrap.dedent(SPEAKS).format(
        path=[str(Path(__file__).parent), str(Path(__file__).parents[1])],
        run=run.format(url=url, key=KEY),
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    asked, threads = json.loads(done.stdout.splitlines()[-1])
    return asked, threads


def test_nobody_but_the_endpoint_is_spoken_to_and_no_thread_is_left() -> None:
    with breeze_endpoint() as (breeze, server):
        assert spoken_to(OURS, server.url) == ([f"127.0.0.1:{server.port}"], [])
    assert len(breeze.events()) == 2


def test_the_sdk_alone_leaves_threads_that_speak_to_others_later() -> None:
    with breeze_endpoint() as (_, server):
        _, threads = spoken_to(THE_SDK_ALONE, server.url)
    # Remote configuration, and statistics about itself.
    assert {"ConfigurationWorker", "OtelPeriodicExportingMetricReader"} <= set(threads)


# -- which resource ------------------------------------------------------------------------------

OTHER = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"


def address(
    secret: str | None, endpoint: str | None = None, environment: dict[str, str] | None = None
) -> tuple[str, str]:
    options = ExporterOptions(type="application_insights", endpoint=endpoint)
    made = Address.of(options, secret, environment or {})
    return made.key, made.endpoint


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (None, "https://dc.services.visualstudio.com"),
        ("https://dc.services.visualstudio.com/v2/track", "https://dc.services.visualstudio.com"),
        (
            "https://dc.services.visualstudio.com/v2.1/track/",
            "https://dc.services.visualstudio.com",
        ),
        ("https://gateway.corp.example/azure/", "https://gateway.corp.example/azure"),
    ],
)
def test_an_instrumentation_key_goes_to_the_endpoint(endpoint: str | None, expected: str) -> None:
    assert address(KEY, endpoint) == (KEY, expected)
    assert address(KEY.upper(), endpoint) == (KEY, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"InstrumentationKey={KEY}", "https://dc.services.visualstudio.com"),
        (
            f"InstrumentationKey={KEY};IngestionEndpoint=https://eastus-1.in.example/;"
            "LiveEndpoint=https://live.example/",
            "https://eastus-1.in.example",
        ),
        (f"instrumentationkey={KEY}; EndpointSuffix=ai.example ", "https://dc.ai.example"),
        (f"InstrumentationKey={KEY};EndpointSuffix=ai.cn;Location=cn1", "https://cn1.dc.ai.cn"),
    ],
)
def test_a_connection_string_says_where(text: str, expected: str) -> None:
    assert address(text) == (KEY, expected)
    assert address(None, environment={VARIABLE: text}) == (KEY, expected)
    # What the options say goes first.
    assert address(text, "https://mine.example") == (KEY, "https://mine.example")
    assert address(OTHER, environment={VARIABLE: text})[0] == OTHER


def test_it_can_be_sent_to_a_path_of_a_gateway() -> None:
    breeze = Breeze()

    def gateway(request: Any) -> Any:
        assert request.path.startswith("/azure/")
        return breeze(replace(request, path=request.path.removeprefix("/azure")))

    with faulty_server(answer_by(gateway)) as server:
        assert export(f"{server.url}/azure", full()).ok


def test_a_key_in_a_file_may_come_later_and_may_change(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with breeze_endpoint() as (breeze, server):
        made = exporter(server.url, api_key=None, api_key_from=f"file:{file}")
        assert made.export(grown(1)).reason is Reason.CONFIGURATION
        file.write_text("not a key")
        result = made.export(grown(1))
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.CONFIGURATION)
        assert "not a key" not in result.detail
        file.write_text(f"InstrumentationKey={OTHER}\n")
        assert made.export(grown(1)).reason is Reason.UNAUTHORIZED
        file.write_text(f"InstrumentationKey={KEY}\n")
        assert made.export(grown(1)).ok
    assert {item["iKey"] for item in breeze.items} == {KEY}


@pytest.mark.parametrize("key", ["your-key", "InstrumentationKey=your-key", "Endpoint=https://x"])
def test_what_is_no_key_is_refused_at_once_and_not_shown(key: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"insights.*must be a connection string"
    ) as caught:
        exporter("https://127.0.0.1:9", api_key=key)
    assert "your-key" not in str(caught.value)


def test_without_any_key_it_is_said_where_one_may_be() -> None:
    with pytest.raises(ConfigurationError, match=f"api_key, api_key_from or {VARIABLE}"):
        exporter("https://127.0.0.1:9", api_key=None)


def test_a_setting_it_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"settings\.offline is unknown"):
        exporter("https://127.0.0.1:9", settings={"offline": True})


def test_without_the_sdk_it_is_said_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "metalscope.export.application_insights.sdk", raising=False)
    monkeypatch.delattr("metalscope.export.application_insights.sdk", raising=False)
    monkeypatch.setitem(sys.modules, "azure.monitor.opentelemetry.exporter", None)
    with pytest.raises(MissingExtraError, match=r"metalscope\[azure\]"):
        exporter("https://127.0.0.1:9")


# -- the endpoint of these tests -----------------------------------------------------------------


def items() -> Iterator[dict[str, Any]]:
    with breeze_endpoint() as (breeze, server):
        export(server.url, with_events(full(), 1))
    metric = next(item for item in breeze.items if item["data"]["baseType"] == "MetricData")
    yield metric
    yield breeze.events()[0]


BREAKS: dict[str, tuple[tuple[str, ...], Any]] = {
    "an unknown field": (("extra",), 1),
    "an unknown field of the data": (("data", "baseData", "extra"), 1),
    "a time that is none": (("time",), "yesterday"),
    "another name": (("name",), "Microsoft.ApplicationInsights.Request"),
    "another version": (("data", "baseData", "ver"), 1),
    "properties that are no text": (("data", "baseData", "properties"), {"n": 1}),
    "too long a key": (("data", "baseData", "properties"), {"k" * 151: ""}),
    "an unknown kind": (("data", "baseType"), "MoodData"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_endpoint_takes_no_item_with(name: str) -> None:
    way, value = BREAKS[name]
    for item in items():
        check(item)
        place = item
        for step in way[:-1]:
            place = place[step]
        place[way[-1]] = value
        with pytest.raises(NotAnItemError):
            check(item)


@pytest.mark.parametrize("value", ["1", None, True])
def test_the_endpoint_takes_no_metric_whose_value_is_no_number(value: Any) -> None:
    metric, _ = items()
    metric["data"]["baseData"]["metrics"][0]["value"] = value
    with pytest.raises(NotAnItemError):
        check(metric)


def test_a_metric_has_the_fields_the_service_requires() -> None:
    metric, _ = items()
    for name in ("name", "value"):
        broken = json.loads(json.dumps(metric))
        del broken["data"]["baseData"]["metrics"][0][name]
        with pytest.raises(NotAnItemError, match=f"lacks {name}"):
            check(broken)


def test_the_same_snapshot_is_the_same_items() -> None:
    with breeze_endpoint() as (breeze, server):
        export(server.url, full())
        once = list(breeze.items)
        breeze.items.clear()
        export(server.url, full())
    assert breeze.items == once
