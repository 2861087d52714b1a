"""``metalscope alerts test``, as a command of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from faulty_server import GOOD, answer, faulty_server

from metalscope.cli.alerts_test import TestCommand, test_channels
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.errors import ConfigurationError

# Else pytest takes them for tests.
check_channels, CheckCommand = test_channels, TestCommand
del test_channels, TestCommand

Options = Callable[..., Path]


@pytest.fixture
def options(tmp_path: Path) -> Options:
    def write(*endpoints: str, **alerts: Any) -> Path:
        file = tmp_path / "options.json"
        given = {"notification_endpoints": endpoints, "enable_notifications": True, **alerts}
        file.write_text(json.dumps({"alerts": given}))
        return file

    return write


def test_it_says_of_each_channel_what_became_of_it(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    with faulty_server(GOOD) as good, faulty_server(answer(404, b"no such hook")) as lost:
        config = options(f"{good.url}/hook", f"{lost.url}/hook")
        assert check_channels(config=config) == ExitCode.FAILED
        said = capsys.readouterr()
        assert check_channels("webhook", config) == ExitCode.OK
        only = capsys.readouterr()
    first, second = said.out.splitlines()
    assert first == "webhook: delivered"
    assert second.startswith("webhook-2: not_found: ")
    assert "404: no such hook" in second
    assert said.err == ""
    assert only.out == "webhook: delivered\n"


def test_it_says_that_a_program_would_tell_nobody(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    with faulty_server(GOOD) as good:
        assert check_channels(config=options(good.url, enable_notifications=False)) == ExitCode.OK
    said = capsys.readouterr()
    assert said.out == "webhook: delivered\n"
    assert "alerts.enable_notifications is false" in said.err


def test_without_a_channel_it_says_where_one_belongs(options: Options) -> None:
    with pytest.raises(CommandFailed, match=r"add one under alerts\.channels") as caught:
        check_channels(config=options())
    assert caught.value.code == ExitCode.USAGE


def test_a_channel_that_is_not_there_is_a_mistake_of_use(options: Options) -> None:
    with pytest.raises(ConfigurationError, match=r"no alerts channel 'slak'; there are: slack$"):
        check_channels("slak", options("https://hooks.slack.com/services/x"))


def test_its_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    app.command(cls=CheckCommand, name="test")(check_channels)
    typer.main.get_command(app).main(["--help"], standalone_mode=False)
    assert "metalscope alerts test slack --config metal.toml" in capsys.readouterr().out
