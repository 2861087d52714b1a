"""Secure connections to real servers of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from contexts import context
from faulty_server import (
    EXPIRED_CERTIFICATE,
    GOOD,
    OTHER_HOST,
    PLAIN_HTTP,
    SILENT_HANDSHAKE,
    UNKNOWN_CA,
    Fault,
    FaultyServer,
    authority,
    faulty_server,
    server_context,
)

from metalscope.errors import ConfigurationError
from metalscope.sending.http.transport import TransportError, judge, result_of_error
from metalscope.sending.result import ExportResult, Reason, Verdict


def sent(server: FaultyServer, **options: Any) -> ExportResult:
    tls = {"ca_file": str(server.ca_file), **options.pop("tls", {})}
    options.setdefault("timeout", "5s")
    http = context(endpoint=server.url, tls=tls, **options).open_http()
    try:
        return judge(http.send(b"points", content_type="text/plain"))
    except TransportError as error:
        return result_of_error(error)
    finally:
        http.close()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (EXPIRED_CERTIFICATE, "its certificate has expired"),
        (OTHER_HOST, "its certificate is for another host"),
        (UNKNOWN_CA, "signed by an authority that is not trusted here (tls.ca_file)"),
        (PLAIN_HTTP, "it does not speak TLS; is the URL http, not https?"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_certificate_is_said(fault: Fault, says: str) -> None:
    with faulty_server(fault) as server:
        result = sent(server, api_key="a-secret-key")
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
        assert f"127.0.0.1:{server.port}: " in result.detail
        assert says in result.detail
        assert server.requests == [], "the key must not go to whoever cannot show who it is"
        server.answers = [GOOD]
        assert sent(server).ok


def test_a_server_whose_authority_is_not_named_is_not_trusted() -> None:
    with faulty_server(tls=True) as server:
        http = context(endpoint=server.url).open_http()
        with pytest.raises(TransportError, match="not trusted here") as caught:
            http.send(b"", content_type="text/plain")
        assert caught.value.reason is Reason.TLS


def test_the_deadline_holds_in_the_handshake() -> None:
    with faulty_server(SILENT_HANDSHAKE) as server:
        result = sent(server, timeout="400ms")
        assert result.reason is Reason.TIMEOUT
        assert result.detail == f"127.0.0.1:{server.port} took no connection within 0.4 s"


@pytest.mark.parametrize(
    ("server_speaks", "lowest", "ok"),
    [
        (ssl.TLSVersion.TLSv1_2, "1.2", True),
        (ssl.TLSVersion.TLSv1_2, "1.3", False),
        (ssl.TLSVersion.TLSv1_3, "1.2", True),
        (ssl.TLSVersion.TLSv1_3, "1.3", True),
    ],
)
def test_no_lower_version_of_tls_is_spoken_than_asked_for(
    server_speaks: ssl.TLSVersion, lowest: str, ok: bool
) -> None:
    serving = server_context()
    serving.minimum_version = serving.maximum_version = server_speaks
    with faulty_server(tls=serving) as server:
        result = sent(server, tls={"min_version": lowest})
        assert result.ok == ok
        if not ok:
            assert result.reason is Reason.TLS
            assert "it does not speak TLS 1.3 or newer" in result.detail


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_a_server_of_tls_1_1_is_refused() -> None:
    serving = server_context()
    serving.set_ciphers("ALL:@SECLEVEL=0")
    serving.minimum_version = serving.maximum_version = ssl.TLSVersion.TLSv1_1
    with faulty_server(tls=serving) as server:
        result = sent(server)
        assert result.reason is Reason.TLS
        assert "it does not speak TLS 1.2 or newer" in result.detail


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """A directory with a client's certificate, its key, and both in one file."""
    issued = authority().issue_cert("client.example")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    return tmp_path


def asking_for_a_certificate(version: ssl.TLSVersion) -> ssl.SSLContext:
    serving = server_context()
    serving.maximum_version = version
    serving.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(serving)
    return serving


versions = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@versions
@pytest.mark.parametrize("names", [("cert.pem", "key.pem"), ("both.pem", None)])
def test_the_client_shows_its_certificate(
    client: Path, names: tuple[str, str | None], version: ssl.TLSVersion
) -> None:
    cert, key = names
    with faulty_server(tls=asking_for_a_certificate(version)) as server:
        files = {"cert_file": str(client / cert), "key_file": key and str(client / key)}
        assert sent(server, tls=files).ok
        shown = server.requests[0].client_certificate
        assert shown is not None
        assert ("DNS", "client.example") in shown["subjectAltName"]


@versions
def test_a_server_that_wants_a_certificate_is_said_to_want_one(version: ssl.TLSVersion) -> None:
    with faulty_server(tls=asking_for_a_certificate(version)) as server:
        result = sent(server)
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
        assert "it may want a client certificate (tls.cert_file)" in result.detail


@versions
def test_a_certificate_the_server_does_not_trust_is_said_to_be_refused(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    path = tmp_path / "both.pem"
    trustme.CA().issue_cert("c.example").private_key_and_cert_chain_pem.write_to_path(str(path))
    with faulty_server(tls=asking_for_a_certificate(version)) as server:
        result = sent(server, tls={"cert_file": str(path)})
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
        assert "it does not take the client certificate (tls.cert_file)" in result.detail


def test_a_certificate_is_read_anew_when_its_file_changes(client: Path) -> None:
    path = client / "both.pem"
    with faulty_server(tls=asking_for_a_certificate(ssl.TLSVersion.TLSv1_3)) as server:
        tls = {"ca_file": str(server.ca_file), "cert_file": str(path)}
        http = context(endpoint=server.url, tls=tls).open_http()
        assert judge(http.send(b"", content_type="text/plain")).ok
        renewed = authority().issue_cert("renewed.example").private_key_and_cert_chain_pem
        renewed.write_to_path(str(path))
        server.answers = [GOOD]  # hangs up
        assert judge(http.send(b"", content_type="text/plain")).ok
        shown = [one.client_certificate or {} for one in server.requests]
        assert [("DNS", "renewed.example") in one["subjectAltName"] for one in shown] == [
            False,
            True,
        ]
        path.write_text("half of")
        server.answers = [GOOD]
        with pytest.raises(TransportError, match=r"tls\.cert_file") as caught:
            http.send(b"", content_type="text/plain")
        assert caught.value.reason is Reason.CONFIGURATION
        renewed.write_to_path(str(path))
        assert judge(http.send(b"", content_type="text/plain")).ok


def test_files_that_are_wrong_are_named_at_the_start(client: Path) -> None:
    (client / "none.pem").write_text("no certificate")
    trustme.CA().issue_cert("x.example").private_key_pem.write_to_path(str(client / "other.pem"))
    cases = [
        ({"ca_file": "missing.pem"}, "ca_file", "cannot be read: No such file or directory"),
        ({"ca_file": "none.pem"}, "ca_file", "must hold certificates in PEM"),
        ({"cert_file": "missing.pem"}, "cert_file", "cannot be read: No such file"),
        ({"cert_file": "none.pem"}, "cert_file", "must hold a certificate in PEM"),
        ({"cert_file": "cert.pem"}, "cert_file", "and it or key_file its key"),
        ({"key_file": "missing.pem", "cert_file": "cert.pem"}, "key_file", "cannot be read"),
        ({"key_file": "other.pem", "cert_file": "cert.pem"}, "key_file", "must be the key of"),
    ]
    for files, option, says in cases:
        for url in ("https://collector.example", "http://collector.example"):
            tls = {name: str(client / file) for name, file in files.items()}
            with pytest.raises(ConfigurationError) as caught:
                context(endpoint=url, name="mine", tls=tls).open_http()
            start = f"exporter mine: tls.{option} {tls[option]!r} "
            assert str(caught.value).startswith(start), caught.value
            assert says in str(caught.value)


def test_an_encrypted_key_is_refused_and_no_password_asked_for(client: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key((client / "key.pem").read_bytes(), None)
    form = (Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))
    (client / "locked.pem").write_bytes(key.private_bytes(*form))
    tls = {"cert_file": str(client / "cert.pem"), "key_file": str(client / "locked.pem")}
    with pytest.raises(ConfigurationError, match="its key, not encrypted"):
        context(endpoint="https://collector.example", tls=tls).open_http()
