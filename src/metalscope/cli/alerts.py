"""``metalscope alerts``: what is wrong with a running program, and that somebody knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metalscope.cli.alert_acts import (
    SilenceCommand,
    acknowledge,
    silence,
    silences,
    unacknowledge,
    unsilence,
)
from metalscope.cli.alert_arguments import (
    DEFAULT_URL,
    Id,
    IdCommand,
    Json,
    Timeout,
    Url,
    as_json_text,
    style,
    unknown,
)
from metalscope.cli.alerts_test import TestCommand, test_channels
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand, HelpfulSubgroup
from metalscope.cli.output import emit
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alert_report import Alert

__all__ = ["AlertsGroup", "alerts"]


class AlertsGroup(HelpfulSubgroup):
    """The commands' help; without a command it is ``list``."""

    examples = (
        ("metalscope alerts", "what is wrong now"),
        ("metalscope alerts ack 0f4e --comment 'on it'", "it is not repeated"),
        ("metalscope alerts silence name=attention --for 2h", "nobody is told"),
    )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in where there is none."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


alerts = typer.Typer(name="alerts", cls=AlertsGroup)


@alerts.callback()
def _alerts() -> None:
    """Show the alerts of a running program, and tell it that somebody knows."""


class ListCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope alerts list --severity high", "the grave ones"),
        ("metalscope alerts list --exit-code && deploy", "only where nothing fires"),
    )


def list_alerts(
    *,
    url: Url = DEFAULT_URL,
    severity: Annotated[
        ErrorSeverity | None,
        typer.Option(metavar="|".join(ErrorSeverity), help="Only these, and what is graver."),
    ] = None,
    exit_code: Annotated[
        bool,
        typer.Option("--exit-code", help="Exit 1 where one of them fires that nothing mutes."),
    ] = False,
    as_json: Json = False,
    timeout: Timeout = 10.0,
) -> int:
    """List the alerts that are pending or fire.

    This is what metalscope alerts does without a command.
    """
    from metalscope.alert_report import AlertState  # noqa: PLC0415 - not for help
    from metalscope.cli.alert_calls import Calls, read_alert  # noqa: PLC0415 - loads http, ssl

    least = severity.rank if severity else 0
    found = [(one, read_alert(one)) for one in Calls(url, timeout=timeout).active()]
    shown = [(data, alert) for data, alert in found if alert.severity.rank >= least]
    if as_json:
        text = as_json_text({"alerts": [data for data, _ in shown]})
    else:
        text = _table([alert for _, alert in shown]) if shown else "no alert is active"
    fires = any(a.state is AlertState.FIRING and not a.is_muted for _, a in shown)
    return emit(text) or (ExitCode.FAILED if exit_code and fires else ExitCode.OK)


def show_alert(
    alert_id: Id, url: Url = DEFAULT_URL, as_json: Json = False, timeout: Timeout = 10.0
) -> int:
    """Show all that is known of one alert, active or over."""
    from metalscope.cli.alert_calls import (  # noqa: PLC0415 - loads http, ssl
        MOST_IN_HISTORY,
        Calls,
        one_of,
        read_alert,
    )
    from metalscope.cli.alert_words import alert_in_full  # noqa: PLC0415
    from metalscope.moments import utc_now  # noqa: PLC0415

    calls = Calls(url, timeout=timeout)
    found = one_of(calls.active(), alert_id, "active alerts") or one_of(
        calls.history(limit=MOST_IN_HISTORY), alert_id, "alerts"
    )
    if found is None:
        raise unknown(alert_id, "alert")
    return emit(
        as_json_text(found) if as_json else alert_in_full(read_alert(found), utc_now(), style())
    )


class HistoryCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope alerts history --rule MetalDeviceLost", "of one rule"),
        ("metalscope alerts history --file alerts.db", "where no program runs"),
    )


def history(
    *,
    limit: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=1000, help="How many at most.")
    ] = 20,
    rule: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only alerts of this rule.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read this alerts.path in place of a program."),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
    timeout: Timeout = 10.0,
) -> int:
    """List alerts that have fired, the latest first."""
    if file is not None:
        kept = _kept(file, limit, rule)
        data = [alert.to_dict() for alert in kept]
    else:
        from metalscope.cli.alert_calls import Calls, read_alert  # noqa: PLC0415 - loads http, ssl

        data = Calls(url, timeout=timeout).history(limit=limit, rule=rule)
        kept = [read_alert(one) for one in data]
    if as_json:
        return emit(as_json_text({"alerts": data}))
    return emit(_table(kept, past=True) if kept else "no alert has fired")


def _kept(file: Path, limit: int, rule: str | None) -> list[Alert]:
    from metalscope.alerts.sqlite_store import SqliteStore  # noqa: PLC0415 - loads sqlite3
    from metalscope.alerts.store.reading import AlertStoreError  # noqa: PLC0415

    try:
        return list(SqliteStore.open_readonly(file).history(limit=limit, rule=rule))
    except AlertStoreError as error:
        raise CommandFailed(f"--file: {error}", ExitCode.USAGE) from error


def _table(found: list[Alert], *, past: bool = False) -> str:
    from metalscope.cli.alert_words import alerts_in_lines  # noqa: PLC0415 - not for help
    from metalscope.moments import utc_now  # noqa: PLC0415

    return alerts_in_lines(found, utc_now(), style(), past=past)


alerts.command("list", cls=ListCommand)(list_alerts)
alerts.command("show", cls=IdCommand)(show_alert)
alerts.command("ack", cls=IdCommand)(acknowledge)
alerts.command("unack", cls=IdCommand)(unacknowledge)
alerts.command("silence", cls=SilenceCommand)(silence)
alerts.command("silences", cls=HelpfulCommand)(silences)
alerts.command("unsilence", cls=IdCommand)(unsilence)
alerts.command("history", cls=HistoryCommand)(history)
alerts.command("test", cls=TestCommand)(test_channels)
