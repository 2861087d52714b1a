"""Fetching a report over HTTP, with words for each way in which that can fail."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import SplitResult, urlsplit

from metalscope.cli.asking import NOT_OURS, ask, refusal
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.formats import ReportFormat

__all__ = ["base_address", "fetch_report"]

EXAMPLE: Final = "http://127.0.0.1:9464"

_MEDIA_TYPES: Final = {
    ReportFormat.TEXT: "text/plain",
    ReportFormat.MARKDOWN: "text/markdown",
    ReportFormat.JSON: "application/json",
}
_SUCCESS: Final = 200


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
    answer = ask(base, f"/api/v1/report?format={form.value}", timeout=timeout)
    if answer.status != _SUCCESS:
        raise refusal(base, answer)
    if answer.media_type != _MEDIA_TYPES[form]:
        raise _no_report(base, f"with {answer.media_type}")
    text = answer.text
    if form is not ReportFormat.JSON:
        return text
    try:
        return json.dumps(json.loads(text), indent=2) + "\n"
    except ValueError as error:
        raise _no_report(base, "with broken JSON") from error


def _no_report(base: str, what: str) -> CommandFailed:
    return CommandFailed(
        f"{base} answered {what}, not with a report: {NOT_OURS}", ExitCode.UNREACHABLE
    )
