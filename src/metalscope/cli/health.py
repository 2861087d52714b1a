"""``metalscope health``: how a running program is, for a person and for ``exec`` probes."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import emit

__all__ = ["HealthCommand", "ProbeName", "health"]

DEFAULT_URL: Final = "http://127.0.0.1:9464"
MOST_BYTES: Final = 16 * 1024 * 1024

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
    from metalscope.cli.fetch import base_address  # noqa: PLC0415 - loads http, ssl

    if as_json and probe is not ProbeName.HEALTH:
        raise CommandFailed("--json is for --probe health; the others answer text", ExitCode.USAGE)
    base = base_address(url).geturl().rstrip("/")
    status, media_type, body = _ask(base, _PATHS[probe], timeout)
    if probe is ProbeName.HEALTH:
        document = _document(base, media_type, body)
        text = json.dumps(document, indent=2) if as_json else _as_text(document)
    elif media_type != "text/plain":
        raise _not_ours(base)
    else:
        text = body
    return emit(text) or (ExitCode.FAILED if status == _UNAVAILABLE else ExitCode.OK)


def _ask(base: str, path: str, timeout: float) -> tuple[int, str, str]:
    """The status code, the media type and the text of the answer.

    Raises:
        CommandFailed: nothing answers, or what answers is not metalscope.
    """
    from http.client import HTTPException  # noqa: PLC0415 - not for help
    from urllib.error import HTTPError  # noqa: PLC0415

    from metalscope.asking import opener_for, why_no_answer  # noqa: PLC0415 - loads http, ssl

    try:
        with opener_for(base).open(base + path, timeout=timeout) as response:
            return _read(response)
    except HTTPError as error:
        if error.code != _UNAVAILABLE:
            raise CommandFailed(
                f"{base} answered {error.code} {error.reason}: is this a metalscope server?",
                ExitCode.UNREACHABLE,
            ) from error
        with error:
            return _read(error)
    except (OSError, HTTPException) as error:
        cause = getattr(error, "reason", error)
        why = why_no_answer(cause, timeout) or f"the answer is not HTTP ({type(error).__name__})"
        raise CommandFailed(f"cannot ask {base}: {why}", ExitCode.UNREACHABLE) from error


def _read(response: Any) -> tuple[int, str, str]:
    body: bytes = response.read(MOST_BYTES)
    return response.status, response.headers.get_content_type(), body.decode("utf-8", "replace")


def _document(base: str, media_type: str, body: str) -> dict[str, Any]:
    from metalscope.health_json import MEDIA_TYPE  # noqa: PLC0415 - not for help and probes

    try:
        document = json.loads(body) if media_type == MEDIA_TYPE else None
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
    return "\n".join(_printable(line) for line in lines)


def _printable(text: str) -> str:
    """No control character of a foreign text reaches the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
