"""Waiting for Splunk's indexers to have written what was taken."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from metalscope.logs.sinks.splunk_answer import read_answer, read_object
from metalscope.sending.http.deadline import remaining
from metalscope.sending.http.outcome import TransportError, result_of_error
from metalscope.sending.result import ExportResult, Reason

if TYPE_CHECKING:
    from metalscope.sending.http.transport import HttpAnswer

__all__ = ["Acknowledgements", "AskForAcks"]

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 10.0
"""Between two questions; indexers write after seconds, or minutes where little comes."""

MOST_WAITING: Final = 64
"""Parts of one batch that wait for an acknowledgement each."""

_MARGIN_S: Final = 0.5

AskForAcks = Callable[[bytes], "HttpAnswer"]
"""Posts a body to the collector's ``ack``."""


class Acknowledgements:
    """The acknowledgements that are waited for, over several tries of one batch.

    Splunk forgets one it has told of, so what it told is not asked for again. One that has not
    come in ``timeout`` is given up, and its events go again: they may then be there twice.
    """

    def __init__(
        self,
        peer: str,
        ask: AskForAcks,
        *,
        timeout: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._peer, self._ask = peer, ask
        self._timeout = timeout.total_seconds()
        self._monotonic, self._sleep = monotonic, sleep
        # The events that wait for each, and until when.
        self._waiting: dict[int, tuple[tuple[bytes, ...], float]] = {}
        self._given_up: Counter[bytes] = Counter()

    @property
    def is_full(self) -> bool:
        """Whether as many are waited for as may be."""
        return len(self._waiting) >= MOST_WAITING

    def begin(self, ack_id: int, events: Sequence[bytes]) -> None:
        """Wait for this one from now on, which says that these events are written."""
        self._waiting[ack_id] = (tuple(events), self._monotonic() + self._timeout)

    def held(self) -> Counter[bytes]:
        """The events that were taken and wait."""
        return Counter(event for events, _ in self._waiting.values() for event in events)

    def missing(self) -> Counter[bytes]:
        """The events that are not known to be written: held, or given up by the last wait."""
        return self.held() + self._given_up

    def forget(self) -> None:
        """Wait for none any more."""
        self._waiting.clear()

    def wait(self) -> ExportResult | None:
        """Ask until all have come, one is given up, or the time for this try is over.

        Returns:
            ``None`` where all have come; else why some have not.
        """
        self._given_up.clear()
        pause = FIRST_PAUSE_S
        while self._waiting:
            failed = self._told()
            now = self._monotonic()
            late = [one for one, (_, until) in self._waiting.items() if now >= until]
            for one in late:
                self._given_up.update(self._waiting.pop(one)[0])
            if late:
                return self._later(f"did not acknowledge within {self._timeout:.3g} s")
            if failed is not None:
                return failed
            if not self._waiting:
                break
            left = _left() - _MARGIN_S
            if left <= 0:
                return self._later("took the events and has not acknowledged them yet")
            ends = min(until - now for _, until in self._waiting.values())
            self._sleep(min(pause, left, ends))
            pause = min(pause * 2, LONGEST_PAUSE_S)
        return None

    def _told(self) -> ExportResult | None:
        try:
            answer = self._ask(json.dumps({"acks": list(self._waiting)}).encode())
        except TransportError as error:
            return result_of_error(error)
        acks = (read_object(answer.body) or {}).get("acks")
        if answer.status == 200 and isinstance(acks, dict):
            for one in [one for one in self._waiting if acks.get(str(one)) is True]:
                del self._waiting[one]
            return None
        result = read_answer(answer, 0, lambda _: answer.words)
        if isinstance(result, ExportResult):
            # None of it is about the events, which are taken: never a refusal.
            reason = result.reason or Reason.GARBAGE
            return ExportResult.retry(reason, result.detail, retry_after=result.retry_after)
        what = "did not say what it has acknowledged"
        return ExportResult.retry(Reason.GARBAGE, f"{self._peer} {what}")

    def _later(self, what: str) -> ExportResult:
        return ExportResult.retry(Reason.TIMEOUT, f"{self._peer} {what}")


def _left() -> float:
    try:
        left = remaining()
    except TimeoutError:
        return 0.0
    return math.inf if left is None else left
