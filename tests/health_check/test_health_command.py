"""``metalscope health``: what it prints and what it exits with."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from health_source import Source, report_of
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.health import HealthCommand, health
from metalscope.health_report import HealthStatus
from metalscope.server import RunningServer, start_server

app = typer.Typer()
app.command(cls=HealthCommand)(health)


def run(*args: str) -> tuple[int, str]:
    """The exit code and what it printed, as the command's own main makes them."""
    done = CliRunner().invoke(app, list(args), standalone_mode=False)
    if isinstance(done.exception, CommandFailed):
        return done.exception.code, str(done.exception)
    assert done.exception is None, done.exception
    return int(done.return_value), done.stdout


@pytest.fixture
def server(source: Source) -> Iterator[RunningServer]:
    running = start_server(source, host="127.0.0.1", port=0)
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("status", "code", "begins"),
    [
        (HealthStatus.HEALTHY, 0, "pass (healthy)\n"),
        (HealthStatus.DEGRADED, 0, "warn (degraded): device: because\n"),
        (HealthStatus.CRITICAL, 1, "fail (critical): device: because\n"),
    ],
)
def test_the_code_is_for_probes_and_the_text_for_people(
    status: HealthStatus, code: int, begins: str, source: Source, server: RunningServer
) -> None:
    source.report = report_of(status, "because")
    exit_code, text = run("--url", server.url)
    assert (exit_code, text[: len(begins)]) == (code, begins)
    assert f"  device    {status.value:<9} because\n" in text


@pytest.mark.parametrize(
    ("probe", "code", "last"),
    [
        ("ready", 1, "readyz check failed"),
        ("live", 0, "livez check passed"),
        ("startup", 0, "startupz check passed"),
    ],
)
def test_each_probe_can_be_asked(
    probe: str, code: int, last: str, source: Source, server: RunningServer
) -> None:
    source.report = report_of(HealthStatus.CRITICAL, "because")
    exit_code, text = run("--url", server.url, "--probe", probe)
    assert (exit_code, text.splitlines()[-1]) == (code, last)


def test_json_is_the_document_as_it_is(source: Source, server: RunningServer) -> None:
    source.report = report_of(HealthStatus.CRITICAL, "because")
    code, text = run("--url", server.url, "--json")
    assert (code, json.loads(text)["checks"]["device:status"][0]["status"]) == (1, "fail")


def test_where_nothing_listens_it_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, text = run("--url", f"http://127.0.0.1:{port}")
    assert code == ExitCode.UNREACHABLE
    assert text == f"cannot ask http://127.0.0.1:{port}: nothing listens there"


def test_a_server_that_does_not_answer_is_given_up_on_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        code, text = run("--url", f"http://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.1")
    assert (code, text.partition(": ")[2]) == (ExitCode.UNREACHABLE, "no answer within 0.1 s")


@pytest.mark.parametrize(
    ("answer", "probe"),
    [
        ((200, "text/html", b"<h1>it works</h1>"), "health"),
        ((200, "text/html", b"<h1>it works</h1>"), "ready"),
        ((200, "application/health+json", b"no JSON"), "health"),
        ((200, "application/health+json", b"[]"), "health"),
        ((404, "text/plain", b"not here"), "ready"),
    ],
)
def test_an_answer_of_something_else_is_no_health(
    answer: tuple[int, str, bytes], probe: str
) -> None:
    status, media_type, body = answer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", media_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        code, text = run("--url", f"http://127.0.0.1:{other.server_port}", "--probe", probe)
        other.shutdown()
    assert code == ExitCode.UNREACHABLE
    assert text.endswith("is this a metalscope server?")


def test_no_control_character_of_a_reason_reaches_the_terminal(
    source: Source, server: RunningServer
) -> None:
    source.report = report_of(HealthStatus.DEGRADED, "kernel \x1b[2J cleared")
    assert "\x1b" not in run("--url", server.url)[1]


@pytest.mark.parametrize(
    "wrong", [["--url", "ftp://x"], ["--probe", "ready", "--json"], ["--url", "http://u:p@h"]]
)
def test_what_makes_no_sense_is_a_usage_error(wrong: list[str]) -> None:
    assert run(*wrong)[0] == ExitCode.USAGE
