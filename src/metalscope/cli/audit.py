"""``metalscope audit``: whether the record of who did what is as it was written."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from metalscope.cli.alert_arguments import Json, as_json_text
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand, HelpfulSubgroup
from metalscope.cli.output import emit, printable

__all__ = ["audit"]


class AuditGroup(HelpfulSubgroup):
    """The commands' help."""

    examples = (("metalscope audit verify audit.jsonl.1 audit.jsonl", "all files there are"),)


audit = typer.Typer(name="audit", cls=AuditGroup)


@audit.callback()
def _audit() -> None:
    """Look at the audit log of the server."""


class VerifyCommand(HelpfulCommand):
    """The command's help."""

    usages = ("[OPTIONS] FILE...",)
    examples = (
        ("metalscope audit verify audit.jsonl*", "in any order"),
        ("metalscope audit verify audit.jsonl --expect HASH", "was anything cut off since"),
    )


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="The files of one audit.")],
    *,
    expect: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="A head that was kept: its record must be there."),
    ] = None,
    key_from: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Where the key is, where it has one: env:VARIABLE, file:/path or "
            "keyring:service/user.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Find any byte that differs, and any record that is missing or out of its place.

    What was cut off at the end shows only against a head that was kept: see --expect. It exits 0,
    or 1 where something was found.
    """
    from metalscope.access.audit_chain import Chain  # noqa: PLC0415 - not for help
    from metalscope.access.audit_key import audit_key  # noqa: PLC0415
    from metalscope.access.audit_verify import AuditFault  # noqa: PLC0415
    from metalscope.access.audit_verify import verify as look_through  # noqa: PLC0415

    if expect is not None and not re.fullmatch(r"[0-9a-f]{64}", expect):
        raise CommandFailed(
            "--expect must be the hash of a record: 64 of 0-9 and a-f", ExitCode.USAGE
        )
    chain = Chain(audit_key(None, key_from, "--key-from"))
    try:
        found = look_through(files, chain, expect=expect)
    except AuditFault as fault:
        if not as_json:
            raise CommandFailed(printable(str(fault)), ExitCode.FAILED) from None
        place = {"file": str(fault.path), "line": fault.line, "what": fault.what}
        return emit(as_json_text({"ok": False, "fault": place})) or ExitCode.FAILED
    except OSError as error:
        said = f"cannot read {error.filename}: {error.strerror or error}"
        raise CommandFailed(printable(said), ExitCode.USAGE) from None
    if as_json:
        return emit(as_json_text({"ok": True, **asdict(found)}))
    counted = f"\n{found.dropped} more are only counted" if found.dropped else ""
    older = f"\nrecords before {found.first} are not in these files" if found.first > 1 else ""
    return emit(
        f"ok: {found.records} records, {found.first} to {found.last}, "
        f"{found.begins_at} to {found.ends_at}{counted}{older}\nhead: {found.head}"
    )


audit.command("verify", cls=VerifyCommand)(verify)
