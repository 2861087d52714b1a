"""The tail of the log and of traces over HTTP, of real programs with real keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from doors_at_hand import keys_of

from metalscope.access.roles import Role
from metalscope.correlating import correlation
from metalscope.logs.starting import logger_of
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.processes.host import HostWithProcesses
from metalscope.server import start_server
from metalscope.tails import Tails

SERVER = {"enabled": True, "port": 0}
LOG = {"level": "debug", "buffer_flush_interval": "1h"}


def client(tel: MetalTelemetryManager, **more: Any) -> httpx.Client:
    assert tel.server is not None
    return httpx.Client(base_url=tel.server.url, trust_env=False, timeout=20, **more)


def started(**options: Any) -> MetalTelemetryManager:
    options.setdefault("server", SERVER)
    return MetalTelemetryManager(MetalTelemetryOptions(**options))


def get(http: httpx.Client, path: str, **query: Any) -> Any:
    answer = http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


@pytest.fixture(scope="module")
def tel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetalTelemetryManager]:
    """A program that has logged and done a little."""
    file = tmp_path_factory.mktemp("logs") / "program.log"
    with started(
        logging={**LOG, "sinks": [{"type": "file", "endpoint": file.as_uri()}]},
        traces={"enabled": True, "sample_ratio": 1},
    ) as manager:
        with correlation("order-17"), manager.span("request", attributes={"password": "hunter2"}):
            manager.log.info("loading llama", model="llama", api_key="sk-12345")
            with manager.operation("execute", "matmul"):
                pass
        try:
            raise ValueError("no such model")
        except ValueError:
            manager.log.exception("loading failed", customer="Ada")
        for number in range(3):
            with manager.span(f"step {number}"):
                pass
        yield manager


@pytest.fixture(scope="module")
def http(tel: MetalTelemetryManager) -> Iterator[httpx.Client]:
    with client(tel) as one:
        yield one


# -- the log -------------------------------------------------------------------------------------


def test_the_latest_records_are_given_oldest_first(http: httpx.Client) -> None:
    data = get(http, "/api/v1/logs")
    assert (data["is_on"], data["why"], data["forgotten"]) == (True, "", 0)
    numbers = [one["sequence"] for one in data["records"]]
    assert numbers == list(range(1, data["last"] + 1))
    bodies = [one["body"] for one in data["records"]]
    assert bodies.index("loading llama") < bodies.index("loading failed")


def test_a_record_has_all_that_is_known_of_it(http: httpx.Client) -> None:
    (one,) = get(http, "/api/v1/logs", contains="loading llama")["records"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", one.pop("timestamp"))
    assert re.fullmatch(r"[0-9a-f]{32}", one.pop("trace_id"))
    assert re.fullmatch(r"[0-9a-f]{16}", one.pop("span_id"))
    assert one.pop("sequence") > 0
    assert one == {
        "severity": "info",
        "body": "loading llama",
        "event": "",
        "logger": "metalscope",
        "attributes": {"model": "llama", "api_key": "…"},
        "correlation_id": "order-17",
        "exception": None,
        "thread": "MainThread",
    }


def test_an_exception_is_told(http: httpx.Client) -> None:
    (one,) = get(http, "/api/v1/logs", severity="error")["records"]
    assert one["exception"] == {
        "type": "ValueError",
        "message": "no such model",
        "stacktrace": None,
    }


def test_records_of_one_piece_of_work_or_of_one_trace(http: httpx.Client) -> None:
    (one,) = get(http, "/api/v1/logs", correlation_id="order-17", contains="llama")["records"]
    of_trace = get(http, "/api/v1/logs", trace_id=one["trace_id"].upper())["records"]
    assert one in of_trace
    assert all(record["trace_id"] == one["trace_id"] for record in of_trace)


def test_who_follows_has_each_record_once(tel: MetalTelemetryManager, http: httpx.Client) -> None:
    last = get(http, "/api/v1/logs", contains="followed")["last"]
    for number in (1, 2, 3):
        tel.log.debug(f"followed {number}")
    first = get(http, "/api/v1/logs", after=last, contains="followed", limit=2)
    assert [one["body"] for one in first["records"]] == ["followed 1", "followed 2"]
    second = get(http, "/api/v1/logs", after=first["last"], contains="followed")
    assert [one["body"] for one in second["records"]] == ["followed 3"]


def test_it_is_no_sink_and_no_figure_counts_it(tel: MetalTelemetryManager) -> None:
    assert [sink.name for sink in tel.get_snapshot().internals.sinks] == ["file"]


def test_a_time_that_no_calendar_has_costs_no_answer(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    tel.log.log(5, "long after", at_ns=10**30)
    tel.log.log(5, "long before", at_ns=-(10**30))
    found = get(http, "/api/v1/logs", contains="long ")["records"]
    assert [one["timestamp"][:4] for one in found] == ["9999", "0001"]


# -- traces --------------------------------------------------------------------------------------


def test_traces_are_told_the_latest_first(http: httpx.Client) -> None:
    data = get(http, "/api/v1/traces", limit=4)
    assert (data["is_on"], data["why"], data["forgotten"]) == (True, "", 0)
    assert [one["name"] for one in data["traces"]] == ["step 2", "step 1", "step 0", "request"]
    one = data["traces"][-1]
    assert one.pop("duration_ms") > 0
    assert re.fullmatch(r"[0-9a-f]{32}", one.pop("trace_id"))
    assert one.pop("start").endswith("Z")
    assert one == {
        "name": "request",
        "spans": 2,
        "failed": 0,
        "correlation_id": "order-17",
        "decision": "sampled",
    }


def test_a_trace_has_its_spans_by_their_start(http: httpx.Client) -> None:
    (summary,) = get(http, "/api/v1/traces", name="matmul")["traces"]
    data = get(http, f"/api/v1/traces/{summary['trace_id']}")
    assert (data["trace_id"], data["start"]) == (summary["trace_id"], summary["start"])
    outer, inner = data["spans"]
    assert (outer["name"], outer["parent_id"], outer["start_ms"]) == ("request", None, 0.0)
    assert inner["parent_id"] == outer["span_id"]
    assert (
        0
        <= inner["start_ms"]
        <= inner["start_ms"] + inner["duration_ms"]
        <= (outer["duration_ms"] + 0.001)
    )
    assert outer["attributes"]["password"] == "…"
    assert set(outer) == {
        "span_id", "parent_id", "name", "kind", "start_ms", "duration_ms", "error", "failed",
        "attributes", "events", "correlation_id", "thread_name", "decision",
    }  # fmt: skip


def test_events_of_a_span_are_told_by_their_time_in_the_trace(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    with tel.span("with events") as span:
        span.add_event("waited", {"queue": "gpu 0"})
    (summary,) = get(http, "/api/v1/traces", name="with events")["traces"]
    (one,) = get(http, f"/api/v1/traces/{summary['trace_id']}")["spans"]
    (event,) = one["events"]
    assert 0 <= event.pop("at_ms") <= one["duration_ms"] + 1
    assert event == {"name": "waited", "attributes": {"queue": "gpu 0"}}


def test_traces_by_failure_duration_and_work(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    with tel.span("broken") as span:
        span.set_error("no room")
    failed = get(http, "/api/v1/traces", failed="true")["traces"]
    assert [(one["name"], one["failed"]) for one in failed] == [("broken", 1)]
    assert get(http, "/api/v1/traces", min_ms="3600000.5")["traces"] == []
    found = get(http, "/api/v1/traces", correlation_id="order-17", failed="false")["traces"]
    assert [one["name"] for one in found] == ["request"]


@pytest.mark.parametrize("wanted", ["0" * 32, "f" * 31, "nonsense", "%00"])
def test_an_unknown_trace_is_told_to_be_so(http: httpx.Client, wanted: str) -> None:
    answer = http.get(f"/api/v1/traces/{wanted}")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "no trace has this id, or it is gone; see /api/v1/traces"


# -- questions that make no sense ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("logs?severty=info", '"severty" is not known; did you mean severity?'),
        ("logs?severity=warn", "severity must be one of debug, info, warning, error, critical"),
        ("logs?trace_id=12", 'trace_id must be 32 hexadecimal digits, not "12"'),
        ("logs?after=-1", 'after must be a number from 0 to 9007199254740991, not "-1"'),
        ("logs?after=9007199254740992", "after must be a number from 0 to 9007199254740991"),
        ("logs?limit=1001", 'limit must be a number from 1 to 1000, not "1001"'),
        ("logs?limit=1&limit=2", "limit must be there once, not 2 times"),
        ("logs?contains=" + "x" * 1001, "contains must be at most 1000 characters"),
        ("traces?failed=yes", 'failed must be one of true, false, not "yes"'),
        ("traces?min_ms=1e3", 'min_ms must be a number of ms such as 0.5 or 250, not "1e3"'),
        ("traces?limit=501", 'limit must be a number from 1 to 500, not "501"'),
        ("traces?since=1", '"since" is not known'),
        ("traces/1?x=1", '"x" is not known'),
    ],
)
def test_what_is_wrong_in_a_question_is_named(http: httpx.Client, path: str, detail: str) -> None:
    answer = http.get(f"/api/v1/{path}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(detail)


def test_large_numbers_and_heads_are_answered(http: httpx.Client) -> None:
    assert get(http, "/api/v1/logs", after=2**53 - 1, limit=1)["records"]
    answer = http.head("/api/v1/traces")
    assert (answer.status_code, answer.content) == (200, b"")


# -- where there is nothing ----------------------------------------------------------------------


def test_where_nothing_is_on_it_is_said_what_to_set() -> None:
    with started() as tel, client(tel) as http:
        logs, traces = get(http, "/api/v1/logs"), get(http, "/api/v1/traces")
        assert "set logging.enabled to true" in logs.pop("why")
        assert logs == {"is_on": False, "records": [], "last": 0, "forgotten": 0}
        assert traces.pop("why") == "no spans are made here: set traces.enabled to true"
        assert traces == {"is_on": False, "traces": [], "forgotten": 0}
        answer = http.get(f"/api/v1/traces/{'1' * 32}")
        assert answer.status_code == 404
        assert "traces.enabled" in answer.json()["detail"]
        past = get(http, "/api/v1/past")
        assert past["logs"]["is_on"] is past["traces"]["is_on"] is False


def test_a_log_that_is_only_used_is_shown_too() -> None:
    with started(logging={**LOG, "enabled": False}) as tel:
        tel.log.info("only here")
        with client(tel) as http:
            assert [one["body"] for one in get(http, "/api/v1/logs")["records"]] == ["only here"]
            assert get(http, "/api/v1/past")["logs"] == {"is_on": True, "why": ""}


def test_telemetry_that_is_off_makes_no_spans() -> None:
    with started(enabled=False, traces={"enabled": True}) as tel, client(tel) as http:
        assert "telemetry is off" in get(http, "/api/v1/traces")["why"]


def test_a_server_beside_telemetry_without_one_has_no_tails() -> None:
    with MetalTelemetryManager(MetalTelemetryOptions(logging={"enabled": False})) as tel:
        tel.log.info("not kept")
        running = start_server(tel, host="127.0.0.1", port=0)
        with httpx.Client(base_url=running.url, trust_env=False, timeout=20) as http:
            data = get(http, "/api/v1/logs")
        running.stop()
        assert data["why"] == "nothing is kept for the page here: set server.enabled to true"
        assert data["records"] == []


def test_the_page_of_several_processes_shows_the_log_of_the_one_that_serves(
    tmp_path: Path,
) -> None:
    with started(processes_directory=tmp_path, logging={**LOG, "enabled": False}) as tel:
        tel.log.info("of this one")
        with client(tel) as http:
            assert [one["body"] for one in get(http, "/api/v1/logs")["records"]] == ["of this one"]


def test_the_page_of_a_host_shows_the_log_of_what_serves_it(tmp_path: Path) -> None:
    options = MetalTelemetryOptions(logging={**LOG, "enabled": False})
    source = HostWithProcesses(MetalTelemetryManager(), tmp_path)
    source.tails = Tails.of_all(options)
    running = start_server(source, host="127.0.0.1", port=0)
    with httpx.Client(base_url=running.url, trust_env=False, timeout=20) as http:
        assert "set logging.enabled to true" in get(http, "/api/v1/logs")["why"]
        source.log = logger_of(options, on_error=source.internal_error, tails=source.tails)
        source.log.info("one of them failed")
        (one,) = get(http, "/api/v1/logs", limit=1)["records"]
        assert one["body"] == "one of them failed"
        assert "spans stay with the programs" in get(http, "/api/v1/traces")["why"]
    running.stop()
    source.log.close()


# -- roles ---------------------------------------------------------------------------------------


def test_a_role_of_another_network_sees_what_may_be_sent_there(tmp_path: Path) -> None:
    keys_file = tmp_path / "keys.json"
    keys = keys_of(keys_file)
    access = {"keys_file": keys_file, "external_roles": ["viewer"]}
    with started(
        server={**SERVER, "access": access},
        logging={**LOG, "enabled": False},
        traces={"enabled": True, "sample_ratio": 1},
    ) as tel:
        with tel.span("request", attributes={"customer": "Ada"}):
            tel.log.info("signed in", customer="Ada")
        with client(tel) as http:

            def seen(role: Role, path: str) -> Any:
                answer = http.get(f"/api/v1/{path}", headers={"x-api-key": keys[role].strip()})
                assert answer.status_code == (403 if role is Role.SCRAPER else 200), answer.text
                return answer.json()

            for role, attributes in (
                (Role.ADMIN, {"customer": "Ada"}),
                (Role.VIEWER, {"metalscope.fields_left_out": 1}),
            ):
                (record,) = seen(role, "logs")["records"]
                assert record["attributes"] == attributes
                (trace,) = seen(role, "traces")["traces"]
                (span,) = seen(role, f"traces/{trace['trace_id']}")["spans"]
                assert span["attributes"] == attributes
            assert not seen(Role.VIEWER, "logs?contains=Ada")["records"]
            assert seen(Role.ADMIN, "logs?contains=Ada")["records"]
            seen(Role.SCRAPER, "logs")
            assert http.get("/api/v1/traces").status_code == 401
