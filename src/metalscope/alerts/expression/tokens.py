"""An expression cut into tokens, as Prometheus' own lexer does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NoReturn

from metalscope.alerts.expression.ast import Span
from metalscope.alerts.expression.errors import ExpressionError

__all__ = ["Token", "TokenKind", "duration_seconds", "tokens"]


class TokenKind(Enum):
    """What a token is."""

    NUMBER = auto()
    DURATION = auto()
    STRING = auto()
    NAME = auto()
    """A word that begins with a letter: of the language, or a name."""
    SIGN = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token. ``text`` is as written, of a string what it stands for."""

    kind: TokenKind
    text: str
    span: Span
    number: float = 0.0


_SPACE: Final = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)+")
_WORD: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_NUMERIC: Final = re.compile(
    r"0[xX][0-9a-zA-Z_.]*|(?:[0-9]|\.[0-9])(?:[eE][+-](?=[0-9])|[0-9a-zA-Z_.])*"
)
_DURATION: Final = re.compile(
    r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?"
    r"(?:([0-9]+)s)?(?:([0-9]+)ms)?"
)
_UNIT_MS: Final = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
_DECIMAL: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEX: Final = re.compile(r"0[xX][0-9a-fA-F]+")
_SIGN: Final = re.compile(r"=~|!~|==|!=|<=|>=|[-+*/%^<>=(){}\[\],:@]")
_NAMED: Final = {"inf": float("inf"), "nan": float("nan")}

_LARGEST_HEX: Final = 2**63 - 1
"""Prometheus reads hexadecimal numbers as int64."""

_LONGEST_DURATION_MS: Final = 2**63 // 10**6
"""Go's durations are int64 nanoseconds."""

_ESCAPED: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\",
}  # fmt: skip
_ESCAPE_DIGITS: Final = {"x": 2, "u": 4, "U": 8}


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of an expression, an ``END`` last.

    Raises :class:`ExpressionError` at what is no token.
    """
    place = 0
    while True:
        space = _SPACE.match(text, place)
        place = space.end() if space else place
        if place == len(text):
            yield Token(TokenKind.END, "", Span(place, place))
            return
        token = _token(text, place)
        yield token
        place = token.span.end


def _token(text: str, start: int) -> Token:
    if text[start] in "\"'`":
        return _string(text, start)
    if word := _WORD.match(text, start):
        named = _NAMED.get(word[0].lower())
        if named is not None:
            return Token(TokenKind.NUMBER, word[0], Span(*word.span()), named)
        return Token(TokenKind.NAME, word[0], Span(*word.span()))
    if numeric := _NUMERIC.match(text, start):
        return _number(text, numeric)
    if sign := _SIGN.match(text, start):
        return Token(TokenKind.SIGN, sign[0], Span(*sign.span()))
    return _wrong(f"{text[start]!r} is no part of an expression", text, start, start + 1)


def _number(text: str, found: re.Match[str]) -> Token:
    written, span = found[0], Span(*found.span())
    if _HEX.fullmatch(written):
        value = int(written, 16)
        if value <= _LARGEST_HEX:
            return Token(TokenKind.NUMBER, written, span, float(value))
        return _wrong(f"{written} is too large a number", text, span.start, span.end)
    if _DECIMAL.fullmatch(written):
        if len(written) > 1 and written[0] == "0" and written.isdigit():
            # Prometheus reads 010 as octal, which nobody means.
            _wrong(f"write {written} without the 0 before it", text, span.start, span.end)
        number = float(written)
        if number == float("inf"):
            _wrong(f"{written} is too large a number", text, span.start, span.end)
        return Token(TokenKind.NUMBER, written, span, number)
    if _DURATION.fullmatch(written):
        return Token(TokenKind.DURATION, written, span, _seconds(text, written, span))
    return _wrong(
        f"{written} is neither a number nor a duration such as 5m or 1h30m",
        text, span.start, span.end,
    )  # fmt: skip


def duration_seconds(written: str) -> float | None:
    """A duration such as ``1h30m`` in s; ``None`` where it is none."""
    found = _DURATION.fullmatch(written)
    if found is None or not written:
        return None
    units = zip(found.groups(), _UNIT_MS, strict=True)
    return sum(float(count) * ms for count, ms in units if count) / 1000


def _seconds(text: str, written: str, span: Span) -> float:
    seconds = duration_seconds(written)
    if not seconds:
        _wrong("a duration must be longer than 0", text, span.start, span.end)
    if seconds * 1000 > _LONGEST_DURATION_MS:
        _wrong(f"{written} is too long a duration", text, span.start, span.end)
    return seconds


def _string(text: str, start: int) -> Token:
    quote = text[start]
    if quote == "`":
        end = text.find(quote, start + 1)
        if end < 0:
            _wrong("this text is not ended", text, start, len(text))
        return Token(TokenKind.STRING, text[start + 1 : end], Span(start, end + 1))
    said: list[str] = []
    place = start + 1
    while place < len(text) and text[place] != "\n":
        char = text[place]
        if char == quote:
            return Token(TokenKind.STRING, "".join(said), Span(start, place + 1))
        if char == "\\":
            meant, place = _escape(text, place, quote)
            said.append(meant)
        else:
            said.append(char)
            place += 1
    return _wrong("this text is not ended", text, start, place)


def _escape(text: str, start: int, quote: str) -> tuple[str, int]:
    """What an escape at ``start`` stands for, and where it ends; those of Go."""
    letter = text[start + 1 : start + 2]
    if letter == quote or letter in _ESCAPED:
        return _ESCAPED.get(letter, letter), start + 2
    if letter in _ESCAPE_DIGITS:
        end = start + 2 + _ESCAPE_DIGITS[letter]
        digits = text[start + 2 : end]
        if re.fullmatch(r"[0-9a-fA-F]+", digits) and end - start - 2 == len(digits):
            code = int(digits, 16)
            # Go takes \x as a byte, and the rest only where it is a character.
            most = 0x7F if letter == "x" else 0x10FFFF
            if code <= most and not 0xD800 <= code < 0xE000:
                return chr(code), end
    return _wrong(
        "this escape is not known; there are \\n, \\t, \\\\, \\\" and \\u with four digits",
        text, start, min(start + 2, len(text)),
    )  # fmt: skip


def _wrong(what: str, text: str, start: int, end: int) -> NoReturn:
    raise ExpressionError(what, text, Span(start, end))
