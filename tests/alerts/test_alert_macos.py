"""Against a stand-in for ``osascript`` that keeps what it was given; there is no Mac here."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alert_samples import FIRING, MESSAGE, NOW
from metalscope.alert_options import ChannelOptions, SmtpOptions
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.base import NotifierContext
from metalscope.alerts.notify.macos import MacosNotifier
from metalscope.alerts.notify.templates import wording_of
from metalscope.alerts.notify.testing import message_of_test
from metalscope.errors import ConfigurationError
from metalscope.operation import ErrorSeverity
from metalscope.sending.http.transport import HttpTransport
from metalscope.sending.result import ExportResult, Reason, Verdict


class StandIn:
    """Takes the place of ``osascript`` on PATH."""

    def __init__(self, directory: Path) -> None:
        self._said = directory / "arguments.json"
        self._program = directory / "osascript"
        self.behaves("")

    def behaves(self, code: str) -> None:
        """Run this Python, too, after the arguments were kept."""
        self._program.write_text(
            f"#!{sys.executable}\n"
            "import json, sys, time\n"
            f"open({str(self._said)!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
            f"{code}\n"
        )
        self._program.chmod(0o700)

    @property
    def script(self) -> list[str]:
        """The lines of the script it was given."""
        given = self._given()
        return [given[at + 1] for at, one in enumerate(given[:-1]) if one == "-e"]

    @property
    def arguments(self) -> list[str]:
        """What comes after the script."""
        return self._given()[2 * len(self.script) :]

    def _given(self) -> list[str]:
        made: list[str] = json.loads(self._said.read_text())
        return made


@pytest.fixture
def osascript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv("PATH", str(tmp_path))
    return StandIn(tmp_path)


def context(**options: Any) -> NotifierContext:
    channel = ChannelOptions(name="screen", type="macos", **options)
    return NotifierContext(
        options=channel,
        smtp=SmtpOptions(),
        wording=wording_of(channel),
        open_http=partial(HttpTransport.of, channel, timeout=channel.timeout),
    )


def show(message: Notification, **options: Any) -> ExportResult:
    return MacosNotifier(context(**options), system="darwin").send(message)


def test_texts_are_arguments_and_no_part_of_the_script(osascript: StandIn) -> None:
    plain = show(MESSAGE)
    script = osascript.script
    odd = replace(
        FIRING,
        title='" & (do shell script "id") & "',
        description="-e\n-l JavaScript",
        severity=ErrorSeverity.LOW,
    )
    assert plain == show(replace(MESSAGE, alerts=(odd,))) == ExportResult.delivered(1)
    assert osascript.script == script
    assert script[0] == "on run argv"
    name, body, title, subtitle = osascript.arguments
    assert name == "metalscope"
    assert '" & (do shell script "id") & "' in title
    assert "-l JavaScript" in body
    assert subtitle == "mac-studio"
    assert not any("do shell script" in line for line in script)


def test_only_what_is_grave_and_goes_on_makes_a_sound(osascript: StandIn) -> None:
    def sound(message: Notification) -> list[str]:
        assert show(message).ok
        return osascript.arguments[4:]

    assert sound(MESSAGE) == ["Basso"]
    assert sound(replace(MESSAGE, kind=NotificationKind.RESOLVED)) == []
    assert sound(message_of_test("screen", now=NOW)) == []


def test_texts_are_cut_to_what_can_be_shown(osascript: StandIn) -> None:
    long = replace(FIRING, title="t\0" * 5000, description="d" * 100_000 + "\ud800")
    assert show(replace(MESSAGE, alerts=(long,), source="s" * 1000)).ok
    _, body, title, subtitle, _ = osascript.arguments
    assert (len(body), len(title), len(subtitle)) == (500, 100, 100)
    assert body.endswith("…")


def test_one_that_fails_or_does_not_end_is_tried_again(osascript: StandIn) -> None:
    osascript.behaves(
        "print('execution error: no user is logged in', file=sys.stderr); sys.exit(1)"
    )
    failed = show(MESSAGE)
    assert (failed.verdict, failed.reason) == (Verdict.RETRY, Reason.EXPORTER_ERROR)
    assert failed.detail == "osascript ended with 1: execution error: no user is logged in"
    osascript.behaves("time.sleep(30)")
    late = show(MESSAGE, timeout=timedelta(seconds=0.5))
    assert (late.verdict, late.reason) == (Verdict.RETRY, Reason.TIMEOUT)


def test_it_is_for_macs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"^alerts channel screen: macos is for macOS"):
        MacosNotifier(context(), system="linux")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match=r"osascript is not on PATH$"):
        MacosNotifier(context(), system="darwin")
