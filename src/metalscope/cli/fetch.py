"""Fetching a report over HTTP, with words for each way in which that can fail."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError
from urllib.parse import SplitResult, urlsplit

from metalscope.asking import opener_for, why_no_answer
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.formats import ReportFormat

__all__ = ["base_address", "fetch_report"]

EXAMPLE: Final = "http://127.0.0.1:9464"

MOST_BYTES: Final = 64 * 1024 * 1024
"""A report is some kilobytes; this much is from something else."""

_MEDIA_TYPES: Final = {
    ReportFormat.TEXT: "text/plain",
    ReportFormat.MARKDOWN: "text/markdown",
    ReportFormat.JSON: "application/json",
}

_NOT_OURS: Final = "is this the address of a metalscope server?"
_OF_STATUS: Final = {
    401: "it asks for a key",
    403: "it does not let you in",
    421: "it does not answer to this host name; use the one it was started with",
    503: "it could not collect in time; try again",
}
_HINTS: Final[dict[type[OSError], str]] = {
    TimeoutError: "; see --timeout",
    ConnectionRefusedError: ("; is the program running under `metalscope run`, and on this port?"),
}


def base_address(url: str) -> SplitResult:
    """The base address, checked.

    Raises:
        CommandFailed: it is no address of a server, or holds what does not belong in one.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(not char.isprintable() or char.isspace() for char in url):
        raise CommandFailed(f"--url must be like {EXAMPLE}, not {url!r}", ExitCode.USAGE)
    if "@" in parts.netloc:
        raise CommandFailed("--url must not hold a user or password", ExitCode.USAGE)
    if parts.query or parts.fragment:
        raise CommandFailed(f"--url must end before ? and #, not be {url!r}", ExitCode.USAGE)
    return parts


def fetch_report(address: SplitResult, form: ReportFormat, *, timeout: float) -> str:
    """Get the report in the form asked for.

    Raises:
        CommandFailed: nothing answers, or what answers is not metalscope.
    """
    base = address.geturl().rstrip("/")
    asked = f"{base}/api/v1/report?format={form.value}"
    try:
        with opener_for(base).open(asked, timeout=timeout) as response:
            body: bytes = response.read(MOST_BYTES + 1)
            media_type: str = response.headers.get_content_type()
    except HTTPError as error:
        raise CommandFailed(
            f"{base} answered {error.code} {error.reason}: {_OF_STATUS.get(error.code, _NOT_OURS)}",
            ExitCode.UNREACHABLE,
        ) from error
    except (OSError, HTTPException) as error:
        raise CommandFailed(
            f"cannot fetch from {base}: {_why(error, timeout)}", ExitCode.UNREACHABLE
        ) from error
    if media_type != _MEDIA_TYPES[form] or len(body) > MOST_BYTES:
        raise _no_report(base, f"with {media_type}")
    text = body.decode("utf-8", "replace")
    if form is not ReportFormat.JSON:
        return text
    try:
        return json.dumps(json.loads(text), indent=2) + "\n"
    except ValueError as error:
        raise _no_report(base, "with broken JSON") from error


def _no_report(base: str, what: str) -> CommandFailed:
    return CommandFailed(
        f"{base} answered {what}, not with a report: {_NOT_OURS}", ExitCode.UNREACHABLE
    )


def _why(error: Exception, timeout: float) -> str:
    """The reason in words, with what to do about it."""
    cause = getattr(error, "reason", error)
    why = why_no_answer(cause, timeout) or f"the answer is not HTTP ({type(error).__name__})"
    return why + next((hint for kind, hint in _HINTS.items() if isinstance(cause, kind)), "")
