"""One text at a time: found clean and remembered, or cleaned until nothing is left to be found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from metalscope.sanitizing.assignments import may_assign, may_name_a_secret, without_assigned
from metalscope.sanitizing.hashing import Put
from metalscope.sanitizing.keys import SecretNames
from metalscope.sanitizing.patterns import LONG_RUN, private_looks, secret_looks
from metalscope.sanitizing.people import KnownNames
from metalscope.sanitizing.secrets import KnownSecrets

__all__ = ["MOST_TEXT", "TextCleaner"]

MOST_TEXT: Final = 8192
"""Characters; longer text is cut, with a mark at its end."""

_CUT: Final = "…[cut]"
_MARGIN: Final = 1024
"""Characters looked at past the cut, so that a secret there is seen whole."""

_MOST_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 256
_MOST_ROUNDS: Final = 4
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class TextCleaner:
    """Cleans text by all rules. Remembers short texts that were clean, and no others.

    Args:
        put: gives what is put in place of what was found.
        known: secrets by their exact text.
        names: tells which names are those of secrets.
        people: names that are taken out.
        patterns: further patterns of what is taken out.
    """

    def __init__(
        self,
        put: Put,
        known: KnownSecrets,
        names: SecretNames,
        people: KnownNames,
        patterns: Sequence[re.Pattern[str]] = (),
    ) -> None:
        self._put = put
        self._known = known
        self._names = names
        self._people = people
        self._patterns = patterns
        self.forget()

    def forget(self) -> None:
        """Look at every text anew."""
        # Two generations: what was not asked for during one of them is forgotten, without a lock.
        self._young: dict[str, None] = {}
        self._old: dict[str, None] = {}

    def cleaned(self, text: str, *, most: int = MOST_TEXT) -> str:
        """The text without secrets and what is private, of at most so many characters."""
        young = self._young
        if text in young:
            return text
        if text in self._old and len(text) <= most:
            self._remember(young, text)
            return text
        clean = self._bounded(text, most, private=True)
        if clean == text and len(text) <= _LONGEST_REMEMBERED:
            self._remember(young, text)
        return clean

    def kept(self, text: str) -> str:
        """The text of a field that is kept: without what is certainly a secret, and no more."""
        return self._bounded(text, MOST_TEXT, private=False)

    def known_only(self, text: str) -> str:
        """The text without secrets known by their exact text."""
        return self._known.masked(text, self._put, longest=len(text))

    def _remember(self, young: dict[str, None], text: str) -> None:
        # Into the generation the text was judged in: what forget() dropped stays dropped.
        if len(young) >= _MOST_REMEMBERED and young is self._young:
            self._old = young
            self._young = {}
        else:
            young[text] = None

    def _bounded(self, text: str, most: int, *, private: bool) -> str:
        if len(text) <= most:
            return self._settled(text, private=private)
        margin = max(_MARGIN, self._known.longest)
        clean = self._settled(text[: most + margin], private=private)
        if len(text) > most + margin:
            # What begins in the margin may go on behind it, and not have been found.
            clean = clean[: max(0, len(clean) - margin)]
        clean = clean[: most - len(_CUT)] + _CUT
        return self._settled(clean, private=private)[:most]

    def _settled(self, text: str, *, private: bool) -> str:
        text = _without_surrogates(text)
        # What was put in may have set free what is next to it.
        for _ in range(_MOST_ROUNDS):
            clean = self._once(text, private=private)
            if clean == text:
                break
            text = clean
        return text

    def _once(self, text: str, *, private: bool) -> str:
        put = self._put
        words = text.split()
        longest = max(map(len, words), default=0)
        text = self._known.masked(text, put, longest=longest)
        lowered = text.lower()
        # Of one short word only the words that are known can be found.
        if longest >= LONG_RUN or not text.isidentifier():
            assigns = may_assign(lowered)
            named = (assigns or len(words) > 1) and may_name_a_secret(lowered)
            if assigns and (named or self._names.has_chosen):
                text = without_assigned(text, self._names.naming, put)
            text = secret_looks(text, put, lowered=lowered, named=named, longest=longest)
            if private:
                text = private_looks(text, put, lowered=lowered, words=words, longest=longest)
        if private:
            text = self._people.masked(text, put, lowered=lowered)
            for pattern in self._patterns:
                text = pattern.sub(lambda found: put(found[0]) if found[0] else "", text)
        return text


def _without_surrogates(text: str) -> str:
    # Half of a pair is no text, and cannot be written as UTF-8.
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
