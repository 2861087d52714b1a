"""What a span says of an operation."""

from __future__ import annotations

from typing import Any, Final

from metalscope import attributes as names
from metalscope._recorder_base import MAX_NAME_LENGTH, ErrorLike
from metalscope._recorder_operation import amount
from metalscope.operation import NS_PER_MS, OK, OperationKind
from metalscope.traces.span import Span, error_text

__all__ = ["OperationTitle", "attributes_of", "describe", "span_name", "text_of", "title_of"]

_KINDS: Final = frozenset(kind.value for kind in OperationKind)

OperationTitle = tuple[str, str, str]
"""Kind, name and device of an operation as a span has them."""


def title_of(kind: str, name: str, device: str) -> OperationTitle:
    """Kind, name and device as texts that can be encoded, and are not too long.

    Raises:
        ValueError: the kind is no OperationKind.
        Exception: whatever a name of another type raises.
    """
    if kind not in _KINDS:
        raise ValueError(kind)
    if type(name) is not str or len(name) > MAX_NAME_LENGTH or not name.isascii():
        name = _text(name)
    return str(kind), name, _text(device) if device else ""


def span_name(title: OperationTitle) -> str:
    """The name of an operation's span: ``execute matmul``."""
    return f"{title[0]} {title[1]}"


def attributes_of(title: OperationTitle) -> dict[str, Any]:
    """What is known of an operation as it begins, by the names of :mod:`metalscope.attributes`."""
    kind, name, device = title
    if device:
        return {names.OPERATION_KIND: kind, names.OPERATION_NAME: name, names.DEVICE: device}
    return {names.OPERATION_KIND: kind, names.OPERATION_NAME: name}


def describe(span: Span, outcome: str, nbytes: int, gpu_ns: int | None, text: str) -> None:
    """Say in a span what is known of its operation now that it is over.

    Amounts that cannot be added are left out; ``text`` is what went wrong, in a sentence.
    """
    attributes = span.attributes
    attributes[names.OPERATION_OUTCOME] = str(outcome)
    if outcome != OK:
        attributes[names.ERROR_TYPE] = str(outcome)
        span.failed = True
        span.error = text or str(outcome)
    if nbytes and _is_amount(nbytes):
        attributes[names.OPERATION_BYTES] = nbytes
    if gpu_ns is not None and _is_amount(gpu_ns):
        attributes[names.OPERATION_GPU] = gpu_ns / NS_PER_MS


def text_of(error: ErrorLike) -> str:
    """An exception in one line; nothing for what is none."""
    return error_text(error) if isinstance(error, BaseException) else ""


def _is_amount(value: int) -> bool:
    try:
        amount(value, "")
    except (TypeError, ValueError):
        return False
    return True


def _text(value: object) -> str:
    text = str(value)
    if len(text) > MAX_NAME_LENGTH:
        text = text[: MAX_NAME_LENGTH - 1] + "…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
