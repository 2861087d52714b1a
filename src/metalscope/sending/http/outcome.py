"""What an answer over HTTP, or the lack of one, means for the data that were sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from metalscope.errors import MetalscopeError
from metalscope.option_types import shown_endpoint
from metalscope.sending.result import ExportResult, Reason

__all__ = ["HttpAnswer", "TransportError", "judge", "result_of_error", "retry_after_of"]

_LONGEST_WAIT: Final = timedelta(days=1).total_seconds()

# What the server itself says where it wanted TLS: Go's net/http, nginx, Apache.
_WANTS_TLS: Final = re.compile(
    rb"HTTP request to an HTTPS server|HTTP request was sent to HTTPS port"
    rb"|speaking plain HTTP to an SSL",
)
_PAGE: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+)?html", re.I)

_BY_STATUS: Final = {
    401: Reason.UNAUTHORIZED,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    407: Reason.PROXY,
    408: Reason.SERVER_ERROR,
    413: Reason.TOO_LARGE,
    429: Reason.RATE_LIMITED,
}


class TransportError(MetalscopeError):
    """There was no answer. ``reason`` and the text say why, without any secret."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a peer answered; header names are in lower case.

    ``peer`` is its host and port. ``words`` are the first words of the body where the answer is no
    success: printable, at most 200 characters, without the secrets of the sender. The body is as
    it came, and may hold them.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    peer: str = "the peer"
    words: str = ""


def judge(answer: HttpAnswer) -> ExportResult:
    """What an answer means, by its status (RFC 9110, section 15).

    Where a person can mend the cause, as with a wrong key or path, the data wait. A success with a
    whole web page in it is none: a log-in page or a captive portal answered.
    """
    says = f"{answer.peer} answered {answer.status}" + (f": {answer.words}" if answer.words else "")
    reason = _reason(answer)
    if reason is None:
        return ExportResult.delivered()
    if reason in {Reason.SCHEMA, Reason.TOO_LARGE}:
        return ExportResult.rejected(reason, says)
    if reason is Reason.TLS:
        says += " (is the URL https, not http?)"
    elif reason is Reason.GARBAGE and answer.status // 100 == 2:
        says += " with a web page, which is no answer of an API"
    elif reason is Reason.REDIRECTED:
        to = _printable(shown_endpoint(answer.headers.get("location", ""))[:200])
        says = f"{answer.peer} answered {answer.status}" + (f" and points to {to}" if to else "")
        says += "; redirects are not followed"
    return ExportResult.retry(reason, says, retry_after=retry_after_of(answer.headers))


def _reason(answer: HttpAnswer) -> Reason | None:
    if answer.status in _BY_STATUS:
        return _BY_STATUS[answer.status]
    match answer.status // 100:
        case 2:
            return Reason.GARBAGE if _PAGE.match(answer.body) else None
        case 3:
            return Reason.REDIRECTED
        case 4:
            return Reason.TLS if _WANTS_TLS.search(answer.body) else Reason.SCHEMA
        case 5:
            return Reason.SERVER_ERROR
        case _:
            # 101 is none we asked for; 600 and more are none at all.
            return Reason.GARBAGE


def result_of_error(error: TransportError) -> ExportResult:
    """There was no answer, and there may be one later: the data wait."""
    return ExportResult.retry(error.reason, error.detail)


def retry_after_of(headers: Mapping[str, str]) -> timedelta | None:
    """How long the peer asks to be left alone (RFC 9110, 10.2.3); at most a day.

    A date counts from the peer's own clock, which its ``Date`` tells. ``None`` where there is no
    such header, or it cannot be read.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        return timedelta(seconds=min(float(text), _LONGEST_WAIT))
    until = _moment(text)
    if until is None:
        return None
    now = _moment(headers.get("date", "")) or datetime.now(UTC)
    return timedelta(seconds=min(max((until - now).total_seconds(), 0), _LONGEST_WAIT))


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
