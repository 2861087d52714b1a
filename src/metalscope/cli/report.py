"""``metalscope report``: the report of a running program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from metalscope.cli.exit_codes import ExitCode
from metalscope.cli.formats import ReportFormat, check_writable, format_of, write
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import emit

__all__ = ["ReportCommand", "report"]

DEFAULT_URL: Final = "http://127.0.0.1:9464"


class ReportCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope report", "of a program on this machine"),
        ("metalscope report --output report.md", "Markdown, by the suffix"),
        ("metalscope report --format json | jq .performance", "for a program"),
    )


def report(
    url: Annotated[
        str, typer.Option(metavar="URL", help="Where the program serves its telemetry.")
    ] = DEFAULT_URL,
    form: Annotated[
        ReportFormat | None,
        typer.Option(
            "--format",
            metavar="|".join(ReportFormat),
            show_default="by the suffix",
            help="The form of the report; text where nothing says it.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a file in place of standard output."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="How long to wait.")
    ] = 10.0,
) -> int:
    """Print the report of a running program."""
    from metalscope.cli.fetch import base_address, fetch_report  # noqa: PLC0415 - loads http, ssl

    address = base_address(url)
    if form is None:
        form = format_of(output) if output else ReportFormat.TEXT
    if output is not None:
        check_writable(output)
    text = fetch_report(address, form, timeout=timeout)
    if output is None:
        return emit(text)
    write(output, text)
    return ExitCode.OK
