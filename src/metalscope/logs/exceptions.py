"""Exceptions as text: what is asked of them at once, and the source lines when it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from traceback import StackSummary, format_exception_only, walk_tb
from typing import Final

from metalscope.logs.record import LoggedException
from metalscope.logs.texts import text_of

__all__ = ["MOST_STACK_BYTES", "CapturedException", "captured_exception", "type_name"]

MOST_STACK_BYTES: Final = 32 * 1024
"""A longer stack trace has its middle left out."""

_MOST_EXCEPTIONS: Final = 24
_MOST_FRAMES: Final = 200
_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


@dataclass(frozen=True, slots=True)
class _Part:
    """One exception of a chain, or of a group, or what stands between two."""

    indent: str = ""
    frames: StackSummary | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class CapturedException:
    """An exception without its frames, which would keep alive all that is local in them."""

    type: str
    message: str
    parts: tuple[_Part, ...] = ()

    def logged(self) -> LoggedException:
        """As records have it. Source files are read here, so not on the thread that failed."""
        if not self.parts:
            return LoggedException(self.type, self.message)
        stack = "".join([_indented(part) for part in self.parts]).rstrip("\n")
        return LoggedException(self.type, self.message, _cut(stack))


def type_name(error: BaseException) -> str:
    """The class with its module, but for those of Python itself."""
    kind = type(error)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def captured_exception(error: BaseException, *, stack: bool) -> CapturedException:
    """``error`` as it is now, with the stack trace, its causes and its group if ``stack``."""
    parts: tuple[_Part, ...] = ()
    if stack:
        try:
            parts = tuple(_chain(error, "", [_MOST_EXCEPTIONS], set()))
        except Exception as failure:  # noqa: BLE001 - law: an odd exception harms nobody
            parts = (_Part(text=f"no stack trace: {type(failure).__name__} was raised\n"),)
    return CapturedException(type_name(error), text_of(error), parts)


def _chain(error: BaseException, indent: str, left: list[int], seen: set[int]) -> Iterator[_Part]:
    """The parts of ``error`` and of what led to it, as Python prints them: the first one first."""
    links: list[tuple[BaseException, str]] = []
    now: BaseException | None = error
    between = ""
    while now is not None and id(now) not in seen and left[0] > 0:
        seen.add(id(now))
        left[0] -= 1
        links.append((now, between))
        if now.__cause__ is not None:
            now, between = now.__cause__, _CAUSE
        else:
            now, between = (None if now.__suppress_context__ else now.__context__), _CONTEXT
    if now is not None and left[0] <= 0:
        yield _Part(indent, text="… earlier exceptions are left out\n")
    for one, after in reversed(links):
        yield from _one(one, indent, left, seen)
        if after:
            yield _Part(indent, text=after)


def _one(error: BaseException, indent: str, left: list[int], seen: set[int]) -> Iterator[_Part]:
    if error.__traceback__ is not None:
        yield _Part(indent, text="Traceback (most recent call last):\n")
        yield _Part(
            indent,
            frames=StackSummary.extract(
                walk_tb(error.__traceback__), limit=-_MOST_FRAMES, lookup_lines=False
            ),
        )
    yield _Part(indent, text=_said(error))
    if isinstance(error, BaseExceptionGroup):
        for place, inner in enumerate(error.exceptions, 1):
            if left[0] <= 0:
                yield _Part(indent + "  ", text="… further exceptions are left out\n")
                return
            yield _Part(indent + "  ", text=f"---------------- {place} ----------------\n")
            yield from _chain(inner, indent + "  | ", left, seen)


def _said(error: BaseException) -> str:
    if isinstance(error, SyntaxError):  # has the line and a mark below it
        return "".join(format_exception_only(error))
    said = text_of(error)
    lines = [f"{type_name(error)}: {said}" if said else type_name(error)]
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        lines += [text_of(note) for note in notes[:20]]
    return "\n".join(lines) + "\n"


def _indented(part: _Part) -> str:
    text = part.text if part.frames is None else "".join(part.frames.format())
    if not part.indent:
        return text
    return "".join([part.indent + line for line in text.splitlines(keepends=True)])


def _cut(text: str) -> str:
    content = text.encode("utf-8", "replace")
    if len(content) <= MOST_STACK_BYTES:
        return text
    half = MOST_STACK_BYTES // 2 - 16
    start, end = content[:half], content[-half:]
    return f"{start.decode(errors='ignore')}\n  …\n{end.decode(errors='ignore')}"
