"""A real SMTP server, aiosmtpd, with the answers and the TLS that a test asks for."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from peers import free_port


@dataclass(frozen=True)
class Mail:
    """One mail that was taken: its envelope, how it came, and the message itself."""

    sender: str
    recipients: tuple[str, ...]
    encrypted: bool
    options: tuple[str, ...]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        made = message_from_bytes(self.content, policy=policy.SMTP)
        assert isinstance(made, EmailMessage)
        return made

    @property
    def text(self) -> str:
        """Its plain part."""
        part = self.message.get_body(("plain",))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")

    @property
    def page(self) -> str:
        """Its HTML part."""
        part = self.message.get_body(("html",))
        assert part is not None
        return str(part.get_content())


@dataclass
class MailServer:
    """What a running server took, and what was tried on it."""

    port: int
    mails: list[Mail] = field(default_factory=list)
    logins: list[tuple[bytes, bytes, str]] = field(default_factory=list)
    """User, password and mechanism."""
    greeted: list[str] = field(default_factory=list)
    """What clients call themselves."""


def _is_encrypted(server: SMTP) -> bool:
    assert server.transport is not None
    return server.transport.get_extra_info("sslcontext") is not None


class _Handler:
    def __init__(self, server: MailServer, answers: Mapping[str, str]) -> None:
        self.server, self.answers = server, answers

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, _envelope: Envelope, host: str, answers: list[str]
    ) -> list[str]:
        session.host_name = host
        self.server.greeted.append(host)
        return answers

    async def handle_MAIL(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, sender: str, options: list[str]
    ) -> str:
        envelope.mail_from = sender
        envelope.mail_options.extend(options)
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        answer = self.answers.get(address, self.answers.get("RCPT", "250 OK"))
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("2"):
            content = envelope.content
            assert isinstance(content, bytes)
            self.server.mails.append(
                Mail(
                    envelope.mail_from or "",
                    tuple(envelope.rcpt_tos),
                    _is_encrypted(server),
                    tuple(envelope.mail_options),
                    content,
                )
            )
        return answer


@contextmanager
def mail_server(
    *,
    tls: ssl.SSLContext | None = None,
    security: Literal["none", "starttls", "tls"] = "none",
    answers: Mapping[str, str] | None = None,
    password: str | None = None,
    utf8: bool = False,
) -> Iterator[MailServer]:
    """Run a server on 127.0.0.1.

    Args:
        tls: its certificate.
        security: whether it offers STARTTLS, or speaks TLS from the start.
        answers: what it says to ``MAIL``, ``RCPT``, ``DATA``, or to the RCPT of an address.
        password: what a log-in must have; none is offered without.
        utf8: whether it takes SMTPUTF8.
    """
    server = MailServer(free_port())

    def login(
        _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        server.logins.append((data.login, data.password, mechanism))
        return AuthResult(success=data.password == (password or "").encode(), handled=False)

    controller = Controller(
        _Handler(server, answers or {}),
        hostname="127.0.0.1",
        port=server.port,
        ssl_context=tls if security == "tls" else None,
        tls_context=tls if security == "starttls" else None,
        authenticator=login if password is not None else None,
        auth_required=password is not None,
        auth_require_tls=security == "starttls",
        enable_SMTPUTF8=utf8,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
