"""How often the same thing is given to somebody who raises each time."""

from __future__ import annotations

from typing import Final

from metalscope.sending.result import ExportResult, Reason

__all__ = ["MOST_TRIES_OF_AN_ERROR", "Patience"]

MOST_TRIES_OF_AN_ERROR: Final = 5


class Patience:
    """Counts the tries of what is tried now."""

    def __init__(self) -> None:
        self._tried: object = None
        self._tries = 0

    def judged(self, what: object, result: ExportResult) -> ExportResult:
        """The result, or the end of it where ``what`` was the cause of an error too often.

        An error of one's own code that comes each time would hold up all that follows.
        """
        if result.reason is not Reason.EXPORTER_ERROR:
            return result
        self._tries = self._tries + 1 if self._tried == what else 1
        self._tried = what
        if self._tries < MOST_TRIES_OF_AN_ERROR:
            return result
        return ExportResult.rejected(Reason.EXPORTER_ERROR, result.detail)
