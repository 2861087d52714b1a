"""``metalscope top``: a live view in the terminal, of running programs or of a recording."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import is_terminal
from metalscope.cli.report import DEFAULT_URL
from metalscope.errors import MissingExtraError

if TYPE_CHECKING:
    from metalscope.tui.source import Source

__all__ = ["TopCommand", "top"]

_LIGHT_BACKGROUNDS: Final = {"7", "15"}


class Theme(StrEnum):
    """The colours."""

    AUTO = "auto"
    DARK = "dark"
    LIGHT = "light"
    TERMINAL = "terminal"


class TopCommand(HelpfulCommand):
    """The command's help."""

    usages = ("[OPTIONS] [FILE]",)
    examples = (
        ("metalscope top", "the program on this machine"),
        ("metalscope top --url URL --url URL", "two programs at once"),
        ("metalscope top session.mscope", "a recorded session, to play and to seek in"),
    )


def top(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A recorded session.", show_default=False),
    ] = None,
    url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Where a program serves its telemetry; can be given several times.",
            show_default=DEFAULT_URL,
        ),
    ] = None,
    interval: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, max=60, help="Between two snapshots."),
    ] = 1.0,
    theme: Annotated[
        Theme,
        typer.Option(
            metavar="|".join(Theme), help="The colours; auto asks COLORFGBG, and is dark else."
        ),
    ] = Theme.AUTO,
) -> int:
    """Watch running programs in the terminal, or play a recorded session.

    It goes on trying where nothing answers yet. Press ? for the keys.
    """
    if file is not None and url:
        raise CommandFailed("give a FILE or --url, not both", ExitCode.USAGE)
    try:
        import textual  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("metalscope top", "top", cause=str(error)) from error
    sources = [_of_file(file)] if file else _of_addresses(url or [DEFAULT_URL], interval)
    # textual reads standard input and writes standard error, and looks the size up at both.
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if not all(map(is_terminal, streams)) or os.environ.get("TERM") == "dumb":
        raise CommandFailed(
            "top needs a terminal; `metalscope report` prints without one", ExitCode.USAGE
        )
    from metalscope.tui.app import TopApp  # noqa: PLC0415 - loads textual

    app = TopApp(sources, theme=_textual_theme(theme))
    return app.run() or app.return_code or ExitCode.OK


def _of_addresses(urls: list[str], interval: float) -> list[Source]:
    from metalscope.cli.fetch import base_address  # noqa: PLC0415 - loads http, ssl
    from metalscope.tui.live import LiveSource  # noqa: PLC0415 - as above

    addresses = dict.fromkeys(base_address(url).geturl().rstrip("/") for url in urls)
    return [LiveSource(address, every=interval) for address in addresses]


def _of_file(file: Path) -> Source:
    from metalscope.session import SessionFormatError, open_session  # noqa: PLC0415 - as above
    from metalscope.tui.player import Player  # noqa: PLC0415 - as above

    if str(file).startswith(("http:/", "https:/")):
        raise CommandFailed(f"an address goes after --url: --url {file}", ExitCode.USAGE)
    try:
        session = open_session(file)
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}", ExitCode.USAGE) from error
    except SessionFormatError as error:
        raise CommandFailed(f"{file}: {error}", ExitCode.USAGE) from error
    return Player(
        str(file), iter(session), complaint=lambda: str(session.damage) if session.damage else ""
    )


def _textual_theme(theme: Theme) -> str:
    # "15;0": foreground and background, as rxvt, Konsole and others set it.
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    is_light = background in _LIGHT_BACKGROUNDS
    match theme:
        case Theme.DARK:
            return "textual-dark"
        case Theme.LIGHT:
            return "textual-light"
        case Theme.TERMINAL:
            return "ansi-light" if is_light else "ansi-dark"
        case Theme.AUTO:
            return "textual-light" if is_light else "textual-dark"
