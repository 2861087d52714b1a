"""``metalscope export``: what a running program has, to its exporters' places or into a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.export_file import ExportFormat
from metalscope.cli.help import HelpfulCommand

if TYPE_CHECKING:
    from metalscope.options import ExporterOptions, MetalTelemetryOptions

__all__ = ["ExportCommand", "export"]

DEFAULT_URL: Final = "http://127.0.0.1:9464"


class ExportCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope export --once --config metal.toml", "to every exporter of the options"),
        ("metalscope export --config metal.toml", "beside a program, at every interval"),
        ("metalscope export --output metrics.csv", "a table, by the suffix"),
        ("metalscope export --format json | jq .health", "for a program"),
    )


def export(  # noqa: PLR0917 - typer passes them by name
    once: Annotated[
        bool, typer.Option("--once", help="Export once and end, with 1 where one failed.")
    ] = False,
    url: Annotated[
        str, typer.Option(metavar="URL", help="Where the program serves its telemetry.")
    ] = DEFAULT_URL,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Options file that names the exporters.",
            show_default="METALSCOPE_CONFIG",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only by this exporter; can be given several times."),
    ] = None,
    form: Annotated[
        ExportFormat | None,
        typer.Option(
            "--format",
            metavar="|".join(ExportFormat),
            show_default="by the suffix",
            help="Write a file or standard output in this form, in place of exporting.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The file to write; - is standard output.", show_default="-"
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="How long it may take.")
    ] = 30.0,
) -> int:
    """Export the telemetry of a running program.

    Sends it by the exporters of the options, once or at every interval until Ctrl-C, or writes it
    as JSON, CSV, Parquet or Prometheus text.
    """
    from metalscope.cli.fetch import base_address  # noqa: PLC0415 - loads http, ssl
    from metalscope.config import load_options  # noqa: PLC0415 - loads pydantic

    base = base_address(url).geturl()
    if form is None and output is None:
        options = load_options(config)
        chosen = _chosen(options, only or [])
        from metalscope.cli.exporting import export_once, keep_exporting  # noqa: PLC0415

        return (export_once if once else keep_exporting)(options, chosen, base, timeout)
    if only:
        raise CommandFailed(
            "--only chooses exporters, and with --format or --output none is asked", ExitCode.USAGE
        )
    from metalscope.cli.export_file import write_export  # noqa: PLC0415

    return write_export(load_options(config), base, timeout, form=form, output=output)


def _chosen(options: MetalTelemetryOptions, only: list[str]) -> tuple[ExporterOptions, ...]:
    """The exporters that are to send.

    Raises:
        CommandFailed: there is none, or not the one that is named.
    """
    from metalscope.export.prometheus_endpoint import meaning  # noqa: PLC0415
    from metalscope.options import ExporterType  # noqa: PLC0415

    there = {one.name: one for one in options.export.exporters}
    for name in only:
        if name not in there:
            names = ", ".join(there) or "none"
            raise CommandFailed(
                f"--only: there is no exporter {name!r}; there are: {names}", ExitCode.USAGE
            )
    chosen, why = [], {}
    for name, one in there.items():
        if only and name not in only:
            continue
        if not one.enabled:
            why[name] = "its option enabled is false"
        elif one.type == ExporterType.PROMETHEUS and meaning(one).protocol == "scrape":
            why[name] = "a Prometheus scrapes the program; nothing is sent"
        else:
            chosen.append(one)
    if only and why:
        said = "; ".join(f"exporter {name!r}: {reason}" for name, reason in why.items())
        raise CommandFailed(f"--only: {said}", ExitCode.USAGE)
    if not chosen:
        said = "".join(f" ({name}: {reason})" for name, reason in why.items())
        raise CommandFailed(
            f"the options name no exporter that sends{said}; add one under export.exporters, or "
            "write a file with --output",
            ExitCode.USAGE,
        )
    return tuple(chosen)
