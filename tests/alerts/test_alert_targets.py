from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.alerts.notify.targets import addresses_of, recognise

KEY = "0123456789abcdef0123456789ABCDEF"


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("https://hooks.slack.com/services/T0/B0/xyz", "slack"),
        ("https://hooks.slack.com/triggers/T0/1/xyz", "slack"),
        ("https://hooks.slack-gov.com/services/T0/B0/xyz", "slack"),
        ("https://HOOKS.slack.com:443/services/T0/B0/xyz", "slack"),
        ("https://contoso.webhook.office.com/webhookb2/a@b/IncomingWebhook/c/d", "teams"),
        ("https://outlook.office.com/webhook/a@b/IncomingWebhook/c/d", "teams"),
        (
            "https://prod-00.westus.logic.azure.com:443/workflows/1f/triggers/manual/paths/invoke"
            "?api-version=2016-06-01&sig=x",
            "teams",
        ),
        (
            "https://default1f.aa.environment.api.powerplatform.com:443/powerautomate/automations/"
            "direct/workflows/1f/triggers/manual/paths/invoke?api-version=1&sig=x",
            "teams",
        ),
        ("ops@example.com", "email"),
        ("mailto:ops@example.com", "email"),
        ("mailto:ops@example.com?subject=x", "email"),
        ("ops@example.com, on-call@example.com", "email"),
        ("1a2b.contoso.onmicrosoft.com@emea.teams.ms", "email"),
        ("jürgen@bücher.example", "email"),
        ("https://events.pagerduty.com/v2/enqueue", "pagerduty"),
        ("https://events.eu.pagerduty.com/v2/enqueue", "pagerduty"),
        (f"pagerduty://{KEY}", "pagerduty"),
        (KEY, "pagerduty"),
        ("http://am:9093/api/v2/alerts", "alertmanager"),
        ("https://example.com/am/api/v2/alerts/", "alertmanager"),
        ("alertmanager+http://am:9093", "alertmanager"),
        ("alertmanager+https://am", "alertmanager"),
        ("macos://", "macos"),
        ("https://example.com/hook", "webhook"),
        ("http://127.0.0.1:8080", "webhook"),
        ("https://hooks.slack.com.example.com/services/x", "webhook"),
        ("https://example.com/?to=hooks.slack.com", "webhook"),
        ("https://logic.azure.com/", "webhook"),
        ("discord://1/token", "apprise"),
        ("tgram://123:abc/456", "apprise"),
        ("ntfy://topic", "apprise"),
        ("opsgenie://key", "apprise"),
        ("mailto://user:password@example.com", "apprise"),
        (f"pagerduty://{KEY}@key", "apprise"),
    ],
)
def test_a_target_is_what_it_looks_like(target: str, kind: str) -> None:
    assert recognise(target) == kind


@pytest.mark.parametrize(
    "target",
    [
        "",
        "ops",
        "ops@",
        "@example.com",
        "a@b@c",
        "ops@example.com,",
        "ops@example.com;on-call@example.com",
        "Ops <ops@example.com>",
        "ops@example.com\nBcc: all@example.com",
        "https://",
        "https:///hook",
        "http://[::1/hook",
        "https://example.com/a b",
        "discord://",
        "example.com/hook",
        KEY + "0",
    ],
)
def test_what_looks_like_none_is_none(target: str) -> None:
    assert recognise(target) is None


def test_web_addresses_given_to_apprise_are_those_it_reads_itself() -> None:
    apprise = pytest.importorskip("apprise")
    for url in (
        f"https://discord.com/api/webhooks/{'1' * 18}/{'a' * 30}",
        f"https://discordapp.com/api/webhooks/{'1' * 18}/{'a' * 30}",
        "https://chat.googleapis.com/v1/spaces/AAA/messages?key=k&token=t",
        "https://ntfy.sh/topic",
    ):
        assert recognise(url) == "apprise"
        assert apprise.Apprise.instantiate(url) is not None, url


def test_each_address_is_told_once() -> None:
    assert addresses_of("a@b, c@d,a@b") == ("a@b", "c@d")
    assert addresses_of("mailto:a@b,c@d?subject=x") == ("a@b", "c@d")
    assert addresses_of("a@b,no one") == ()


@given(st.text())
def test_any_text_at_all_has_a_kind_or_none(text: str) -> None:
    kind = recognise(text)
    assert kind is None or kind.isalpha()
    for address in addresses_of(text):
        assert not set(address) & set("\r\n\t ,<>")
