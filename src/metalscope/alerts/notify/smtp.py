"""SMTP to one server: one message in one bounded conversation, secured, and what came of it.

After RFC 5321 (SMTP), 3207 (STARTTLS), 4954 and 4616 (AUTH), 6531 (SMTPUTF8), 8314 (port 465).
"""

from __future__ import annotations

import base64
import smtplib
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from metalscope.alerts.notify.smtp_session import (
    Refusal,
    Session,
    expect,
    greet,
    hang_up,
    result_of,
    told,
)
from metalscope.errors import ConfigurationError
from metalscope.option_types import is_loopback
from metalscope.sending.http.deadline import within
from metalscope.sending.http.masking import Mask
from metalscope.sending.http.outcome import TransportError
from metalscope.sending.http.secrets import source_of
from metalscope.sending.http.tls import Tls
from metalscope.sending.result import ExportResult, Reason

if TYPE_CHECKING:
    from metalscope.alert_options import SmtpOptions
    from metalscope.sending.http.secrets import SecretSource

__all__ = ["Letter", "SmtpServer"]

WHO: Final = "alerts.smtp"

_SUBMISSIONS: Final = 465
"""The port on which TLS comes first (RFC 8314, 3.3)."""

# OpenSSL's words where the other side speaks no TLS at all.
_NO_TLS: Final = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}


@dataclass(frozen=True, slots=True)
class Letter:
    """What is handed to the server. Addresses and content are not shown."""

    sender: str = field(repr=False)
    recipients: tuple[str, ...] = field(repr=False)
    content: bytes = field(repr=False)
    """Headers and all, with CRLF."""
    utf8: bool = False
    """Whether headers or addresses hold UTF-8, which not every server takes."""


class SmtpServer:
    """The server that takes letters, as the options of ``alerts.smtp`` name it.

    Raises:
        ConfigurationError: a password would be sent without TLS to another machine, or a file of
            TLS is not usable.
        MissingExtraError: the password is in the keyring, and the library for it is not installed.
    """

    def __init__(self, options: SmtpOptions) -> None:
        self._host = options.host
        self._security = _security(options)
        self._port = options.port or _port(self._security, options.user)
        self._user = options.user
        self._password = source_of(options.password, options.password_from, WHO, option="password")
        if self._user and self._security == "none" and not is_loopback(self._host):
            raise ConfigurationError(
                f"{WHO}: security must be starttls or tls where there is a user: without, the "
                "password could be read on the way"
            )
        named = options.tls.ca_file is not None or options.tls.cert_file is not None
        self._tls = Tls(options.tls, WHO) if named or self._security != "none" else None
        self._lowest = options.tls.min_version
        self._mask = Mask()

    @property
    def peer(self) -> str:
        """Host and port, to be shown."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    @property
    def security(self) -> Literal["none", "starttls", "tls"]:
        """How the connection is secured, as ``alerts.smtp.security`` says or as is the default."""
        return self._security

    def __repr__(self) -> str:
        return f"<SmtpServer {self.peer}>"

    def send(self, letter: Letter, timeout: timedelta) -> ExportResult:
        """Hand over one letter.

        Args:
            letter: what is sent.
            timeout: how long all of it may take, from the look-up of the name on.

        Returns:
            Delivered where the server took it for at least one recipient; to be tried again where
            it may take it later, or where a person can mend the cause; else rejected. No text
            holds an address or the password.
        """
        for address in letter.recipients:
            self._mask.add(address)
        seconds = timeout.total_seconds()
        try:
            with within(seconds):
                tls = self._tls.context() if self._tls is not None else None
                session = Session(tls if self._security == "tls" else None, self._host)
                try:
                    return self._talk(session, letter, tls)
                except OSError as error:
                    connected = session.sock is not None or isinstance(
                        error, smtplib.SMTPServerDisconnected
                    )
                    session.close()
                    return self._unreachable(error, connected, seconds)
                finally:
                    hang_up(session)
        except TransportError as error:
            return ExportResult.retry(error.reason, f"{WHO}: {error.detail}")

    def _talk(self, session: Session, letter: Letter, tls: ssl.SSLContext | None) -> ExportResult:
        try:
            expect(session.connect(self._host, self._port), "the connection", 220)
            greet(session)
            if self._security == "starttls":
                if not session.has_extn("starttls"):
                    return ExportResult.retry(
                        Reason.TLS,
                        f"{self.peer} offers no STARTTLS, and nothing was sent in clear",
                    )
                told(session.starttls, "STARTTLS", 220, context=tls)
                greet(session)
            if self._user is not None and self._password is not None:
                self._log_in(session, self._user, self._password)
            return self._hand_over(session, letter)
        except Refusal as refusal:
            return result_of(refusal, self.peer, self._words(refusal))

    def _log_in(self, session: Session, user: str, source: SecretSource) -> None:
        password = source.read()
        offered = session.esmtp_features.get("auth", "").upper().split()
        # smtplib's own knows ASCII passwords only.
        plain = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        name, key = (base64.b64encode(text.encode()).decode() for text in (user, password))
        for secret in (password, plain, key):
            self._mask.add(secret)
        if "PLAIN" in offered:
            answer = session.docmd("AUTH", f"PLAIN {plain}")
        elif "LOGIN" in offered:
            expect(session.docmd("AUTH", "LOGIN"), "AUTH", 334)
            expect(session.docmd(name), "AUTH", 334)
            answer = session.docmd(key)
        else:
            raise TransportError(
                Reason.UNAUTHORIZED, f"{self.peer} offers neither AUTH PLAIN nor AUTH LOGIN"
            )
        expect(answer, "AUTH", 235)

    def _hand_over(self, session: Session, letter: Letter) -> ExportResult:
        parameters = []
        if session.has_extn("size"):
            parameters.append(f"SIZE={len(letter.content)}")
        if letter.utf8:
            if not session.has_extn("smtputf8"):
                return ExportResult.rejected(
                    Reason.SCHEMA,
                    f"{self.peer} takes no addresses with letters beyond ASCII (SMTPUTF8)",
                )
            parameters += ["SMTPUTF8", "BODY=8BITMIME"]
            session.command_encoding = "utf-8"
        expect(session.mail(letter.sender, parameters), "MAIL FROM", 250)
        refusals = []
        for recipient in letter.recipients:
            try:
                expect(session.rcpt(recipient), "RCPT TO", 250, 251, 252)
            except Refusal as refusal:
                # 421 is the end of the conversation.
                if refusal.code == 421:
                    raise
                refusals.append(refusal)
        if len(refusals) == len(letter.recipients):
            # One that may be taken later is worth another attempt.
            raise min(refusals, key=lambda refusal: refusal.code)
        told(session.data, "DATA", 250, letter.content)
        taken = len(letter.recipients) - len(refusals)
        if not refusals:
            return ExportResult.delivered(taken)
        detail = (
            f"{self.peer} refused {len(refusals)} of {len(letter.recipients)} recipients: "
            f"{self._words(refusals[0])}"
        )
        return ExportResult.delivered(taken, rejected_points=len(refusals), detail=detail)

    def _words(self, refusal: Refusal) -> str:
        words = self._mask.shown(refusal.words.decode("utf-8", "replace"))
        return f"{refusal.code} {words}".strip()

    def _unreachable(self, error: OSError, connected: bool, seconds: float) -> ExportResult:
        from metalscope.sending.http.errors import transport_error  # noqa: PLC0415 - loads urllib3

        cause: BaseException = error
        if isinstance(error, smtplib.SMTPServerDisconnected):
            # It says only that the connection is gone; why is what it was handling.
            cause = error.__context__ or ConnectionResetError()
        elif isinstance(error, smtplib.SMTPException):
            return ExportResult.retry(Reason.GARBAGE, f"{self.peer}: what answers is not SMTP")
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            words = f"{self.peer} does not begin with TLS; is security starttls meant?"
            return ExportResult.retry(Reason.TLS, words)
        known = transport_error(
            cause if isinstance(cause, OSError) else error,
            peer=self.peer,
            proxy=None,
            connected=connected,
            seconds=seconds,
            tls=self._lowest,
        )
        if known is None:
            # No error of the network is unknown there; this one is not left out all the same.
            return ExportResult.retry(Reason.NETWORK, f"{self.peer}: {type(cause).__name__}")
        return ExportResult.retry(known.reason, known.detail)


def _security(options: SmtpOptions) -> Literal["none", "starttls", "tls"]:
    if options.security is not None:
        return options.security
    if options.port == _SUBMISSIONS:
        return "tls"
    return "none" if is_loopback(options.host) else "starttls"


def _port(security: str, user: str | None) -> int:
    if security == "tls":
        return _SUBMISSIONS
    return 25 if user is None else 587
