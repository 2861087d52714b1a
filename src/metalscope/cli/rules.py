"""``metalscope rules``: the alert rules listed, checked, and exported for a Prometheus."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand, HelpfulGroup
from metalscope.cli.output import emit, tell

if TYPE_CHECKING:
    from metalscope.alert_options import AlertsOptions

__all__ = ["rules_app"]

_STANDARD_OUTPUT: Final = Path("-")
_EXPRESSIONS: Final = ("expr", "keep_firing_while")

_Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Options file with thresholds and rules.",
        show_default="METALSCOPE_CONFIG",
    ),
]  # fmt: skip


class RulesGroup(HelpfulGroup):
    """The commands' help."""

    examples = (
        ("metalscope rules list", "the rules that are looked at"),
        ("metalscope rules check metal.toml", "whether your rules can be read"),
        ("metalscope rules export --output metalscope.rules.yml", "for Prometheus"),
    )


class ListCommand(HelpfulCommand):
    """The command's help."""

    examples = (("metalscope rules list --config metal.toml", "with your thresholds and rules"),)


class CheckCommand(HelpfulCommand):
    """The command's help."""

    examples = (("metalscope rules check metal.toml", "exits 2 where a rule is wrong"),)


class ExportRulesCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope rules export --output metalscope.rules.yml", "the rules, for Prometheus"),
        ("metalscope rules export --tests --output rules_test.yml", "for promtool test rules"),
        ("metalscope rules export --alertmanager", "grouping and inhibition, for Alertmanager"),
    )


rules_app = typer.Typer(
    name="rules",
    cls=RulesGroup,
    help="List, check and export the alert rules.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@rules_app.callback(invoke_without_command=True)
def rules(context: typer.Context) -> None:
    """List, check and export the alert rules."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), color=context.color)
        raise typer.Exit(ExitCode.USAGE)


@rules_app.command("list", cls=ListCommand)
def list_rules(config: _Config = None) -> int:
    """List the rules that are looked at, with their expressions."""
    from metalscope.alerts.builtin import rules_of  # noqa: PLC0415 - loads pydantic
    from metalscope.durations import format_duration  # noqa: PLC0415

    lines: list[str] = []
    for rule in rules_of(_options(config)):
        hold = f", for {format_duration(rule.hold)}" if rule.hold else ""
        lines.append(f"{rule.name} ({rule.severity}{hold})")
        lines.append(f"  {_in_one_line(rule.expr)}")
        lines += [f"  {severity}: {_in_one_line(e)}" for severity, e in rule.severities.items()]
    return emit("\n".join(lines) or "no rule is enabled")


@rules_app.command("check", cls=CheckCommand)
def check_rules(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="The options file; METALSCOPE_CONFIG where none is given."
        ),
    ] = None,
) -> int:
    """Read every rule, and show where one is wrong.

    Exits 2 where an option or a rule cannot be used.
    """
    from metalscope.alerts.builtin import rules_of  # noqa: PLC0415 - loads pydantic
    from metalscope.errors import ConfigurationError  # noqa: PLC0415

    try:
        options = _options(file)
        count = len(rules_of(options))
    except ConfigurationError:
        for pointed in _wrong_expressions(file):
            tell(f"{pointed}\n")
        raise
    own = len(options.rules)
    return emit(f"{count} rules, {own} of them your own: no error")


@rules_app.command("export", cls=ExportRulesCommand)
def export_rules(  # noqa: PLR0917 - typer passes them by name
    config: _Config = None,
    target_labels: Annotated[
        str,
        typer.Option(
            metavar="LABELS",
            help="The labels by which Prometheus tells one process from another.",
        ),
    ] = "job,instance",
    output: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The file to write; - is standard output."),
    ] = _STANDARD_OUTPUT,
    alertmanager: Annotated[
        bool,
        typer.Option("--alertmanager", help="An example of Alertmanager's configuration instead."),
    ] = False,
    tests: Annotated[
        bool,
        typer.Option("--tests", help="Unit tests for promtool of the built-in rules instead."),
    ] = False,
    rules_file: Annotated[
        str,
        typer.Option(metavar="FILE", help="Where the exported rules are, as the tests name it."),
    ] = "metalscope.rules.yml",
) -> int:
    """Write the rules as recording and alerting rules of Prometheus."""
    from metalscope.alerts import prometheus  # noqa: PLC0415 - loads pydantic

    if alertmanager and tests:
        raise CommandFailed("give --alertmanager or --tests, not both", ExitCode.USAGE)
    targets = _labels(target_labels)
    options = _options(config)
    if alertmanager:
        text = prometheus.alertmanager_text(options, targets=targets)
    elif tests:
        text = prometheus.unit_tests_text(options, targets=targets, rules_file=rules_file)
    else:
        text = prometheus.rules_text(options, targets=targets)
    if output == _STANDARD_OUTPUT:
        if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
            # For programs: the same bytes as in a file, whatever the locale.
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        return emit(text)
    try:
        output.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise CommandFailed(
            f"cannot write {output}: {error.strerror or error}", ExitCode.USAGE
        ) from error
    return ExitCode.OK


def _options(config: Path | None) -> AlertsOptions:
    from metalscope.config import load_options  # noqa: PLC0415 - loads pydantic

    return load_options(config).alerts


def _labels(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if not re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", name):
            raise CommandFailed(
                f"--target-labels: {name!r} is no label; give names such as job,instance",
                ExitCode.USAGE,
            )
    return names


def _wrong_expressions(file: Path | None) -> Iterator[str]:
    """Each expression of the file that cannot be read, with marks under what is wrong."""
    import os  # noqa: PLC0415

    from metalscope.alerts.expression import ExpressionError, check  # noqa: PLC0415
    from metalscope.config import CONFIG_VARIABLE  # noqa: PLC0415
    from metalscope.config.files import read_file  # noqa: PLC0415
    from metalscope.errors import ConfigurationError  # noqa: PLC0415

    named = file or os.environ.get(CONFIG_VARIABLE)
    if named is None:
        return
    try:
        document = read_file(Path(named))
    except ConfigurationError:
        return
    for name, what, text in _expressions(document):
        try:
            check(text)
        except ExpressionError as error:
            yield f"{name}, {what}:\n{error.pointed()}\n"


def _expressions(document: Mapping[Any, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, option and text of each, as far as what is there has the form of rules."""
    alerts = document.get("alerts")
    found = alerts.get("rules") if isinstance(alerts, Mapping) else None
    for rule in found if isinstance(found, list) else ():
        if not isinstance(rule, Mapping):
            continue
        name = str(rule.get("name", "a rule without a name"))
        graver = rule.get("severities")
        texts = {key: rule.get(key) for key in _EXPRESSIONS}
        if isinstance(graver, Mapping):
            texts |= {f"severities.{severity}": text for severity, text in graver.items()}
        yield from ((name, what, text) for what, text in texts.items() if isinstance(text, str))


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
