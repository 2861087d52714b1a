"""The past over HTTP: what is asked of its source, what is answered, and what is refused."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import one_of
from past_at_hand import BEGAN, HOSTILE, OwnPast, asking, page_of
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.types import Receive, Scope, Send

from health_source import Source
from metalscope.errors import ConfigurationError
from metalscope.forecast.base import Forecaster
from metalscope.page.data import PageData
from metalscope.page.source import Described, SourceError, TimeRange, Wanted
from metalscope.server.app import create_app
from metalscope.server.asked import MOST_STEPS
from metalscope.server.joined import FRESH_SECONDS, MOST_ANSWERS, JoinedAnswers
from metalscope.server.source import Asker

DESCRIPTION = json.loads(files("metalscope").joinpath("assets", "openapi.json").read_text())
OURS = sorted(
    path
    for path, operations in DESCRIPTION["paths"].items()
    if {"past", "pages", "logs", "traces"} & set(operations.get("get", {}).get("tags", ()))
)
PAST = "/api/v1/past"
HOUR = {"since": "1800000000", "until": "1800003600.5", "step": "60"}
WITHIN = TimeRange(
    datetime.fromtimestamp(1_800_000_000, UTC),
    datetime.fromtimestamp(1_800_003_600.5, UTC),
    timedelta(minutes=1),
)


@pytest.fixture
def past() -> OwnPast:
    return OwnPast()


# -- what is asked ---------------------------------------------------------------------------------


async def test_lines_are_asked_for_as_the_address_says(past: OwnPast) -> None:
    wanted = {"measure": "resource", "by": "host", "kind": "mem*", "name": "a?", "device": "m1",
              "host": "h:1", "reading": "high", "limit": "7"}  # fmt: skip
    async with asking(page_of(past)) as http:
        answer = await http.get(f"{PAST}/lines", params={**wanted, **HOUR})
    assert past.asked == [
        (Wanted("resource", "host", "mem*", "a?", "m1", "h:1", "high", 7), WITHIN),
    ]
    (line,) = answer.json()["lines"]
    assert (line["name"], line["values"], line["ceiling"]) == (HOSTILE, [1.0, None, 2.5], 9.0)
    assert answer.json()["omitted"] == 3
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


async def test_by_itself_it_is_the_last_hour_of_all_in_240_steps(past: OwnPast) -> None:
    before = datetime.now(UTC)
    async with asking(page_of(past)) as http:
        await http.get(f"{PAST}/lines?measure=operations")
        await http.get(f"{PAST}/operations")
    (wanted, within), (since, until, host, limit) = past.asked
    assert wanted == Wanted("operations")
    assert before <= within.until <= datetime.now(UTC)
    assert within.until - within.since == timedelta(hours=1)
    assert within.step == timedelta(seconds=15)
    assert (until - since, host, limit) == (timedelta(hours=1), "", 500)


async def test_times_may_be_written_as_seconds_or_with_their_zone(past: OwnPast) -> None:
    query = {"since": "2027-01-15T09:00:00+01:00", "until": "1800003600.5"}
    async with asking(page_of(past)) as http:
        await http.get(f"{PAST}/operations", params={**query, "host": "m1", "limit": "2000"})
    assert past.asked == [(WITHIN.since, WITHIN.until, "m1", 2000)]


async def test_operations_durations_and_hosts_are_told_as_the_source_has_them(
    past: OwnPast,
) -> None:
    async with asking(page_of(past)) as http:
        operations = (await http.get(f"{PAST}/operations", params={"until": "7200"})).json()
        durations = (await http.get(f"{PAST}/durations", params={**HOUR, "name": "a*"})).json()
        hosts = (await http.get(f"{PAST}/hosts")).json()
    assert operations["covered_seconds"] == 60.0
    assert [one["failures"] for one in operations["operations"]] == [{"oom": 1.0}]
    assert past.asked[1] == (Wanted("duration_ms", name="a*"), WITHIN)
    assert (durations["edges_ms"], durations["cells"]) == ([1.0, 10.0], [[0, 1, 2.0], [2, 0, 1.0]])
    assert [one["alerts"] for one in hosts["hosts"]] == [[["MetalHot", "high"]]]


async def test_the_page_is_told_what_there_is(past: OwnPast) -> None:
    async with asking(page_of(past)) as http:
        told = (await http.get(PAST)).json()
    moment = BEGAN.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    assert (told["source"], told["why"], told["first"], told["live"]) == (
        "history", "", moment, True,
    )  # fmt: skip
    assert abs(told["now"] - datetime.now(UTC).timestamp()) < 60
    assert (told["logs"]["is_on"], told["traces"]["is_on"]) == (False, False)
    assert "server.enabled" in told["logs"]["why"]


async def test_a_fleet_is_not_this_process(past: OwnPast) -> None:
    past.described = Described("prometheus", "http://db:9090", hosts=("m1:9464", "m2:9464"))
    async with asking(page_of(past, kind="prometheus")) as http:
        told = (await http.get(PAST)).json()
        past.error = SourceError("http://db:9090 refused the connection")
        await asyncio.sleep(0)
    assert (told["source"], told["live"], told["hosts"], told["address"]) == (
        "prometheus", False, ["m1:9464", "m2:9464"], "http://db:9090",
    )  # fmt: skip
    async with asking(page_of(past, kind="prometheus")) as http:
        told = (await http.get(PAST)).json()
        lines = await http.get(f"{PAST}/lines?measure=errors")
    assert (told["source"], told["live"], told["why"]) == ("prometheus", False, str(past.error))
    assert (lines.status_code, lines.json()["detail"]) == (502, str(past.error))


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/lines", "measure must be one of operations, errors"),
        ("/lines?measure=p99", 'not "p99"'),
        ("/lines?measure=errors&mesure=x", '"mesure" is not known; did you mean measure?'),
        ("/lines?measure=errors&by=device", "by must be one of all, operation, host"),
        ("/lines?measure=errors&limit=201", "limit must be a number from 1 to 200"),
        ("/lines?measure=errors&measure=errors", "measure must be there once, not 2 times"),
        ("/lines?measure=errors&since=yesterday", "since must be a time from 1970 to 2200"),
        ("/lines?measure=errors&since=2026-01-31T12:00:00", "since must be a time"),
        ("/lines?measure=errors&until=1e9", "until must be a time"),
        ("/lines?measure=errors&until=-1", "until must be a time"),
        ("/lines?measure=errors&until=999999999999", "until must be a time"),
        ("/lines?measure=errors&since=5000&until=5000", "since must be before until"),
        ("/lines?measure=errors&step=0", "step must be seconds from 0.001"),
        ("/lines?measure=errors&step=nan", "step must be seconds"),
        ("/lines?measure=errors&since=0&until=11001&step=1", f"at most {MOST_STEPS} steps"),
        ("/lines?measure=errors&limit=200&since=0&until=5001&step=1", "5000 steps of 200 lines"),
        (f"/lines?measure=errors&name={'x' * 1001}", "name must be at most 1000 characters"),
        ("/operations?limit=2001", "limit must be a number from 1 to 2000"),
        ("/operations?step=1", '"step" is not known'),
        ("/durations?measure=errors", '"measure" is not known'),
        ("/hosts?x=1", '"x" is not known'),
        ("?x=1", '"x" is not known'),
        ("/forecast?measure=errors&horizon=86400", "horizon must be at most 2000 steps"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name_and_the_source_is_not_asked(
    address: str, said: str, past: OwnPast
) -> None:
    async with asking(page_of(past)) as http:
        answer = await http.get(f"{PAST}{address}")
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert past.asked == []


async def test_what_makes_no_sense_to_the_source_is_refused_in_its_words(past: OwnPast) -> None:
    past.error = ValueError("until must be after since")
    async with asking(page_of(past)) as http:
        answer = await http.get(f"{PAST}/lines?measure=errors")
    assert (answer.status_code, answer.json()["detail"]) == (400, "until must be after since")


async def test_where_there_is_no_past_it_is_said_why(past: OwnPast) -> None:
    for page, why in ((None, "made without one"), (PageData(None, "no room"), "no room")):
        async with asking(page) as http:
            told = await http.get(PAST)
            answers = [
                await http.get(f"{PAST}/{rest}")
                for rest in ("lines?measure=errors", "operations", "durations", "hosts",
                             "forecast?measure=errors")
            ]  # fmt: skip
        assert (told.status_code, told.json()["source"]) == (200, None)
        assert why in told.json()["why"]
        assert {one.status_code for one in answers} == {404}
        assert all(why in one.json()["detail"] for one in answers)


async def test_what_fails_within_is_an_error_of_ours(past: OwnPast) -> None:
    past.error = RuntimeError("a secret")
    async with asking(page_of(past)) as http:
        answer = await http.get(f"{PAST}/lines?measure=errors")
    assert (answer.status_code, "secret" in answer.text) == (500, False)


async def test_a_value_that_is_no_number_is_absent(past: OwnPast) -> None:
    past.values = [float("nan"), 1.0, float("inf")]
    async with asking(page_of(past)) as http:
        answer = await http.get(f"{PAST}/lines?measure=errors")
    assert answer.json()["lines"][0]["values"] == [None, 1.0, None]


# -- forecasts -------------------------------------------------------------------------------------


async def test_the_highest_line_is_forecast_with_its_past(past: OwnPast) -> None:
    past.values = [10.0 + n % 2 for n in range(60)]
    query = {**HOUR, "measure": "resource", "name": "a*", "horizon": "600"}
    async with asking(page_of(past)) as http:
        told = (await http.get(f"{PAST}/forecast", params=query)).json()
    assert past.asked == [(Wanted("resource", name="a*", limit=1), WITHIN)]
    assert (told["past"]["values"], told["unit"], told["ceiling"]) == (past.values, "/s", 9.0)
    forecast = told["forecast"]
    assert (forecast["start"], forecast["step"]) == (1_800_003_600.0, 60.0)
    assert len(forecast["values"]) == len(forecast["lower"]) == len(forecast["upper"]) == 10
    assert all(9 < value < 12 for value in forecast["values"])
    assert told["why"] == ""


async def test_where_nothing_can_be_forecast_it_is_said_why(past: OwnPast) -> None:
    def missing() -> Forecaster:
        raise ConfigurationError("no forecaster is named 'oracle'")

    async with asking(page_of(past)) as http:
        little = (await http.get(f"{PAST}/forecast?measure=errors")).json()
    async with asking(page_of(past, forecaster=missing)) as http:
        nobody = (await http.get(f"{PAST}/forecast?measure=errors")).json()
    assert (little["forecast"], "too little" in little["why"]) == (None, True)
    assert (nobody["forecast"], "oracle" in nobody["why"]) == (None, True)


# -- many who ask ----------------------------------------------------------------------------------


async def test_five_hundred_who_ask_the_same_cost_one_reading(past: OwnPast) -> None:
    past.go_on.clear()
    address = f"{PAST}/lines?measure=errors"
    async with asking(page_of(past)) as http:
        asked = [asyncio.create_task(http.get(address)) for _ in range(500)]
        while not past.entered.acquire(blocking=False):
            await asyncio.sleep(0.001)
        asked.pop().cancel()  # one that goes away takes nothing from the others
        past.go_on.set()
        answers = await asyncio.gather(*asked)
        again = await http.get(address)
        other = await http.get(f"{address}&limit=3")
    assert {one.content for one in answers} == {again.content}
    assert other.status_code == 200
    assert len(past.asked) == 2


async def test_an_answer_is_given_again_for_a_second_and_few_are_kept() -> None:
    clock, count = [0.0], [0]
    joined = JoinedAnswers(Asker(at_once=1, patience=10), now=lambda: clock[0])

    def question() -> bytes:
        count[0] += 1
        return str(count[0]).encode()

    assert [await joined.ask("a", question) for _ in range(2)] == [b"1", b"1"]
    clock[0] += FRESH_SECONDS
    assert await joined.ask("a", question) == b"2"
    for n in range(MOST_ANSWERS):
        await joined.ask(str(n), question)
    assert await joined.ask("1", question) == b"4"
    assert await joined.ask("a", question) == str(MOST_ANSWERS + 3).encode()


async def test_a_source_that_never_answers_keeps_nobody_from_the_live_figures(
    past: OwnPast,
) -> None:
    past.go_on.clear()
    async with asking(page_of(past)) as http:
        asked = [asyncio.create_task(http.get(f"{PAST}/operations?limit={n}")) for n in range(1, 9)]
        while not past.entered.acquire(blocking=False):
            await asyncio.sleep(0.001)
        assert (await http.get("/api/v1/snapshot")).status_code == 200
        past.go_on.set()
        assert {one.status_code for one in await asyncio.gather(*asked)} == {200}


# -- as it is described ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", OURS)
def test_whatever_is_asked_is_answered_as_described(path: str) -> None:
    app = create_app(Source(), page=page_of())

    async def from_here(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        await app({**scope, "headers": [*headers, (b"host", b"localhost")]}, receive, send)

    operation = schemathesis.openapi.from_asgi("/openapi.json", from_here)[path]["GET"]
    sorts = [operation.as_strategy()]
    if "parameters" in DESCRIPTION["paths"][path]["get"]:
        sorts.append(operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))

    @settings(
        max_examples=8 if len(sorts) > 1 else 2,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=one_of(sorts))
    def ask(case: schemathesis.Case) -> None:
        # That since comes before until, and how many steps there are, no schema says.
        case.call_and_validate(excluded_checks=[positive_data_acceptance, negative_data_rejection])

    ask()
    app.state.hub.close()
