"""Which operations an objective is about."""

from __future__ import annotations

import re

__all__ = ["OperationPattern"]


class OperationPattern:
    """``kind:name`` or a name alone; ``*`` stands for any text and ``?`` for any character.

    All before the first ``:`` is the kind, so a name that holds one is written with its kind.
    """

    def __init__(self, pattern: str) -> None:
        kind, separator, name = pattern.partition(":")
        self._kind = _compiled(kind if separator else "*")
        self._name = _compiled(name if separator else kind)

    def matches(self, kind: str, name: str) -> bool:
        """Whether it is about operations of this kind and name."""
        return bool(self._kind.fullmatch(kind) and self._name.fullmatch(name))


def _compiled(pattern: str) -> re.Pattern[str]:
    # Not fnmatch: it gives a meaning to brackets, which are part of many kernels' names.
    parts = (_WILD.get(one) or re.escape(one) for one in pattern)
    return re.compile("".join(parts), re.DOTALL)


_WILD = {"*": ".*", "?": "."}
