"""Requests made up from the description, with each role: answered as described, never with 5xx."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from doors_at_hand import keys_of
from hypothesis import HealthCheck, Phase, given, settings
from past_at_hand import page_of
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    positive_data_acceptance,
)
from starlette.types import Receive, Scope, Send

from alerts_at_hand import SourceWithAlerts
from metalscope.access.roles import RULES, Role
from metalscope.access_options import AccessOptions
from metalscope.server.app import create_app
from metalscope.server.door import Access

DESCRIPTION = json.loads(files("metalscope").joinpath("assets", "openapi.json").read_text())
OPERATIONS = [
    (path, method.upper())
    for path, operations in DESCRIPTION["paths"].items()
    for method in operations
    if path != "/api/v1/events"
]


def test_what_is_described_is_what_the_table_of_roles_has() -> None:
    described = {
        (path, method.upper(), operation["security"] == [])
        for path, operations in DESCRIPTION["paths"].items()
        for method, operation in operations.items()
    }
    table = {
        (rule.pattern, method, rule.is_open) for rule in RULES for method in rule.methods - {"HEAD"}
    }
    assert described == table


@pytest.mark.parametrize("operation", DESCRIPTION["paths"])
def test_whoever_may_be_refused_is_told_so_in_the_description(operation: str) -> None:
    for one in DESCRIPTION["paths"][operation].values():
        if one["security"]:
            assert {"400", "401", "403", "429"} <= set(one["responses"])


@pytest.mark.parametrize("role", [*Role, None])
def test_whatever_is_asked_by_a_role_is_answered_as_described(
    role: Role | None, tmp_path: Path
) -> None:
    keys = keys_of(tmp_path / "keys.json")
    access = AccessOptions(keys_file=tmp_path / "keys.json", failures_per_minute=1_000_000)
    door = Access.of(access, on_error=_fail)
    app = create_app(SourceWithAlerts(), access=door, page=page_of())
    key = keys[role].encode() if role else None
    answered: set[int] = set()
    asking = False

    async def with_key(scope: Scope, receive: Receive, send: Send) -> None:
        ours = [(b"host", b"localhost")]
        # Whoever reads the description for this test may.
        given_key = keys[Role.VIEWER].encode() if not asking else key
        if given_key is not None:
            ours.append((b"authorization", b"Bearer " + given_key))
        names = {b"host", b"authorization", b"x-api-key"}
        headers = [pair for pair in scope["headers"] if pair[0] not in names] + ours

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                answered.add(message["status"])
            await send(message)

        await app({**scope, "headers": headers}, receive, sending)

    schema = schemathesis.openapi.from_asgi("/openapi.json", with_key)
    answered.clear()
    asking = True
    for path, method in OPERATIONS:

        @settings(
            max_examples=3,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(case=schema[path][method].as_strategy())
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(
                excluded_checks=[
                    # The key is put in on the way, whatever a case has.
                    ignored_auth,
                    missing_required_header,
                    # Who may not is refused with good data too.
                    positive_data_acceptance,
                    negative_data_rejection,
                ]
            )

        ask()
    assert not [status for status in answered if status >= 500]
    assert (401 in answered) == (role is None)
    assert (403 in answered) == (role in {Role.SCRAPER, Role.VIEWER})
    app.state.hub.close()
    door.close()


def _fail(error: BaseException) -> None:
    raise AssertionError from error
