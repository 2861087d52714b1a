"""``metalscope report``: the report of a running program, or the reason why there is none."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command import metalscope

import metalscope as package


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of telemetry with three operations, one of them failed."""
    options = package.MetalTelemetryOptions(server={"enabled": True, "port": 0})
    with package.MetalTelemetryManager(options) as telemetry:
        for error in (None, None, "out_of_memory"):
            telemetry.record("execute", "softmax", duration_ns=2_000_000, error=error)
        assert telemetry.server
        yield telemetry.server.url


@contextmanager
def answering(status: int, body: bytes = b"", kind: str = "text/html") -> Iterator[str]:
    """A server of somebody else's."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("form", "begins"),
    [
        ([], "Metal production report\n"),
        (["--format", "text"], "Metal production report\n"),
        (["--format", "markdown"], "# Metal production report\n"),
    ],
)
def test_the_report_is_printed_in_the_form_asked_for(served, form: list[str], begins: str):
    done = metalscope("report", "--url", served, *form)
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert text.startswith(begins)
    assert "softmax" in text
    assert "out_of_memory" in text


def test_as_json_it_has_the_exact_counts(served):
    done = metalscope("report", "--url", f"{served}/", "--format", "json")
    snapshot = json.loads(done.stdout)["snapshot"]
    assert snapshot["total_operations"] == 3
    assert snapshot["errors"] == {"out_of_memory": 1}


def test_it_is_written_to_a_file_in_the_form_of_its_suffix(served, tmp_path: Path):
    target = tmp_path / "report.md"
    done = metalscope("report", "--url", served, "--output", target)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert target.read_text().startswith("# Metal production report")


def test_a_proxy_is_not_asked_for_this_machine(served):
    done = metalscope("report", "--url", served, env={"http_proxy": "http://127.0.0.1:1"})
    assert done.returncode == 0


def refused() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def said_of(url: str, *args: str) -> str:
    done = metalscope("report", "--url", url, *args)
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (4, b"")
    assert re.fullmatch(r"metalscope: error: [^\n]+\n", text)
    assert url in text
    return text


def test_nobody_listening_is_said_so():
    assert "nothing listens there" in said_of(refused())


def test_an_unknown_host_is_said_so():
    assert "no such host" in said_of("http://no-such-host.invalid:9464")


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "is this the address of a metalscope server?"), (401, "key"), (500, "500")],
)
def test_an_http_error_is_said_with_its_meaning(status: int, words: str):
    with answering(status) as url:
        text = said_of(url)
    assert str(status) in text
    assert words in text


def test_another_kind_of_server_is_not_taken_for_metalscope():
    with answering(200, b"<p>hello</p>") as url:
        assert "not with a report" in said_of(url)


def test_broken_json_is_not_passed_on():
    with answering(200, b"{", "application/json") as url:
        assert "not with a report" in said_of(url, "--format", "json")


def test_silence_ends_with_the_timeout():
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        assert "no answer within 0.2 s" in said_of(url, "--timeout", "0.2")


def test_https_to_an_http_server_is_said_so(served):
    assert "http, not https" in said_of(served.replace("http:", "https:"))


@pytest.mark.parametrize(
    "url",
    ["localhost:9464", "ftp://x", "http://", "http://x:99999", "http://u:p@x", "http://x/?a=1", ""],
)
def test_an_address_that_cannot_be_one_is_bad_usage(url: str):
    done = metalscope("report", "--url", url)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--url" in done.stderr
    assert b":p@" not in done.stderr


def test_a_file_that_cannot_be_written_is_told_before_anything_is_fetched(tmp_path: Path):
    done = metalscope("report", "--url", refused(), "--output", tmp_path / "none" / "r.md")
    assert done.returncode == 2
    assert b"cannot write" in done.stderr
