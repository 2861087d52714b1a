"""Going through the tokens of an expression, and saying where one is not what it should be."""

from __future__ import annotations

from typing import NoReturn

from metalscope.alerts.expression.ast import Span
from metalscope.alerts.expression.errors import ExpressionError
from metalscope.alerts.expression.tokens import Token, TokenKind, tokens

__all__ = ["Cursor"]


class Cursor:
    """A place among the tokens of a text. All that takes a token may raise ExpressionError."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokens(text))
        self._place = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all tokens were taken."""
        return self._next.kind is TokenKind.END

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    @property
    def _after_next(self) -> Token:
        return self._tokens[min(self._place + 1, len(self._tokens) - 1)]

    def _take(self) -> Token:
        token = self._tokens[self._place]
        self._place += 1
        return token

    def _is(self, sign: str) -> bool:
        return self._next.kind is TokenKind.SIGN and self._next.text == sign

    def _is_word(self, *words: str) -> bool:
        return self._next.kind is TokenKind.NAME and self._next.text.lower() in words

    def _expect(self, sign: str, what: str = "") -> Token:
        if not self._is(sign):
            self._unexpected(what or repr(sign))
        return self._take()

    def _since(self, start: int) -> Span:
        """From a place in the text to the end of the last token taken."""
        return Span(start, self._tokens[self._place - 1].span.end)

    def _wrong(self, what: str, span: Span) -> NoReturn:
        raise ExpressionError(what, self._text, span)

    def _unexpected(self, expected: str) -> NoReturn:
        token = self._next
        if self._is("@"):
            self._wrong("@ is not part of this language: rules are about now", token.span)
        written = repr(self._text[token.span.start : token.span.end])
        found = "the end" if self.is_at_end else written
        self._wrong(f"expected {expected}, not {found}", token.span)
