"""TLS of the server: its versions, renewed certificates, and certificates of clients."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from doors_at_hand import keys_of, request, send

from metalscope.access.roles import Role
from metalscope.access_options import AccessOptions
from metalscope.errors import ConfigurationError
from metalscope.manager import MetalTelemetryManager
from metalscope.options import ServerTlsOptions
from metalscope.server import RunningServer, start_server
from prometheus_server import running_prometheus


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class Files:
    """A certificate in files, as a renewing program keeps them."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.authority = authority
        self.renew()

    def renew(self) -> None:
        issued = self.authority.issue_cert("localhost", "127.0.0.1")
        for path, pem in (
            (self.cert, b"".join(blob.bytes() for blob in issued.cert_chain_pems)),
            (self.key, issued.private_key_pem.bytes()),
        ):
            new = path.with_suffix(".new")
            new.write_bytes(pem)
            new.replace(path)

    @property
    def options(self) -> ServerTlsOptions:
        return ServerTlsOptions(cert_file=self.cert, key_file=self.key)


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    return Files(tmp_path, authority)


@pytest.fixture
def secure(tel: MetalTelemetryManager, files: Files) -> Iterator[RunningServer]:
    server = start_server(tel, host="localhost", port=0, tls=files.options)
    yield server
    server.stop()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def serial(port: int, context: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as peer,
    ):
        found = peer.getpeercert()
    assert found is not None
    return str(found["serialNumber"])


def test_it_speaks_https_alone(secure: RunningServer, trusting: ssl.SSLContext) -> None:
    assert secure.url == f"https://localhost:{secure.port}"
    answer = httpx.get(f"{secure.url}/metrics", verify=trusting, trust_env=False)
    assert answer.status_code == 200
    # For a year no other program of this machine could be asked by that name without TLS.
    assert "strict-transport-security" not in answer.headers
    plain = send(secure.port, request("/metrics"))
    assert plain.status == 0


def test_beyond_this_machine_a_browser_is_told_to_keep_to_it(
    tel: MetalTelemetryManager, files: Files, trusting: ssl.SSLContext
) -> None:
    server = start_server(tel, host="0.0.0.0", port=0, insecure_no_auth=True, tls=files.options)
    try:
        answer = httpx.get(f"{server.url}/livez", verify=trusting, trust_env=False)
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    finally:
        server.stop()


def test_whoever_never_ends_the_handshake_is_cut_off(
    tel: MetalTelemetryManager, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metalscope.server.limits.HANDSHAKE_SECONDS", 0.2)
    server = start_server(tel, host="localhost", port=0, tls=files.options)
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as peer:
            peer.sendall(b"\x16\x03\x01")
            assert peer.recv(100) == b""
    finally:
        server.stop()


def test_plain_http_never_says_that_it_is_not(http: httpx.Client) -> None:
    assert "strict-transport-security" not in http.get("/livez").headers


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_of_today_are_spoken_and_those_of_yesterday_are_not(
    secure: RunningServer, trusting: ssl.SSLContext
) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        trusting.minimum_version = ssl.TLSVersion.TLSv1_2
        trusting.maximum_version = version
        trusting.minimum_version = version
        assert send(secure.port, request("/livez"), tls=trusting).status == 200
    trusting.set_ciphers("ALL:@SECLEVEL=0")
    trusting.minimum_version = trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        send(secure.port, request("/livez"), tls=trusting)


def test_a_renewed_certificate_is_used_by_new_connections_and_open_ones_go_on(
    secure: RunningServer, files: Files, trusting: ssl.SSLContext
) -> None:
    first = serial(secure.port, trusting)
    with (
        httpx.Client(verify=trusting, trust_env=False, timeout=20) as client,
        client.stream("GET", f"{secure.url}/api/v1/events") as stream,
    ):
        chunks = stream.iter_bytes()
        assert next(chunks)
        files.renew()
        assert wait_for_another(secure.port, trusting, first) != first
        assert next(chunks)


def wait_for_another(port: int, context: ssl.SSLContext, first: str) -> str:
    deadline = time.monotonic() + 20
    while (found := serial(port, context)) == first and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_a_half_renewed_certificate_is_not_used_and_is_told_of(
    files: Files, trusting: ssl.SSLContext
) -> None:
    with MetalTelemetryManager() as tel:
        server = start_server(tel, host="localhost", port=0, tls=files.options)
        try:
            first = serial(server.port, trusting)
            kept = files.key.read_bytes()
            files.renew()
            key = files.key.read_bytes()
            files.key.write_bytes(kept)  # the certificate is new and the key is not
            deadline = time.monotonic() + 20
            while tel.get_snapshot().internals.errors.get("server", 0) == 0:
                assert time.monotonic() < deadline
                assert serial(server.port, trusting) == first
                time.sleep(0.05)
            files.key.write_bytes(key)
            assert wait_for_another(server.port, trusting, first) != first
        finally:
            server.stop()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda files: files.cert.unlink(), "cert.pem cannot be read: No such file"),
        (lambda files: files.key.write_text("nonsense"), "cannot be used"),
        (lambda files: files.cert.write_text(""), "cannot be used"),
    ],
)
def test_files_that_cannot_be_used_are_named_before_anything_starts(
    spoil: object, why: str, tel: MetalTelemetryManager, files: Files
) -> None:
    assert callable(spoil)
    spoil(files)
    with pytest.raises(ConfigurationError, match=why):
        start_server(tel, host="127.0.0.1", port=0, tls=files.options)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_at_the_terminal(
    tel: MetalTelemetryManager, files: Files
) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(ConfigurationError, match="must not be encrypted"):
        start_server(tel, host="127.0.0.1", port=0, tls=files.options)


class TestCertificatesOfClients:
    """With ``client_ca_file`` nobody connects without one, and the audit has its name."""

    @pytest.fixture
    def clients(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def mutual(
        self, tel: MetalTelemetryManager, files: Files, clients: trustme.CA, tmp_path: Path
    ) -> Iterator[RunningServer]:
        ca_file = tmp_path / "clients.pem"
        clients.cert_pem.write_to_path(ca_file)
        self.audit = tmp_path / "audit.ndjson"
        self.keys = keys_of(tmp_path / "keys.json")
        server = start_server(
            tel,
            host="localhost",
            port=0,
            tls=ServerTlsOptions(cert_file=files.cert, key_file=files.key, client_ca_file=ca_file),
            access=AccessOptions(keys_file=tmp_path / "keys.json", audit_file=self.audit),
        )
        yield server
        server.stop()

    def test_one_of_theirs_is_let_in_with_a_key_and_named_in_the_audit(
        self, mutual: RunningServer, clients: trustme.CA, trusting: ssl.SSLContext
    ) -> None:
        clients.issue_cert("scraper.example", common_name="scraper-7").configure_cert(trusting)
        url = f"{mutual.url}/metrics"
        with httpx.Client(verify=trusting, trust_env=False) as client:
            assert client.get(url).status_code == 401
            heads = {"authorization": f"Bearer {self.keys[Role.SCRAPER]}"}
            assert client.get(url, headers=heads).status_code == 200
        mutual.stop()
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        refused, allowed = (line for line in lines if "method" in line)
        assert refused["from"] == "127.0.0.1, certificate scraper-7"
        assert allowed["who"]["name"] == "the scraper, certificate scraper-7"

    def test_a_real_prometheus_scrapes_with_a_certificate_and_a_key_of_its_own(
        self, mutual: RunningServer, clients: trustme.CA, files: Files, tmp_path: Path
    ) -> None:
        files.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        own = clients.issue_cert("prometheus.example")
        own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
        (tmp_path / "own.key").write_text(self.keys[Role.SCRAPER])
        scrape = {
            "job_name": "metalscope",
            "scheme": "https",
            "authorization": {"credentials_file": str(tmp_path / "own.key")},
            "tls_config": {
                "ca_file": str(tmp_path / "ca.pem"),
                "cert_file": str(tmp_path / "own.pem"),
                "key_file": str(tmp_path / "own.pem"),
            },
            "static_configs": [{"targets": [f"localhost:{mutual.port}"]}],
        }
        with running_prometheus(
            directory=tmp_path / "prometheus",
            scrape_interval="200ms",
            settings={"scrape_configs": [scrape]},
        ) as prometheus:
            prometheus.wait_for('up{job="metalscope"} == 1')

    def test_nobody_else_is(self, mutual: RunningServer, trusting: ssl.SSLContext) -> None:
        assert send(mutual.port, request("/livez"), tls=trusting).status == 0
        trustme.CA().issue_cert("scraper.example").configure_cert(trusting)
        assert send(mutual.port, request("/livez"), tls=trusting).status == 0
