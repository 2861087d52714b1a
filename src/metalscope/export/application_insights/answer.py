"""What Application Insights' answers mean, for each item and for all of a request.

``EndpointSpecs/ENDPOINT-PROTOCOL.md`` of microsoft/ApplicationInsights-Home: an answer tells how
many items were accepted, and status and message of each that was not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Final

from metalscope.sending.http.outcome import (
    HttpAnswer,
    TransportError,
    judge,
    result_of_error,
    retry_after_of,
)
from metalscope.sending.result import ExportResult, Reason, Verdict

__all__ = ["Fates"]

_QUOTA: Final = {402, 439}
_LIMITED: Final = {429} | _QUOTA
_LATER: Final = {401, 403, 408, 500, 502, 503, 504} | _LIMITED
"""Statuses with which the SDK tries an item again."""

_WRONG_KEY: Final = re.compile(rb"instrumentation key", re.IGNORECASE)


class Fates:
    """Which items of one snapshot are done with, and whether they were taken.

    Args:
        shown: makes a peer's words fit to be shown.
    """

    def __init__(self, shown: Callable[[str], str]) -> None:
        self._shown = shown
        self._taken: dict[int, bool] = {}
        self._said = ""

    def is_open(self, number: int) -> bool:
        """Whether the item still is to be sent."""
        return number not in self._taken

    def result(self, numbers: Sequence[int]) -> ExportResult:
        """What became of these items, with all of which it is done."""
        taken = sum(self._taken[number] for number in numbers)
        if not taken:
            return ExportResult.rejected(Reason.SCHEMA, self._said)
        refused = len(numbers) - taken
        said = self._said if refused else ""
        return ExportResult.delivered(taken, rejected_points=refused, detail=said)

    def settle(
        self, numbers: Sequence[int], outcome: HttpAnswer | TransportError | None
    ) -> ExportResult | None:
        """Note what became of the items that were sent together.

        Returns:
            What is to be told where some of them, or all, are not done with.
        """
        if isinstance(outcome, TransportError):
            return result_of_error(outcome)
        self._said = "Azure's SDK sent none of the items"
        if outcome is not None:
            result = _judged(outcome)
            if result.ok:
                return self._settle_each(numbers, outcome)
            if result.verdict is Verdict.RETRY or result.reason is Reason.TOO_LARGE:
                return result
            self._said = result.detail
        self._taken |= dict.fromkeys(numbers, False)
        return None

    def _settle_each(self, numbers: Sequence[int], answer: HttpAnswer) -> ExportResult | None:
        read = _read(answer)
        if read is None:
            return ExportResult.retry(
                Reason.GARBAGE,
                f"{answer.peer} answered {answer.status} and no answer of Application Insights",
            )
        accepted, errors = read
        unnamed = max(0, len(numbers) - accepted - len(errors))
        later: list[tuple[int, str]] = []
        for index, number in enumerate(numbers):
            if index not in errors:
                self._taken[number] = unnamed == 0
                if unnamed:
                    unnamed -= 1
                    self._said = f"{answer.peer} refused items without saying which"
                continue
            status, message = errors[index]
            if status in _LATER:
                later.append((status, message))
            else:
                self._taken[number] = False
                self._said = f"{answer.peer} refused an item ({status}): {self._shown(message)}"
        if not later:
            return None
        status, message = later[0]
        return ExportResult.retry(
            Reason.RATE_LIMITED if status in _LIMITED else Reason.SERVER_ERROR,
            f"{answer.peer} did not take {len(later)} of {len(numbers)} items yet ({status}): "
            f"{self._shown(message)}",
            retry_after=retry_after_of(answer.headers),
        )


def _judged(answer: HttpAnswer) -> ExportResult:
    result = judge(answer)
    wait = retry_after_of(answer.headers)
    if answer.status in _QUOTA:
        # The protocol's word for "too many requests over an extended time".
        said = f"{result.detail} (the resource's quota is used up)"
        return ExportResult.retry(Reason.RATE_LIMITED, said, retry_after=wait)
    if answer.status == 400 and _WRONG_KEY.search(answer.body):
        # A person may mend it.
        return ExportResult.retry(Reason.UNAUTHORIZED, result.detail, retry_after=wait)
    return result


def _read(answer: HttpAnswer) -> tuple[int, dict[int, tuple[int, str]]] | None:
    """How many items were accepted, and status and message of the others by their place."""
    try:
        said = json.loads(answer.body)
        return int(said["itemsAccepted"]), {
            int(error["index"]): (int(error["statusCode"]), str(error.get("message") or ""))
            for error in said.get("errors") or ()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
