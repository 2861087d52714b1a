"""What messages over HTTP have in common: their address, their body, what an answer means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from metalscope.errors import ConfigurationError
from metalscope.sending.http.outcome import judge
from metalscope.sending.result import ExportResult, Reason, Verdict

if TYPE_CHECKING:
    from metalscope.alert_options import ChannelOptions
    from metalscope.sending.http.outcome import HttpAnswer

__all__ = [
    "GONE",
    "JSON",
    "is_web_address",
    "json_body",
    "keys_in",
    "outcome",
    "web_target",
    "without",
]

JSON: Final = "application/json"

GONE: Final = frozenset({401, 403, 404, 410})
"""Answers of a webhook whose address is its key: it is wrong or was taken back."""

_BY_STATUS: Final = {410: Reason.NOT_FOUND}


def web_target(options: ChannelOptions, example: str) -> str:
    """The channel's target, which must be a web address; it is never shown.

    Raises:
        ConfigurationError: it is none; the text names the channel.
    """
    target = options.target.get_secret_value().strip() if options.target is not None else ""
    if not is_web_address(target):
        raise ConfigurationError(
            f"{options.who}: target must be an http or https URL such as {example!r}"
        )
    return target


def is_web_address(text: str) -> bool:
    """Whether it is an http or https URL of a host."""
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return usable and parts.scheme in {"http", "https"} and not re.search(r"\s", text)


def json_body(value: Any) -> bytes:
    """The value as strict JSON (RFC 8259) in UTF-8: NaN and the infinities are ``null``."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def outcome(
    answer: HttpAnswer,
    *,
    hidden: Iterable[str],
    advice: Mapping[str, str] | None = None,
    final: frozenset[int] = GONE,
) -> ExportResult:
    """What an answer means for a message.

    Args:
        answer: what the peer said.
        hidden: what must not be shown, as the parts of a webhook's address.
        advice: what a person can do about it, by a word in the answer or by its status.
        final: statuses after which the message is let go, as no later try would help.
    """
    result = judge(answer)
    if result.ok:
        return result
    said = answer.body[:2000].decode("utf-8", "replace")
    known = advice or {}
    hint = next((text for word, text in known.items() if word in said), "")
    hint = hint or known.get(str(answer.status), "")
    detail = without(result.detail, hidden) + (f" ({hint})" if hint else "")
    reason = _BY_STATUS.get(answer.status, result.reason)
    if answer.status in final:
        return replace(
            result, verdict=Verdict.REJECTED, reason=reason, detail=detail, retry_after=None
        )
    return replace(result, reason=reason, detail=detail)


def keys_in(url: str) -> tuple[str, ...]:
    """The parts of a webhook's address that are its key, longest first.

    Its whole path and query, and each part but plain words of the host's own making.
    """
    parts = urlsplit(url)
    pieces = re.split(r"[/&=?;]", f"{parts.path}?{parts.query}")
    keys = {one for one in pieces if len(one) >= 3 and not re.fullmatch(r"[a-z_-]{1,19}", one)}
    whole = {parts.path, f"{parts.path}?{parts.query}", parts.query}
    found = {one for one in keys | whole if len(one) >= 3}
    return tuple(sorted(found | set(map(unquote, found)), key=len, reverse=True))


def without(text: str, hidden: Iterable[str]) -> str:
    """The text with an ellipsis in place of each secret; the longest must come first."""
    for secret in hidden:
        text = text.replace(secret, "…")
    return text
