"""What a target is, by what it looks like: a Slack webhook, an address, a PagerDuty key.

Where each service has its webhooks: Slack, "Sending messages using incoming webhooks" and its
"GovSlack" pages; Microsoft, "Create an Incoming Webhook" and "Create flows that post to Teams";
PagerDuty, "Events API v2" and "Service regions"; Prometheus, "Alertmanager API v2".
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

__all__ = ["addresses_of", "recognise"]

_ADDRESS: Final = re.compile(r"[^\s@,;:<>()\[\]\"\\/]+@[^\s@,;:<>()\[\]\"\\/]+")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_KEY: Final = re.compile(r"[0-9A-Za-z]{32}")
_SCHEMES: Final = {
    "alertmanager+http": "alertmanager",
    "alertmanager+https": "alertmanager",
    "macos": "macos",
    "pagerduty": "pagerduty",
}
_HOSTS: Final = {
    "hooks.slack.com": "slack",
    "hooks.slack-gov.com": "slack",
    "events.pagerduty.com": "pagerduty",
    "events.eu.pagerduty.com": "pagerduty",
}
_OUTLOOK: Final = {"outlook.office.com", "outlook.office365.com"}

# Web addresses that Apprise reads by itself, and whose services want a body of their own.
_APPRISE: Final = (
    ("discord.com", "/api/webhooks/"),
    ("discordapp.com", "/api/webhooks/"),
    ("chat.googleapis.com", "/v1/spaces/"),
    ("ntfy.sh", "/"),
)


def recognise(target: str) -> str | None:
    """The type of channel that a target is for; ``None`` where it looks like none.

    Any web address that no service is known for is a webhook, any other URL is Apprise's.
    """
    if addresses_of(target):
        return "email"
    if _KEY.fullmatch(target):
        return "pagerduty"
    found = _SCHEME.match(target)
    if found is None or re.search(r"\s", target):
        return None
    scheme, rest = found[1].lower(), target[found.end() :]
    if scheme in {"http", "https"}:
        return _of_web(target)
    if scheme in _SCHEMES:
        # Apprise's own pagerduty:// has two keys, with an @ between.
        return "apprise" if scheme == "pagerduty" and "@" in rest else _SCHEMES[scheme]
    return "apprise" if rest else None


def addresses_of(target: str) -> tuple[str, ...]:
    """The e-mail addresses of a target: with commas between them, after ``mailto:`` or not.

    Each is given once. Empty where one of them is no address.
    """
    text = target.strip()
    if text[:7].lower() == "mailto:" and not text[7:].startswith("//"):
        text = text[7:].partition("?")[0]
    addresses = tuple(dict.fromkeys(one.strip() for one in text.split(",")))
    return addresses if all(map(_ADDRESS.fullmatch, addresses)) else ()


def _of_web(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    if host and parts.path.rstrip("/").endswith("/api/v2/alerts"):
        return "alertmanager"
    if host in _HOSTS:
        return _HOSTS[host]
    if _is_teams(host, parts.path.lower()):
        return "teams"
    if any(host == theirs and parts.path.startswith(path) for theirs, path in _APPRISE):
        return "apprise"
    return "webhook" if host else None


def _is_teams(host: str, path: str) -> bool:
    if host in _OUTLOOK:
        return path.startswith("/webhook")
    if host.endswith(".webhook.office.com"):
        return True
    # Flows of Power Automate; other flows are called in the same way.
    return "/workflows/" in path and host.endswith((".logic.azure.com", ".api.powerplatform.com"))
