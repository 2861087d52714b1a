"""Jinja2 in which a template can only write text, and not for long. Imports jinja2.

Jinja2's own sandbox keeps a template from Python's insides and from changing what it is given, not
from running or growing without end. Here each turn of a loop and each call is counted, each text
and list that is made is measured, and what could make a large one in one go is not there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["MAX_PIECE", "MAX_RANGE", "MAX_SECONDS", "MAX_STEPS", "Sandbox", "bounded"]

MAX_STEPS: Final = 10_000
"""Turns of loops and calls in one rendering."""

MAX_SECONDS: Final = 1.0
"""How long one rendering may take."""

MAX_PIECE: Final = 256 * 1024
"""Characters and items of all that is put together on the way."""

MAX_RANGE: Final = 1000
"""Numbers in one ``range``."""

_FILTERS: Final = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float",
    "groupby", "int", "items", "last", "length", "list", "lower", "map", "max", "min", "reject",
    "rejectattr", "reverse", "round", "select", "selectattr", "sort", "string", "title", "trim",
    "truncate", "unique", "upper", "wordcount",
)  # fmt: skip
_METHODS: Final[tuple[tuple[type, frozenset[str]], ...]] = (
    (str, frozenset({
        "capitalize", "endswith", "lower", "lstrip", "removeprefix", "removesuffix", "rstrip",
        "split", "splitlines", "startswith", "strip", "title", "upper",
    })),
    (dict, frozenset({"get", "items", "keys", "values"})),
)  # fmt: skip
_OPERATORS: Final = frozenset({"+", "-", "*", "/", "//", "%", "**"})


@dataclass(slots=True)
class _Budget:
    deadline: float
    steps: int = MAX_STEPS

    def take(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise SecurityError(f"it loops and calls more than {MAX_STEPS} times")
        if time.monotonic() > self.deadline:
            raise SecurityError(f"it takes longer than {MAX_SECONDS:g} s")


_budget: ContextVar[_Budget | None] = ContextVar("metalscope_template_budget", default=None)


@contextmanager
def bounded() -> Iterator[None]:
    """What is rendered in this block has one budget of steps and time."""
    token = _budget.set(_Budget(time.monotonic() + MAX_SECONDS))
    try:
        yield
    finally:
        _budget.reset(token)


def _take() -> None:
    budget = _budget.get()
    if budget is not None:
        budget.take()


def _measured(value: Any) -> Any:
    """The value, if it is not too large with all that is in it."""
    left = MAX_PIECE
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            left -= len(one)
        elif isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, dict):
            waiting += (*one.keys(), *one.values())
        left -= 1
        if left < 0 or len(waiting) > MAX_PIECE:
            raise SecurityError("it makes a text or list that is too long")
    return value


class Sandbox(ImmutableSandboxedEnvironment):
    """Templates of plain text: what is not defined is an error, and nothing is escaped."""

    intercepted_binops = _OPERATORS

    def __init__(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
            # Constant parts would be worked out while compiling, before anything is counted.
            optimized=False,
        )
        kept = {name: FILTERS[name] for name in _FILTERS}
        own = {"join": _join, "replace": _replace, "indent": _indent, "sum": _sum, "tojson": _json}
        self.filters = {**kept, **own, **filters, "_each": _each, "_piece": _measured}
        self.globals = {"range": _range}

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,
    ) -> str:
        # Jinja2: "Internal hook that can be overridden to hook a different generate method in."
        _guard(source, name, filename)
        return super()._generate(source, name, filename, defer_init)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may look at it: the few methods that make nothing large."""
        if isinstance(obj, LoopContext | Macro):
            return super().is_safe_attribute(obj, attr, value)
        return any(isinstance(obj, kind) and attr in names for kind, names in _METHODS)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ARG002
        """No formats: of any width, they would make a text of any length."""
        return None

    def call(  # type: ignore[override,unused-ignore]
        self, context: Any, obj: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Call something from a template, at the cost of a step."""
        _take()
        return _measured(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Calculate with numbers; of texts and lists only put two together."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "+" and not numbers:
            return _measured(super().call_binop(context, operator, left, right))
        if not numbers:
            raise SecurityError(f"{operator} is for numbers only")
        if operator == "**" and (abs(right) > 64 or abs(left) > 1e6):
            raise SecurityError("** is for small numbers only")
        result = super().call_binop(context, operator, left, right)
        if abs(result) > 1e300:
            raise SecurityError("it calculates with numbers beyond 1e300")
        return result


def _guard(source: nodes.Template, name: str | None, filename: str | None) -> None:
    """Put a count on each loop, and a measure on each text and list that is put together."""
    for loop in source.find_all(nodes.For):
        if loop.recursive:
            raise TemplateSyntaxError("recursive loops are not possible", loop.lineno, name)
        loop.iter = _filtered(loop.iter, "_each")
    for block in source.find_all(nodes.AssignBlock):
        block.filter = _filtered(block.filter, "_piece", block.lineno)
    for parent in list(source.find_all(nodes.Node)):
        for field, value in list(parent.iter_fields()):
            if _puts_together(value):
                setattr(parent, field, _filtered(value, "_piece"))
            elif isinstance(value, list):
                value[:] = [
                    _filtered(one, "_piece") if _puts_together(one) else one for one in value
                ]
    for unloadable in source.find_all((nodes.Include, nodes.Import, nodes.FromImport)):
        raise TemplateSyntaxError("there is nothing to include", unloadable.lineno, name, filename)


def _puts_together(node: Any) -> bool:
    made = isinstance(node, nodes.Concat | nodes.List | nodes.Dict)
    return made or (isinstance(node, nodes.Tuple) and node.ctx == "load")


def _filtered(node: Any, name: str, lineno: int | None = None) -> Any:
    line = node.lineno if node is not None else lineno
    made = nodes.Filter(node, name, [], [], None, None, lineno=line)
    return made.set_environment(node.environment) if node is not None else made


def _each(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _take()
        yield item


def _range(*bounds: int) -> range:
    made = range(*bounds)
    if len(made) > MAX_RANGE:
        raise SecurityError(f"range is for {MAX_RANGE} numbers at most")
    return made


def _join(items: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    """Put texts together, with something between them."""
    parts: list[str] = []
    left = MAX_PIECE
    for item in items:
        found = item.get(attribute, "") if attribute is not None else item
        parts.append(str(found))
        left -= len(parts[-1]) + len(separator)
        if left < 0:
            raise SecurityError("it makes a text that is too long")
    return str(separator).join(parts)


def _replace(text: object, old: str, new: str) -> str:
    """Put one text where another is."""
    whole = str(text)
    if len(whole) + whole.count(old) * len(new) > MAX_PIECE:
        raise SecurityError("it makes a text that is too long")
    return whole.replace(old, new)


def _indent(text: object, width: int = 4, first: bool = False) -> str:
    """Move lines to the right by up to 40 blanks."""
    blanks = " " * max(0, min(int(width), 40))
    made = str(text).replace("\n", "\n" + blanks)
    return str(_measured(blanks + made if first else made))


def _sum(items: Iterable[Any], attribute: str | None = None) -> float:
    """The sum of numbers."""
    values = (item[attribute] if attribute is not None else item for item in items)
    return sum(float(value) for value in values)


def _json(value: Any) -> str:
    """The value as JSON on one line."""
    return str(_measured(json.dumps(value, ensure_ascii=False)))
