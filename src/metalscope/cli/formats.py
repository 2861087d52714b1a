"""The forms a report is written in."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metalscope.cli.exit_codes import CommandFailed, ExitCode

if TYPE_CHECKING:
    from metalscope.report import MetalProductionReport

__all__ = ["ReportFormat", "check_writable", "format_of", "render", "write"]


class ReportFormat(StrEnum):
    """Text for a terminal, Markdown for people, JSON for programs."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


_SUFFIXES: Final = {
    ".txt": ReportFormat.TEXT,
    ".log": ReportFormat.TEXT,
    ".md": ReportFormat.MARKDOWN,
    ".markdown": ReportFormat.MARKDOWN,
    ".json": ReportFormat.JSON,
}


def format_of(path: Path) -> ReportFormat:
    """The format a file's suffix stands for.

    Raises:
        CommandFailed: the suffix stands for none.
    """
    known = _SUFFIXES.get(path.suffix.lower())
    if known is None:
        raise CommandFailed(
            f"the suffix of {path} stands for no report format: "
            f"use {', '.join(_SUFFIXES)}, or name a format",
            ExitCode.USAGE,
        )
    return known


def check_writable(path: Path) -> None:
    """Make sure, before any work is done, that a file can be written.

    An existing file keeps its content, and a new one is not left behind.

    Raises:
        CommandFailed: it cannot; the text says why.
    """
    existed = path.exists()
    try:
        path.open("a").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def render(report: MetalProductionReport, form: ReportFormat) -> str:
    """The report as text in the given form."""
    match form:
        case ReportFormat.JSON:
            return report.to_json(indent=2) + "\n"
        case ReportFormat.MARKDOWN:
            return report.to_markdown()
        case ReportFormat.TEXT:
            return report.to_text()


def write(path: Path, text: str) -> None:
    """Write a file whole.

    Raises:
        CommandFailed: it cannot be written; the text says why.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"cannot write {path}: {error.strerror or error}", ExitCode.USAGE)
