"""E-mail: text and a simple page, and the messages of one incident in one thread.

After RFC 5322 (messages), 2046 (multipart/alternative), 3834 (Auto-Submitted), 6532 (UTF-8).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Final

from metalscope.alerts.notification import NotificationKind
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.phrases import lines, one_line, shortened
from metalscope.alerts.notify.smtp import Letter, SmtpServer
from metalscope.alerts.notify.targets import addresses_of
from metalscope.errors import ConfigurationError
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.base import NotifierContext
    from metalscope.sending.result import ExportResult

__all__ = ["EmailNotifier"]

_LONGEST_SUBJECT: Final = 200
"""Characters; a mail program shows fewer."""

_LONGEST_BODY: Final = 200_000
"""Characters; servers take 10 MB and more, and nobody reads on."""

_COLOURS: Final = {
    ErrorSeverity.LOW: "#57606a",
    ErrorSeverity.MEDIUM: "#9a6700",
    ErrorSeverity.HIGH: "#bc4c00",
    ErrorSeverity.CRITICAL: "#cf222e",
}
_OVER: Final = "#1a7f37"
_TEST: Final = "#0969da"

_URL: Final = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")


class EmailNotifier(Notifier):
    """Sends each message as one e-mail to all addresses of the channel.

    Raises:
        ConfigurationError: the target holds what is no address, or the server's options cannot be.
        MissingExtraError: the password is in the keyring, and the library for it is not installed.
    """

    def __init__(self, context: NotifierContext) -> None:
        who = context.options.who
        target = context.options.target
        recipients = addresses_of(target.get_secret_value()) if target is not None else ()
        if not recipients:
            raise ConfigurationError(
                f"{who}: target must be e-mail addresses with commas between them"
            )
        try:
            self._recipients = tuple(map(_ascii_domain, recipients))
        except ValueError:
            raise ConfigurationError(
                f"{who}: target must have addresses whose hosts are names of hosts"
            ) from None
        self._from = _sender(context.smtp.sender)
        self._server = SmtpServer(context.smtp)
        self._wording = context.wording
        self._timeout = context.options.timeout

    def __repr__(self) -> str:
        return f"<EmailNotifier by {self._server.peer}>"

    def send(self, notification: Notification) -> ExportResult:
        """Write and send it."""
        addresses = (self._from.addr_spec, *self._recipients)
        utf8 = not all(address.isascii() for address in addresses)
        message = self._message(notification)
        letter = Letter(
            sender=self._from.addr_spec,
            recipients=self._recipients,
            # 7 bits, so that each server on the way takes it as it is.
            content=message.as_bytes(policy=SMTPUTF8 if utf8 else SMTP.clone(cte_type="7bit")),
            utf8=utf8,
        )
        return self._server.send(letter, self._timeout)

    def _message(self, notification: Notification) -> EmailMessage:
        # A line break in a header would end it and begin another.
        title = shortened(one_line(self._wording.title(notification)), _LONGEST_SUBJECT)
        body = shortened(lines(self._wording.body(notification)), _LONGEST_BODY)
        message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
        message["Subject"] = title
        message["From"] = self._from
        message["To"] = [_address("", one) for one in self._recipients]
        message["Date"] = format_datetime(notification.created_at)
        domain = self._from.domain
        message["Message-ID"] = f"<{_digest(notification.channel, notification.id)}@{domain}>"
        # A message that nobody got begins the thread: whichever of them comes first, the others
        # are put beside it.
        thread = f"<{notification.incident}@{domain}>"
        message["In-Reply-To"] = thread
        message["References"] = thread
        message["Auto-Submitted"] = "auto-generated"
        # Microsoft, MS-OXCMAIL 2.2.3.2.14: no answers of those who are out of office.
        message["X-Auto-Response-Suppress"] = "All"
        message["X-Metalscope-Incident"] = notification.incident
        message.set_content(body)
        message.add_alternative(_page(title, body, _colour(notification)), subtype="html")
        return message


def _sender(given: str | None) -> Address:
    if given is None:
        host = socket.gethostname()
        return Address("metalscope", "metalscope", host if _is_domain(host) else "localhost")
    name, address = parseaddr(given)
    if addresses_of(address) != (address,) or re.search(r"[\x00-\x1f\x7f]", given):
        raise ConfigurationError(
            "alerts.smtp: sender must be an address such as 'metalscope@example.com' or "
            "'Metalscope <metalscope@example.com>'"
        )
    try:
        return _address(name or "metalscope", _ascii_domain(address))
    except ValueError:
        raise ConfigurationError("alerts.smtp: sender must have a host that is one") from None


def _address(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    # Given whole, it must be ASCII.
    return Address(name, local, domain)


def _ascii_domain(address: str) -> str:
    """The address with its host as DNS has it (RFC 5890); what is before the @ stays.

    Raises:
        ValueError: it is no name of a host.
    """
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain if domain.isascii() else domain.encode('idna').decode()}"


def _is_domain(host: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", host))


def _digest(*parts: str) -> str:
    return sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _colour(notification: Notification) -> str:
    match notification.kind:
        case NotificationKind.RESOLVED:
            return _OVER
        case NotificationKind.TEST:
            return _TEST
        case _:
            return _COLOURS[notification.severity]


def _page(title: str, body: str, colour: str) -> str:
    """Styles are on the elements: mail programs take no others."""
    text = "<br>\n".join(_linked(body.split("\n")))
    return (
        '<!doctype html>\n<html><head><meta charset="utf-8"></head>\n'
        '<body style="margin:0;padding:16px;font-family:sans-serif;font-size:14px;'
        'line-height:1.5">\n'
        f'<div style="border-left:4px solid {colour};padding-left:12px">\n'
        f'<h1 style="font-size:18px;margin:0 0 12px;color:{colour}">{escape(title)}</h1>\n'
        f"<p>{text}</p>\n</div>\n</body></html>\n"
    )


def _linked(body: Iterable[str]) -> Iterable[str]:
    for line in body:
        start = len(line) - len(line.lstrip(" "))
        # Else a page shows no space at the beginning of a line.
        parts, end = ["&nbsp;" * start], start
        for found in _URL.finditer(line):
            url = escape(found[0])
            parts += [escape(line[end : found.start()]), f'<a href="{url}">{url}</a>']
            end = found.end()
        yield "".join([*parts, escape(line[end:])])
