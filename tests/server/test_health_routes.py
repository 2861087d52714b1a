"""/health, /livez, /readyz and /startupz: what they say, to whom, and when."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from health_source import Source, StartedSource, report_of
from metalscope.health_report import HealthStatus
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.server import app as web
from metalscope.server import health as routes
from metalscope.server.app import create_app

PROBES = ["/livez", "/readyz", "/startupz"]
REMOTE = "192.0.2.7"


@asynccontextmanager
async def asking(
    source: Source, *, client: str = "127.0.0.1", details: str = "local"
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(source, health_details=details)  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app, client=(client, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http
    app.state.hub.close()


@pytest.mark.parametrize(
    ("status", "word", "code"),
    [
        (HealthStatus.HEALTHY, "pass", 200),
        (HealthStatus.DEGRADED, "warn", 200),
        (HealthStatus.CRITICAL, "fail", 503),
        (HealthStatus.UNKNOWN, "warn", 200),
    ],
)
async def test_health_has_the_words_and_codes_of_the_draft_beside_our_own_word(
    status: HealthStatus, word: str, code: int
) -> None:
    async with asking(Source(report_of(status, "because"))) as http:
        answer = await http.get("/health")

    body = answer.json()
    assert (answer.status_code, body["status"], body["health_status"]) == (code, word, status.value)
    assert answer.headers["content-type"] == "application/health+json"
    assert answer.headers["cache-control"] == "no-store"
    assert body["checks"]["memory:status"][0]["status"] == "pass"
    assert "output" not in body["checks"]["memory:status"][0]
    assert {one["component"]: one["status"] for one in body["components"]} == {
        "memory": "healthy",
        "device": status.value,
    }


async def test_what_is_wrong_is_told_at_the_top_and_at_the_component() -> None:
    async with asking(Source(report_of(HealthStatus.CRITICAL, "3 device_lost"))) as http:
        body = (await http.get("/health")).json()

    assert body["output"] == "device: 3 device_lost"
    check = body["checks"]["device:status"][0]
    assert (check["status"], check["output"]) == ("fail", "3 device_lost")


async def test_of_a_component_nothing_is_known_of_no_status_is_made_up() -> None:
    async with asking(Source(report_of(HealthStatus.UNKNOWN, "no operation"))) as http:
        check = (await http.get("/health")).json()["checks"]["device:status"][0]

    assert "status" not in check
    assert (check["observedValue"], check["output"]) == ("unknown", "no operation")


async def test_health_links_to_itself_and_to_the_description_below_its_prefix() -> None:
    inner = create_app(Source())
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/telemetry", inner)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:81") as http:
        links = (await http.get("/telemetry/health?x=1")).json()["links"]
        described = await http.get(links["service-desc"])
    assert links["self"] == "http://localhost:81/telemetry/health"
    assert described.json()["openapi"].startswith("3.")


@pytest.mark.parametrize("details", ["local", "never"])
async def test_who_is_not_given_details_gets_the_status_alone(details: str) -> None:
    source = Source(report_of(HealthStatus.CRITICAL, "3 device_lost"))
    client = REMOTE if details == "local" else "127.0.0.1"
    async with asking(source, client=client, details=details) as http:
        answer = await http.get("/health")
        ready = await http.get("/readyz?verbose")

    assert (answer.status_code, answer.json()) == (503, {"status": "fail"})
    assert (ready.status_code, ready.text) == (503, "readyz check failed\n")


async def test_everybody_is_given_details_where_that_is_asked_for() -> None:
    async with asking(Source(), client=REMOTE, details="always") as http:
        assert "components" in (await http.get("/health")).json()
        assert "[+]device ok" in (await http.get("/readyz?verbose")).text


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_every_address_of_the_loopback_network_is_local(client: str) -> None:
    async with asking(Source(), client=client) as http:
        assert "components" in (await http.get("/health")).json()


async def test_a_forwarding_header_makes_no_one_local() -> None:
    async with asking(Source(), client=REMOTE) as http:
        headers = {"x-forwarded-for": "127.0.0.1", "forwarded": "for=127.0.0.1"}
        assert (await http.get("/health", headers=headers)).json() == {"status": "pass"}


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
async def test_what_a_proxy_of_this_machine_passes_on_is_not_local(name: str) -> None:
    async with asking(Source()) as http:
        assert (await http.get("/health", headers={name: REMOTE})).json() == {"status": "pass"}


async def test_ready_says_each_check_in_a_line_as_kubernetes_does() -> None:
    async with asking(Source(report_of(HealthStatus.DEGRADED, "5 timeout"))) as http:
        brief = await http.get("/readyz")
        answer = await http.get("/readyz?verbose")

    assert (brief.status_code, brief.text) == (200, "ok\n")
    assert answer.text.splitlines() == [
        "[+]telemetry ok",
        "[+]memory ok",
        "[+]device ok, degraded: 5 timeout",
        "readyz check passed",
    ]


async def test_critical_is_not_ready_and_says_why_without_being_asked() -> None:
    async with asking(Source(report_of(HealthStatus.CRITICAL, "3 device_lost"))) as http:
        answer = await http.get("/readyz")

    assert answer.status_code == 503
    assert answer.text.splitlines()[2:] == [
        "[-]device failed: 3 device_lost",
        "readyz check failed",
    ]


async def test_what_cannot_collect_is_alive_not_ready_and_tells_no_secret() -> None:
    source = Source()
    source.error = LookupError("a secret")
    async with asking(source) as http:
        assert (await http.get("/livez")).status_code == 200
        ready, health, start = [
            await http.get(path) for path in ("/readyz", "/health", "/startupz")
        ]

    assert [one.status_code for one in (ready, health, start)] == [503, 503, 503]
    assert health.json()["status"] == "fail"
    assert health.json()["health_status"] == "unknown"
    assert health.json()["output"] == "telemetry cannot be collected: LookupError"
    assert "secret" not in ready.text + health.text + start.text
    assert source.errors == [("health_check", "LookupError")] * 3


@pytest.mark.parametrize("path", ["/health", "/readyz"])
async def test_probes_at_once_share_one_collection(path: str) -> None:
    source = Source()
    source.go_on.clear()
    async with asking(source) as http:
        asked = [asyncio.create_task(http.get(path)) for _ in range(50)]
        await asyncio.to_thread(source.entered.acquire)
        source.go_on.set()
        answers = await asyncio.gather(*asked)

    assert {one.status_code for one in answers} == {200}
    # Those that asked after the first was answered began a second one, at most.
    assert source.collections <= 2


async def test_a_collection_that_hangs_fails_every_probe_in_time_and_takes_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hasty(routes.HealthRoutes):
        def __init__(self, telemetry: Source, details: str) -> None:
            super().__init__(telemetry, details, timeout=0.05)  # type: ignore[arg-type]

    monkeypatch.setattr(web, "HealthRoutes", Hasty)
    source = Source()
    source.go_on.clear()
    async with asking(source) as http:
        first = await http.get("/health")
        later = [await http.get(path) for path in ("/readyz", "/health", "/startupz") * 10]
        hanging = [one for one in threading.enumerate() if one.name == "metalscope-health-check"]
        alive = await http.get("/livez")
        source.go_on.set()
        hanging[0].join()
        recovered = await http.get("/readyz")

    assert first.status_code == 503
    assert first.json()["output"] == "collecting telemetry has not ended within 0.05 s"
    assert {one.status_code for one in later} == {503}
    assert (len(hanging), source.collections) == (1, 2)
    assert (alive.status_code, recovered.status_code) == (200, 200)


async def test_startup_waits_for_the_first_tick_and_no_longer() -> None:
    source = StartedSource()
    async with asking(source) as http:
        before = await http.get("/startupz")
        looking = len(source.consumers)
        source.tick()
        after = [await http.get("/startupz"), await http.get("/startupz?verbose")]

    assert (before.status_code, after[0].status_code) == (503, 200)
    assert before.text == "[-]start failed: telemetry has not ticked yet\nstartupz check failed\n"
    assert after[1].text == "[+]start ok\nstartupz check passed\n"
    assert len(source.consumers) < looking


async def test_what_has_no_beginning_has_started_when_it_can_be_collected_once() -> None:
    source = Source()
    async with asking(source) as http:
        assert (await http.get("/startupz")).status_code == 200
        source.error = LookupError()
        assert (await http.get("/startupz")).status_code == 200


@pytest.mark.parametrize("path", ["/health", *PROBES])
async def test_head_has_the_code_and_type_of_get(path: str) -> None:
    async with asking(Source()) as http:
        got, head = await http.get(path), await http.head(path)
    assert (head.status_code, head.headers["content-type"]) == (
        got.status_code,
        got.headers["content-type"],
    )
    assert head.headers["cache-control"] == "no-store"


def test_a_running_program_is_alive_ready_and_soon_started(
    http: httpx.Client, tel: MetalTelemetryManager
) -> None:
    ticked = threading.Event()
    tel.subscribe(lambda _: ticked.set())
    assert ticked.wait(30)
    assert {path: http.get(path).text for path in PROBES} == dict.fromkeys(PROBES, "ok\n")
    assert http.get("/livez?verbose").text == "[+]ping ok\nlivez check passed\n"


def test_a_lost_device_fails_the_check_of_a_real_program(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    # A state of the recent window: it takes two ticks to be known.
    seen = http.get("/health")
    while seen.status_code == 200:
        tel.record("execute", "matmul", duration_ns=1, error="device_lost")
        seen = http.get("/health")

    body = seen.json()
    assert (body["status"], body["health_status"]) == ("fail", "critical")
    assert "device_lost" in body["output"]
    assert set(body["checks"]) >= {f"{one['component']}:status" for one in body["components"]}


def test_the_option_decides_who_the_programs_own_server_tells() -> None:
    options = MetalTelemetryOptions.model_validate(
        {"server": {"enabled": True, "port": 0, "health_details": "never"}}
    )
    with MetalTelemetryManager(options) as tel:
        assert tel.server
        answer = httpx.get(f"{tel.server.url}/health", trust_env=False)
    assert set(answer.json()) == {"status"}
