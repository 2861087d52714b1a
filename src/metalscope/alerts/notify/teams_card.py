"""A message as an Adaptive Card, no larger than Teams takes.

Texts of alerts stand in ``TextRun`` elements, which know no markup (Adaptive Cards, "Text
features"); facts do know Markdown, and are escaped.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from metalscope.alerts.notify.answers import json_body
from metalscope.alerts.notify.buttons import buttons_of
from metalscope.alerts.notify.default_wording import over_phrase, why_phrase
from metalscope.alerts.notify.phrases import (
    evidence_phrases,
    facts_of,
    lines,
    one_line,
    shortened,
    time_phrase,
)
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alert_report import Alert
    from metalscope.alerts.notification import Notification

__all__ = ["MAX_BYTES", "card_message"]

MAX_BYTES: Final = 28_000
"""Of a whole message. Teams takes 28 KB ("Limits and specifications for Microsoft Teams")."""

_URL: Final = 2000
_BUTTONS: Final = 4
"""Teams shows six."""
_FEW_LINES: Final = 8
_LINES: Final = 100
"""Of one text; each is an element."""
_ROOM: Final = {1000: 14_000, 300: 7000, 100: 2000}
"""Bytes of the text that a template made, by how long other texts may be."""

_LOOKS: Final = {
    ErrorSeverity.CRITICAL: ("attention", "Attention"),
    ErrorSeverity.HIGH: ("attention", "Attention"),
    ErrorSeverity.MEDIUM: ("warning", "Warning"),
    ErrorSeverity.LOW: ("accent", "Accent"),
}
"""The style of the header's container, and the colour of its text, by severity."""
_OVER: Final = ("good", "Good")

# CommonMark: these have a meaning anywhere (an underscore not within a word), others begin lists
# and headings. A brace begins a function of Adaptive Cards, as in {{DATE(…)}}.
_MARKUP: Final = re.compile(
    r"([\\`*{\[\]<>~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|\A[-+#]|(?<=\A\d)[.)]|(?<=\A\d\d)[.)])"
)

# Clients work out {{DATE(…)}} in any text, TextRun too; an invisible blank keeps it as it is.
_FUNCTION: Final = re.compile(r"\{(?=\{(?:DATE|TIME)\()")


def card_message(notification: Notification, title: str, body: str | None) -> bytes:
    """The JSON of a message that is posted to the webhook.

    What does not fit is left out: first alerts from the mildest on, then ends of texts.

    Args:
        notification: what is said.
        title: its title.
        body: the text in place of the alerts' own, where a template made one.
    """

    def made(number: int, longest: int) -> bytes:
        return json_body(_message(_card(notification, title, body, number, longest)))

    def too_large(number: int) -> bool:
        return len(made(number, 1000)) > MAX_BYTES

    told = len(notification.firing) if body is None else 1
    fitting = bisect_left(range(1, told + 1), True, key=too_large)
    for number, longest in ((fitting, 1000), (1, 300), (1, 100), (0, 100), (0, 30)):
        found = made(number, longest)
        if len(found) <= MAX_BYTES and (number or not told or longest <= 100):
            return found
    # Nothing but the title, which cannot be too long.
    return json_body(_message({**_HEAD, "body": [_text(shortened(one_line(title), 200))]}))


_HEAD: Final = {
    "type": "AdaptiveCard",
    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
    "version": "1.4",
}


def _message(card: dict[str, Any]) -> dict[str, Any]:
    # Microsoft, "Post a workflow when a webhook request is received in Microsoft Teams".
    kind = "application/vnd.microsoft.card.adaptive"
    attachment = {"contentType": kind, "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _card(
    notification: Notification, title: str, body: str | None, number: int, longest: int
) -> dict[str, Any]:
    over = notification.is_resolved or not notification.firing
    style, colour = _OVER if over else _LOOKS[notification.severity]
    heading = shortened(one_line(title), 10 * longest if longest < 100 else 400) or "metalscope"
    elements: list[dict[str, Any]] = [
        {
            "type": "Container",
            "style": style,
            "bleed": True,
            "items": [_text(heading, weight="Bolder", size="Medium", color=colour)],
        }
    ]
    if body is not None:
        elements += _lines(shortened(lines(body), _ROOM.get(longest, 500), _bytes))
    else:
        elements += _alerts(notification, number, longest)
    said = [f"{name}={value}" for name, value in notification.group]
    said = [*filter(None, [notification.source]), *said, time_phrase(notification.created_at)]
    foot = shortened(" · ".join(map(one_line, said)), longest)
    elements.append(_text(foot, isSubtle=True, size="Small"))
    card: dict[str, Any] = {**_HEAD, "fallbackText": _plain(heading), "body": elements}
    buttons = [
        {"type": "Action.OpenUrl", "title": shortened(name, 60), "url": url}
        for name, url in buttons_of(notification, min(_URL, 10 * longest))[:_BUTTONS]
    ]
    if buttons:
        card["actions"] = buttons
    return card


def _alerts(notification: Notification, number: int, longest: int) -> Iterator[dict[str, Any]]:
    why = why_phrase(notification)
    if why:
        yield _text(why)
    for alert in notification.firing[:number]:
        yield from _alert(alert, notification, longest)
    more = notification.omitted + len(notification.firing) - number
    if more > 0 and notification.firing:
        yield _text(f"{more} more that fire are not shown here.")
    if notification.resolved:
        yield _text("Over:", weight="Bolder")
        shown = notification.resolved[: 10 if longest >= 1000 else 1]
        yield from (_text(shortened(f"• {over_phrase(one)}", longest // 2)) for one in shown)
        left = len(notification.resolved) - len(shown)
        if left:
            yield _text(f"{left} more that are over are not shown here.")


def _alert(alert: Alert, notification: Notification, longest: int) -> Iterator[dict[str, Any]]:
    short = longest // 3
    title = shortened(one_line(alert.title) or alert.rule, short)
    yield _text(title, separator=True, weight="Bolder")
    yield from _lines(shortened(lines(alert.description), longest))
    facts = facts_of(alert, notification.created_at)[:12]
    yield {
        "type": "FactSet",
        "facts": [
            {"title": _plain(shortened(name, 60)), "value": _plain(shortened(value, short))}
            for name, value in facts
        ],
    }
    more = evidence_phrases(alert)[:_FEW_LINES]
    if alert.actions:
        more += ["What to do:", *(f"• {one_line(one)}" for one in alert.actions[:_FEW_LINES])]
    yield from (_text(shortened(one, short)) for one in more)


def _lines(text: str) -> Iterator[dict[str, Any]]:
    # A line an element: how a break within one is shown is not said anywhere.
    kept = [line for line in text.split("\n") if line.strip()]
    if len(kept) > _LINES:
        kept[_LINES - 1 :] = ["…"]
    return map(_text, kept)


def _text(text: str, *, separator: bool = False, **look: Any) -> dict[str, Any]:
    run = {"type": "TextRun", "text": _FUNCTION.sub("{\u200b", text), **look}
    block: dict[str, Any] = {"type": "RichTextBlock", "inlines": [run]}
    return {**block, "separator": True} if separator else block


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", text)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
