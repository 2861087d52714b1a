"""``metalscope alerts``: what is listed, what reaches the program, and what is said of mistakes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command import metalscope

from alert_samples import FIRING, RESOLVED
from alerts_at_hand import MILD, SourceWithAlerts
from health_source import Source
from metalscope.alerts.sqlite_store import SqliteStore
from metalscope.alerts.storing import Change
from metalscope.server import start_server

HOSTILE = replace(
    MILD,
    id="1a2bffff",
    labels=(("name", "\x1b]0;owned\x07"),),
    title="\x1b[31mred\x1b[0m\nsecond line\x9b\u202e",
)


class Program:
    """A source of alerts that is served."""

    def __init__(self) -> None:
        self.source = SourceWithAlerts(FIRING, MILD, RESOLVED, HOSTILE)
        self.server = start_server(self.source, host="127.0.0.1", port=0)

    @property
    def alerts(self):
        return self.source.alerts

    def told(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        return metalscope("alerts", *args, "--url", self.server.url)


@pytest.fixture
def program() -> Iterator[Program]:
    running = Program()
    yield running
    running.server.stop()


def text_of(done: subprocess.CompletedProcess[bytes]) -> str:
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def error_of(done: subprocess.CompletedProcess[bytes]) -> str:
    assert done.stdout == b""
    text = done.stderr.decode()
    assert re.fullmatch(r"metalscope: error: [^\n]+\n", text)
    return text


def test_without_a_command_the_active_alerts_are_listed_and_nothing_foreign_moves_the_cursor(
    program: Program,
):
    text = text_of(program.told())
    assert re.search(r"^0f4e2d6c  high +firing +\w+ +MetalKernelFailures  device=m1", text, re.M)
    assert FIRING.title in text
    assert MILD.title in text
    assert RESOLVED.title not in text
    assert "red" in text
    assert all(char.isprintable() for char in text.replace("\n", ""))
    assert len(text.splitlines()) == 1 + 2 * 3


def test_a_list_can_be_of_the_grave_ones_be_json_and_set_the_exit_code(program: Program):
    done = program.told("list", "--severity", "high", "--json", "--exit-code")
    listed = json.loads(done.stdout)["alerts"]
    assert (done.returncode, [one["id"] for one in listed]) == (1, [FIRING.id])
    assert program.told("--severity", "critical", "--exit-code").returncode == 0


def test_one_alert_is_shown_by_the_beginning_of_its_id_whether_it_is_over_or_not(
    program: Program,
):
    text = text_of(program.told("show", "0f4e"))
    for words in (FIRING.description, FIRING.actions[0], FIRING.runbook, "12.5 ms", "req-1"):
        assert words in text
    over = text_of(program.told("show", "9988"))
    assert "the condition no longer holds" in over
    assert "by ada" in over


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["show", "zz"], 1, "no alert has an id that begins with 'zz'"),
        (["ack", "9988"], 1, "no active alert has an id that begins with '9988'"),
        (["ack", "1a2b"], 2, "several active alerts begin with '1a2b'"),
        (["unsilence", "zz"], 1, "no silence has an id"),
        (["silence", "oops", "--for", "2h"], 2, "MATCHER must be a matcher such as"),
        (["silence", "name=a", "--for", "2x"], 2, "--for must be a duration"),
        (["silence", "name=a", "--for", "5000d"], 2, "at most 366 days"),
        (["silence", "name=a"], 2, "--for"),
        (["list", "--severity", "grave"], 2, "--severity"),
    ],
)
def test_a_mistake_is_said_in_one_line(args: list[str], code: int, said: str, program: Program):
    done = program.told(*args)
    assert said in error_of(done)
    assert done.returncode == code


def test_an_acknowledgement_reaches_the_program_and_is_taken_back(program: Program):
    text = text_of(program.told("ack", "0f4e", "--by", "ada", "--comment", "on it"))
    assert text == f"acknowledged: {FIRING.title} ({FIRING.id})\n"
    alert = program.alerts.get(FIRING.id)
    assert (alert.acknowledged.by, alert.acknowledged.comment) == ("ada", "on it")
    assert "acknowledged by ada" in text_of(program.told())

    assert FIRING.title in text_of(program.told("unack", "0f4e"))
    assert program.alerts.get(FIRING.id).acknowledged is None


def test_a_silence_is_made_by_ones_login_listed_and_ended(program: Program):
    made = text_of(program.told("silence", 'name=~"att.*"', "severity=high", "--for", "2h"))
    assert 'name=~"att.*", severity="high"; fits 1 active alert\n' in made
    [silence] = program.alerts.silences()
    assert (silence.ends_at - silence.starts_at).total_seconds() == 7200
    assert silence.created_by

    listed = text_of(program.told("silences"))
    assert re.search(rf"^{silence.id[:8]}\w* +active +20", listed, re.M)
    as_json = json.loads(program.told("silences", "--json").stdout)
    assert as_json == {"silences": [silence.to_dict()]}

    assert "ended" in text_of(program.told("unsilence", silence.id[:6]))
    assert program.alerts.silences()[0].ends_at < silence.ends_at
    assert text_of(program.told("silences")) == "nothing is silenced\n"
    assert "ended" in text_of(program.told("silences", "--all"))


def test_the_history_is_of_the_program_or_of_the_file_it_left(program: Program, tmp_path: Path):
    of_program = text_of(program.told("history", "--rule", "MetalDeviceLost"))
    assert "2026-01-01 10:00:00 UTC" in of_program
    assert "over after 1h1m; acknowledged by ada" in of_program

    file = tmp_path / "alerts.db"
    store = SqliteStore(file, on_error=lambda *_: None)
    store.keep(Change(alerts=[FIRING, RESOLVED]))
    store.close(10)
    of_file = text_of(metalscope("alerts", "history", "--file", file, "--rule", RESOLVED.rule))
    assert of_file == of_program
    limited = json.loads(metalscope("alerts", "history", "--file", file, "--json").stdout)
    assert [one["id"] for one in limited["alerts"]] == [FIRING.id, RESOLVED.id]


def test_a_file_that_holds_no_alerts_is_said_so(tmp_path: Path):
    done = metalscope("alerts", "history", "--file", tmp_path / "none.db")
    assert done.returncode == 2
    assert "none.db" in error_of(done)


def test_a_program_without_alerts_says_that_they_are_off():
    server = start_server(Source(), host="127.0.0.1", port=0)
    try:
        done = metalscope("alerts", "--url", server.url)
    finally:
        server.stop()
    assert done.returncode == 1
    assert "alerts are off" in error_of(done)


def test_nobody_listening_is_exit_code_4():
    done = metalscope("alerts", "--url", "http://127.0.0.1:1")
    assert done.returncode == 4
    assert "nothing listens there" in error_of(done)
