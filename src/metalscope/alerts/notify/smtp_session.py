"""A conversation in SMTP that keeps to a deadline, and the answers in it that end it."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from metalscope.sending.http.deadline import within
from metalscope.sending.http.sockets import open_socket
from metalscope.sending.result import ExportResult, Reason

__all__ = ["Refusal", "Session", "expect", "greet", "hang_up", "result_of", "told"]

_GOODBYE_SECONDS: Final = 1.0
"""How long the server may take to say goodbye to what it has already taken."""

_OF_THE_LETTER: Final = {"MAIL FROM", "RCPT TO", "DATA"}


class Refusal(Exception):  # noqa: N818 - what the server says, which may be no error of ours
    """An answer that was not hoped for: its code, its words, and to what it was given."""

    def __init__(self, code: int, words: bytes, to: str) -> None:
        super().__init__(code)
        self.code, self.words, self.to = code, words, to


class Session(smtplib.SMTP):
    """A conversation whose every step keeps to the deadline around it."""

    def __init__(self, tls: ssl.SSLContext | None, host: str) -> None:
        # Without a name of this machine smtplib asks the DNS for one, for as long as that takes.
        super().__init__(local_hostname="localhost")
        self._tls = tls
        # What STARTTLS checks the certificate against; smtplib sets it only where it connects at
        # once, before a deadline could be watched.
        self._host = host

    def _get_socket(self, host: str, port: int, _timeout: float | None) -> socket.socket:
        plain = open_socket(host, port)
        address = plain.getsockname()[0]
        # RFC 5321, 4.1.4: who has no name of its own gives its address.
        self.local_hostname = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
        if self._tls is None:
            return plain
        try:
            return self._tls.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise


def greet(session: Session) -> None:
    """Ask what the server can do.

    Raises:
        Refusal: it answers neither EHLO nor HELO.
    """
    # Of what is known from before STARTTLS nothing may be believed (RFC 3207, 4.2).
    code, words = session.ehlo()
    if not 200 <= code < 300:
        code, words = session.helo()
    expect((code, words), "EHLO", 250)


def expect(answer: tuple[int, bytes], to: str, *codes: int) -> None:
    """Go on where the answer to ``to`` has one of these codes.

    Raises:
        Refusal: it has another.
    """
    code, words = answer
    if code not in codes:
        raise Refusal(code, words, to)


def told(
    command: Callable[..., tuple[int, bytes]], to: str, code: int, *args: Any, **named: Any
) -> None:
    """The same, of a command that raises some answers itself."""
    try:
        answer = command(*args, **named)
    except smtplib.SMTPResponseException as error:
        words = error.smtp_error
        raise Refusal(
            error.smtp_code, words if isinstance(words, bytes) else words.encode(), to
        ) from None
    expect(answer, to, code)


def hang_up(session: Session) -> None:
    """Say goodbye, where the connection is still open, and close it."""
    with suppress(OSError, ValueError), within(_GOODBYE_SECONDS):
        if session.sock is not None:
            session.quit()
    session.close()


def result_of(refusal: Refusal, peer: str, said: str) -> ExportResult:
    """What an answer means for the letter (RFC 5321, 4.2.1: a 4 may be otherwise later).

    Args:
        refusal: the answer.
        peer: host and port of the server.
        said: its code and words, as they may be shown.
    """
    code, to = refusal.code, refusal.to
    detail = f"{peer} answered {to} with {said}"
    if not 200 <= code < 600:
        return ExportResult.retry(Reason.GARBAGE, f"{peer}: what answers is not SMTP")
    # RFC 4954, 6: a log-in that failed, and what is not done without one.
    if code == 530 or (to == "AUTH" and code >= 500):
        return ExportResult.retry(Reason.UNAUTHORIZED, detail)
    if to == "STARTTLS" and code >= 500:
        return ExportResult.retry(Reason.TLS, f"{detail}, and nothing was sent in clear")
    # What is refused before the letter is no fault of it, and a person may mend it.
    if code < 500 or to not in _OF_THE_LETTER:
        return ExportResult.retry(Reason.SERVER_ERROR, detail)
    return ExportResult.rejected(_reason(refusal), detail)


def _reason(refusal: Refusal) -> Reason:
    if refusal.code == 552:
        return Reason.TOO_LARGE
    # RFC 3463, 3.8: security or policy.
    if refusal.words.startswith(b"5.7."):
        return Reason.FORBIDDEN
    return Reason.NOT_FOUND if refusal.to == "RCPT TO" else Reason.SCHEMA
