"""The pages about the command line say what it does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from command import URL, metalscope

from metalscope.cli import app
from metalscope.cli.exit_codes import ExitCode
from metalscope.cli.output import BROKEN_PIPE

DOCS = Path(__file__).parents[2] / "docs"
CLI_PAGE = (DOCS / "cli.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
TUTORIAL = (DOCS / "getting-started.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^##+ {title}\n(.*?)(?=^##+ |\Z)", CLI_PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def options_in(title: str) -> set[str]:
    return set(re.findall(r"^\| `(-[\w-]+)[` ]", section(title), re.MULTILINE))


def options_of(command: Any) -> set[str]:
    return {one.opts[0] for one in command.params if one.param_type_name == "option"}


@pytest.mark.parametrize(
    "command", ["run", "demo", "report", "health", "export", "serve", "doctor", "top", "version"]
)
def test_the_page_lists_exactly_the_options_there_are(command: str):
    assert options_in(command) == options_of(COMMANDS[command])


@pytest.mark.parametrize("group", ["alerts", "rules", "dashboards", "keys", "audit"])
def test_the_page_lists_exactly_the_commands_of_a_group_with_their_options(group: str):
    commands = COMMANDS[group].commands
    named = re.findall(rf"^\| `{group} (\w+)[` ]", section(group), re.MULTILINE)
    assert named == list(commands)
    common = options_in(group)
    for name, command in commands.items():
        own = options_of(command) - (common if name != "test" else set())
        assert own == (options_in(f"{group} {name}") if own else set()), name


def test_the_page_lists_exactly_the_exit_codes_there_are():
    described = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)
    assert sorted(map(int, described)) == sorted([*map(int, ExitCode), BROKEN_PIPE])


def test_the_program_of_the_tutorial_gives_what_the_tutorial_says(tmp_path: Path):
    program = re.search(r"```python\n(import mlx.*?)```", TUTORIAL, re.DOTALL)
    total = re.search(r"metalscope: (\d+) operations, 0 errors", TUTORIAL)
    assert program
    assert total
    (tmp_path / "app.py").write_text(program[1])
    done = metalscope("run", "--port", "0", "--report", "report.json", "app.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"done\n")
    assert URL.search(done.stderr.decode())
    assert f"metalscope: {total[1]} operations, 0 errors".encode() in done.stderr
    snapshot = json.loads((tmp_path / "report.json").read_text())["snapshot"]
    counted = {(o["name"], o["kind"]): o["executions"] for o in snapshot["operations"]}
    table = re.findall(r"^(\w+) +(\w+) +cpu:0 +(\d+) ", TUTORIAL, re.MULTILINE)
    assert counted == {(name, kind): int(count) for name, kind, count in table}
