"""``metalscope keys``: the API keys by which the server knows who asks."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metalscope.access.roles import Role
from metalscope.cli.alert_arguments import Id, IdCommand, Json, as_json_text
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand, HelpfulSubgroup
from metalscope.cli.output import emit, printable, say

if TYPE_CHECKING:
    from metalscope.access.keys import ApiKey, GivenKey
    from metalscope.cli.kept_keys import KeptKeys

__all__ = ["keys"]

_ROLES = "|".join(Role)

File = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="The file of keys.", show_default="server.access.keys_file"
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Options file that names it.",
        show_default="METALSCOPE_CONFIG",
    ),
]


class KeysGroup(HelpfulSubgroup):
    """The commands' help."""

    examples = (
        ("metalscope keys create --name grafana --role viewer", "a key, shown once"),
        ("metalscope keys rotate 4f1c --grace 1h", "a new one for it"),
        ("metalscope keys revoke 4f1c", "no longer good, at once"),
    )


keys = typer.Typer(name="keys", cls=KeysGroup)


@keys.callback()
def _keys() -> None:
    """Make, list, rotate and revoke the API keys of the server."""


class CreateCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope keys create --name prometheus --role scraper", "may only scrape"),
        ("metalscope keys create --name ann --role operator --expires 90d", "may acknowledge"),
    )


def create(
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="What the key is for.")],
    role: Annotated[Role, typer.Option(metavar=_ROLES, help="What it may do.")],
    expires: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="For how long, such as 90d.", show_default="ever"),
    ] = None,
    file: File = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Make a key. It is shown this once and cannot be shown again."""
    from metalscope.access.key_file import KeysFileError  # noqa: PLC0415 - not for help

    life = None if expires is None else _duration("--expires", expires)
    kept = _kept(file, config)
    try:
        key, given = kept.changes.create(name, role, expires_in=life)
    except KeysFileError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error
    kept.record("create", key)
    return _show_once(key, given, as_json=as_json)


def list_keys(
    *,
    all_of_them: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    file: File = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """List the keys; none of them is shown itself."""
    from metalscope.access.key_file import KeysFileError  # noqa: PLC0415 - not for help
    from metalscope.moments import utc_now  # noqa: PLC0415

    now = utc_now()
    try:
        found = _kept(file, config, changes=False).changes.listed()
    except KeysFileError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error
    shown = [key for key in found if all_of_them or key.ended_at(now) is None]
    if as_json:
        return emit(as_json_text({"keys": [_plain(key, now) for key in shown]}))
    return emit(_table(shown, now) if shown else "there is no key")


def rotate(
    key_id: Id,
    *,
    grace: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the old one stays good; 0 for not.")
    ] = "1h",
    file: File = None,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Make a key in place of another: same name, role and length of life.

    The old one stays good for a while, so that nothing stops before it has the new one.
    """
    from metalscope.access.key_changes import UnknownKeyError  # noqa: PLC0415 - not for help
    from metalscope.access.key_file import KeysFileError  # noqa: PLC0415

    length = _duration("--grace", grace, zero=True)
    kept = _kept(file, config)
    try:
        key, given = kept.changes.rotate(key_id, grace=length)
    except UnknownKeyError as error:
        raise CommandFailed(str(error), ExitCode.FAILED) from error
    except KeysFileError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error
    kept.record("rotate", key)
    return _show_once(key, given, as_json=as_json)


def revoke(key_id: Id, *, file: File = None, config: Config = None, as_json: Json = False) -> int:
    """Take a key back: running servers refuse it from the next request on."""
    from metalscope.access.key_changes import UnknownKeyError  # noqa: PLC0415 - not for help
    from metalscope.access.key_file import KeysFileError  # noqa: PLC0415
    from metalscope.moments import utc_now  # noqa: PLC0415

    kept = _kept(file, config)
    try:
        key = kept.changes.revoke(key_id)
    except UnknownKeyError as error:
        raise CommandFailed(str(error), ExitCode.FAILED) from error
    except KeysFileError as error:
        raise CommandFailed(str(error), ExitCode.USAGE) from error
    kept.record("revoke", key)
    if as_json:
        return emit(as_json_text(_plain(key, utc_now())))
    return emit(f"revoked: {printable(key.name)} ({key.id})")


def _kept(file: Path | None, config: Path | None, *, changes: bool = True) -> KeptKeys:
    from metalscope.cli.kept_keys import KeptKeys  # noqa: PLC0415 - not for help

    return KeptKeys(file, config, changes=changes)


def _show_once(key: ApiKey, given: GivenKey, *, as_json: bool) -> int:
    from metalscope.moments import utc_now  # noqa: PLC0415 - not for help

    if as_json:
        return emit(as_json_text({**_plain(key, utc_now()), "key": given.text}))
    # The key alone on standard output, for a pipe into a secret store.
    until = "" if key.expires_at is None else f", until {key.expires_at:%Y-%m-%d %H:%M} UTC"
    say(f"key {key.id} for {printable(key.name)}: {key.role}{until}")
    say("it is shown this once; keep it where only its user can read it")
    return emit(given.text)


def _plain(key: ApiKey, now: datetime) -> dict[str, Any]:
    """A key as JSON: all but its hash."""
    from metalscope.moments import rfc3339, rfc3339_or_none  # noqa: PLC0415 - not for help

    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.value,
        "state": key.state(now),
        "created_at": rfc3339(key.created_at),
        "expires_at": rfc3339_or_none(key.expires_at),
        "revoked_at": rfc3339_or_none(key.revoked_at),
        "last_used_at": rfc3339_or_none(key.last_used_at),
        "replaced_by": key.replaced_by,
    }


def _table(found: list[ApiKey], now: datetime) -> str:
    rows = [("ID", "ROLE", "STATE", "CREATED", "EXPIRES", "LAST USED", "NAME")]
    rows += [
        (
            key.id,
            key.role.value,
            key.state(now),
            f"{key.created_at:%Y-%m-%d}",
            f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never",
            f"{key.last_used_at:%Y-%m-%d %H:00}" if key.last_used_at else "never",
            printable(key.name),
        )
        for key in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _duration(option: str, text: str, *, zero: bool = False) -> timedelta:
    from metalscope.durations import parse_duration  # noqa: PLC0415 - not for help

    try:
        found = parse_duration(text)
    except ValueError as error:
        raise CommandFailed(f"{option} {error}, not {text!r}", ExitCode.USAGE) from error
    if found < timedelta() or (not found and not zero):
        least = "0 or longer" if zero else "longer than 0"
        raise CommandFailed(f"{option} must be {least}, not {text!r}", ExitCode.USAGE)
    return found


keys.command("create", cls=CreateCommand)(create)
keys.command("list", cls=HelpfulCommand)(list_keys)
keys.command("rotate", cls=IdCommand)(rotate)
keys.command("revoke", cls=IdCommand)(revoke)
