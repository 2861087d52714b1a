"""The check inside real frameworks: FastAPI, Starlette, Django, Flask, and real servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import django
import flask
import httpx
import pytest
import uvicorn
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import AsyncClient, Client
from django.urls import path
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from werkzeug.serving import make_server

from health_source import Source, report_of
from metalscope.health_check import MetalBackendHealthCheck
from metalscope.health_report import HealthStatus

MEDIA_TYPE = "application/health+json"
LOCAL = ("127.0.0.1", 50_000)
REMOTE = "192.0.2.7"


@pytest.fixture
def check(source: Source) -> MetalBackendHealthCheck:
    return MetalBackendHealthCheck(source)


# -- Starlette and FastAPI ---------------------------------------------------------------------


def of_fastapi_route(check: MetalBackendHealthCheck) -> Any:
    app = FastAPI()
    app.add_api_route("/health", check.starlette_endpoint, methods=["GET", "HEAD"])
    return app


def of_fastapi_mount(check: MetalBackendHealthCheck) -> Any:
    app = FastAPI()
    app.mount("/health", check.asgi)
    return app


def of_starlette_route(check: MetalBackendHealthCheck) -> Any:
    return Starlette(routes=[Route("/health", check.starlette_endpoint)])


def of_starlette_mount(check: MetalBackendHealthCheck) -> Any:
    return Starlette(routes=[Mount("/health", check.asgi)])


def alone(check: MetalBackendHealthCheck) -> Any:
    return check.asgi


ASGI = [of_fastapi_route, of_fastapi_mount, of_starlette_route, of_starlette_mount, alone]


@pytest.mark.parametrize("build", ASGI)
@pytest.mark.parametrize(
    ("status", "told"),
    [(HealthStatus.DEGRADED, (200, "warn")), (HealthStatus.CRITICAL, (503, "fail"))],
)
def test_an_asgi_framework_carries_code_type_and_details(
    build: Callable[[MetalBackendHealthCheck], Any],
    status: HealthStatus,
    told: tuple[int, str],
    check: MetalBackendHealthCheck,
    source: Source,
) -> None:
    source.report = report_of(status, "because")
    with TestClient(build(check), client=LOCAL) as http:
        answer, head = http.get("/health"), http.head("/health")

    assert (answer.status_code, answer.json()["status"]) == told
    assert answer.json()["components"][1]["reasons"] == ["because"]
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["cache-control"] == "no-store"
    assert (head.status_code, head.content) == (told[0], b"")


@pytest.mark.parametrize("build", ASGI)
def test_an_asgi_framework_tells_strangers_the_status_alone(
    build: Callable[[MetalBackendHealthCheck], Any], check: MetalBackendHealthCheck
) -> None:
    with TestClient(build(check), client=(REMOTE, 1)) as http:
        assert http.get("/health").json() == {"status": "pass"}
    with TestClient(build(check), client=LOCAL) as http:
        forwarded = http.get("/health", headers={"x-forwarded-for": REMOTE})
        assert forwarded.json() == {"status": "pass"}


@pytest.mark.parametrize("build", ASGI)
def test_an_asgi_framework_refuses_to_post(
    build: Callable[[MetalBackendHealthCheck], Any],
    check: MetalBackendHealthCheck,
    source: Source,
) -> None:
    with TestClient(build(check), client=LOCAL) as http:
        assert http.post("/health").status_code == 405
    assert source.collections == 0


# -- Django ------------------------------------------------------------------------------------


@pytest.fixture
def urls(check: MetalBackendHealthCheck) -> Iterator[None]:
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["testserver", "127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY="of tests"
        )
        django.setup()
    urlpatterns[:] = [
        path("health", check.django_view),
        path("async/health", check.django_async_view),
    ]
    yield
    urlpatterns.clear()
    django.urls.clear_url_caches()


urlpatterns: list[Any] = []


@pytest.mark.usefixtures("urls")
def test_a_view_of_django_carries_code_type_and_details(source: Source) -> None:
    source.report = report_of(HealthStatus.CRITICAL, "because")
    http = Client()
    answer, head = http.get("/health"), http.head("/health")

    assert (answer.status_code, answer.json()["status"]) == (503, "fail")
    assert answer.json()["output"] == "device: because"
    assert answer["content-type"] == MEDIA_TYPE
    assert (head.status_code, head.content) == (503, b"")
    assert http.get("/health", REMOTE_ADDR=REMOTE).json() == {"status": "fail"}
    assert http.get("/health", HTTP_X_FORWARDED_FOR="127.0.0.1").json() == {"status": "fail"}
    assert http.post("/health").status_code == 405


@pytest.mark.usefixtures("urls")
async def test_an_asynchronous_view_of_django_leaves_the_loop_free(source: Source) -> None:
    source.go_on.clear()
    http = AsyncClient()
    asked = [asyncio.create_task(http.get("/async/health")) for _ in range(10)]
    await asyncio.to_thread(source.entered.acquire)
    source.go_on.set()
    answers = await asyncio.gather(*asked)
    assert {(one.status_code, one["content-type"]) for one in answers} == {(200, MEDIA_TYPE)}
    assert (await http.post("/async/health")).status_code == 405


# -- Flask -------------------------------------------------------------------------------------


def test_a_view_of_flask_carries_code_type_and_details(
    check: MetalBackendHealthCheck, source: Source
) -> None:
    app = flask.Flask("of tests")
    app.add_url_rule("/health", view_func=check.flask_view)
    admin = flask.Blueprint("admin", "of tests")
    admin.add_url_rule("/health", "health", check.flask_view)
    app.register_blueprint(admin, url_prefix="/admin")
    http = app.test_client()

    assert http.get("/admin/health").json["status"] == "pass"
    source.report = report_of(HealthStatus.CRITICAL, "because")
    answer = http.get("/health")
    assert (answer.status_code, answer.json["output"]) == (503, "device: because")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert http.head("/health").data == b""
    stranger = http.get("/health", environ_overrides={"REMOTE_ADDR": REMOTE})
    assert stranger.json == {"status": "fail"}
    assert http.post("/health").status_code == 405


# -- real servers ------------------------------------------------------------------------------


@pytest.fixture
def uvicorned() -> Iterator[Callable[[Any], str]]:
    """Serves ASGI applications with uvicorn on free ports; gives their addresses."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(app: Any) -> str:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
        started = threading.Event()
        startup = server.startup

        async def told(sockets: Any = None) -> None:
            await startup(sockets)
            started.set()

        server.startup = told  # type: ignore[method-assign]
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        assert started.wait(30)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield serve
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture
def werkzeuged() -> Iterator[Callable[[Any], str]]:
    """Serves WSGI applications with werkzeug on free ports; gives their addresses."""
    running: list[tuple[Any, threading.Thread]] = []

    def serve(app: Any) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("build", [of_fastapi_route, alone])
def test_a_real_asgi_server_gives_a_program_of_this_machine_the_details(
    build: Callable[[MetalBackendHealthCheck], Any],
    check: MetalBackendHealthCheck,
    uvicorned: Callable[[Any], str],
) -> None:
    url = uvicorned(build(check))
    answer = httpx.get(f"{url}/health", trust_env=False)
    assert (answer.status_code, answer.json()["health_status"]) == (200, "healthy")
    head = httpx.head(f"{url}/health", trust_env=False)
    assert (head.status_code, head.headers["content-type"]) == (200, MEDIA_TYPE)


def test_a_real_wsgi_server_gives_a_program_of_this_machine_the_details(
    check: MetalBackendHealthCheck, source: Source, werkzeuged: Callable[[Any], str]
) -> None:
    url = werkzeuged(check.wsgi)
    source.report = report_of(HealthStatus.CRITICAL, "because")
    answer = httpx.get(f"{url}/whatever", trust_env=False)
    assert (answer.status_code, answer.json()["output"]) == (503, "device: because")
    assert httpx.head(url, trust_env=False).headers["content-type"] == MEDIA_TYPE
    assert httpx.post(url, trust_env=False).status_code == 405
    forwarded = httpx.get(url, headers={"forwarded": "for=127.0.0.1"}, trust_env=False)
    assert forwarded.json() == {"status": "fail"}


@pytest.mark.usefixtures("urls")
def test_django_answers_behind_real_servers_of_both_kinds(
    uvicorned: Callable[[Any], str], werkzeuged: Callable[[Any], str]
) -> None:
    for url in (uvicorned(ASGIHandler()), werkzeuged(WSGIHandler())):
        for path_of in ("/health", "/async/health"):
            answer = httpx.get(url + path_of, trust_env=False)
            assert (answer.status_code, answer.json()["health_status"]) == (200, "healthy")


def test_the_wsgi_application_keeps_to_the_standard(check: MetalBackendHealthCheck) -> None:
    from wsgiref.util import setup_testing_defaults
    from wsgiref.validate import validator

    environ: dict[str, Any] = {"REMOTE_ADDR": "127.0.0.1", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    told: list[tuple[str, list[tuple[str, str]]]] = []
    body = validator(check.wsgi)(environ, lambda *head: told.append(head[:2]) or (lambda _: None))  # type: ignore[arg-type,func-returns-value]
    text = b"".join(body)
    body.close()  # type: ignore[attr-defined]
    assert told[0][0] == "200 OK"
    assert ("content-length", str(len(text))) in told[0][1]
