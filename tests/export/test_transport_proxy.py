"""Through a real proxy: tunnels for https, whole URLs for http."""

from __future__ import annotations

from typing import Any

import pytest
from contexts import context
from faulty_server import UNKNOWN_CA, faulty_server, server_context
from proxy import running_proxy

from metalscope.errors import ConfigurationError
from metalscope.sending.http.transport import TransportError, judge, result_of_error
from metalscope.sending.result import ExportResult, Reason, Verdict
from peers import free_port


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def sent(endpoint: str, times: int = 1, **options: Any) -> ExportResult:
    http = context(endpoint=endpoint, timeout="5s", **options).open_http()
    try:
        for _ in range(times):
            result = judge(http.send(b"points", content_type="text/plain"))
    except TransportError as error:
        return result_of_error(error)
    finally:
        http.close()
    return result


# That name is in no DNS: only the proxy knows it.
NAME = "collector.example"
secure_proxy = pytest.mark.parametrize("secure", [False, True], ids=["http_proxy", "https_proxy"])


@secure_proxy
def test_https_goes_through_a_tunnel_that_sees_no_key(secure: bool) -> None:
    with (
        faulty_server(tls=True) as server,
        running_proxy({NAME: server.port}, tls=server_context() if secure else None) as proxy,
    ):
        result = sent(
            f"https://{NAME}/in",
            times=2,
            api_key="a-secret-key",
            proxy=proxy.url,
            proxy_headers={"X-Proxy": "1"},
            tls={"ca_file": str(server.ca_file)},
        )
        assert result.ok, result.detail
        assert [line.split()[:2] for line in proxy.asked] == [["CONNECT", f"{NAME}:443"]]
        assert proxy.headers[0]["x-proxy"] == "1"
        assert "authorization" not in proxy.headers[0]
        for request in server.requests:
            assert (request.path, request.body) == ("/in", b"points")
            assert request.headers["host"] == NAME
            assert request.headers["authorization"] == "Bearer a-secret-key"
            assert "x-proxy" not in request.headers
        assert len(server.requests) == 2


@secure_proxy
def test_http_asks_the_proxy_for_the_whole_url(secure: bool) -> None:
    with (
        faulty_server() as server,
        running_proxy({NAME: server.port}, tls=server_context() if secure else None) as proxy,
    ):
        result = sent(
            f"http://{NAME}:8080/in",
            proxy=proxy.url,
            proxy_headers={"Proxy-Authorization": "Basic eDp5"},
            tls={"ca_file": str(server.ca_file)},
        )
        assert result.ok, result.detail
        assert proxy.asked == [f"POST http://{NAME}:8080/in HTTP/1.1"]
        assert proxy.headers[0]["proxy-authorization"] == "Basic eDp5"
        assert proxy.headers[0]["host"] == f"{NAME}:8080"
        assert server.requests[0].body == b"points"
        assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_environment_names_a_proxy_and_its_password(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        faulty_server(tls=scheme == "https") as server,
        running_proxy({NAME: server.port}, authorization="Basic dTpwQHNz") as proxy,
    ):
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url.replace("://", "://u:p%40ss@"))
        tls = {"ca_file": str(server.ca_file)}
        assert sent(f"{scheme}://{NAME}", tls=tls).ok
        assert len(proxy.asked) == 1
        monkeypatch.setenv("no_proxy", "other.example,.example")
        assert sent(f"{scheme}://{NAME}", tls=tls).reason is Reason.DNS
        assert len(proxy.asked) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_of_the_environment_is_asked_for_this_machine(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_server() as server, running_proxy({}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert sent(f"http://{host}:{server.port}").ok
        assert proxy.asked == []


def test_a_proxy_that_wants_a_password_is_said_to_want_one() -> None:
    with faulty_server() as server, running_proxy({}, authorization="Basic x") as proxy:
        tunnelled = sent(f"https://{NAME}", proxy=proxy.url)
        assert (tunnelled.verdict, tunnelled.reason) == (Verdict.RETRY, Reason.PROXY)
        assert tunnelled.detail == (
            f"the proxy {proxy.url.removeprefix('http://')} answered 407 (proxy_headers can hold "
            f"Proxy-Authorization) when asked for a tunnel to {NAME}:443"
        )
        plain = sent(f"http://{NAME}", proxy=proxy.url)
        assert (plain.verdict, plain.reason) == (Verdict.RETRY, Reason.PROXY)
        assert server.connections == 0


@pytest.mark.parametrize("status", [403, 502, 504])
def test_a_proxy_that_opens_no_tunnel_is_to_blame(status: int) -> None:
    with running_proxy({}, answers=status) as proxy:
        result = sent(f"https://{NAME}", proxy=proxy.url, proxy_headers={"X-Key": "proxy-secret"})
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.PROXY)
        assert f"answered {status} when asked for a tunnel to {NAME}:443" in result.detail
        assert "proxy-secret" not in result.detail


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_to_blame(scheme: str) -> None:
    port = free_port()
    result = sent(f"{scheme}://{NAME}", proxy=f"http://127.0.0.1:{port}")
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.PROXY)
    assert result.detail == f"the proxy 127.0.0.1:{port}: nothing listens there"


def test_a_certificate_is_checked_behind_a_tunnel_too() -> None:
    with faulty_server(UNKNOWN_CA) as server, running_proxy({NAME: server.port}) as proxy:
        result = sent(f"https://{NAME}", proxy=proxy.url, tls={"ca_file": str(server.ca_file)})
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
        assert result.detail.startswith(f"{NAME}:443: its certificate is signed by an authority")
        assert server.requests == []


@secure_proxy
def test_the_deadline_holds_for_a_proxy_that_says_nothing(secure: bool) -> None:
    from faulty_server import NEVER_ANSWERS, SILENT_HANDSHAKE

    with faulty_server(SILENT_HANDSHAKE if secure else NEVER_ANSWERS) as silent:
        http = context(endpoint=f"https://{NAME}", timeout="400ms", proxy=silent.url).open_http()
        with pytest.raises(TransportError, match=r"within 0\.4 s") as caught:
            http.send(b"", content_type="text/plain")
        assert caught.value.reason is Reason.TIMEOUT


@pytest.mark.parametrize("url", ["socks5://u:hunter2@127.0.0.1:1080", "http://"])
def test_a_proxy_of_another_kind_is_refused_rather_than_passed_by(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", url)
    with pytest.raises(ConfigurationError, match="exporter custom: https_proxy") as caught:
        context(endpoint=f"https://{NAME}").open_http()
    assert "hunter2" not in str(caught.value)
