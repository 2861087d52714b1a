"""Puts what a sink needs on the server, once, before the first record goes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from metalscope.logs.sinks.bulk_http import NotTakenError
from metalscope.sending.http.outcome import judge
from metalscope.sending.result import ExportResult

__all__ = ["Installation", "TemplateUpkeep"]

logger: Final = logging.getLogger("metalscope")


@dataclass(frozen=True, slots=True)
class Installation:
    """One thing to be there: ``what`` it is for a person, ``put`` asks for it and puts it."""

    what: str
    put: Callable[[], None]


class TemplateUpkeep:
    """Sees that they are there.

    Where the server cannot be reached or is busy, that is a result, and records wait: what they
    would make without the template stays wrong. Where it refuses, as without the privilege, that
    is told once in the log, and records go as they are.
    """

    def __init__(self, who: str, installations: Sequence[Installation]) -> None:
        self._who = who
        self._left = list(installations)

    def ensure(self) -> ExportResult | None:
        """Put what is not there yet; ``None`` where records may go.

        Raises:
            TransportError: there was no answer.
        """
        while self._left:
            one = self._left[0]
            try:
                one.put()
            except NotTakenError as refusal:
                status = refusal.answer.status
                result = judge(refusal.answer)
                if status in {401, 407, 408, 429} or status // 100 != 4:
                    return result
                logger.warning(
                    "%s: the %s could not be put, records go without it: %s",
                    self._who,
                    one.what,
                    result.detail,
                )
            self._left.pop(0)
        return None
