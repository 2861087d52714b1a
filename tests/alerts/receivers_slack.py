"""An incoming webhook of Slack: the limits of the Block Kit reference, and Slack's own answers.

Written from Slack's documentation ("Reference: blocks", "block elements", "composition objects",
"Sending messages using incoming webhooks"), apart from what is tested.
"""

from __future__ import annotations

import re
from typing import Any

from faulty_server import Request
from receivers import Answer, BrokenRuleError, Receiver, strict_json
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

_PLAIN = {"content-type": "text/plain"}
# An address or a mention that Slack would show as such; an ampersand that begins nothing.
_MARKUP = re.compile(r"[<>]|&(?!amp;|lt;|gt;)")


class SlackReceiver(Receiver):
    """Takes what Slack takes."""

    blocks = True
    """Whether it takes blocks at all."""

    def __call__(self, request: Request) -> Answer:
        try:
            message = strict_json(request)
            self._check(message)
        except BrokenRuleError as error:
            self.refused.append(str(error))
            return 400, _PLAIN, str(error).partition(":")[0].encode()
        self.taken.append(message)
        return 200, _PLAIN, b"ok"

    def _check(self, message: dict[str, Any]) -> None:
        _known(message, {"text", "blocks", "attachments"}, "invalid_payload")
        own, attachments = message.get("blocks", []), message.get("attachments", [])
        if not message.get("text", "").strip() and not own:
            raise BrokenRuleError("no_text")
        if len(message.get("text", "")) > 40_000:
            raise BrokenRuleError("msg_too_long")
        if (own or attachments) and not self.blocks:
            raise BrokenRuleError("invalid_blocks: none are taken")
        _mrkdwn(message.get("text", "x"), 40_000)
        for attachment in attachments:
            _known(attachment, {"color", "blocks"}, "invalid_attachments")
            if not re.fullmatch(r"#[0-9a-f]{6}", attachment["color"]):
                raise BrokenRuleError("invalid_attachments: color")
        lists = [own, *(one["blocks"] for one in attachments)]
        if sum(map(len, lists)) > 50:
            raise BrokenRuleError("invalid_blocks: more than 50")
        for blocks in lists:
            for block in blocks:
                _block(block)
            # Slack's own library has its own idea of the limits.
            for parsed in Block.parse_all(blocks):
                try:
                    parsed.validate_json()
                except SlackObjectFormationError as error:
                    raise BrokenRuleError(f"invalid_blocks: {error}") from None


def _block(block: dict[str, Any]) -> None:
    match block.get("type"):
        case "header":
            _known(block, {"type", "text"})
            _plain(block["text"], 150)
        case "section":
            _known(block, {"type", "text", "fields"})
            fields = block.get("fields", [])
            if "text" in block:
                _mrkdwn(block["text"]["text"], 3000)
            elif not 1 <= len(fields) <= 10:
                raise BrokenRuleError("invalid_blocks: fields")
            for one in fields:
                _mrkdwn(one["text"], 2000)
        case "context":
            _known(block, {"type", "elements"})
            if not 1 <= len(block["elements"]) <= 10:
                raise BrokenRuleError("invalid_blocks: context")
            for one in block["elements"]:
                _mrkdwn(one["text"], 3000)
        case "actions":
            _known(block, {"type", "elements"})
            elements = block["elements"]
            if not 1 <= len(elements) <= 25 or len({e["action_id"] for e in elements}) < len(
                elements
            ):
                raise BrokenRuleError("invalid_blocks: actions")
            for one in elements:
                _known(one, {"type", "action_id", "text", "url"})
                _plain(one["text"], 75)
                if not re.fullmatch(r"https?://[^\s<>]+", one["url"]) or len(one["url"]) > 3000:
                    raise BrokenRuleError("invalid_blocks: url")
        case other:
            raise BrokenRuleError(f"invalid_blocks: {other}")


def _known(block: dict[str, Any], names: set[str], error: str = "invalid_blocks") -> None:
    if not isinstance(block, dict) or block.keys() - names:
        raise BrokenRuleError(f"{error}: {block.keys() - names}")


def _plain(text: dict[str, Any], most: int) -> None:
    if text["type"] != "plain_text":
        raise BrokenRuleError("invalid_blocks: plain_text only")
    _length(text["text"], most)


def _mrkdwn(text: str, most: int) -> None:
    _length(text, most)
    if _MARKUP.search(text):
        raise BrokenRuleError(f"invalid_blocks: markup {text[:50]!r}")


def _length(text: str, most: int) -> None:
    units = len(text.encode("utf-16-le")) // 2
    if not text.strip() or units > most:
        raise BrokenRuleError(f"invalid_blocks: {units} of {most}")
    if re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text):
        raise BrokenRuleError("invalid_blocks: control characters")
