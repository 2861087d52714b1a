"""The usual words of a message say what a person needs, in plain lines."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from receivers import notifications

from alert_samples import FIRING, MESSAGE, NOW, PENDING, RESOLVED
from metalscope.alert_options import ChannelOptions
from metalscope.alert_report import Acknowledgement
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.buttons import buttons_of
from metalscope.alerts.notify.default_wording import DefaultWording
from metalscope.alerts.notify.phrases import (
    duration_phrase,
    is_web_link,
    lines,
    number_phrase,
    one_line,
    shortened,
    time_phrase,
    utf16,
)
from metalscope.alerts.notify.templates import wording_of

usual = DefaultWording()


def test_where_there_is_no_template_the_usual_words_are_taken() -> None:
    assert isinstance(wording_of(ChannelOptions(name="ops")), DefaultWording)


SEVEN = "attention failed 7 times in 5m (mac-studio)"
GONE = "The device m1 was lost (mac-studio)"
KIND = NotificationKind


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, f"[FIRING high] {SEVEN}"),
        ({"kind": KIND.UPDATE}, f"[FIRING high] {SEVEN}"),
        ({"kind": KIND.REPEAT}, f"[STILL FIRING high] {SEVEN}"),
        ({"kind": KIND.ESCALATION}, f"[NOT ACKNOWLEDGED high] {SEVEN}"),
        ({"source": ""}, "[FIRING high] attention failed 7 times in 5m"),
        ({"omitted": 4}, f"[FIRING high] 5 alerts: {SEVEN}"),
        ({"alerts": (FIRING, PENDING, RESOLVED)}, f"[FIRING high] 2 alerts: {SEVEN}"),
        ({"kind": KIND.RESOLVED, "alerts": (RESOLVED,)}, f"[RESOLVED] {GONE}"),
        ({"kind": KIND.TEST, "alerts": ()}, "[TEST] this channel can be reached (mac-studio)"),
        (
            {"alerts": (replace(FIRING, title="a\n\tb"),), "source": "s\x00"},
            "[FIRING high] a b (s\ufffd)",
        ),
        (
            {"alerts": (replace(FIRING, title=" "),), "source": ""},
            "[FIRING high] MetalKernelFailures",
        ),
    ],
)
def test_a_title_says_how_bad_what_and_where(changes: dict[str, object], title: str) -> None:
    assert usual.title(replace(MESSAGE, **changes)) == title  # type: ignore[arg-type]


def test_a_body_says_what_since_when_the_evidence_and_what_to_do() -> None:
    assert usual.body(MESSAGE) == (
        "attention failed 7 times in 5m\n"
        "The kernel attention on m1 fails again and again.\n"
        "Severity: high\n"
        "Since: 2026-01-01 11:58:00 UTC (2m)\n"
        "Value: 7\n"
        "device: m1\n"
        "name: attention\n"
        "failures in 5m: 7\n"
        "p95: 12.5 ms\n"
        "Rule: MetalKernelFailures\n"
        "execute attention on m1: 7 of 120 failed (timeout 7), p95 12.5 ms\n"
        "traces: 4bf92f3577b34da6a3ce929d0e0e4736\n"
        "in the log: req-1\n"
        "What to do:\n"
        "- Look at the kernel's last change.\n"
        "- Run it alone with MTL_DEBUG_LAYER=1.\n"
        "Runbook: https://example.com/runbooks#metalkernelfailures\n"
        "More: http://127.0.0.1:9464/#alert=0f4e2d6c8b1a49d2\n"
        "\n"
        "dashboard: http://127.0.0.1:9464/"
    )


def test_what_is_over_says_from_when_until_when_and_why() -> None:
    over = replace(MESSAGE, kind=NotificationKind.RESOLVED, alerts=(RESOLVED,), links=())
    assert usual.body(over) == (
        "Over:\n- The device m1 was lost (critical): 2026-01-01 10:00:00 UTC to "
        "2026-01-01 11:01:00 UTC, lasted 1h1m; the condition no longer holds"
    )


def test_a_message_that_is_not_the_first_says_why_it_comes() -> None:
    for kind in (NotificationKind.UPDATE, NotificationKind.REPEAT, NotificationKind.ESCALATION):
        first, rest = usual.body(replace(MESSAGE, kind=kind)).split("\n\n", 1)
        assert first
        assert rest == usual.body(MESSAGE)


def test_what_is_not_listed_is_counted_and_who_looks_after_it_is_named() -> None:
    seen = replace(FIRING, acknowledged=Acknowledgement("ada", NOW, "on it"), flapping=True)
    body = usual.body(replace(MESSAGE, alerts=(seen,), omitted=12))
    assert "12 more that fire are not listed." in body
    assert "Acknowledged: by ada: on it" in body
    assert "Flapping: " in body


def test_nothing_is_said_of_what_is_not_known() -> None:
    body = usual.body(replace(MESSAGE, alerts=(replace(PENDING, value=None),), links=()))
    assert body == (
        "Memory mlx on m1 is at 88 %\nSeverity: medium\nSince: 2026-01-01 11:59:30 UTC (30s)\n"
        "device: m1\npool: mlx\nRule: MetalMemoryHigh"
    )


@settings(max_examples=25)
@given(message=notifications())
def test_titles_are_one_line_and_nothing_is_unprintable(message: Notification) -> None:
    title, body = usual.title(message), usual.body(message)
    assert title.strip() == title != ""
    for one in set(title + body.replace("\n", "")):
        assert unicodedata.category(one) not in {"Cc", "Cs", "Zl", "Zp"}
    (title + body).encode()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (59.9, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (3600 + 59, "1h"),
        (3600 + 61, "1h1m"),
        (86400 * 3 + 3600 * 5 + 59, "3d5h"),
        (-5, "0s"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration_phrase(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (7.0, "", "7"),
        (0.1 + 0.2, "", "0.3"),
        (1234567.0, "count", "1234567"),
        (1e20, "", "1e+20"),
        (88.25, "percent", "88.25 %"),
        (3 * 2**30, "bytes", "3.0 GiB"),
        (12.5, "ms", "12.5 ms"),
        (0.5, "seconds", "0.5 s"),
        (200.0, "s", "3m20s"),
        (1e300, "s", "1e+300 s"),
        (5.0, "tokens/s", "5 tokens/s"),
        (math.nan, "ms", "nan"),
        (-math.inf, "bytes", "-inf"),
        (None, "bytes", "—"),
    ],
)
def test_a_number_has_its_unit(value: float | None, unit: str, text: str) -> None:
    assert number_phrase(value, unit) == text


def test_times_are_in_utc() -> None:
    elsewhere = datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert time_phrase(elsewhere) == time_phrase(datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert time_phrase(None) == "—"


@given(st.text(), st.integers(1, 50))
def test_a_text_that_is_cut_fits_and_is_a_beginning(text: str, most: int) -> None:
    cut = shortened(text, most)
    assert utf16(cut) <= most
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_lines_stay_lines_and_one_line_is_one(text: str) -> None:
    assert "\n" not in one_line(text)
    assert lines(lines(text)) == lines(text)
    assert "\n\n\n" not in lines(text)
    lines(text).encode()


def test_only_web_addresses_become_buttons_each_once() -> None:
    first = replace(FIRING, runbook="javascript:alert(1)", link="https://h/a b")
    second = replace(
        FIRING, rule="Other", runbook="https://h.example/r", link="https://h.example/r"
    )
    found = buttons_of(replace(MESSAGE, alerts=(first, second)), 100)
    assert found == [
        ("Dashboard", "http://127.0.0.1:9464/"),
        ("Runbook: Other", "https://h.example/r"),
    ]
    assert is_web_link("HTTPS://h/ä?q=1#f")
    for bad in ("", "https://", "ftp://h", "https://h\n", "https://h/<b>", 'https://h/"'):
        assert not is_web_link(bad)
