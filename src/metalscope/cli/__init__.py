"""The command ``metalscope``.

Commands load what they need when they run, so that help and version are there at once and a
program under ``metalscope run`` finds little in its process that is not its own.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from metalscope._version import __version__
from metalscope.cli.alerts import alerts
from metalscope.cli.audit import audit
from metalscope.cli.dashboards import dashboards_app
from metalscope.cli.demo import DemoCommand, demo
from metalscope.cli.doctor import DoctorCommand, doctor
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.export import ExportCommand, export
from metalscope.cli.health import HealthCommand, health
from metalscope.cli.help import HelpfulCommand, HelpfulGroup
from metalscope.cli.keys import keys
from metalscope.cli.output import complain, emit
from metalscope.cli.record import RecordCommand, record
from metalscope.cli.replay import ReplayCommand, replay
from metalscope.cli.report import ReportCommand, report
from metalscope.cli.rules import rules_app
from metalscope.cli.run import RunCommand, run
from metalscope.cli.serve import ServeCommand, serve
from metalscope.cli.top import TopCommand, top
from metalscope.cli.version import version
from metalscope.errors import ConfigurationError, MissingExtraError

__all__ = ["app", "main"]


class MetalscopeCommand(HelpfulGroup):
    """The command itself."""

    examples = (
        ("metalscope demo", "see it work on a small model"),
        ("metalscope run train.py --epochs 3", "your own script, unchanged"),
        ("metalscope report", "the report of a running program"),
    )


app = typer.Typer(
    name="metalscope",
    cls=MetalscopeCommand,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        emit(f"metalscope {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def metalscope(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Production telemetry for Metal GPU work: MLX, PyTorch MPS, WebGPU, native Metal."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), color=context.color)
        raise typer.Exit(ExitCode.USAGE)


app.command(cls=RunCommand)(run)
app.command(cls=DemoCommand)(demo)
app.command(cls=ReportCommand)(report)
app.command(cls=HealthCommand)(health)
app.add_typer(alerts)
app.add_typer(rules_app)
app.add_typer(keys)
app.add_typer(audit)
app.add_typer(dashboards_app)
app.command(cls=RecordCommand)(record)
app.command(cls=ReplayCommand)(replay)
app.command(cls=ExportCommand)(export)
app.command(cls=ServeCommand)(serve)
app.command(cls=DoctorCommand)(doctor)
app.command(cls=TopCommand)(top)
app.command(cls=HelpfulCommand)(version)


def main() -> None:
    """Do what the command line says and exit."""
    try:
        result = typer.main.get_command(app).main(prog_name="metalscope", standalone_mode=False)
    except (CommandFailed, ConfigurationError, MissingExtraError) as error:
        complain(str(error))
        sys.exit(_code_of(error))
    except Exception as error:
        # Typer's errors were click's once and are its own now; both kinds have this method.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        complain(_in_one_line(error, describe()))
        sys.exit(ExitCode.USAGE)
    # The user's program runs here, outside typer and all handlers: what it raises, prints and
    # exits with is its own.
    sys.exit(result() if callable(result) else result)


def _code_of(error: Exception) -> ExitCode:
    match error:
        case CommandFailed():
            return error.code
        case MissingExtraError():
            return ExitCode.MISSING_EXTRA
        case _:
            return ExitCode.USAGE


def _in_one_line(error: Any, message: str) -> str:
    """A usage error with the nearest option and where the help is."""
    context = getattr(error, "ctx", None)
    text = message.strip().rstrip(".")
    wrong = getattr(error, "option_name", None)
    if wrong and context is not None and text.startswith("No such option"):
        near = _nearest_option(context, wrong)
        text = f"no such option: {wrong}" + (f"; did you mean {near}?" if near else "")
    path = context.command_path if context is not None else "metalscope"
    return f"{' '.join(text.split())} (see {path} --help)"


def _nearest_option(context: Any, wrong: str) -> str | None:
    from metalscope.spelling import nearest  # noqa: PLC0415 - difflib, for this one case

    known = (
        option
        for parameter in context.command.get_params(context)
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
    )
    return nearest(wrong, known)
