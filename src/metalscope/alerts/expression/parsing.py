"""An expression read: its grammar and precedence are PromQL's (Prometheus 2.42).

What is read is also made sense of at once, so that an error points at the word that causes it; the
rules of sense are in :mod:`metalscope.alerts.expression.sense`.
"""

from __future__ import annotations

from typing import Final, Literal

from metalscope.alert_report import Matcher, MatcherOperator
from metalscope.alerts.expression.ast import (
    Aggregation,
    Binary,
    Call,
    Matching,
    Negation,
    Node,
    Number,
    Range,
    Selector,
    Span,
)
from metalscope.alerts.expression.cursor import Cursor
from metalscope.alerts.expression.errors import ExpressionError
from metalscope.alerts.expression.sense import Read, Sense, Word
from metalscope.alerts.expression.tokens import Token, TokenKind
from metalscope.alerts.expression.words import (
    AGGREGATIONS,
    FUNCTIONS,
    KEYWORDS,
    NOT_HERE,
    PARAMETRIC,
    PRECEDENCE,
    RIGHT_ASSOCIATIVE,
)

__all__ = ["LONGEST_TEXT", "MOST_DEPTH", "parse"]

LONGEST_TEXT: Final = 20_000
"""Characters of an expression."""

MOST_DEPTH: Final = 64
"""Parts of an expression within each other."""

_UNARY: Final = PRECEDENCE["*"] + 1
"""A sign binds as multiplication does: weaker than a power."""


def parse(text: str) -> Node:
    """Read an expression.

    Raises :class:`ExpressionError` where it is none, or makes no sense.
    """
    if len(text) > LONGEST_TEXT:
        raise ExpressionError(
            f"an expression may have {LONGEST_TEXT} characters, not {len(text)}",
            text,
            Span(LONGEST_TEXT, len(text)),
        )
    return _Parser(text).whole()


class _Parser(Cursor):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._sense = Sense(text)
        self._depth = 0

    def whole(self) -> Node:
        if self.is_at_end:
            self._wrong("there is no expression", self._next.span)
        read = self._expression(1)
        if not self.is_at_end:
            self._unexpected("an operator or the end")
        return read.node

    # -- operators -------------------------------------------------------------------------------

    def _expression(self, least: int) -> Read:
        """An expression whose operators bind at least so strongly."""
        self._depth += 1
        if self._depth > MOST_DEPTH:
            self._wrong(
                f"more than {MOST_DEPTH} expressions are within each other here", self._next.span
            )
        left = self._operand()
        while (operator := self._operator()) and PRECEDENCE[operator] >= least:
            left = self._binary(left, operator)
        self._depth -= 1
        return left

    def _operator(self) -> str:
        token = self._next
        word = token.text.lower()
        if token.kind is TokenKind.NAME and word == "atan2":
            self._wrong("atan2 is not part of this language", token.span)
        in_place = token.kind in {TokenKind.SIGN, TokenKind.NAME}
        return word if in_place and word in PRECEDENCE else ""

    def _binary(self, left: Read, operator: str) -> Read:
        sign = self._take().span
        returns_bool = self._is_word("bool")
        if returns_bool:
            self._take()
        matching, words = self._matching()
        stronger = PRECEDENCE[operator] + (operator not in RIGHT_ASSOCIATIVE)
        right = self._expression(stronger)
        node = Binary(
            operator,
            left.node,
            right.node,
            matching,
            returns_bool,
            Span(left.node.span.start, right.node.span.end),
        )
        return self._sense.binary(node, left, right, sign, words)

    def _matching(self) -> tuple[Matching | None, tuple[Word, ...]]:
        if not self._is_word("on", "ignoring"):
            if self._is_word("group_left", "group_right"):
                self._unexpected("on(…) or ignoring(…) before it")
            return None, ()
        on = self._take().text.lower() == "on"
        words = self._label_list()
        group: Literal["", "left", "right"] = ""
        include: tuple[Word, ...] = ()
        if self._is_word("group_left", "group_right"):
            group = "left" if self._take().text.lower() == "group_left" else "right"
            include = self._label_list() if self._is("(") else ()
        names = tuple(word for word, _ in words)
        return Matching(names, on, group, tuple(word for word, _ in include)), (*words, *include)

    def _label_list(self) -> tuple[Word, ...]:
        self._expect("(", "labels in parentheses")
        words: list[Word] = []
        while not self._is(")"):
            if self._next.kind is not TokenKind.NAME or ":" in self._next.text:
                self._unexpected("the name of a label")
            words.append((self._next.text, self._take().span))
            if not self._is(")"):
                self._expect(",", "',' or ')'")
        self._take()
        return tuple(words)

    # -- operands --------------------------------------------------------------------------------

    def _operand(self) -> Read:
        token = self._next
        if self._is("-") or self._is("+"):
            self._take()
            return self._signed(token, self._expression(_UNARY))
        read = self._after(self._primary())
        if self._is("["):
            self._wrong("only a metric has a range, and only one", self._next.span)
        if self._is_word("offset"):
            self._wrong("only a metric has an offset, and only one", self._next.span)
        if self._is("@"):
            self._unexpected("")
        return read

    def _signed(self, sign: Token, read: Read) -> Read:
        span = Span(sign.span.start, read.node.span.end)
        if isinstance(read.node, Number):
            value = -read.node.value if sign.text == "-" else read.node.value
            return self._sense.number(Number(value, span))
        self._sense.signed(read, sign.span)
        return read if sign.text == "+" else self._sense.negation(Negation(read.node, span), read)

    def _primary(self) -> Read:
        token = self._next
        if token.kind is TokenKind.NUMBER:
            self._take()
            return self._sense.number(Number(token.number, token.span))
        if self._is("("):
            return self._parenthesis()
        if self._is("{"):
            self._wrong("name a metric before the braces", token.span)
        if token.kind is TokenKind.STRING:
            self._wrong("text stands only in matchers of labels", token.span)
        if token.kind is TokenKind.DURATION:
            self._wrong("a duration stands only in [ ] and after offset", token.span)
        if token.kind is not TokenKind.NAME:
            self._unexpected("a metric, a function or a number")
        return self._named()

    def _parenthesis(self) -> Read:
        self._take()
        read = self._expression(1)
        self._expect(")", "an operator or ')'")
        return self._sense.parenthesised(read)

    def _named(self) -> Read:
        word = self._next.text
        after = self._after_next
        called = after.kind is TokenKind.SIGN and after.text == "("
        grouped = after.kind is TokenKind.NAME and after.text.lower() in {"by", "without"}
        if word.lower() in AGGREGATIONS and (called or grouped):
            return self._aggregation()
        if called:
            return self._call()
        if word.lower() in KEYWORDS:
            self._wrong(
                f"{word} is a word of the language and names no metric here", self._next.span
            )
        return self._selector()

    def _call(self) -> Read:
        name = self._take()
        function = FUNCTIONS.get(name.text)
        if function is None:
            self._sense.unknown_function(
                name.text, name.span, known_elsewhere=name.text in NOT_HERE
            )
        arguments = self._arguments()
        node = Call(name.text, tuple(one.node for one in arguments), self._since(name.span.start))
        return self._sense.call(node, arguments, name.span)

    def _arguments(self) -> list[Read]:
        self._expect("(")
        found: list[Read] = []
        while not self._is(")") or found:
            found.append(self._expression(1))
            if self._is(")"):
                break
            self._expect(",", "an operator, ',' or ')'")
        self._take()
        return found

    def _aggregation(self) -> Read:
        name = self._take()
        operator = name.text.lower()
        grouping = self._grouping()
        arguments = self._arguments()
        grouping = grouping or self._grouping()
        without, words = grouping or (False, ())
        wanted = 2 if operator in PARAMETRIC else 1
        span = self._since(name.span.start)
        if len(arguments) != wanted:
            takes = "a number and an instant vector" if wanted == 2 else "one instant vector"
            self._wrong(f"{operator} takes {takes}", span)
        node = Aggregation(
            operator,
            arguments[-1].node,
            arguments[0].node if wanted == 2 else None,
            tuple(word for word, _ in words),
            without,
            span,
        )
        return self._sense.aggregation(node, arguments, words)

    def _grouping(self) -> tuple[bool, tuple[Word, ...]] | None:
        if not self._is_word("by", "without"):
            return None
        without = self._take().text.lower() == "without"
        return without, self._label_list()

    # -- selectors -------------------------------------------------------------------------------

    def _selector(self) -> Read:
        name = self._take()
        matchers: list[tuple[Matcher, Span]] = []
        if self._is("{"):
            self._take()
            while not self._is("}"):
                matchers.append(self._matcher())
                if not self._is("}"):
                    self._expect(",", "',' or '}'")
            self._take()
        node = Selector(
            name.text, tuple(one for one, _ in matchers), 0.0, self._since(name.span.start)
        )
        return self._sense.selector(node, name.span, [span for _, span in matchers])

    def _matcher(self) -> tuple[Matcher, Span]:
        name = self._next
        if name.kind is not TokenKind.NAME or ":" in name.text:
            self._unexpected("the name of a label or '}'")
        self._take()
        if self._next.kind is not TokenKind.SIGN or self._next.text not in set(MatcherOperator):
            self._unexpected("=, !=, =~ or !~")
        operator = MatcherOperator(self._take().text)
        value = self._next
        if value.kind is not TokenKind.STRING:
            self._unexpected("a value in quotation marks")
        self._take()
        try:
            matcher = Matcher(name.text, operator, value.text)
        except (ValueError, OverflowError, RecursionError) as error:
            said = str(error).partition(" is no regular expression: ")[2] or str(error)
            self._wrong(f"this is no regular expression: {said}", value.span)
        return matcher, name.span

    def _after(self, read: Read) -> Read:
        """What follows a metric: a range, an offset."""
        node = read.node
        if not isinstance(node, Selector) or read.is_parenthesised:
            return read
        start = node.span.start
        seconds = None
        if self._is("["):
            seconds = self._range()
        end = self._since(start)
        if self._is_word("offset"):
            self._take()
            if self._is("-"):
                self._wrong("an offset looks back, so it is not negative", self._next.span)
            if self._next.kind is not TokenKind.DURATION:
                self._unexpected("a duration such as 5m")
            duration = self._take()
            self._sense.looks_back(duration.number, duration.span)
            end = self._since(start)
            node = Selector(
                node.metric, node.matchers, duration.number, node.span if seconds else end
            )
        if seconds is None:
            return self._sense.offset(node, read)
        return self._sense.range(Range(node, seconds, end), read)

    def _range(self) -> float:
        bracket = self._take()
        if self._next.kind is not TokenKind.DURATION:
            self._unexpected("a duration such as 5m")
        duration = self._take()
        if self._next.text.startswith(":"):
            self._wrong(
                "subqueries are not part of this language",
                Span(bracket.span.start, self._next.span.end),
            )
        self._expect("]")
        self._sense.looks_back(duration.number, duration.span)
        return duration.number
