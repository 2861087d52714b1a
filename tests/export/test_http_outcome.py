"""What answers mean for the data that were sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from metalscope.sending.http.transport import HttpAnswer, judge
from metalscope.sending.result import Reason, Verdict

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("status", "verdict", "reason"),
    [
        (200, Verdict.DELIVERED, None),
        (202, Verdict.DELIVERED, None),
        (204, Verdict.DELIVERED, None),
        (101, Verdict.RETRY, Reason.GARBAGE),
        (301, Verdict.RETRY, Reason.REDIRECTED),
        (302, Verdict.RETRY, Reason.REDIRECTED),
        (304, Verdict.RETRY, Reason.REDIRECTED),
        (307, Verdict.RETRY, Reason.REDIRECTED),
        (400, Verdict.REJECTED, Reason.SCHEMA),
        (401, Verdict.RETRY, Reason.UNAUTHORIZED),
        (403, Verdict.RETRY, Reason.FORBIDDEN),
        (404, Verdict.RETRY, Reason.NOT_FOUND),
        (405, Verdict.REJECTED, Reason.SCHEMA),
        (407, Verdict.RETRY, Reason.PROXY),
        (408, Verdict.RETRY, Reason.SERVER_ERROR),
        (413, Verdict.REJECTED, Reason.TOO_LARGE),
        (422, Verdict.REJECTED, Reason.SCHEMA),
        (429, Verdict.RETRY, Reason.RATE_LIMITED),
        (500, Verdict.RETRY, Reason.SERVER_ERROR),
        (503, Verdict.RETRY, Reason.SERVER_ERROR),
        (599, Verdict.RETRY, Reason.SERVER_ERROR),
        (600, Verdict.RETRY, Reason.GARBAGE),
    ],
)
def test_each_status_has_a_verdict(status: int, verdict: Verdict, reason: Reason | None) -> None:
    result = judge(HttpAnswer(status, {}, b"", "peer:1", "its words"))
    assert (result.verdict, result.reason) == (verdict, reason)
    if reason is Reason.REDIRECTED:
        assert result.detail == f"peer:1 answered {status}; redirects are not followed"
    elif reason is not None:
        assert result.detail == f"peer:1 answered {status}: its words"


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "9" * 5000}, 86_400),
        ({"retry-after": "Wed, 21 Oct 2015 07:29:30 GMT", "date": DATE}, 90),
        ({"retry-after": "Wednesday, 21-Oct-15 07:29:30 GMT", "date": DATE}, 90),
        ({"retry-after": "Wed Oct 21 07:29:30 2015", "date": DATE}, 90),
        ({"retry-after": DATE, "date": "Wed, 21 Oct 2015 07:29:30 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 9999 07:29:30 GMT", "date": DATE}, 86_400),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 99 Foo 2015 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "٣"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read_in_each_form(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    wait = None if seconds is None else timedelta(seconds=seconds)
    assert judge(HttpAnswer(status, headers, b"")).retry_after == wait


def test_without_the_clock_of_the_peer_ours_counts() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    wait = judge(HttpAnswer(503, {"retry-after": until, "date": "broken"}, b"")).retry_after
    assert wait is not None
    assert timedelta(seconds=55) < wait <= timedelta(seconds=60)


@pytest.mark.parametrize(
    "page",
    [b"<!DOCTYPE html><html>", b"\n <HTML lang=en>", b"\xef\xbb\xbf<?xml version='1.0'?>\n<html>"],
)
def test_a_web_page_is_no_success(page: bytes) -> None:
    result = judge(HttpAnswer(200, {}, page, "peer:1"))
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.GARBAGE)
    assert result.detail == "peer:1 answered 200 with a web page, which is no answer of an API"


def test_a_few_words_are_a_success_whatever_their_type() -> None:
    assert judge(HttpAnswer(200, {"content-type": "text/html"}, b"<p>Thanks</p>")).ok
    assert judge(HttpAnswer(200, {}, b'{"html": 1}')).ok


@pytest.mark.parametrize(
    "body",
    [
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"<html><h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port</html>",
        b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
)
def test_a_server_that_wanted_tls_does_not_cost_the_data(body: bytes) -> None:
    result = judge(HttpAnswer(400, {}, body, "peer:1"))
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
    assert result.detail.endswith("(is the URL https, not http?)")


def test_where_a_redirect_points_to_is_told_without_its_query() -> None:
    to = "https://u:pass@elsewhere.example/in?key=secret"
    detail = judge(HttpAnswer(302, {"location": to}, b"", "peer:1")).detail
    assert detail == (
        "peer:1 answered 302 and points to https://…@elsewhere.example/in?…; "
        "redirects are not followed"
    )
    odd = judge(HttpAnswer(302, {"location": "\x1b[0m" + "x" * 999}, b"", "peer:1")).detail
    assert odd.isprintable()
    assert len(odd) < 300
