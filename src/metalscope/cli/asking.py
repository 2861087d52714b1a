"""Asking a running program over HTTP, with words for each way in which that can fail.

Loads http and ssl: commands import it when they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request

from metalscope.asking import KEY_VARIABLE, opener_for, why_no_answer
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.output import printable

__all__ = ["NOT_OURS", "Answer", "ask", "refusal"]

MOST_BYTES: Final = 64 * 1024 * 1024
"""A report is some kilobytes; this much is from something else."""

NOT_OURS: Final = "is this the address of a metalscope server?"
_OF_STATUS: Final = {
    401: f"it asks for a key; put one into {KEY_VARIABLE}",
    403: "the role of the key does not allow it",
    421: "it does not answer to this host name; use the one it was started with",
    503: "it could not collect in time; try again",
}
_HINTS: Final[dict[type[OSError], str]] = {
    TimeoutError: "; see --timeout",
    ConnectionRefusedError: ("; is the program running under `metalscope run`, and on this port?"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, whatever its status."""

    status: int
    reason: str
    media_type: str
    text: str


def ask(
    base: str,
    path: str,
    *,
    timeout: float,
    method: str = "GET",
    body: bytes | None = None,
    hints: bool = True,
) -> Answer:
    """Ask, and read the whole answer.

    Args:
        base: the checked address of the server, without a slash at its end.
        path: what is asked for, from ``/`` on.
        timeout: s to wait for each part of the answer.
        method: the HTTP method.
        body: JSON to send.
        hints: whether an error also says what a person could do; a probe's does not.

    Raises:
        CommandFailed: nothing answers, or not in HTTP, or too much.
    """
    headers = {} if body is None else {"content-type": "application/json"}
    request = Request(base + path, body, headers, method=method)  # noqa: S310 - http, https alone
    try:
        try:
            with opener_for(base).open(request, timeout=timeout) as response:
                return _read(base, response)
        except HTTPError as error:
            with error:
                return _read(base, error)
    except (OSError, HTTPException) as error:
        cause = getattr(error, "reason", error)
        why = why_no_answer(cause, timeout) or f"the answer is not HTTP ({type(error).__name__})"
        known = _HINTS.items() if hints else ()
        hint = next((text for kind, text in known if isinstance(cause, kind)), "")
        raise CommandFailed(f"cannot ask {base}: {why}{hint}", ExitCode.UNREACHABLE) from error


def refusal(base: str, answer: Answer) -> CommandFailed:
    """The error for an answer that is none of success."""
    meaning = _OF_STATUS.get(answer.status, NOT_OURS)
    said = f"{base} answered {answer.status} {answer.reason}: {meaning}"
    return CommandFailed(printable(said), ExitCode.UNREACHABLE)


def _read(base: str, response: HTTPResponse | HTTPError) -> Answer:
    body = response.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise CommandFailed(
            f"{base} answered with more than {MOST_BYTES} bytes: {NOT_OURS}", ExitCode.UNREACHABLE
        )
    return Answer(
        response.status or 0,
        str(response.reason),
        response.headers.get_content_type(),
        body.decode("utf-8", "replace"),
    )
