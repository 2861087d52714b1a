"""With keys at the door: who is let in to what, by which way, and for how long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from doors_at_hand import keys_of

from alert_samples import FIRING
from alerts_at_hand import SourceWithAlerts
from metalscope.access.key_changes import KeyChanges
from metalscope.access.roles import Role
from metalscope.access_options import AccessOptions
from metalscope.errors import ConfigurationError
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions, ServerOptions, ServerTlsOptions
from metalscope.server import RunningServer, start_server
from metalscope.server.app import create_app
from metalscope.server.door import Access
from metalscope.server.from_options import server_of

ACKNOWLEDGE = f"/api/v1/alerts/{FIRING.id}/acknowledge"
SILENCE = {"matchers": ['alertname="X"'], "duration": "2h", "created_by": "ada"}
READS = ["/openapi.json", "/api/v1/snapshot", "/api/v1/recent", "/api/v1/report", "/api/v1/rules"]
OPEN = ["/", "/js/main.js", "/icon.svg", "/livez", "/readyz", "/health"]

VIEWERS = {Role.VIEWER, Role.OPERATOR, Role.ADMIN}
OPERATORS = {Role.OPERATOR, Role.ADMIN}

CELLS: list[tuple[str, str, Any, set[Role]]] = [
    ("GET", "/metrics", None, set(Role)),
    *(("GET", path, None, VIEWERS) for path in [*READS, "/api/v1/alerts", "/api/v1/silences"]),
    ("HEAD", "/api/v1/events", None, VIEWERS),
    ("POST", "/api/v1/tickets", None, VIEWERS),
    ("POST", ACKNOWLEDGE, {"by": "ada"}, OPERATORS),
    ("DELETE", ACKNOWLEDGE, None, OPERATORS),
    ("POST", "/api/v1/silences", SILENCE, OPERATORS),
]


def lines_of(audit: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit.read_text().splitlines() if '"method"' in line]


def fail(error: BaseException) -> None:
    raise AssertionError from error


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def keys(keys_file: Path) -> dict[Role, str]:
    return keys_of(keys_file)


@pytest.fixture
def options(keys_file: Path, keys: dict[Role, str], tmp_path: Path) -> AccessOptions:
    return AccessOptions(keys_file=keys_file, audit_file=tmp_path / "audit.ndjson")


@pytest.fixture
def guarded(tel: MetalTelemetryManager, options: AccessOptions) -> Iterator[RunningServer]:
    server = start_server(tel, host="127.0.0.1", port=0, access=options)
    yield server
    server.stop()


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_each_role_may_do_what_is_its_own_and_nothing_else_from_wherever(
    options: AccessOptions, keys: dict[Role, str]
) -> None:
    door = Access.of(options, on_error=fail)
    app = create_app(SourceWithAlerts(), allowed_hosts={"gpu-box.example"}, access=door)
    # From another machine, through a proxy: a key does not ask for either.
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 50_000))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gpu-box.example", headers={"via": "1.1 proxy"}
    ) as http:
        for method, path, body, allowed in CELLS:
            for role in Role:
                answer = await http.request(method, path, json=body, headers=bearer(keys[role]))
                fits = answer.status_code < 300 if role in allowed else answer.status_code == 403
                assert fits, (method, path, role, answer.status_code, answer.text)
            answer = await http.request(method, path, json=body)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    app.state.hub.close()
    door.close()


def test_the_pages_own_files_and_the_probes_ask_for_no_key(guarded: RunningServer) -> None:
    with httpx.Client(base_url=guarded.url, trust_env=False) as http:
        for path in OPEN:
            assert http.get(path).status_code == 200, path


def test_a_key_is_taken_from_either_header_and_from_no_address(
    guarded: RunningServer, keys: dict[Role, str]
) -> None:
    url, key = f"{guarded.url}/metrics", keys[Role.SCRAPER]
    get = httpx.Client(trust_env=False).get
    assert get(url, headers=bearer(key)).status_code == 200
    assert get(url, headers={"x-api-key": key}).status_code == 200
    assert get(url, params={"key": key, "ticket": key, "access_token": key}).status_code == 401
    assert get(url, headers={"cookie": f"key={key}"}).status_code == 401
    twice = [("authorization", f"Bearer {key}"), ("x-api-key", keys[Role.ADMIN])]
    assert get(url, headers=twice).status_code == 400


def test_a_ticket_opens_one_stream_and_no_other_address(
    guarded: RunningServer, keys: dict[Role, str]
) -> None:
    with httpx.Client(base_url=guarded.url, trust_env=False, timeout=20) as http:
        made = http.post("/api/v1/tickets", headers=bearer(keys[Role.VIEWER]))
        assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
        given = {"ticket": made.json()["ticket"]}
        assert http.get("/api/v1/snapshot", params=given).status_code == 401
        with http.stream("GET", "/api/v1/events", params=given) as stream:
            assert stream.status_code == 200
        with http.stream("GET", "/api/v1/events", params=given) as stream:
            assert stream.status_code == 401


def test_an_open_stream_ends_when_its_key_is_revoked(
    guarded: RunningServer, keys_file: Path
) -> None:
    changes = KeyChanges(keys_file)
    key, given = changes.create("a person", Role.VIEWER)
    heads = bearer(given.text)
    with (
        httpx.Client(trust_env=False, timeout=20) as http,
        http.stream("GET", f"{guarded.url}/api/v1/events", headers=heads) as stream,
    ):
        chunks = stream.iter_bytes()
        assert next(chunks)
        changes.revoke(key.id)
        for _ in chunks:  # it comes to an end
            pass
    again = httpx.get(f"{guarded.url}/api/v1/snapshot", headers=heads, trust_env=False)
    assert again.status_code == 401


def test_too_many_wrong_keys_are_told_when_to_come_back(
    tel: MetalTelemetryManager, keys_file: Path, keys: dict[Role, str]
) -> None:
    few = AccessOptions(keys_file=keys_file, failures_per_minute=3)
    server = start_server(tel, host="127.0.0.1", port=0, access=few)
    try:
        with httpx.Client(base_url=server.url, trust_env=False) as http:
            wrong = bearer("msk_0123456789ab_" + "A" * 43)
            found = [http.get("/metrics", headers=wrong) for _ in range(4)]
            assert [answer.status_code for answer in found] == [401, 401, 401, 429]
            assert int(found[-1].headers["retry-after"]) > 0
            assert http.get("/livez").status_code == 200
    finally:
        server.stop()


def test_an_external_role_is_given_the_metrics_as_an_external_platform_is(
    keys_file: Path, keys: dict[Role, str]
) -> None:
    options = MetalTelemetryOptions(
        export={"external": {"deny": ["metal_custom_*", "secret_*"]}},
        server={
            "enabled": True,
            "port": 0,
            "access": {"keys_file": keys_file, "external_roles": ["scraper"]},
        },
    )
    with MetalTelemetryManager(options) as tel:
        tel.record("execute", "someone@example.com", duration_ns=1)
        tel.record_custom_metric("secret_total", 1)
        assert tel.server is not None
        with httpx.Client(base_url=tel.server.url, trust_env=False) as http:
            outside = http.get("/metrics", headers=bearer(keys[Role.SCRAPER])).text
            inside = http.get("/metrics", headers=bearer(keys[Role.VIEWER])).text
    assert "someone@example.com" in inside
    assert "secret_total" in inside
    assert "metal_operations" in outside
    assert "someone@example.com" not in outside
    assert "secret_total" not in outside


def test_each_access_and_change_is_in_the_audit_with_who_what_whence_and_result(
    options: AccessOptions, keys: dict[Role, str]
) -> None:
    source = SourceWithAlerts()
    server = start_server(source, host="127.0.0.1", port=0, access=options)
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        http.get("/metrics", headers=bearer(keys[Role.SCRAPER]))
        http.post(ACKNOWLEDGE, json={"by": "ada"}, headers=bearer(keys[Role.OPERATOR]))
        http.post(ACKNOWLEDGE, json={"by": "ada"}, headers=bearer(keys[Role.VIEWER]))
        http.post(ACKNOWLEDGE, json={"by": ""}, headers=bearer(keys[Role.OPERATOR]))
        http.get("/api/v1/snapshot")
        http.get("/api/v1/snapshot", headers={"host": "evil.example"})
        http.get("/livez")
    server.stop()
    assert options.audit_file is not None
    found = [
        (
            line["event"],
            line["method"],
            line["route"],
            (line["who"] or {}).get("role"),
            line["target"],
            line["status"],
            line["result"],
        )
        for line in lines_of(options.audit_file)
    ]
    acknowledge = "/api/v1/alerts/{id}/acknowledge"
    assert found == [
        ("access", "GET", "/metrics", "scraper", None, 200, "allowed"),
        ("change", "POST", acknowledge, "operator", FIRING.id, 200, "allowed"),
        ("change", "POST", acknowledge, "viewer", FIRING.id, 403, "refused"),
        ("change", "POST", acknowledge, "operator", FIRING.id, 400, "failed"),
        ("access", "GET", "/api/v1/snapshot", None, None, 401, "refused"),
        ("access", "GET", "/api/v1/snapshot", None, None, 421, "refused"),
    ]
    assert {line["from"] for line in lines_of(options.audit_file)} == {"127.0.0.1"}
    text = options.audit_file.read_text()
    assert not [key for key in keys.values() if key.split("_", 2)[2] in text]


def test_an_audit_alone_asks_nobody_for_a_key(tel: MetalTelemetryManager, tmp_path: Path) -> None:
    audit = tmp_path / "audit.ndjson"
    server = start_server(tel, host="127.0.0.1", port=0, access=AccessOptions(audit_file=audit))
    assert httpx.get(f"{server.url}/api/v1/snapshot", trust_env=False).status_code == 200
    far = {"x-forwarded-for": "192.0.2.9"}
    answer = httpx.delete(f"{server.url}/api/v1/silences/x", headers=far, trust_env=False)
    server.stop()
    assert answer.status_code == 403
    assert [(line["status"], line["result"]) for line in lines_of(audit)] == [
        (200, "allowed"),
        (403, "refused"),
    ]


class TestBeyondThisMachine:
    """Where others can reach the server it asks who they are, and not in the clear."""

    def test_a_file_without_a_key_is_refused(
        self, tel: MetalTelemetryManager, keys_file: Path
    ) -> None:
        changes = KeyChanges(keys_file)
        changes.revoke(changes.create("old", Role.ADMIN)[0].id)
        with pytest.raises(ConfigurationError, match=r"no key yet.*metalscope keys create"):
            self.start(tel, AccessOptions(keys_file=keys_file), insecure_no_tls=True)

    def test_keys_over_plain_http_are_refused_unless_asked_for_in_so_many_words(
        self, tel: MetalTelemetryManager, options: AccessOptions, keys: dict[Role, str]
    ) -> None:
        with pytest.raises(ConfigurationError, match=r"plain HTTP.*cert_file.*insecure_no_tls"):
            self.start(tel, options)
        with pytest.raises(ConfigurationError, match="insecure_no_tls"):
            self.start(tel, options, insecure_no_auth=True)
        server = self.start(tel, options, insecure_no_tls=True)
        try:
            assert httpx.get(f"{server.url}/metrics", trust_env=False).status_code == 401
        finally:
            server.stop()

    def test_the_options_say_so_before_anything_starts(self, keys_file: Path) -> None:
        keyed = AccessOptions(keys_file=keys_file)
        with pytest.raises(ConfigurationError, match="keys_file"):
            ServerOptions(host="192.0.2.7")
        with pytest.raises(ConfigurationError, match="insecure_no_tls"):
            ServerOptions(host="192.0.2.7", access=keyed)
        tls = ServerTlsOptions(cert_file=keys_file, key_file=keys_file)
        assert ServerOptions(host="192.0.2.7", access=keyed, tls=tls).port == 9464
        assert ServerOptions(host="192.0.2.7", access=keyed, insecure_no_tls=True).port == 9464
        with pytest.raises(ConfigurationError, match="cert_file"):
            ServerTlsOptions(client_ca_file=keys_file)
        with pytest.raises(ConfigurationError, match="allowed_hosts"):
            ServerOptions(allowed_hosts=("http://gpu-box.example",))

    def test_only_the_names_it_is_told_are_answered(self, tel: MetalTelemetryManager) -> None:
        server = start_server(
            tel,
            host="0.0.0.0",
            port=0,
            insecure_no_auth=True,
            allowed_hosts=("gpu-box.example",),
        )
        try:
            for host, status in (
                ("gpu-box.example", 200),
                ("GPU-box.example:9464", 200),
                ("evil.example", 421),
            ):
                answer = httpx.get(f"{server.url}/livez", headers={"host": host}, trust_env=False)
                assert answer.status_code == status
        finally:
            server.stop()

    @staticmethod
    def start(tel: MetalTelemetryManager, access: AccessOptions, **more: Any) -> RunningServer:
        return start_server(tel, host="0.0.0.0", port=0, access=access, **more)


def test_a_server_of_options_has_all_of_them(
    tel: MetalTelemetryManager, keys_file: Path, keys: dict[Role, str]
) -> None:
    wanted = {"access": {"keys_file": keys_file}, "allowed_hosts": ["box"], "port": 0}
    wanted["limits"] = {"header_timeout": timedelta(seconds=3)}
    server = server_of(tel, MetalTelemetryOptions(server=wanted))
    try:
        assert httpx.get(f"{server.url}/livez", headers={"host": "box"}).status_code == 200
        assert httpx.get(f"{server.url}/metrics").status_code == 401
    finally:
        server.stop()
