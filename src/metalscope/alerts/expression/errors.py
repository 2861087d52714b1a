"""What is wrong with an expression, and where in it."""

from __future__ import annotations

from metalscope.alerts.expression.ast import Span
from metalscope.errors import MetalscopeError

__all__ = ["EvaluationError", "ExpressionError"]


class ExpressionError(MetalscopeError, ValueError):
    """An expression cannot be read, or makes no sense. The text says what, and at which column.

    Attributes:
        what: what is wrong, in one line.
        text: the whole expression.
        span: where in it.
    """

    def __init__(self, what: str, text: str, span: Span) -> None:
        self.what = what
        self.text = text
        self.span = span
        before = text[: span.start]
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        place = f"column {column}" if "\n" not in text else f"line {line}, column {column}"
        super().__init__(f"{what} (at {place})")

    def pointed(self) -> str:
        """The line of the expression, with marks under what is wrong, and then what it is."""
        start = self.text.rfind("\n", 0, self.span.start) + 1
        end = self.text.find("\n", self.span.start)
        line = self.text[start : end if end >= 0 else len(self.text)]
        indent = "".join("\t" if c == "\t" else " " for c in line[: self.span.start - start])
        width = max(1, min(self.span.end, start + len(line)) - self.span.start)
        return f"{line}\n{indent}{'^' * width} {self.what}"


class EvaluationError(MetalscopeError):
    """An expression that makes sense has no result for the series there are now.

    Two sides of an operator that do not fit one to one, say; Prometheus refuses the same.
    """
