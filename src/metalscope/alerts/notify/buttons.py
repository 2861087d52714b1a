"""The links of a message, as buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalscope.alerts.notify.phrases import is_web_link, one_line, utf16

if TYPE_CHECKING:
    from metalscope.alerts.notification import Notification

__all__ = ["buttons_of"]


def buttons_of(notification: Notification, longest: int) -> list[tuple[str, str]]:
    """Names and web addresses: of the message, then of its alerts, each address once.

    Args:
        notification: whose links they are.
        longest: UTF-16 units of an address; longer ones are left out.
    """
    told = notification.firing or notification.resolved
    found = [(one_line(name).capitalize() or "Link", url) for name, url in notification.links]
    several = len(told) > 1
    for alert in told:
        rule = f": {alert.rule}" if several else ""
        found += [(f"Runbook{rule}", alert.runbook), (f"Alert{rule}", alert.link)]
    usable = [(name, url) for name, url in found if is_web_link(url) and utf16(url) <= longest]
    # The first name of an address stays.
    by_url = {url: name for name, url in reversed(usable)}
    return [(by_url[url], url) for url in dict.fromkeys(url for _, url in usable)]
