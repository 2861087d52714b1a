"""The runbooks that a program serves, which its alerts link to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from metalscope import MetalTelemetryManager
from metalscope.alerts.builtin import builtin_rules
from metalscope.options import AlertsOptions
from metalscope.server.app import create_app

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page() -> str:
    app = create_app(MetalTelemetryManager(), allowed_hosts={"testserver"})
    answer = TestClient(app).get("/runbooks.html")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def test_it_is_what_the_documentation_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "runbook_page.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_has_a_section_for_each_built_in_rule(page: str) -> None:
    anchors = set(re.findall(r'<h2 id="(\w+)">', page))
    assert anchors == {rule.name.lower() for rule in builtin_rules(AlertsOptions())}


def test_all_that_it_links_to_and_loads_is_served_with_it(page: str) -> None:
    client = TestClient(create_app(MetalTelemetryManager(), allowed_hosts={"testserver"}))
    for address in re.findall(r'(?:href|src)="([^"#]+)"', page):
        assert client.get(f"/{address.removeprefix('./')}").status_code == 200, address
    anchors = set(re.findall(r'id="(\w+)"', page))
    assert set(re.findall(r'href="#(\w+)"', page)) <= anchors
    # The policy of the page allows neither.
    assert "style=" not in page
    assert "<script>" not in page
