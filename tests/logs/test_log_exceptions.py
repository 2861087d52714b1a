"""Exceptions in records: their class, what they said, and where, if that is kept."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from logger_kit import logged

from metalscope.logs.exceptions import MOST_STACK_BYTES, captured_exception
from metalscope.logs.record import LoggedException


class NoSenseError(Exception):
    """Raises whatever is asked of it."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        if cause is None:
            raise error
        raise error from cause
    except BaseException as caught:
        return caught


def of(error: BaseException, *, stack: bool = True) -> LoggedException:
    return captured_exception(error, stack=stack).logged()


def stack_of(error: BaseException) -> str:
    stack = of(error).stacktrace
    assert stack is not None
    return stack


def test_class_and_message_are_kept_and_no_stack_unless_asked_for() -> None:
    assert of(raised(ValueError("odd")), stack=False) == LoggedException("ValueError", "odd")
    assert of(NoSenseError(), stack=False).type == f"{__name__}.NoSenseError"


def test_the_stack_says_where_with_the_source() -> None:
    stack = stack_of(raised(ValueError("odd")))
    assert stack.startswith("Traceback (most recent call last):\n")
    assert "in raised\n    raise error\n" in stack
    assert stack.endswith("ValueError: odd")


def test_what_led_to_it_comes_before_it() -> None:
    stack = stack_of(raised(ValueError("last"), raised(KeyError("first"))))
    first, last = stack.split("was the direct cause")
    assert "KeyError: 'first'" in first
    assert last.endswith("ValueError: last")


def test_what_was_being_handled_comes_before_it_unless_suppressed() -> None:
    def fail(*, suppress: bool) -> BaseException:
        try:
            try:
                raise KeyError("first")
            except KeyError as error:
                if suppress:
                    raise ValueError("last") from None
                error.add_note("a note")
                raise ValueError("last")  # noqa: B904 - that is what is tried
        except ValueError as error:
            return error

    stack = stack_of(fail(suppress=False))
    assert "During handling" in stack
    assert "KeyError: 'first'\na note\n" in stack
    assert "KeyError" not in stack_of(fail(suppress=True))


def test_a_group_is_told_with_all_in_it() -> None:
    group = BaseExceptionGroup(
        "two", [raised(KeyError("a")), raised(ValueError("b"), OSError("c"))]
    )
    stack = stack_of(raised(group))
    assert "ExceptionGroup: two (2 sub-exceptions)" in stack
    for said in ("  | KeyError: 'a'", "  | ValueError: b", "  | OSError: c"):
        assert said in stack


def test_a_circle_of_causes_ends() -> None:
    one, two = raised(ValueError("one")), raised(ValueError("two"))
    one.__cause__, two.__cause__ = two, one
    assert stack_of(one).count("ValueError: one") == 1


@pytest.mark.parametrize(
    "error", [NoSenseError(), raised(NoSenseError()), raised(OSError("x"), NoSenseError())]
)
def test_an_exception_that_raises_when_asked_is_told_all_the_same(error: BaseException) -> None:
    assert "NoSenseError" in stack_of(error)


def test_a_stack_is_bounded() -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError("ü" * 100_000)

    chain: BaseException | None = None
    for number in range(200):
        try:
            deep(50)
        except ValueError as error:
            error.__cause__ = chain
            error.args = (f"{number} " + "ü" * 5000,)
            chain = error
    assert chain is not None
    stack = stack_of(chain)
    assert len(stack.encode()) <= MOST_STACK_BYTES
    assert "earlier exceptions are left out" in stack
    assert "199 ü" in stack or stack.endswith("üü")


def test_a_syntax_error_shows_the_place() -> None:
    with pytest.raises(SyntaxError) as caught:
        compile("a = = 1", "there.py", "exec")
    assert "^" in stack_of(caught.value)


def test_the_logger_keeps_no_frame_alive() -> None:
    kept = logged(enable_stack_trace_logging=True, buffer_flush_interval="1h")
    kept.log.info("the first one starts the thread")
    assert kept.log.flush(30)

    class Tensor:
        pass

    def fail() -> weakref.ref[Any]:
        tensor = Tensor()
        gone = weakref.ref(tensor)
        try:
            raise ValueError("odd")
        except ValueError as error:
            kept.log.warning("failed", error=error, also=error)
        return gone

    gone = fail()
    gc.collect()
    assert gone() is None
    line = kept.lines()[-1]
    assert line["exception_type"] == "ValueError"
    assert "raise ValueError" in line["exception_stacktrace"]
    assert line["also"] == "ValueError: odd"


def test_the_exception_that_is_handled_is_taken_by_itself() -> None:
    kept = logged()
    try:
        raise ValueError("odd")
    except ValueError:
        kept.log.exception("failed", size=3)
        kept.log.bind(a=1).exception("failed")
    kept.log.exception("nothing is handled")
    first, second, third = kept.lines()
    assert first["exception_type"] == second["exception_type"] == "ValueError"
    assert (first["size"], second["a"]) == (3, 1)
    assert "exception_stacktrace" not in first
    assert "exception_type" not in third
