"""``metalscope dashboards`` run in this process."""

from __future__ import annotations

from pathlib import Path

import typer

from metalscope.cli.dashboards import dashboards_app


def run(*arguments: str | Path) -> object:
    command = typer.main.get_command(dashboards_app)
    return command.main([*map(str, arguments)], prog_name="dashboards", standalone_mode=False)
