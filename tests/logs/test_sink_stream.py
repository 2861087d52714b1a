"""Lines to the standard output and the standard error."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
from remote_sinks import record, sink_context

from metalscope.errors import ConfigurationError
from metalscope.logs.record import LoggedException
from metalscope.logs.sinks.stream import StderrSink, StdoutSink, is_terminal
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Batch

PROGRAM = """
import os, sys, time
from metalscope.log_options import LoggingOptions
from metalscope.logs.record import LogRecord, Severity
from metalscope.logs.registry import sinks_of

options = LoggingOptions.model_validate({"sinks": [{"type": "stdout"}]})
(one,) = sinks_of(options, resource={}, on_error=lambda room, error: print(error, file=sys.stderr))

def say(body):
    record = LogRecord(1_764_360_000_123_456_789, 1, Severity.INFO, body)
    one.shipper.put([one.sink.encode(record)])
    return one.shipper.flush(5)
"""


def program(rest: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + textwrap.dedent(rest)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_lines_go_where_the_program_writes_and_after_what_it_wrote_before() -> None:
    with program("print('mine 1'); say('ours'); print('mine 2')") as made:
        said, errors = made.communicate(timeout=30)
    assert said.splitlines() == ["mine 1", "2025-11-28T20:00:00.123Z INFO     ours", "mine 2"]
    assert (errors, made.returncode) == ("", 0)


def test_what_the_encoding_has_no_sign_for_is_escaped() -> None:
    with program("say('né 𝄞')", PYTHONIOENCODING="ascii") as made:
        said, errors = made.communicate(timeout=30)
    assert said.endswith("n\\xe9 \\U0001d11e\n")
    assert errors == ""


def test_where_nobody_reads_any_more_the_program_goes_on_and_ends_as_it_would() -> None:
    with program(
        """
        sys.stdin.readline()
        for number in range(3):
            say("x" * 100_000)
        print(one.shipper.status().dropped, file=sys.stderr)
        """
    ) as made:
        assert made.stdout is not None
        made.stdout.close()
        made.stdout = None
        _, errors = made.communicate(timeout=30)
    assert made.returncode == 0
    assert "{<Reason.RESET: 'reset'>: 3}" in errors
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


def test_a_reader_that_is_slow_gets_each_line_once() -> None:
    with program(
        """
        os.set_blocking(1, False)
        for number in range(20):
            assert say(f"{number} " + "x" * 20_000)
        """
    ) as made:
        said, errors = made.communicate(timeout=30)
    assert errors == ""
    assert [line.split()[2] for line in said.splitlines()] == [str(one) for one in range(20)]


# -- a stream somebody put there -------------------------------------------------------------------


def sent(sink: StdoutSink, *said: str) -> ExportResult | None:
    return sink.send(Batch("1", tuple(sink.encode(record(one)) for one in said)))


def test_it_is_the_stream_that_is_there_at_that_moment(capsys: pytest.CaptureFixture[str]) -> None:
    sink = StdoutSink(sink_context("stdout", format="text"))
    assert sent(sink, "one", "two") is None
    assert len(capsys.readouterr().out.splitlines()) == 2
    error = StderrSink(sink_context("stderr", format="text"))
    assert error.send(Batch("1", (b"line\n",))) is None
    assert capsys.readouterr().err == "line\n"


def test_a_stack_trace_is_on_lines_of_its_own() -> None:
    sink = StdoutSink(sink_context("stdout", format="text"))
    failed = LoggedException("ValueError", "no", "Traceback\n  in f\nValueError: no")
    lines = sink.encode(replace(record(), exception=failed)).decode().splitlines()
    assert len(lines) == 4
    assert lines[-1].strip() == "ValueError: no"


@pytest.mark.parametrize("closed", [True, False])
def test_without_a_stream_lines_are_let_go_of(
    monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stdout", stream if closed else None)
    result = sent(StdoutSink(sink_context("stdout")), "one")
    assert result is not None
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.CONFIGURATION)
    assert not is_terminal("stdout")


def test_it_has_no_settings() -> None:
    with pytest.raises(ConfigurationError, match=r"log sink stdout: settings\.x is unknown"):
        StdoutSink(sink_context("stdout", settings={"x": 1}))


# -- colours ---------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_colours_unless_somebody_asks_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert not is_terminal("stdout")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert is_terminal("stdout")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_terminal("stdout")
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal("stdout")
