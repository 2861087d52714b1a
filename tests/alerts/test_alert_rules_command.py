"""``metalscope rules``."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from metalscope.alert_options import AlertsOptions
from metalscope.alerts.builtin import builtin_rules
from metalscope.alerts.prometheus import alertmanager_text, rules_text, unit_tests_text
from metalscope.cli.exit_codes import CommandFailed
from metalscope.cli.rules import rules_app
from metalscope.errors import ConfigurationError

DEFAULTS = AlertsOptions()


def run(*arguments: str | Path) -> object:
    command = typer.main.get_command(rules_app)
    return command.main([*map(str, arguments)], prog_name="rules", standalone_mode=False)


def test_the_command_writes_the_files(tmp_path: Path) -> None:
    for flags, text in (
        ((), rules_text(DEFAULTS)),
        (("--tests",), unit_tests_text(DEFAULTS)),
        (("--alertmanager",), alertmanager_text(DEFAULTS)),
        (("--target-labels", " pod , job"), rules_text(DEFAULTS, targets=("pod", "job"))),
        (("--target-labels", ""), rules_text(DEFAULTS, targets=())),
    ):
        file = tmp_path / "file.yml"
        assert run("export", "--output", file, *flags) == 0
        assert file.read_text() == text


def test_the_command_reads_the_options(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "metal.yaml"
    config.write_text(
        "alerts: {rules: [{name: Deep, expr: depth > 9, severities: {high: depth>20}}]}"
    )
    assert run("list", "--config", config) == 0
    assert "Deep (medium)\n  depth > 9\n  high: depth>20\n" in capfd.readouterr().out
    assert run("check", config) == 0
    count = len(builtin_rules(DEFAULTS)) + 1
    assert capfd.readouterr().out == f"{count} rules, 1 of them your own: no error\n"
    assert run("export", "--config", config) == 0
    assert "alert: Deep" in capfd.readouterr().out


def test_a_wrong_rule_is_shown_with_marks_under_what_is_wrong(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "metal.yaml"
    config.write_text(
        "alerts: {rules: [{name: Bad, expr: sum by (devise) (metal_errors_total) > 1}]}"
    )
    with pytest.raises(ConfigurationError, match=r"alerts\.rules\[0\]\.expr"):
        run("check", config)
    said = capfd.readouterr().err
    assert "Bad, expr:\nsum by (devise) (metal_errors_total) > 1\n        ^^^^^^ " in said
    assert "did you mean device?" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tests", "--alertmanager"), "--alertmanager or --tests, not both"),
        (("--target-labels", "job,in-stance"), "'in-stance' is no label"),
        (("--output", "/nowhere/at/all"), "cannot write /nowhere/at/all"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandFailed, match=said):
        run("export", *arguments)
