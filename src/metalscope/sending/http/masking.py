"""What a peer says, made fit to be shown: short, printable, without the sender's secrets."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from metalscope.fork import reset_in_child

__all__ = ["Mask"]

_LONGEST: Final = 200
_MOST: Final = 64
_SHORTEST_SECRET: Final = 4
"""Characters; what is shorter is no key, and would be found in any text."""

_MARKUP: Final = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^<>]*>", re.DOTALL | re.IGNORECASE)


class Mask:
    """Knows the secrets of one who sends, and puts ``…`` in their place."""

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """In a forked child: a lock of its own; the secrets are the same."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Mask of {len(self._secrets)}>"

    def add(self, secret: str) -> None:
        """Mask this from now on, as it is and as it is written in a URL.

        Of more than 64, those are forgotten that were not added again for the longest time.
        """
        if len(secret) < _SHORTEST_SECRET:
            return
        with self._lock:
            for form in (secret, quote(secret, safe="")):
                self._secrets.pop(form, None)
                self._secrets[form] = None
            while len(self._secrets) > _MOST:
                del self._secrets[next(iter(self._secrets))]

    def add_header(self, value: str) -> None:
        """Mask the value of a header, and what follows a scheme such as ``Bearer`` in it."""
        self.add(value)
        self.add(value.partition(" ")[2])

    def shown(self, text: str) -> str:
        """One line of at most 200 characters."""
        # The longest first: one may be a part of another. And before it is cut short.
        with self._lock:
            secrets = sorted(self._secrets, key=len, reverse=True)
        for secret in secrets:
            text = text.replace(secret, "…")
        text = " ".join(text.split())
        text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
        return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

    def shown_body(self, body: bytes, headers: Mapping[str, str]) -> str:
        """The first words of a body, without the markup of a web page."""
        text = body.decode("utf-8", "replace")
        if "html" in headers.get("content-type", "").lower():
            text = _MARKUP.sub(" ", text)
        return self.shown(text)
