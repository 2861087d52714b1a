"""Tails: the latest log records and spans of this program, kept in memory for the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from metalscope.logs.recent import RecentRecords
    from metalscope.options import MetalTelemetryOptions
    from metalscope.sanitizing.sanitizer import Sanitizer
    from metalscope.traces.recent import RecentSpans

__all__ = ["Tails", "described"]

NO_SERVER: Final = "nothing is kept for the page here: set server.enabled to true"
NO_LOG: Final = (
    "nothing is logged here: set logging.enabled to true, or log through the log of telemetry"
)
NO_SPANS: Final = "no spans are made here: set traces.enabled to true"
OFF: Final = "no spans are made here: telemetry is off, as enabled is false"
NO_LOG_OF_ALL: Final = (
    "each program writes its own log: set logging.enabled to true for the events of all of them"
)
NO_SPANS_OF_ALL: Final = (
    "spans stay with the programs that make them: see the page of each, where server.enabled and "
    "traces.enabled are true"
)


class Tails:
    """The two tails, each from when there is something to keep.

    Args:
        records: the latest records of the log.
        spans: the latest spans that were kept.
        most_records: how many records one that is begun here keeps.
        most_spans: how many spans.
        why_no_records: why there are none, and what to set, in one sentence.
        why_no_spans: the same for spans.
    """

    def __init__(
        self,
        records: RecentRecords | None = None,
        spans: RecentSpans | None = None,
        *,
        most_records: int = 1000,
        most_spans: int = 5000,
        why_no_records: str = NO_LOG,
        why_no_spans: str = NO_SPANS,
    ) -> None:
        self.records = records
        self.spans = spans
        self._most_records = most_records
        self._most_spans = most_spans
        self._why_no_records = why_no_records
        self._why_no_spans = why_no_spans

    @classmethod
    def of(cls, options: MetalTelemetryOptions) -> Self:
        """Those of a program, empty yet, by ``server.page``."""
        page = options.server.page
        return cls(
            most_records=page.log_records,
            most_spans=page.spans,
            why_no_spans=NO_SPANS if options.enabled else OFF,
        )

    @classmethod
    def of_all(cls, options: MetalTelemetryOptions) -> Self:
        """Those of what serves the page of several programs, and is none of them."""
        return cls(
            most_records=options.server.page.log_records,
            why_no_records=NO_LOG_OF_ALL,
            why_no_spans=NO_SPANS_OF_ALL,
        )

    def begin_records(self, sanitizer: Sanitizer) -> RecentRecords:
        """Keep the latest records of a log that begins now, in place of those of one before."""
        from metalscope.logs.recent import RecentRecords  # noqa: PLC0415 - where there is a log

        self.records = RecentRecords(self._most_records, sanitizer)
        return self.records

    def begin_spans(
        self, sanitizer: Sanitizer, on_error: Callable[[str, BaseException], None]
    ) -> RecentSpans:
        """The same of spans."""
        from metalscope.traces.recent import RecentSpans  # noqa: PLC0415 - where there are any

        self.spans = RecentSpans(self._most_spans, sanitizer, on_error=on_error)
        return self.spans

    @property
    def why_no_records(self) -> str:
        """Why there are no records, and what to set; empty where there are."""
        return self._why_no_records if self.records is None else ""

    @property
    def why_no_spans(self) -> str:
        """The same of spans."""
        return self._why_no_spans if self.spans is None else ""


def described(tails: Tails | None) -> dict[str, dict[str, Any]]:
    """Which of the two there are, and why not: what ``/api/v1/past`` tells of them."""
    why_logs = NO_SERVER if tails is None else tails.why_no_records
    why_traces = NO_SERVER if tails is None else tails.why_no_spans
    return {
        "logs": {"is_on": not why_logs, "why": why_logs},
        "traces": {"is_on": not why_traces, "why": why_traces},
    }
