"""``metalscope dashboards``: Grafana dashboards written to files, or sent to a Grafana."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from metalscope._version import __version__
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand, HelpfulGroup
from metalscope.cli.output import emit
from metalscope.dashboards import FOLDER, FOLDER_TITLE

if TYPE_CHECKING:
    from metalscope.dashboards.pushing import GrafanaOptions

__all__ = ["dashboards_app"]

_STACK_DASHBOARDS: Final = "grafana/dashboards"
"""Where the provisioning of the stack looks for them."""

_RULES: Final = "prometheus/metalscope.rules.yml"
_ALERTMANAGER: Final = "alertmanager/alertmanager.yml"
_REPLACED: Final = (_RULES,)
"""Files of the stack that are made as the dashboards are, so that nobody changes them by hand."""

_HERE: Final = Path()

_Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name", metavar="NAME", help="Only this one; can be given several times.",
        show_default="all",
    ),
]  # fmt: skip
_Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Options file with thresholds; needs the extra dashboards.",
        show_default="the default thresholds",
    ),
]  # fmt: skip


class DashboardsGroup(HelpfulGroup):
    """The commands' help."""

    examples = (
        ("metalscope dashboards export --output dashboards", "the JSON of all"),
        ("metalscope dashboards export --stack --output monitoring", "with Grafana around it"),
        ("metalscope dashboards push URL --token-from env:TOKEN", "into a Grafana that runs"),
    )


class ExportDashboardsCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope dashboards export --name metalscope-fleet", "one, into this directory"),
        ("metalscope dashboards export --config metal.toml", "with your thresholds"),
        ("metalscope dashboards export --stack --output monitoring", "with a compose file"),
    )


class PushDashboardsCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope dashboards push http://127.0.0.1:3000 --token-from env:TOKEN", "all of them"),
        ("metalscope dashboards push URL --token-from file:token --overwrite", "the newer ones"),
    )


dashboards_app = typer.Typer(
    name="dashboards",
    cls=DashboardsGroup,
    help="Write Grafana dashboards, or send them to a Grafana.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dashboards_app.callback(invoke_without_command=True)
def dashboards(context: typer.Context) -> None:
    """Write Grafana dashboards, or send them to a Grafana."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), color=context.color)
        raise typer.Exit(ExitCode.USAGE)


@dashboards_app.command("export", cls=ExportDashboardsCommand)
def export_dashboards(
    output: Annotated[
        Path,
        typer.Option(metavar="DIR", help="The directory to write to.", show_default="this one"),
    ] = _HERE,
    name: _Names = None,
    config: _Config = None,
    stack: Annotated[
        bool,
        typer.Option("--stack", help="Also a compose file with Prometheus, Grafana and others."),
    ] = False,
) -> int:
    """Write the dashboards as JSON, for Grafana to import or to find.

    Dashboards that are there are replaced. Of --stack, files that you have changed are kept.
    """
    texts = _texts(name, config)
    folder = output / _STACK_DASHBOARDS if stack else output
    lines: list[str] = []
    for one, text in texts.items():
        lines.append(_written(folder / f"{one}.json", text))
    if stack:
        for path, text in _stack(config).items():
            write = _written if path in _REPLACED else _kept_or_written
            lines.append(write(output / path, text))
    return emit("\n".join(lines))


@dashboards_app.command("push", cls=PushDashboardsCommand)
def push_dashboards(  # noqa: PLR0917 - typer passes them by name
    url: Annotated[str, typer.Argument(metavar="URL", help="The address of Grafana.")],
    token_from: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="Where the token is: env:VAR, file:PATH or keyring:SERVICE/USER."
        ),
    ] = None,
    folder: Annotated[
        str,
        typer.Option(metavar="UID", help="The folder, made where there is none; '' is the top."),
    ] = FOLDER,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Take the place of those that are there.")
    ] = False,
    message: Annotated[
        str, typer.Option(metavar="TEXT", help="What Grafana's history of versions says.")
    ] = f"metalscope {__version__}",
    name: _Names = None,
    config: _Config = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificates to trust, in place of the system's."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="How long a request may take.")
    ] = 30.0,
) -> int:
    """Send the dashboards to a Grafana by its HTTP API.

    The token is one of a service account with the role Editor. It is never given on the command
    line, which other users of the machine can read.
    """
    from metalscope.dashboards.pushing import Grafana, PushFailed  # noqa: PLC0415 - loads pydantic

    if token_from is None:
        raise CommandFailed(
            "give --token-from, such as env:GRAFANA_TOKEN: Grafana takes dashboards from nobody "
            "it does not know",
            ExitCode.USAGE,
        )
    texts = _texts(name, config)
    grafana = Grafana(_grafana(url, token_from, ca_file), timeout=timedelta(seconds=timeout))
    lines: list[str] = []
    refused: list[str] = []
    try:
        title = FOLDER_TITLE if folder == FOLDER else folder
        if folder and grafana.make_folder(folder, title):
            lines.append(f"made the folder {folder}")
        for one, text in texts.items():
            try:
                pushed = grafana.push(
                    one, text, folder=folder, overwrite=overwrite, message=message
                )
            except PushFailed as error:
                if not error.is_there:
                    raise
                refused.append(str(error))
                continue
            version = "" if pushed.version is None else f", version {pushed.version}"
            lines.append(f"{one}: {pushed.path or 'taken'}{version}")
    except PushFailed as error:
        refused.append(str(error))
    finally:
        grafana.close()
    code = emit("\n".join(lines)) if lines else ExitCode.OK
    if refused:
        raise CommandFailed("\n".join(refused), ExitCode.FAILED)
    return code


def _texts(names: list[str] | None, config: Path | None) -> Mapping[str, str]:
    from metalscope.dashboards.shipped import chosen, shipped  # noqa: PLC0415

    wanted = chosen(names or [])
    if config is None:
        return {name: shipped(name) for name in wanted}
    from metalscope.config import load_options  # noqa: PLC0415 - loads pydantic
    from metalscope.dashboards.making import made_anew  # noqa: PLC0415 - needs an extra

    made = made_anew(load_options(config))
    return {name: made[name] for name in wanted}


def _stack(config: Path | None) -> Mapping[str, str]:
    from metalscope.dashboards.shipped import stack  # noqa: PLC0415

    if config is None:
        return stack()
    from metalscope.alerts.prometheus import alertmanager_text, rules_text  # noqa: PLC0415
    from metalscope.config import load_options  # noqa: PLC0415 - loads pydantic

    alerts = load_options(config).alerts
    return stack() | {_RULES: rules_text(alerts), _ALERTMANAGER: alertmanager_text(alerts)}


def _grafana(url: str, token_from: str, ca_file: Path | None) -> GrafanaOptions:
    from metalscope.dashboards.pushing import GrafanaOptions  # noqa: PLC0415
    from metalscope.errors import ConfigurationError  # noqa: PLC0415
    from metalscope.peer_options import TlsOptions  # noqa: PLC0415

    if not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+|keyring:[^/]+/.+", token_from):
        # What was given may be the token itself, so it is not shown.
        raise CommandFailed(
            "--token-from: must be env:VARIABLE, file:PATH or keyring:SERVICE/USER, and not the "
            "token itself",
            ExitCode.USAGE,
        )
    try:
        return GrafanaOptions(
            endpoint=url, api_key_from=token_from, tls=TlsOptions(ca_file=ca_file)
        )
    except ConfigurationError as error:
        said = str(error).removeprefix("GrafanaOptions: endpoint = ")
        raise CommandFailed(f"URL: {said}", ExitCode.USAGE) from error


def _written(file: Path, text: str) -> str:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise CommandFailed(
            f"cannot write {file}: {error.strerror or error}", ExitCode.USAGE
        ) from error
    return str(file)


def _kept_or_written(file: Path, text: str) -> str:
    try:
        there = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        there = None
    if there is not None and there != text:
        return f"{file} (kept: it is there, and differs)"
    return _written(file, text)
