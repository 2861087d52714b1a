"""What goes wrong with single rules and alerts, told once and with their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from metalscope.errors import MetalscopeError

__all__ = ["Faults"]

ROOM: Final = "alerts"
"""Under which they are counted."""


class Faults:
    """Tells of faults. ``on_error`` is told as (room, exception)."""

    def __init__(self, on_error: Callable[[str, BaseException], None]) -> None:
        self._on_error = on_error
        self._failing: set[str] = set()

    def tell(self, what: str, error: Exception) -> None:
        """Tell of one, with what it was about."""
        said = MetalscopeError(f"{what}: {type(error).__name__}: {error}")
        said.__cause__ = error
        self._on_error(ROOM, said)

    def rule_failed(self, rule: str, error: Exception) -> None:
        """Tell that a rule cannot be evaluated, unless that was told already."""
        if rule not in self._failing:
            self._failing.add(rule)
            self.tell(f"the rule {rule} cannot be evaluated", error)

    def rule_works(self, rule: str) -> None:
        """It can be evaluated, so the next time that it cannot is told again."""
        self._failing.discard(rule)
