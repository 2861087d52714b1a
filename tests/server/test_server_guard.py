from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from metalscope.errors import ConfigurationError
from metalscope.manager import MetalTelemetryManager
from metalscope.report import MetalProductionReport
from metalscope.server import RunningServer, start_server
from metalscope.server.app import create_app
from metalscope.server.security import ANY_HOST
from metalscope.snapshot import MetalTelemetrySnapshot


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9464", "[::1]", "[::1]:9464"],
)
def test_the_names_of_this_machine_are_let_in(host: str, http: httpx.Client) -> None:
    assert http.get("/livez", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:9464",
        "evil.example:127.0.0.1",
        "[::1].evil.example",
        "0.0.0.0",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/events", "/nowhere"])
def test_a_rebound_name_is_refused_on_every_path(host: str, path: str, http: httpx.Client) -> None:
    answer = http.get(path, headers={"host": host})
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_request_without_a_host_or_with_two_is_refused(server: RunningServer) -> None:
    for head in (
        b"GET /livez HTTP/1.0\r\n\r\n",
        b"GET /livez HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head)
        status = (await reader.readline()).split()[1]
        writer.close()
        assert status == b"400"


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/snapshot", "/js/main.js", "/nowhere"])
def test_every_answer_carries_the_security_headers(path: str, http: httpx.Client) -> None:
    headers = http.get(path).headers
    policy = {
        rule.split(" ")[0]: rule.split(" ")[1:]
        for rule in headers["content-security-policy"].split("; ")
    }
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert policy["frame-ancestors"] == ["'none'"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_no_other_origin_is_given_leave_to_read(http: httpx.Client) -> None:
    headers = http.get("/metrics", headers={"origin": "https://evil.example"}).headers
    assert not [name for name in headers if name.startswith("access-control-")]
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/events"])
def test_only_get_and_head_are_served(method: str, path: str, http: httpx.Client) -> None:
    answer = http.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/health", "/livez", "/api/v1/snapshot", "/api/v1/events"]
)
def test_head_tells_the_same_type_without_a_body(path: str, http: httpx.Client) -> None:
    answer = http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"]


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/js/../../../server/app.py",
        "/%2e%2e/%2e%2e/server/app.py",
        "/js/%2e%2e%2fmain.js",
        "/vendor/README.md",
        "/js",
    ],
)
def test_no_file_but_the_pages_own_can_be_asked_for(path: str, server: RunningServer) -> None:
    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await reader.read()
        writer.close()
        return answer

    assert asyncio.run(ask()).split(b" ")[1] == b"404"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_an_address_others_can_reach_is_refused_unless_asked_for_in_so_many_words(
    host: str, tel: MetalTelemetryManager
) -> None:
    with pytest.raises(ConfigurationError, match="insecure_no_auth"):
        start_server(tel, host=host, port=0)


def test_beyond_this_machine_any_host_name_is_answered(tel: MetalTelemetryManager) -> None:
    server = start_server(tel, host="0.0.0.0", port=0, insecure_no_auth=True)
    try:
        assert server.url == f"http://127.0.0.1:{server.port}"
        answer = httpx.get(
            f"{server.url}/livez", headers={"host": "gpu-box.example"}, trust_env=False
        )
        assert answer.status_code == 200
    finally:
        server.stop()


class Broken:
    """A source whose every question fails."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, BaseException]] = []

    def get_snapshot(self) -> MetalTelemetrySnapshot:
        raise LookupError("a secret in the text")

    def generate_report(self) -> MetalProductionReport:
        raise LookupError("a secret in the text")

    def subscribe(
        self, consumer: Callable[[MetalTelemetrySnapshot], None], /
    ) -> Callable[[], None]:
        return lambda: None

    def internal_error(self, room: str, error: BaseException, /) -> None:
        self.errors.append((room, error))


@pytest.fixture
def broken() -> Iterator[tuple[Broken, str]]:
    source = Broken()
    server = start_server(source, host="127.0.0.1", port=0)
    yield source, server.url
    server.stop()


@pytest.mark.parametrize(
    "path", ["/metrics", "/api/v1/snapshot", "/api/v1/report", "/api/v1/events"]
)
def test_a_failure_is_a_500_that_is_counted_and_tells_no_secret(
    path: str, broken: tuple[Broken, str], capfd: pytest.CaptureFixture[str]
) -> None:
    source, url = broken
    answer = httpx.get(url + path, trust_env=False)

    assert answer.status_code == 500
    assert answer.json()["status"] == 500
    assert "secret" not in answer.text
    assert [(room, type(error)) for room, error in source.errors] == [("server", LookupError)]
    assert capfd.readouterr() == ("", "")


def test_the_managers_own_count_has_the_failure(
    tel: MetalTelemetryManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server(tel, host="127.0.0.1", port=0)
    try:
        with monkeypatch.context() as patch:

            def fail() -> Any:
                raise RuntimeError("collecting failed")

            patch.setattr(tel, "generate_report", fail)
            assert httpx.get(f"{server.url}/api/v1/report", trust_env=False).status_code == 500
        body = httpx.get(f"{server.url}/metrics", trust_env=False).text
    finally:
        server.stop()
    assert re.search(r'^metalscope_internal_errors_total\{room="server"\} 1(\.0)?$', body, re.M)


async def test_the_app_mounts_in_another_under_a_prefix_and_its_own_host_names(
    tel: MetalTelemetryManager,
) -> None:
    mounted = create_app(tel, allowed_hosts=ANY_HOST)
    outer = Starlette(routes=[Mount("/telemetry", mounted)])
    tel.record("execute", "matmul", duration_ns=1_000)
    transport = httpx.ASGITransport(outer)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.example") as client:
        page = await client.get("/telemetry/")
        assert page.status_code == 200
        # Relative, so that they stay below the prefix.
        assert 'src="js/main.js"' in page.text
        assert (await client.get("/telemetry/js/main.js")).status_code == 200
        snapshot = (await client.get("/telemetry/api/v1/snapshot")).json()
        assert snapshot["total_operations"] == 1
    mounted.state.hub.close()
