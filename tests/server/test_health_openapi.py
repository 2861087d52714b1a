"""The HTTP description says what the server does; requests made up from it are answered as told."""

from __future__ import annotations

import json
import threading
from importlib.resources import files
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import one_of
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from starlette.applications import Starlette

from health_source import Source, report_of
from metalscope.health_check.audience import HealthDetails
from metalscope.health_report import HealthStatus
from metalscope.manager import MetalTelemetryManager
from metalscope.server.app import create_app
from metalscope.server.files import load_assets

DESCRIPTION = json.loads(files("metalscope").joinpath("assets", "openapi.json").read_text())
ENDLESS = "/api/v1/events"

HOST = "testserver"
"""The name by which requests within the process are made."""

ELSEWHERE = {
    path
    for path, operations in DESCRIPTION["paths"].items()
    for operation in operations.values()
    if {"alerts", "past", "pages", "logs", "traces"} & set(operation["tags"])
}
"""They have tests of their own, with alerts and with a past."""

TICKETS = "/api/v1/tickets"
"""Where a key is asked for; see the test of roles."""

PATHS = sorted(set(DESCRIPTION["paths"]) - ELSEWHERE - {ENDLESS, TICKETS})
HEALTH_PATHS = [path for path in PATHS if DESCRIPTION["paths"][path]["get"]["tags"] == ["health"]]


def ask_all_sorts(app: Starlette, path: str, **checks: Any) -> None:
    """Make up requests to one address from its description, and check each answer against it."""
    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path]["GET"]

    sorts = [operation.as_strategy()]
    if "parameters" in DESCRIPTION["paths"][path]["get"]:
        sorts.append(operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))

    # Where there is a parameter, enough for every branch; elsewhere requests differ little.
    @settings(
        max_examples=10 if len(sorts) > 1 else 3,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=one_of(sorts))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(**checks)

    ask()


def test_it_is_an_openapi_document() -> None:
    validate(DESCRIPTION)


def test_it_describes_every_address_but_the_pages_own_files() -> None:
    app = create_app(Source())
    served = {route.path for route in app.routes}  # type: ignore[attr-defined]
    assert served - {f"/{path}" for path in load_assets()} == set(DESCRIPTION["paths"])


def test_the_server_gives_it_out(http: httpx.Client) -> None:
    answer = http.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DESCRIPTION


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "status", [HealthStatus.DEGRADED, HealthStatus.CRITICAL, "cannot be collected"]
)
def test_whatever_is_asked_is_answered_as_described(path: str, status: HealthStatus | str) -> None:
    source = Source()
    if isinstance(status, HealthStatus):
        source.report = report_of(status, "a reason")
    else:
        source.error = LookupError()
    app = create_app(source, allowed_hosts={HOST}, health_details="always")
    # 500 and 503 are described where they may be; status_code_conformance refuses all others.
    ask_all_sorts(app, path, excluded_checks=[not_a_server_error])
    app.state.hub.close()


@pytest.mark.parametrize(
    ("path", "details"),
    [*((path, "always") for path in PATHS), *((path, "never") for path in HEALTH_PATHS)],
)
def test_a_program_that_works_never_fails_to_answer(
    path: str, details: HealthDetails, tel: MetalTelemetryManager
) -> None:
    ticked = threading.Event()
    tel.subscribe(lambda _: ticked.set())
    tel.record("execute", "matmul", duration_ns=2_000_000)
    tel.record("compile", "kernel", duration_ns=5_000_000, error="compilation_error")
    app = create_app(tel, allowed_hosts={HOST}, health_details=details)
    assert ticked.wait(30)
    ask_all_sorts(app, path)
    app.state.hub.close()
