"""What the log says of a peer: once why it fails, and once that it works again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from metalscope.sending.result import Reason

__all__ = ["Telling", "nothing"]

logger = logging.getLogger("metalscope")


def nothing() -> None:
    """Say nothing."""


class Telling:
    """Remembers what was said, so that one who fails in two ways by turns does not fill the log.

    Args:
        who: how a sentence about it begins, such as ``export central``.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._told: set[Reason] = set()

    def news(self, reason: Reason | None, detail: str) -> Callable[[], None]:
        """What says it, where it is new, or nothing: to be called outside of any lock.

        Args:
            reason: why it fails; ``None`` where it does not.
            detail: one sentence for a person.
        """
        if reason is None:
            if not self._told:
                return nothing
            self._told.clear()
            return lambda: logger.info("%s: works again", self._who)
        if reason in self._told:
            return nothing
        self._told.add(reason)
        return lambda: logger.warning("%s: %s: %s", self._who, reason.value, detail)
