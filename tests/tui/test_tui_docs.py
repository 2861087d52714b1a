"""The page about the view says what it does, and the help has every key."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from metalscope.cli import app
from metalscope.tui.app import TopApp
from metalscope.tui.columns import COLUMNS
from metalscope.tui.screens import help_text

PAGE = (Path(__file__).parents[2] / "docs" / "top.md").read_text(encoding="utf-8")
SIGNS = {
    "slash": "/", "space": "Space", "question_mark": "?", "less_than_sign": "<",
    "greater_than_sign": ">", "escape": "Esc", "left": "←", "right": "→", "comma": ",",
    "full_stop": ".", "left_square_bracket": "[", "right_square_bracket": "]", "ctrl+c": "Ctrl-C",
}  # fmt: skip


def test_the_page_lists_exactly_the_options_there_are():
    described = re.findall(r"^\| `(--[\w-]+)", PAGE, re.MULTILINE)
    parameters = typer.main.get_command(app).commands["top"].params  # type: ignore[attr-defined]
    real = [one.opts[0] for one in parameters if one.param_type_name == "option"]
    assert sorted(described) == sorted(real)


def test_the_page_and_the_help_tell_every_key():
    keys = [key for binding in TopApp.BINDINGS for key in binding.key.split(",")]  # type: ignore[union-attr]
    assert len(keys) > 15
    tables = "".join(re.findall(r"^\| [^|]+\|", PAGE, re.MULTILINE))
    for key in keys:
        if key == "escape":  # told with the key it ends the work of
            assert "Esc shows all" in PAGE
            continue
        sign = SIGNS.get(key, key)
        assert sign in tables or sign == "h", key  # h is a second key for the help
        assert sign in help_text().plain, key


def test_the_page_tells_every_column():
    for column in COLUMNS:
        if column.key != "process":
            assert f"`{column.title}`" in PAGE
