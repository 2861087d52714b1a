from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from faulty_server import authority, server_context
from hypothesis import given, settings
from hypothesis import strategies as st
from mail_server import MailServer, mail_server
from raw_server import raw_server

from alert_samples import MESSAGE, NOW, RESOLVED
from metalscope.alert_options import ChannelOptions, SmtpOptions
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.base import Notifier, NotifierContext
from metalscope.alerts.notify.email import EmailNotifier
from metalscope.alerts.notify.registry import create_notifier
from metalscope.alerts.notify.smtp import SmtpServer
from metalscope.errors import ConfigurationError
from metalscope.peer_options import TlsOptions
from metalscope.sending.http.transport import HttpTransport
from metalscope.sending.result import ExportResult, Reason, Verdict
from peers import free_port

PASSWORD = "pässwörd nobody guesses"


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return path


def notifier(port: int, target: str = "ops@example.com", **smtp: Any) -> Notifier:
    timeout = smtp.pop("timeout", 5)
    smtp = {"host": "127.0.0.1", "port": port, "sender": "metal@example.com"} | smtp
    channel = ChannelOptions(
        name="mail", type="email", target=target, timeout=timedelta(seconds=timeout)
    )
    return create_notifier(channel, SmtpOptions(**smtp))


def send(
    port: int, target: str = "ops@example.com", message: Notification = MESSAGE, **smtp: Any
) -> ExportResult:
    return notifier(port, target, **smtp).send(message)


class Written:
    """A wording that says what a test wants."""

    def __init__(self, title: str, body: str) -> None:
        self._title, self._body = title, body

    def title(self, _notification: Notification) -> str:
        return self._title

    def body(self, _notification: Notification) -> str:
        return self._body


def test_a_mail_has_the_title_the_text_and_a_page_that_says_the_same() -> None:
    with mail_server() as server:
        result = send(server.port, "ops@example.com, on-call@example.com")
    assert result == ExportResult.delivered(2)
    (mail,) = server.mails
    assert mail.recipients == ("ops@example.com", "on-call@example.com")
    assert mail.sender == "metal@example.com"
    message = mail.message
    assert "attention failed 7 times in 5m" in message["Subject"]
    assert message["From"] == "metalscope <metal@example.com>"
    assert message["To"] == "ops@example.com, on-call@example.com"
    assert parsedate_to_datetime(message["Date"]) == NOW
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Metalscope-Incident"] == MESSAGE.incident
    assert message.get_content_type() == "multipart/alternative"
    assert "Look at the kernel's last change." in mail.text
    assert "Look at the kernel&#x27;s last change." in mail.page
    assert f'<a href="{MESSAGE.alerts[0].runbook}">' in mail.page


def test_messages_of_one_incident_are_one_thread_and_each_has_an_id_of_its_own() -> None:
    later = replace(MESSAGE, id="m2", kind=NotificationKind.RESOLVED, alerts=(RESOLVED,))
    another = replace(MESSAGE, id="m3", began_at=NOW)
    with mail_server() as server:
        one = notifier(server.port)
        for message in (MESSAGE, later, another, MESSAGE):
            assert one.send(message).ok
    first, second, other, again = [mail.message for mail in server.mails]
    assert first["References"] == first["In-Reply-To"] == second["References"]
    assert other["References"] != first["References"]
    ids = [mail["Message-ID"] for mail in (first, second, other)]
    assert len({*ids, first["References"]}) == 4
    # What is sent again after a doubtful failure can be told from a new mail.
    assert again["Message-ID"] == first["Message-ID"]


def test_a_title_cannot_add_headers_and_markup_is_text() -> None:
    made = _with_wording(
        "a\r\nBcc: everybody@example.com\r\n\r\nx", "<script>alert(1)</script>\n\0"
    )
    with mail_server() as server:
        assert made(server.port).send(MESSAGE).ok
    (mail,) = server.mails
    assert mail.message["Bcc"] is None
    assert mail.message["Subject"] == "a Bcc: everybody@example.com x"
    assert mail.recipients == ("ops@example.com",)
    assert "<script>" not in mail.page
    assert "&lt;script&gt;" in mail.page


def test_letters_beyond_ascii_arrive_in_title_and_text_over_seven_bits() -> None:
    made = _with_wording("Gerät „m1“ ist weg 🔥" * 10, "Größe: 7 µs\n" + "ü" * 3000)
    with mail_server() as server:
        assert made(server.port).send(MESSAGE).ok
    (mail,) = server.mails
    assert mail.content.isascii()
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998  # RFC 5322, 2.1.1
    assert mail.message["Subject"].startswith("Gerät „m1“ ist weg 🔥Gerät")
    assert "Größe: 7 µs\n" + "ü" * 3000 in mail.text


@pytest.fixture(scope="module")
def one_server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@settings(max_examples=20, deadline=None)
@given(title=st.text(max_size=300), body=st.text(max_size=300))
def test_any_title_and_text_arrive_as_one_mail(
    one_server: MailServer, title: str, body: str
) -> None:
    before = len(one_server.mails)
    assert _with_wording(title, body)(one_server.port).send(MESSAGE).ok
    (mail,) = one_server.mails[before:]
    assert set(mail.message.keys()) == {
            "Subject", "From", "To", "Date", "Message-ID", "In-Reply-To", "References",
            "Auto-Submitted", "X-Auto-Response-Suppress", "X-Metalscope-Incident",
            "Content-Type", "MIME-Version",
        }  # fmt: skip
    assert "<html>" in mail.page


def test_an_address_with_letters_beyond_ascii_needs_a_server_that_takes_it() -> None:
    with mail_server(utf8=True) as server:
        assert send(server.port, "jürgen@example.com,ops@bücher.example").ok
    (mail,) = server.mails
    assert mail.recipients == ("jürgen@example.com", "ops@xn--bcher-kva.example")
    assert "SMTPUTF8" in mail.options
    with mail_server() as server:
        result = send(server.port, "jürgen@example.com")
        assert send(server.port, "ops@bücher.example").ok
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
    assert "SMTPUTF8" in result.detail


def test_a_password_goes_through_starttls(ca_file: Path) -> None:
    with mail_server(tls=server_context(), security="starttls", password=PASSWORD) as server:
        result = send(
            server.port, security="starttls", user="metal", password=PASSWORD,
            tls=TlsOptions(ca_file=ca_file),
        )  # fmt: skip
    assert result.ok, result
    assert server.mails[0].encrypted
    assert server.logins == [(b"metal", PASSWORD.encode(), "PLAIN")]


def test_tls_from_the_start_is_spoken_where_it_is_asked_for(ca_file: Path) -> None:
    with mail_server(tls=server_context(), security="tls") as server:
        assert send(server.port, security="tls", tls=TlsOptions(ca_file=ca_file)).ok
        plain = send(server.port, security="none", timeout=0.5)
    assert server.mails[0].encrypted
    assert (plain.verdict, plain.reason) == (Verdict.RETRY, Reason.TIMEOUT)
    with mail_server() as server:
        wrong = send(server.port, security="tls", tls=TlsOptions(ca_file=ca_file))
    assert (wrong.verdict, wrong.reason) == (Verdict.RETRY, Reason.TLS)
    assert "is security starttls meant?" in wrong.detail


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("certificate", "says"),
    [
        (trustme.CA().issue_cert("127.0.0.1"), "an authority that is not trusted here"),
        (authority().issue_cert("other.example"), "its certificate is for another host"),
    ],
)
def test_a_wrong_certificate_stops_the_mail(
    certificate: trustme.LeafCert, says: str, security: Any, ca_file: Path
) -> None:
    context = server_context(certificate)
    with mail_server(tls=context, security=security, password=PASSWORD) as server:
        result = send(
            server.port, security=security, user="metal", password=PASSWORD,
            tls=TlsOptions(ca_file=ca_file),
        )  # fmt: skip
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
    assert says in result.detail
    assert not server.mails
    assert not server.logins


def test_without_starttls_nothing_goes_in_clear(ca_file: Path) -> None:
    with mail_server() as server:
        result = send(server.port, security="starttls", tls=TlsOptions(ca_file=ca_file))
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
    assert "offers no STARTTLS, and nothing was sent in clear" in result.detail
    assert not server.mails


def test_a_refused_starttls_is_not_gone_round(ca_file: Path) -> None:
    lines = ["220 hello", "250-here\r\n250 STARTTLS", "502 not today", "221 bye"]
    with raw_server(lines) as server:
        result = send(server.port, security="starttls", tls=TlsOptions(ca_file=ca_file))
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
    assert not any(line.startswith(b"MAIL") for line in server.heard)


def test_what_came_before_starttls_is_not_believed(ca_file: Path) -> None:
    # CVE-2011-0411: what an attacker put after the answer, in clear, is not read as encrypted.
    lines = ["220 hello", "250-here\r\n250 STARTTLS", "220 go on\r\n250-x\r\n250 AUTH PLAIN"]
    with raw_server(lines) as server:
        result = send(
            server.port, security="starttls", user="metal", password=PASSWORD, timeout=0.5,
            tls=TlsOptions(ca_file=ca_file),
        )  # fmt: skip
    assert result.verdict is Verdict.RETRY
    assert not any(line.upper().startswith(b"AUTH") for line in server.heard)


def test_a_password_is_read_where_it_is_kept_each_time(tmp_path: Path) -> None:
    kept = tmp_path / "password"
    kept.write_text("the wrong one\n")
    kept.chmod(stat.S_IRUSR | stat.S_IWUSR)
    with mail_server(password=PASSWORD) as server:
        one = notifier(server.port, user="metal", password_from=f"file:{kept}")
        wrong = one.send(MESSAGE)
        kept.write_text(PASSWORD)
        assert one.send(MESSAGE).ok
        kept.unlink()
        none = one.send(MESSAGE)
    assert (wrong.verdict, wrong.reason) == (Verdict.RETRY, Reason.UNAUTHORIZED)
    assert "the wrong one" not in repr(wrong)
    assert (none.verdict, none.reason) == (Verdict.RETRY, Reason.CONFIGURATION)
    assert str(kept) in none.detail


def test_a_password_never_goes_to_another_machine_in_clear() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^alerts\.smtp: security must be starttls or tls"
    ):
        notifier(25, host="mail.example.com", security="none", user="metal", password=PASSWORD)


def test_a_server_without_log_in_is_told_no_password() -> None:
    with mail_server() as server:
        result = send(server.port, user="metal", password=PASSWORD)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.UNAUTHORIZED)
    assert not server.mails


def test_a_server_that_knows_only_auth_login_gets_it() -> None:
    lines = [
        "220 hi", "250-here\r\n250 AUTH LOGIN", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 yes",
        "250 ok", "250 ok", "354 go", "250 taken", "221 bye",
    ]  # fmt: skip
    with raw_server(lines) as server:
        assert send(server.port, user="metal", password="secret words").ok
    assert server.heard[2:4] == [b"bWV0YWw=", b"c2VjcmV0IHdvcmRz"]


@pytest.mark.parametrize(
    ("answers", "verdict", "reason"),
    [
        ({"MAIL": "421 4.3.2 closing"}, Verdict.RETRY, Reason.SERVER_ERROR),
        ({"RCPT": "450 4.2.0 greylisted"}, Verdict.RETRY, Reason.SERVER_ERROR),
        ({"RCPT": "421 4.3.2 closing"}, Verdict.RETRY, Reason.SERVER_ERROR),
        ({"RCPT": "550 5.1.1 no such user ops@example.com"}, Verdict.REJECTED, Reason.NOT_FOUND),
        ({"RCPT": "550 5.7.1 relaying denied"}, Verdict.REJECTED, Reason.FORBIDDEN),
        ({"MAIL": "530 5.7.0 authenticate first"}, Verdict.RETRY, Reason.UNAUTHORIZED),
        ({"MAIL": "552 5.3.4 too big"}, Verdict.REJECTED, Reason.TOO_LARGE),
        ({"DATA": "451 4.3.0 try later"}, Verdict.RETRY, Reason.SERVER_ERROR),
        ({"DATA": "554 5.6.0 looks like spam"}, Verdict.REJECTED, Reason.SCHEMA),
    ],
)
def test_an_answer_says_whether_it_may_be_taken_later(
    answers: dict[str, str], verdict: Verdict, reason: Reason
) -> None:
    with mail_server(answers=answers) as server:
        result = send(server.port)
    assert (result.verdict, result.reason) == (verdict, reason)
    (said,) = answers.values()
    assert said.removesuffix("ops@example.com") in result.detail
    assert "ops@example.com" not in result.detail


def test_a_greeting_that_refuses_is_no_fault_of_the_message() -> None:
    with raw_server(["554 no service for you"]) as server:
        result = send(server.port)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.SERVER_ERROR)
    assert "554 no service for you" in result.detail


def test_those_who_are_there_get_it_where_others_are_refused() -> None:
    answers = {"gone@example.com": "550 5.1.1 gone@example.com is unknown"}
    with mail_server(answers=answers) as server:
        result = send(server.port, "gone@example.com,ops@example.com")
    assert server.mails[0].recipients == ("ops@example.com",)
    assert result.ok
    assert (result.reason, result.points, result.rejected_points) == (Reason.PARTIAL, 1, 1)
    assert "refused 1 of 2 recipients: 550 5.1.1 … is unknown" in result.detail


def test_where_all_are_refused_one_that_may_be_taken_later_is_worth_a_retry() -> None:
    answers = {"gone@example.com": "550 5.1.1 unknown", "ops@example.com": "450 4.2.0 later"}
    with mail_server(answers=answers) as server:
        result = send(server.port, "gone@example.com,ops@example.com")
    assert result.verdict is Verdict.RETRY
    assert "450" in result.detail


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["220 hello"],
        ["220 hello", "250 here", "250 ok", "250 ok", "354 go"],
    ],
    ids=["no greeting", "no answer to EHLO", "no answer to the letter"],
)
def test_a_server_that_says_no_more_holds_it_up_no_longer_than_the_time_limit(
    lines: Sequence[str],
) -> None:
    with raw_server(lines, silent=True) as server:
        result = send(server.port, timeout=0.3)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TIMEOUT)
    assert "0.3 s" in result.detail


def test_a_server_that_trickles_has_one_time_limit_for_all_of_it() -> None:
    with raw_server(["220-" + "x" * 500], trickle=0.02) as server:
        result = send(server.port, timeout=0.3)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TIMEOUT)


def test_a_letter_that_was_taken_is_delivered_however_the_goodbye_goes() -> None:
    lines = ["220 hello", "250 here", "250 ok", "250 ok", "354 go", "250 taken"]
    with raw_server(lines) as server:
        assert send(server.port).ok


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["220 hello"], Reason.RESET),
        (["HTTP/1.1 400 Bad Request"], Reason.GARBAGE),
        (["220 " + "x" * 20_000], Reason.GARBAGE),
    ],
)
def test_what_ends_or_is_no_mail_server_is_tried_again(
    lines: Sequence[str], reason: Reason
) -> None:
    with raw_server(lines) as server:
        result = send(server.port)
    assert (result.verdict, result.reason) == (Verdict.RETRY, reason)


def test_where_nothing_listens_and_where_there_is_no_such_host_it_is_tried_again() -> None:
    refused = send(free_port())
    assert (refused.verdict, refused.reason) == (Verdict.RETRY, Reason.REFUSED)
    unknown = send(25, host="mail.invalid", security="none")
    assert (unknown.verdict, unknown.reason) == (Verdict.RETRY, Reason.DNS)


@pytest.mark.parametrize(
    ("smtp", "security", "port"),
    [
        ({"host": "localhost"}, "none", 25),
        ({"host": "127.0.0.1", "user": "metal", "password": "secret"}, "none", 587),
        ({"host": "mail.example.com"}, "starttls", 25),
        ({"host": "mail.example.com", "user": "metal", "password": "secret"}, "starttls", 587),
        ({"host": "mail.example.com", "port": 465}, "tls", 465),
        ({"host": "mail.example.com", "security": "tls"}, "tls", 465),
        ({"host": "mail.example.com", "security": "none"}, "none", 25),
        ({"host": "mail.example.com", "port": 2525}, "starttls", 2525),
    ],
)
def test_port_and_security_are_what_such_a_server_has(
    smtp: dict[str, Any], security: str, port: int
) -> None:
    server = SmtpServer(SmtpOptions(**smtp))
    assert server.security == security
    assert server.peer == f"{smtp['host']}:{port}"


@pytest.mark.parametrize(
    ("target", "smtp", "says"),
    [
        ("nobody", {}, "alerts channel mail: target must be e-mail addresses"),
        ("a@b,nobody", {}, "alerts channel mail: target must be e-mail addresses"),
        ("a@b", {"sender": "nobody"}, "alerts.smtp: sender must be an address"),
        ("a@b", {"sender": "a@b\r\nBcc: c@d"}, "alerts.smtp: sender must be an address"),
        (
            "a@b",
            {"security": "tls", "tls": {"ca_file": "/no/such/file"}},
            "alerts.smtp: tls.ca_file",
        ),
    ],
)
def test_what_cannot_be_is_said_at_the_start(target: str, smtp: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        notifier(25, target, **smtp)
    assert str(caught.value).startswith(says)
    assert "nobody" not in str(caught.value)


def test_the_client_calls_itself_by_its_address_and_asks_no_dns() -> None:
    with mail_server() as server:
        assert send(server.port).ok
    assert server.greeted == ["[127.0.0.1]"]


def _with_wording(title: str, body: str) -> Callable[[int], Notifier]:
    def make(port: int) -> Notifier:
        channel = ChannelOptions(name="mail", type="email", target="ops@example.com")
        return EmailNotifier(
            NotifierContext(
                options=channel,
                smtp=SmtpOptions(host="127.0.0.1", port=port, sender="metal@example.com"),
                wording=Written(title, body),
                open_http=partial(HttpTransport.of, channel, timeout=channel.timeout),
            )
        )

    return make
