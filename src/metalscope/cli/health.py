"""``metalscope health``: how a running program is, for a person and for ``exec`` probes."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import emit, printable

if TYPE_CHECKING:
    from metalscope.cli.asking import Answer

__all__ = ["HealthCommand", "ProbeName", "health"]

DEFAULT_URL: Final = "http://127.0.0.1:9464"

_WELL: Final = 200
_UNAVAILABLE: Final = 503


class ProbeName(StrEnum):
    """What is asked."""

    HEALTH = "health"
    READY = "ready"
    LIVE = "live"
    STARTUP = "startup"


_PATHS: Final = {
    ProbeName.HEALTH: "/health",
    ProbeName.READY: "/readyz?verbose",
    ProbeName.LIVE: "/livez?verbose",
    ProbeName.STARTUP: "/startupz?verbose",
}


class HealthCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope health", "of a program on this machine"),
        ("metalscope health --probe ready", "as a readiness probe; exits 1 where it is not"),
        ("metalscope health --json | jq .checks", "for a program"),
    )


def health(
    url: Annotated[
        str, typer.Option(metavar="URL", help="Where the program serves its telemetry.")
    ] = DEFAULT_URL,
    probe: Annotated[
        ProbeName,
        typer.Option(metavar="|".join(ProbeName), help="What to ask."),
    ] = ProbeName.HEALTH,
    as_json: Annotated[
        bool, typer.Option("--json", help="The health document as it is, for a program.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="How long to wait.")
    ] = 5.0,
) -> int:
    """Say how a running program is.

    Exits 0 where it passes, with or without a warning, 1 where it fails, and 4 where nothing
    answers.
    """
    from metalscope.cli.asking import ask  # noqa: PLC0415 - loads http, ssl
    from metalscope.cli.fetch import base_address  # noqa: PLC0415

    if as_json and probe is not ProbeName.HEALTH:
        raise CommandFailed("--json is for --probe health; the others answer text", ExitCode.USAGE)
    base = base_address(url).geturl().rstrip("/")
    answer = ask(base, _PATHS[probe], timeout=timeout, hints=False)
    if answer.status not in {_WELL, _UNAVAILABLE}:
        said = f"{base} answered {answer.status} {answer.reason}: is this a metalscope server?"
        raise CommandFailed(printable(said), ExitCode.UNREACHABLE)
    if probe is ProbeName.HEALTH:
        document = _document(base, answer)
        text = json.dumps(document, indent=2) if as_json else _as_text(document)
    elif answer.media_type != "text/plain":
        raise _not_ours(base)
    else:
        text = answer.text
    return emit(text) or (ExitCode.FAILED if answer.status == _UNAVAILABLE else ExitCode.OK)


def _document(base: str, answer: Answer) -> dict[str, Any]:
    from metalscope.health_json import MEDIA_TYPE  # noqa: PLC0415 - not for help and probes

    try:
        document = json.loads(answer.text) if answer.media_type == MEDIA_TYPE else None
    except ValueError:
        document = None
    if not isinstance(document, dict) or "status" not in document:
        raise _not_ours(base)
    return document


def _not_ours(base: str) -> CommandFailed:
    return CommandFailed(
        f"{base} answered, and not with health: is this a metalscope server?",
        ExitCode.UNREACHABLE,
    )


def _as_text(document: dict[str, Any]) -> str:
    word = document.get("health_status")
    first = f"{document['status']} ({word})" if word else str(document["status"])
    lines = [": ".join(filter(None, (first, document.get("output", ""))))]
    for one in document.get("components", ()):
        line = f"  {one['component']:<9} {one['status']:<9} {'; '.join(one['reasons'])}"
        lines.append(line.rstrip())
    lines += (f"  note: {note}" for note in document.get("notes", ()))
    return "\n".join(printable(line) for line in lines)
