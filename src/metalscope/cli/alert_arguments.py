"""What the commands of ``metalscope alerts`` have in common: options, and how results look."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Final

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import Style, colours_wanted

__all__ = [
    "DEFAULT_URL",
    "Id",
    "IdCommand",
    "Json",
    "Timeout",
    "Url",
    "as_json_text",
    "style",
    "unknown",
]

DEFAULT_URL: Final = "http://127.0.0.1:9464"

Url = Annotated[str, typer.Option(metavar="URL", help="Where the program serves its telemetry.")]
Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="How long to wait.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON, for a program.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, or how that begins.")]


class IdCommand(HelpfulCommand):
    """The help of a command about one alert or silence."""

    usages = ("[OPTIONS] ID",)


def unknown(identity: str, what: str) -> CommandFailed:
    """The error where nothing has an id."""
    return CommandFailed(f"no {what} has an id that begins with {identity!r}", ExitCode.FAILED)


def as_json_text(data: dict[str, Any]) -> str:
    """JSON that a terminal can show: ASCII, without a control character."""
    return json.dumps(data, indent=2)


def style() -> Style:
    """Colours where standard output takes them."""
    return Style(colours_wanted(sys.stdout))
