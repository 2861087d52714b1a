"""What people do about alerts: acknowledge them, and silence them for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from metalscope.cli.alert_arguments import (
    DEFAULT_URL,
    Id,
    Json,
    Timeout,
    Url,
    as_json_text,
    style,
    unknown,
)
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import emit, printable

__all__ = [
    "SilenceCommand",
    "acknowledge",
    "silence",
    "silences",
    "unacknowledge",
    "unsilence",
]

T = TypeVar("T")

By = Annotated[
    str | None, typer.Option(metavar="NAME", show_default="your login", help="Who you are.")
]


def acknowledge(
    alert_id: Id,
    by: By = None,
    comment: Annotated[
        str, typer.Option(metavar="TEXT", show_default=False, help="What you do.")
    ] = "",
    url: Url = DEFAULT_URL,
    timeout: Timeout = 10.0,
) -> int:
    """Acknowledge an alert: it is not repeated and not escalated."""
    from metalscope.cli.alert_calls import Calls, one_of  # noqa: PLC0415 - loads http, ssl

    calls = Calls(url, timeout=timeout)
    found = one_of(calls.active(), alert_id, "active alerts")
    if found is None:
        raise unknown(alert_id, "active alert")
    done = calls.acknowledge(str(found["id"]), by=by or _login(), comment=comment)
    return emit(_said("acknowledged", done))


def unacknowledge(alert_id: Id, url: Url = DEFAULT_URL, timeout: Timeout = 10.0) -> int:
    """Take an acknowledgement back."""
    from metalscope.cli.alert_calls import Calls, one_of  # noqa: PLC0415 - loads http, ssl

    calls = Calls(url, timeout=timeout)
    found = one_of(calls.active(), alert_id, "active alerts")
    if found is None:
        raise unknown(alert_id, "active alert")
    return emit(_said("no longer acknowledged", calls.unacknowledge(str(found["id"]))))


class SilenceCommand(HelpfulCommand):
    """The command's help."""

    usages = ("[OPTIONS] MATCHER...",)
    examples = (
        ("metalscope alerts silence alertname=MetalQueueFull --for 2h", "one rule"),
        ("metalscope alerts silence 'name=~\"att.*\"' severity=low --for 1d", "both must fit"),
    )


def silence(
    matchers: Annotated[
        list[str],
        typer.Argument(metavar="MATCHER", help="Conditions on labels, all of which must fit."),
    ],
    *,
    length: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, such as 2h.")],
    by: By = None,
    comment: Annotated[str, typer.Option(metavar="TEXT", show_default=False, help="Why.")] = "",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
    timeout: Timeout = 10.0,
) -> int:
    """Have alerts tell nobody for a while.

    Matchers are those of Alertmanager: name=value, !=, and =~ and !~ for regular expressions.
    alertname, severity and component are labels too.
    """
    from metalscope.alert_report import Matcher  # noqa: PLC0415 - not for help
    from metalscope.cli.alert_calls import Calls, read_alert, read_silence  # noqa: PLC0415
    from metalscope.cli.alert_words import silence_in_line  # noqa: PLC0415
    from metalscope.durations import parse_duration  # noqa: PLC0415

    for text in matchers:
        _checked("MATCHER", Matcher.parse, text)
    seconds = _checked("--for", parse_duration, length).total_seconds()
    calls = Calls(url, timeout=timeout)
    wanted = {"matchers": matchers, "duration": seconds, "created_by": by or _login()}
    data = calls.silence(wanted | {"comment": comment})
    if as_json:
        return emit(as_json_text(data))
    made = read_silence(data)
    fitting = sum(made.matches(read_alert(one).all_labels) for one in calls.active())
    which = f"fits {fitting} active alert{'' if fitting == 1 else 's'}"
    return emit(f"{silence_in_line(made, 'until')}; {which}")


def silences(
    all_of_them: Annotated[
        bool, typer.Option("--all", help="Those that have ended lately too.")
    ] = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
    timeout: Timeout = 10.0,
) -> int:
    """List the silences that hold, or will."""
    from metalscope.cli.alert_calls import Calls, read_silence  # noqa: PLC0415 - loads http, ssl
    from metalscope.cli.alert_words import silences_in_lines  # noqa: PLC0415
    from metalscope.moments import utc_now  # noqa: PLC0415

    now = utc_now()
    found = [(one, read_silence(one)) for one in Calls(url, timeout=timeout).silences()]
    shown = [(data, one) for data, one in found if all_of_them or one.ends_at > now]
    if as_json:
        return emit(as_json_text({"silences": [data for data, _ in shown]}))
    listed = silences_in_lines([one for _, one in shown], now, style())
    return emit(listed if shown else "nothing is silenced")


def unsilence(silence_id: Id, url: Url = DEFAULT_URL, timeout: Timeout = 10.0) -> int:
    """End a silence now."""
    from metalscope.cli.alert_calls import Calls, one_of, read_silence  # noqa: PLC0415
    from metalscope.cli.alert_words import silence_in_line  # noqa: PLC0415

    calls = Calls(url, timeout=timeout)
    found = one_of(calls.silences(), silence_id, "silences")
    if found is None:
        raise unknown(silence_id, "silence")
    ended = read_silence(calls.end_silence(str(found["id"])))
    return emit(silence_in_line(ended, "ended"))


def _said(what: str, data: dict[str, Any]) -> str:
    return printable(f"{what}: {data.get('title')} ({data.get('id')})")


def _checked(name: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise CommandFailed(f"{name} {error}", ExitCode.USAGE) from error


def _login() -> str:
    from getpass import getuser  # noqa: PLC0415 - for one answer

    try:
        return getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"
