"""Help as a person reads it: short, grouped, with examples; no boxes, and light to load."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any, ClassVar, Final

from typer.core import TyperCommand, TyperGroup

from metalscope.cli.exit_codes import MEANINGS
from metalscope.cli.output import Style, colours_wanted

__all__ = ["HelpfulCommand", "HelpfulGroup", "HelpfulSubgroup"]

Row = tuple[str, str]

WIDEST: Final = 100
_GAP: Final = 2
_GENERAL: Final = "Options"


class _Page:
    """A page of help, built section by section."""

    def __init__(self, *, width: int, style: Style) -> None:
        self._width = width
        self._style = style
        self._lines: list[str] = []

    def paragraph(self, text: str) -> None:
        """Text over the whole width."""
        self._lines += [*wrap(text, self._width), ""]

    def section(self, title: str, rows: Sequence[Row]) -> None:
        """A title over two columns; the left one is never broken."""
        if not rows:
            return
        self._lines.append(self._style.bold(title))
        left = max(len(name) for name, _ in rows)
        right = self._width - left - 2 * _GAP
        for name, text in rows:
            first, *others = wrap(text, max(right, 20)) or [""]
            indent = " " * (_GAP + left + _GAP)
            name_column = self._style.accent(name) + " " * (left - len(name))
            self._lines.append(f"{' ' * _GAP}{name_column}{' ' * _GAP}{first}".rstrip())
            self._lines += [f"{indent}{line}" for line in others]
        self._lines.append("")

    def text(self) -> str:
        """The page."""
        return "\n".join(self._lines)


class _Help:
    """What a command and a group of commands have in common."""

    usages: ClassVar[tuple[str, ...]] = ()
    """Usage lines after the command's path; by default the one that is made from its parameters."""

    examples: ClassVar[tuple[Row, ...]] = ()
    """Commands to try, each with what it does."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page; the context learns whether it may keep its colours."""
        ctx.color = colours_wanted(sys.stdout)
        width = min(get_terminal_size().columns, WIDEST)
        page = _Page(width=width, style=Style(ctx.color))
        command = ctx.command
        for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
            page.paragraph(paragraph)
        usages = self.usages or (" ".join(command.collect_usage_pieces(ctx)),)
        page.section("Usage", [(f"{ctx.command_path} {usage}", "") for usage in usages])
        for title, rows in self._sections(command, ctx):
            page.section(title, rows)
        formatter.write(page.text())

    def _sections(self, command: Any, ctx: Any) -> Iterator[tuple[str, Sequence[Row]]]:
        yield from _option_groups(command.get_params(ctx))
        yield "Examples", self.examples


class HelpfulCommand(_Help, TyperCommand):
    """A command with such a page of help."""


class HelpfulSubgroup(_Help, TyperGroup):
    """A command that holds commands, with such a page of help."""

    def _sections(self, command: Any, ctx: Any) -> Iterator[tuple[str, Sequence[Row]]]:
        yield (
            "Commands",
            [
                (name, command.commands[name].get_short_help_str(WIDEST))
                for name in command.list_commands(ctx)
            ],
        )
        yield from super()._sections(command, ctx)


class HelpfulGroup(HelpfulSubgroup):
    """One whose page says what exit codes mean, too."""

    def _sections(self, command: Any, ctx: Any) -> Iterator[tuple[str, Sequence[Row]]]:
        yield from super()._sections(command, ctx)
        codes = [(str(code.value), text) for code, text in MEANINGS.items()]
        yield "Exit codes", [*codes, ("any", "run: the exit code of the program it ran")]


def _option_groups(parameters: Iterable[Any]) -> Iterator[tuple[str, Sequence[Row]]]:
    """The options by the panel each names; those that name none come last."""
    groups: dict[str, list[Row]] = {}
    for parameter in parameters:
        if parameter.param_type_name == "option" and not getattr(parameter, "hidden", False):
            panel = getattr(parameter, "rich_help_panel", None) or _GENERAL
            groups.setdefault(panel, []).append(_option_row(parameter))
    general = groups.pop(_GENERAL, [])
    yield from groups.items()
    yield _GENERAL, general


def _option_row(option: Any) -> Row:
    names = ", ".join(sorted(option.opts, key=len))
    if option.metavar and not option.is_flag:
        names = f"{names} {option.metavar}"
    text = option.help or ""
    default = option.show_default if isinstance(option.show_default, str) else option.default
    if default is not None and not option.is_flag and option.show_default:
        text = f"{text} [{default:g}]" if isinstance(default, float) else f"{text} [{default}]"
    return names, text
