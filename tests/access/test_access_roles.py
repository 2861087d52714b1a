"""The table route × method × role, cell by cell, against one written down here by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest
from access_at_hand import bearer, gate_of, keys_of_all_roles
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Route

from metalscope.access.gate import Gate
from metalscope.access.roles import RULES, Role, find, methods_at
from metalscope.server.app import create_app
from metalscope.server.files import load_assets

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get")
NONE, ALL = "", "svoa"
# Address, then who may by method: s scraper, v viewer, o operator, a admin; * is open to all.
CELLS = {
    "/": {"GET": "*", "HEAD": "*"},
    "/livez": {"GET": "*", "HEAD": "*"},
    "/readyz": {"GET": "*", "HEAD": "*"},
    "/startupz": {"GET": "*", "HEAD": "*"},
    "/health": {"GET": "*", "HEAD": "*"},
    "/metrics": {"GET": ALL, "HEAD": ALL},
    "/openapi.json": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/snapshot": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/recent": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/report": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/events": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/past": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/past/lines": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/past/operations": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/past/durations": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/past/hosts": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/past/forecast": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/pages": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/pages/0f4e": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/pages/0f4e/values": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/logs": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/traces": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/traces/0f4e": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/alerts": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/alerts/history": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/alerts/0f4e": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/alerts/0f4e/acknowledge": {"POST": "oa", "DELETE": "oa"},
    "/api/v1/rules": {"GET": "voa", "HEAD": "voa"},
    "/api/v1/silences": {"GET": "voa", "HEAD": "voa", "POST": "oa"},
    "/api/v1/silences/9": {"GET": "voa", "HEAD": "voa", "DELETE": "oa"},
    "/api/v1/tickets": {"POST": "voa"},
}
ASSETS = frozenset(f"/{path}" for path in load_assets())


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gate, dict[Role, str]]:
    path = tmp_path_factory.mktemp("roles") / "keys.json"
    keys = keys_of_all_roles(path)
    return gate_of(keys_file=path, open_paths=ASSETS, failures_per_minute=1_000_000), keys


@pytest.mark.parametrize("address", CELLS)
@pytest.mark.parametrize("method", METHODS)
def test_each_cell_of_the_table_is_what_is_written_here(
    known: tuple[Gate, dict[Role, str]], address: str, method: str
):
    gate, keys = known
    who = CELLS[address].get(method, NONE)
    nobody = gate.decide(method, address, [], "10.0.0.1")
    assert (nobody.allowed, nobody.status) == ((True, 200) if who == "*" else (False, 401))
    for role, key in keys.items():
        decision = gate.decide(method, address, bearer(key), "10.0.0.1")
        assert decision.allowed == (who == "*" or role.value[0] in who), role
        if not decision.allowed:
            assert decision.status == (403 if who else 405), role


@pytest.mark.parametrize("asset", sorted(ASSETS))
def test_the_pages_own_files_are_open_to_read_and_to_nothing_else(
    known: tuple[Gate, dict[Role, str]], asset: str
):
    gate, keys = known
    assert gate.decide("GET", asset, [], None).is_open
    assert gate.decide("POST", asset, [], None).status == 401
    assert gate.decide("POST", asset, bearer(keys[Role.ADMIN]), None).status == 405


def test_every_route_of_the_server_is_in_the_table():
    class Source:
        def subscribe(self, _on_tick: object) -> object:
            return lambda: None

    app = create_app(Source())  # type: ignore[arg-type]
    for route in app.routes:
        assert isinstance(route, Route)
        for method in route.methods or ():
            assert find(route.path.replace("{id}", "x"), method, ASSETS), (method, route.path)


def test_the_table_written_here_has_every_rule():
    assert {rule.pattern.replace("{id}", "x") for rule in RULES} == {
        address.replace("0f4e", "x").replace("/9", "/x") for address in CELLS
    }


@pytest.mark.parametrize(
    "path",
    ["", "//", "/metrics/", "//metrics", "/METRICS", "/metrics%2f", "/metrics\n", "/metrics\0",
     "/./metrics", "/x/../metrics", "/api/v1/alerts/", "/api/v1/alerts//acknowledge",
     "/api/v1/alerts/a/b", "/api/v1/silences/{id}/x", "/api", "/api/v1/keys", "metrics",
     "/livez/", "/health/x", "/js/../metrics", "/index.html/..", "*"],
)  # fmt: skip
def test_an_address_that_only_looks_like_one_in_the_table_is_denied_to_all(
    known: tuple[Gate, dict[Role, str]], path: str
):
    gate, keys = known
    assert gate.decide("GET", path, [], None).status == 401
    assert gate.decide("GET", path, bearer(keys[Role.ADMIN]), None).status == 404


@given(st.text(max_size=60), st.sampled_from(METHODS))
def test_no_address_outside_the_table_is_open(path: str, method: str):
    match = find(path, method)
    if match is not None:
        assert path in {one for one in CELLS if "{" not in one} or match.target
        assert not match.rule.is_open or path in CELLS


def test_who_is_refused_a_method_is_told_which_there_are():
    assert methods_at("/api/v1/silences") == {"GET", "HEAD", "POST"}
    assert methods_at("/nowhere") == frozenset()
    found = find("/api/v1/alerts/history", "GET")
    assert found is not None
    assert found.target is None


def test_the_table_loads_without_the_server_and_without_pydantic():
    code = (
        "import sys, metalscope.access.roles as r; r.find('/metrics', 'GET'); "
        "print([m for m in ('starlette', 'jwt', 'cryptography', 'fcntl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
