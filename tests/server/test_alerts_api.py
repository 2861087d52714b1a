"""Alerts over HTTP: who may read and who may change, and what is said to whom."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.resources import files
from typing import Any

import httpx
import pytest
import schemathesis
from frames import frames
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import one_of
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.types import Receive, Scope, Send

from alert_samples import FIRING, RESOLVED
from alerts_at_hand import MILD, SourceWithAlerts
from health_source import Source
from metalscope.alert_report import Alert
from metalscope.server import start_server
from metalscope.server.app import create_app
from metalscope.server.security import ANY_HOST
from metalscope.server.sse import ALERTS_PER_UPDATE
from metalscope.server.writing import MOST_BYTES
from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.snapshot_json_alerts import alert_from_dict, silence_from_dict

DESCRIPTION = json.loads(files("metalscope").joinpath("assets", "openapi.json").read_text())
OPERATIONS = [
    (path, method.upper())
    for path, operations in DESCRIPTION["paths"].items()
    for method, operation in operations.items()
    if "alerts" in operation["tags"]
]
ACKNOWLEDGE = f"/api/v1/alerts/{FIRING.id}/acknowledge"
SILENCES = "/api/v1/silences"
SILENCE = {"matchers": ['alertname="MetalKernelFailures"'], "duration": "2h", "created_by": "ada"}
ADA = {"by": "ada"}


@asynccontextmanager
async def asking(
    source: Source, *, client: str = "127.0.0.1", host: str = "localhost", **kwargs: Any
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(source, **kwargs)
    transport = httpx.ASGITransport(app, client=(client, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        yield http
    app.state.hub.close()


@pytest.fixture
def source() -> SourceWithAlerts:
    return SourceWithAlerts()


def ids(answer: httpx.Response) -> list[str]:
    return [one["id"] for one in answer.json()["alerts"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [FIRING, MILD]),
        ("?state=firing", [FIRING, MILD]),
        ("?state=pending", []),
        ("?severity=high&severity=critical", [FIRING]),
        ("?rule=MetalMemoryHigh", [MILD]),
        ("?rule=NoSuchRule", []),
        ("?state=firing&severity=low", []),
    ],
)
async def test_active_alerts_are_listed_as_asked_for(
    query: str, expected: list[Alert], source: SourceWithAlerts
) -> None:
    async with asking(source) as http:
        answer = await http.get(f"/api/v1/alerts{query}")
    assert ids(answer) == [one.id for one in expected]
    assert answer.headers["cache-control"] == "no-store"


async def test_the_history_goes_back_from_a_moment(source: SourceWithAlerts) -> None:
    async with asking(source) as http:
        everything = await http.get("/api/v1/alerts/history")
        first = await http.get("/api/v1/alerts/history?limit=1")
        before = {"before": first.json()["alerts"][0]["fired_at"], "limit": "1"}
        second = await http.get("/api/v1/alerts/history", params=before)
        of_rule = await http.get(f"/api/v1/alerts/history?rule={RESOLVED.rule}")

    assert ids(everything) == [MILD.id, FIRING.id, RESOLVED.id]
    assert (ids(first), ids(second), ids(of_rule)) == ([MILD.id], [FIRING.id], [RESOLVED.id])
    assert alert_from_dict(of_rule.json()["alerts"][0]) == RESOLVED


async def test_one_alert_is_told_in_full_whether_it_is_over_or_not(
    source: SourceWithAlerts,
) -> None:
    async with asking(source) as http:
        for alert in (FIRING, MILD, RESOLVED):
            answer = await http.get(f"/api/v1/alerts/{alert.id}")
            assert answer.json()["title"] == alert.title
        unknown = await http.get("/api/v1/alerts/none")
    assert (unknown.status_code, unknown.json()["title"]) == (404, "Not Found")


async def test_the_rules_are_told_as_the_options_have_them(source: SourceWithAlerts) -> None:
    async with asking(source) as http:
        rules = (await http.get("/api/v1/rules")).json()["rules"]
    assert {one["name"]: one["expr"] for one in rules} == {
        one.name: one.expr for one in source.alerts.rules
    }
    assert all(isinstance(one["for"], str) for one in rules)


async def test_an_acknowledgement_reaches_the_manager_and_can_be_taken_back(
    source: SourceWithAlerts,
) -> None:
    async with asking(source) as http:
        done = await http.post(ACKNOWLEDGE, json={"by": " ada ", "comment": "on it"})
        known = source.alerts.get(FIRING.id)
        undone = await http.delete(ACKNOWLEDGE)

    assert (done.status_code, undone.status_code) == (200, 200)
    said = done.json()["acknowledged"]
    assert (said["by"], said["comment"]) == ("ada", "on it")
    assert known
    assert known == alert_from_dict(done.json())
    assert undone.json()["acknowledged"] is None


@pytest.mark.parametrize(("alert_id", "status"), [(RESOLVED.id, 409), ("none", 404)])
async def test_what_is_over_or_unknown_cannot_be_acknowledged(
    alert_id: str, status: int, source: SourceWithAlerts
) -> None:
    async with asking(source) as http:
        for answer in (
            await http.post(f"/api/v1/alerts/{alert_id}/acknowledge", json=ADA),
            await http.delete(f"/api/v1/alerts/{alert_id}/acknowledge"),
        ):
            assert answer.status_code == status


async def test_a_silence_is_made_found_and_ended(source: SourceWithAlerts) -> None:
    async with asking(source) as http:
        made = await http.post(SILENCES, json=SILENCE | {"comment": "an experiment"})
        listed = await http.get(SILENCES)
        found = await http.get(str(made.url.join(made.headers["location"])))
        ended = await http.delete(f"{SILENCES}/{made.json()['id']}")
        unknown = await http.delete(f"{SILENCES}/none")

    assert (made.status_code, ended.status_code, unknown.status_code) == (201, 200, 404)
    silence = silence_from_dict(made.json())
    assert (silence.ends_at - silence.starts_at).total_seconds() == 7200
    assert silence.matches(FIRING.all_labels)
    assert listed.json() == {"silences": [made.json()]}
    assert found.json() == made.json()
    assert silence_from_dict(ended.json()).ends_at < silence.ends_at


async def test_a_silence_may_name_both_its_moments(source: SourceWithAlerts) -> None:
    moments = {"starts_at": "2090-01-01T00:00:00+02:00", "ends_at": "2090-01-02T00:00:00Z"}
    body = {key: value for key, value in SILENCE.items() if key != "duration"} | moments
    async with asking(source) as http:
        made = (await http.post(SILENCES, json=body)).json()
    assert made["starts_at"].startswith("2089-12-31T22:00:00")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"matchers": []}, "matchers must be a list of 1 to 50 matchers, not []"),
        ({"matchers": "severity=high"}, "matchers must be a list"),
        ({"matchers": ["severity=high", "oops"]}, "matchers[1] must be a matcher such as"),
        ({"matchers": ['name=~"("']}, "is no regular expression"),
        ({"matchers": ['name=~"a{99999999999}"']}, "matchers[0]"),
        ({"matchers": [7]}, "matchers[0] must be text"),
        ({"duration": "2 weeks"}, "duration must be"),
        ({"duration": "-2h"}, "duration must be longer than 0"),
        ({"duration": "5000d"}, "at most 366 days"),
        ({"duration": None}, "duration must be"),
        ({"ends_at": "2090-01-01T00:00:00Z"}, "either duration or ends_at"),
        ({"starts_at": "tomorrow"}, "starts_at must be a time with its zone"),
        ({"starts_at": "9999-12-31T23:59:59Z"}, "the silence"),
        ({"created_by": ""}, "created_by must be the name"),
        ({"created_by": "a\x1b[31m"}, "no control characters"),
        ({"comment": "half \ud800"}, "no control characters"),
        ({"comment": 1}, "comment must be text"),
        ({"durations": "2h"}, '"durations" is not known; did you mean duration?'),
    ],
)
async def test_a_bad_silence_is_refused_with_field_value_and_what_was_expected(
    change: dict[str, Any], said: str, source: SourceWithAlerts
) -> None:
    headers = {"content-type": "application/json"}
    async with asking(source) as http:
        answer = await http.post(SILENCES, content=json.dumps(SILENCE | change), headers=headers)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert source.alerts.silences() == ()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/alerts?state=resolved", 'one of pending, firing, not "resolved"'),
        ("/api/v1/alerts?severity=grave", "severity must be one of low, medium, high, critical"),
        ("/api/v1/alerts?stat=firing", "did you mean state?"),
        ("/api/v1/alerts/history?limit=0", "limit must be a number from 1 to 1000"),
        ("/api/v1/alerts/history?limit=1_0", "limit must be"),
        ("/api/v1/alerts/history?before=2026-01-01", "before must be a time with its zone"),
    ],
)
async def test_a_bad_question_is_refused_in_the_same_way(
    path: str, said: str, source: SourceWithAlerts
) -> None:
    async with asking(source) as http:
        answer = await http.get(path)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


async def write_all(http: httpx.AsyncClient, headers: dict[str, str]) -> set[int]:
    answers = [
        await http.post(ACKNOWLEDGE, json=ADA, headers=headers),
        await http.delete(ACKNOWLEDGE, headers=headers),
        await http.post(SILENCES, json=SILENCE, headers=headers),
        await http.delete(f"{SILENCES}/none", headers=headers),
    ]
    return {one.status_code for one in answers}


@pytest.mark.parametrize(
    ("client", "host", "headers"),
    [
        ("192.0.2.7", "localhost", {}),
        ("127.0.0.1", "localhost", {"x-forwarded-for": "127.0.0.1"}),
        ("127.0.0.1", "localhost", {"via": "1.1 proxy"}),
        # By DNS this name is made to lead here: a page of it is of the same origin.
        ("127.0.0.1", "rebound.example", {"origin": "http://rebound.example"}),
        ("127.0.0.1", "localhost", {"origin": "https://evil.example"}),
        ("127.0.0.1", "localhost", {"origin": "http://localhost:8888"}),
        ("127.0.0.1", "localhost", {"origin": "https://localhost"}),
        ("127.0.0.1", "localhost", {"origin": "null"}),
        ("127.0.0.1", "localhost", {"origin": "http://[::"}),
        ("127.0.0.1", "localhost", {"sec-fetch-site": "cross-site"}),
        ("127.0.0.1", "localhost", {"sec-fetch-site": "same-site"}),
    ],
)
async def test_only_a_program_of_this_machine_and_no_foreign_page_may_change_anything(
    client: str, host: str, headers: dict[str, str], source: SourceWithAlerts
) -> None:
    async with asking(source, client=client, host=host, allowed_hosts=ANY_HOST) as http:
        assert (await http.get("/api/v1/alerts", headers=headers)).status_code == 200
        assert await write_all(http, headers) == {403}
    alert = source.alerts.get(FIRING.id)
    assert alert
    assert alert.acknowledged is None
    assert source.alerts.silences() == ()


@pytest.mark.parametrize(
    ("client", "host", "headers"),
    [
        ("::1", "[::1]:9464", {"origin": "http://[::1]:9464", "sec-fetch-site": "same-origin"}),
        ("127.0.0.1", "localhost:80", {"origin": "http://localhost"}),
        ("::ffff:127.0.0.1", "LOCALHOST", {"sec-fetch-site": "none"}),
    ],
)
async def test_the_page_itself_may(
    client: str, host: str, headers: dict[str, str], source: SourceWithAlerts
) -> None:
    async with asking(source, client=client, host=host) as http:
        assert await write_all(http, headers) == {200, 201, 404}


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_what_a_form_can_send_is_not_read(kind: str | None, source: SourceWithAlerts) -> None:
    headers = {"content-type": kind} if kind else {}
    async with asking(source) as http:
        answer = await http.post(ACKNOWLEDGE, content=json.dumps(ADA), headers=headers)
    assert (answer.status_code, answer.json()["title"]) == (415, "Unsupported Media Type")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"by": NaN}', 400),
        (b"\xff", 400),
        (b"[" * MOST_BYTES, 400),
        (b" " * (MOST_BYTES + 1), 413),
    ],
)
async def test_a_body_that_is_no_small_json_object_is_refused(
    body: bytes, status: int, source: SourceWithAlerts
) -> None:
    async def in_parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 5000):
            yield body[start : start + 5000]

    headers = {"content-type": "application/json; charset=utf-8"}
    async with asking(source) as http:
        answer = await http.post(ACKNOWLEDGE, content=in_parts(), headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", SILENCES, "GET, HEAD, POST"),
        ("OPTIONS", SILENCES, "GET, HEAD, POST"),
        ("POST", f"{SILENCES}/x", "GET, HEAD, DELETE"),
        ("GET", ACKNOWLEDGE, "POST, DELETE"),
        ("POST", "/api/v1/alerts", "GET, HEAD"),
        ("DELETE", "/api/v1/alerts/history", "GET, HEAD"),
        ("POST", "/api/v1/snapshot", "GET, HEAD"),
    ],
)
async def test_each_address_names_the_methods_it_has(
    method: str, path: str, allow: str, source: SourceWithAlerts
) -> None:
    async with asking(source) as http:
        answer = await http.request(method, path, headers={"origin": "https://evil.example"})
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("has_attribute", [True, False])
async def test_where_no_rules_are_looked_at_every_address_says_so(has_attribute: bool) -> None:
    source = Source()
    if has_attribute:
        source.alerts = None  # type: ignore[attr-defined]
    async with asking(source) as http:
        answers = [
            await http.request(method, path.replace("{id}", "x"), json=body)
            for path, method in OPERATIONS
            for body in [ADA if path.endswith("acknowledge") else SILENCE]
        ]
    assert {one.status_code for one in answers} == {404}
    assert all("alerts are off" in one.json()["detail"] for one in answers)


def test_the_live_stream_says_whether_rules_are_looked_at_and_has_the_gravest() -> None:
    class Many(SourceWithAlerts):
        def get_snapshot(self) -> MetalTelemetrySnapshot:
            mild = tuple(replace(MILD, id=str(n)) for n in range(ALERTS_PER_UPDATE + 49))
            return replace(super().get_snapshot(), alerts=(*mild, FIRING))

    server = start_server(Many(), host="127.0.0.1", port=0)
    try:
        with httpx.stream("GET", f"{server.url}/api/v1/events", trust_env=False) as stream:
            received = frames(stream.iter_lines())
            assert next(received).data["alerts"] is True
            live = next(received).data
    finally:
        server.stop()
    assert (len(live["alerts"]), live["alerts_omitted"]) == (ALERTS_PER_UPDATE, 50)
    assert alert_from_dict(live["alerts"][0]) == FIRING


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_whatever_is_asked_is_answered_as_described(
    path: str, method: str, source: SourceWithAlerts
) -> None:
    app = create_app(source)

    async def from_here(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        changes = {"client": ("127.0.0.1", 50_000), "headers": [*headers, (b"host", b"localhost")]}
        await app({**scope, **changes}, receive, send)

    operation = schemathesis.openapi.from_asgi("/openapi.json", from_here)[path][method]
    sorts = [operation.as_strategy()]
    described = DESCRIPTION["paths"][path][method.lower()]
    if "parameters" in described or "requestBody" in described:
        sorts.append(operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))

    @settings(
        max_examples=10 if len(sorts) > 1 else 3,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=one_of(sorts))
    def ask(case: schemathesis.Case) -> None:
        # What is refused has a test above; a pattern cannot say all that makes a matcher.
        case.call_and_validate(excluded_checks=[positive_data_acceptance, negative_data_rejection])

    ask()
    app.state.hub.close()
