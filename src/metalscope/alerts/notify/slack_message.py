"""A message as Slack's Block Kit has it, within the limits that its documentation names.

Limits are from the Block Kit reference (blocks, block elements, composition objects) and from
"Formatting text for app surfaces". They are counted in UTF-16 units, after escaping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from metalscope.alerts.notify.buttons import buttons_of
from metalscope.alerts.notify.default_wording import over_phrase, why_phrase
from metalscope.alerts.notify.phrases import (
    evidence_phrases,
    facts_of,
    lines,
    one_line,
    shortened,
    time_phrase,
    utf16,
)
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.alert_report import Alert
    from metalscope.alerts.notification import Notification

__all__ = ["rich_message", "text_message"]

_HEADER: Final = 150
_SECTION: Final = 3000
_FIELDS: Final = 10
_FIELD: Final = 400
"""Slack takes 2000; more of one fact is no fact."""
_TEXT: Final = 4000
"""Of a message without blocks: "limit to 4,000 characters for best results"."""
_BLOCKS: Final = 50
_TOTAL: Final = 10_000
"""Of all blocks. Slack has a limit there too (``msg_blocks_too_long``) and names no number; it was
seen at some 13,000."""
_BUTTON_TEXT: Final = 75
_URL: Final = 3000
_BUTTONS: Final = 5
_FEW_LINES: Final = 8

_COLOURS: Final = {
    ErrorSeverity.CRITICAL: "#b3261e",
    ErrorSeverity.HIGH: "#e8710a",
    ErrorSeverity.MEDIUM: "#f2b705",
    ErrorSeverity.LOW: "#5f6b7a",
}
_OVER: Final = "#2e7d32"


def rich_message(notification: Notification, title: str, body: str | None) -> dict[str, Any]:
    """A header above a bar of the severity's colour, with a block or more for each alert.

    Args:
        notification: what is said.
        title: its title.
        body: the text in place of the blocks for each alert, where a template made one.
    """
    header = shortened(one_line(title), _HEADER)
    under = list(_closing(notification))
    room = _BLOCKS - 1 - len(under)
    middle = _text_blocks(body) if body is not None else _alert_blocks(notification, room)
    blocks = [*middle, *under]
    over = notification.is_resolved or not notification.firing
    colour = _OVER if over else _COLOURS[notification.severity]
    # Slack shows this text in notifications and reads it out; the blocks it shows in the channel.
    message: dict[str, Any] = {"text": _escaped(one_line(title), _TEXT)}
    if header:
        plain = {"type": "plain_text", "text": header, "emoji": True}
        message["blocks"] = [{"type": "header", "text": plain}]
    if blocks:
        message["attachments"] = [{"color": colour, "blocks": blocks}]
    return message


def text_message(title: str, body: str) -> dict[str, Any]:
    """The same without blocks."""
    whole = f"{one_line(title)}\n{lines(body)}"
    return {"text": _escaped(whole, _TEXT)}


def _alert_blocks(notification: Notification, room: int) -> list[dict[str, Any]]:
    """As many alerts as there is room for, whole; how many more there are."""
    blocks = [_section(why)] if (why := _escaped(why_phrase(notification), _SECTION)) else []
    left = _TOTAL - sum(map(_weight, blocks))
    not_shown = notification.omitted
    for number, alert in enumerate(notification.firing):
        made = list(_alert(alert, notification))
        size = sum(map(_weight, made))
        # One block for how many more there are, one for what is over.
        if number and (size > left - 1500 or len(blocks) + len(made) > room - 2):
            not_shown += len(notification.firing) - number
            break
        blocks += made
        left -= size
    if not_shown:
        blocks.append(_section(f"{not_shown} more that fire are not shown here."))
    if notification.resolved:
        told = [f"• {over_phrase(one)}" for one in notification.resolved]
        blocks.append(_section(_joined(["Over:", *told], min(_SECTION, max(left, 300)))))
    return blocks


def _alert(alert: Alert, notification: Notification) -> Iterator[dict[str, Any]]:
    title = _escaped(one_line(alert.title) or alert.rule, 500)
    description = _escaped(lines(alert.description), 1500)
    yield _section(f"*{title}*" + (f"\n{description}" if description else ""))
    facts = facts_of(alert, notification.created_at)[:_FIELDS]
    yield {
        "type": "section",
        "fields": [
            {"type": "mrkdwn", "text": f"*{_escaped(name, 100)}*\n{_escaped(value, _FIELD)}"}
            for name, value in facts
        ],
    }
    more = evidence_phrases(alert)[:_FEW_LINES]
    if alert.actions:
        more += ["What to do:", *(f"• {one_line(one)}" for one in alert.actions[:_FEW_LINES])]
    if more:
        yield _section(_joined(more, 1800))


def _text_blocks(body: str) -> list[dict[str, Any]]:
    """A text in sections, cut between its lines where it can be."""
    whole = _escaped(body, _TOTAL)
    sections: list[str] = []
    for line in whole.split("\n"):
        for piece in _pieces(line):
            if sections and utf16(sections[-1]) + utf16(piece) < _SECTION:
                sections[-1] += f"\n{piece}"
            else:
                sections.append(piece)
    return [_section(one) for one in sections if one.strip()]


def _pieces(line: str) -> Iterator[str]:
    while utf16(line) > _SECTION:
        # No cut within a character that is escaped.
        piece = re.sub(r"&[a-z]{0,3}\Z", "", line[: _SECTION // 2])
        yield piece
        line = line[len(piece) :]
    yield line


def _closing(notification: Notification) -> Iterator[dict[str, Any]]:
    said = [f"{name}={value}" for name, value in notification.group]
    said = [*filter(None, [notification.source]), *said, time_phrase(notification.created_at)]
    context = _joined([" · ".join(map(one_line, said))], 1000)
    yield {"type": "context", "elements": [{"type": "mrkdwn", "text": context}]}
    buttons = [
        {
            "type": "button",
            "action_id": f"link-{number}",
            "text": {"type": "plain_text", "text": shortened(name, _BUTTON_TEXT), "emoji": True},
            "url": url,
        }
        for number, (name, url) in enumerate(buttons_of(notification, _URL)[:_BUTTONS])
    ]
    if buttons:
        yield {"type": "actions", "elements": buttons}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _joined(parts: Iterable[str], most: int) -> str:
    return _escaped("\n".join(parts), most)


def _escaped(text: str, most: int) -> str:
    """The text with the three characters escaped that Slack gives a meaning to, cut to fit."""
    return _escape(shortened(text, most, lambda one: utf16(_escape(one))))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _weight(block: dict[str, Any]) -> int:
    texts = [block["text"]] if "text" in block else block.get("fields", block.get("elements", []))
    return sum(utf16(one["text"]) for one in texts)
