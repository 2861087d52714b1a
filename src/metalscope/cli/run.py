"""``metalscope run``: somebody's program, unchanged, with its device work recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.formats import ReportFormat
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.last_words import LastWords, report_writer
from metalscope.cli.output import complain
from metalscope.cli.program import Program, closed, find_program
from metalscope.cli.recording import check_new, record_program
from metalscope.cli.start import (
    announce,
    log_options,
    server_options,
    start_telemetry,
    trace_options,
)

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["RunCommand", "run"]

SERVER = "Server"
RECORDING = "Recording"
REPORT = "Report"


class RunCommand(HelpfulCommand):
    """Ends the options of ``run`` where the program's own arguments begin."""

    usages = (
        "[OPTIONS] [--] SCRIPT [ARGS]...",
        "[OPTIONS] -m MODULE [ARGS]...",
    )
    examples = (
        ("metalscope run train.py --epochs 3", "what follows the script is the script's"),
        ("metalscope run -m mlx_lm generate --model ...", "as python -m"),
        ("metalscope run --log app.log serve.py", "what went wrong, one JSON object a line"),
        ("metalscope run --trace out.json train.py", "a timeline, to open in ui.perfetto.dev"),
        ("metalscope run --no-server --report out.md train.py", "just a report at the end"),
    )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what is metalscope's and leave the rest as it is."""
        return super().parse_args(ctx, closed(args, self._takes_value()))

    def _takes_value(self) -> set[str]:
        return {
            name
            for parameter in self.params
            if parameter.param_type_name == "option" and not getattr(parameter, "is_flag", False)
            for name in parameter.opts
        }


def run(  # noqa: PLR0917 - typer passes them by name
    program: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCRIPT [ARGS]", help="The script and its arguments.", show_default=False
        ),
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(
            "-m",
            metavar="MODULE",
            help="Run a module as python -m does; all that follows is the module's.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Options file in TOML, YAML or JSON.",
            show_default="METALSCOPE_CONFIG",
            rich_help_panel=RECORDING,
        ),
    ] = None,
    instrument: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Record only these libraries, with commas between.",
            show_default="all",
            rich_help_panel=RECORDING,
        ),
    ] = None,
    no_instrument: Annotated[
        bool,
        typer.Option(
            "--no-instrument",
            help="Record only what the program itself records.",
            rich_help_panel=RECORDING,
        ),
    ] = False,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a recording, for metalscope replay.",
            rich_help_panel=RECORDING,
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Log to this file, one JSON object a line; - is standard error, for people.",
            rich_help_panel=RECORDING,
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a timeline of all operations, for Perfetto.",
            rich_help_panel=RECORDING,
        ),
    ] = None,
    trace_ratio: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            help="Only this share of it, 0 to 1, and what is slow or failed.",
            show_default="1",
            min=0.0,
            max=1.0,
            rich_help_panel=RECORDING,
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            help="The address to serve on.",
            show_default="127.0.0.1",
            rich_help_panel=SERVER,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="The port to serve on; 0 takes a free one.",
            show_default="9464",
            min=0,
            max=65_535,
            rich_help_panel=SERVER,
        ),
    ] = None,
    insecure_no_auth: Annotated[
        bool,
        typer.Option(
            "--insecure-no-auth",
            help="Serve to other machines although no key is asked for.",
            rich_help_panel=SERVER,
        ),
    ] = False,
    no_server: Annotated[
        bool, typer.Option("--no-server", help="Serve nothing.", rich_help_panel=SERVER)
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the report at the end; - is standard error.",
            rich_help_panel=REPORT,
        ),
    ] = None,
    report_format: Annotated[
        ReportFormat | None,
        typer.Option(
            metavar="|".join(ReportFormat),
            help="The form of the report.",
            show_default="by the suffix",
            rich_help_panel=REPORT,
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", help="Say nothing at the start and the end.", rich_help_panel=REPORT
        ),
    ] = False,
) -> Callable[[], int]:
    """Run a program with its GPU work recorded.

    Output, exit code, signals and tracebacks stay the program's own. Options of metalscope end at
    the name of the script or module.
    """
    start_program = find_program(module, program or [])
    write_report = report_writer(report, report_format)
    libraries = _libraries(instrument, none=no_instrument)
    if record is not None:
        check_new(record)
    if no_server and (host is not None or port is not None or insecure_no_auth):
        raise CommandFailed("--no-server leaves no use for the server's options", ExitCode.USAGE)
    if trace_ratio is not None and trace is None:
        raise CommandFailed("--trace-ratio needs --trace", ExitCode.USAGE)
    server = server_options(
        enabled=not no_server, host=host, port=port, insecure_no_auth=insecure_no_auth
    )
    telemetry = start_telemetry(
        config, server, logging=log_options(log), traces=trace_options(trace, trace_ratio)
    )
    if record is not None:
        record_program(telemetry, record)
    from metalscope.instrument import instrument_on_import  # noqa: PLC0415 - not needed for help

    instrument_on_import(telemetry, libraries)
    _correlate(telemetry)
    if not quiet:
        announce(telemetry)
    last_words = LastWords(telemetry, write_report, quiet=quiet)
    return lambda: _run(start_program, last_words)


def _correlate(telemetry: MetalTelemetryManager) -> None:
    """Have ids go along to threads, and be those of the program that started this one, if any."""
    options = telemetry.options
    is_told = options.logging.is_on or options.traces.enabled
    if not (is_told and options.logging.enable_correlation_tracking):
        return
    from metalscope.instrument import instrument  # noqa: PLC0415 - not needed for the help
    from metalscope.propagation import from_environment  # noqa: PLC0415

    from_environment().take_up()
    instrument("threads", telemetry)


def _run(program: Program, last_words: LastWords) -> int:
    from metalscope.script import ScriptNotFoundError  # noqa: PLC0415 - not needed for the help

    try:
        return program(last_words.say_before_termination)
    except ScriptNotFoundError as error:
        last_words.forget()
        complain(str(error))
        return ExitCode.USAGE


def _libraries(names: str | None, *, none: bool) -> list[str] | None:
    """The libraries to record; ``None`` is all there are, as the program imports them.

    Raises:
        CommandFailed: a library is not known, or the two options contradict each other.
        MissingExtraError: a library that was named is not installed.
    """
    if names is None:
        return [] if none else None
    if none:
        raise CommandFailed("--instrument and --no-instrument exclude each other", ExitCode.USAGE)
    from metalscope.instrument import instruments, require  # noqa: PLC0415 - not needed for help
    from metalscope.spelling import nearest  # noqa: PLC0415

    chosen = [name.strip() for name in names.split(",")]
    known = instruments()
    for name in chosen:
        if name not in known:
            meant = nearest(name, known)
            hint = f"; did you mean {meant}?" if meant else ""
            raise CommandFailed(
                f"--instrument: unknown library {name!r}{hint} (known: {', '.join(known)})",
                ExitCode.USAGE,
            )
        require(name)
    return chosen
