"""TraceSummary: a trace in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from metalscope.traces.span import Decision, FinishedSpan

__all__ = ["TraceSummary", "summary_of"]

_REASONS: Final = (Decision.SAMPLED, Decision.FAILED, Decision.SLOW, Decision.AROUND)
"""Why spans were kept, what says most of a trace first."""


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """What is known of a trace by the spans of it that are here.

    ``name`` is that of its root, or of its first span where the root is not here; ``start_ns`` a
    Unix time. ``decision`` is why it was kept: sampled, else for a span that failed, or was slow.
    """

    trace_id: int
    name: str
    start_ns: int
    duration_ns: int
    spans: int
    failed: int
    correlation_id: str | None
    decision: Decision


def summary_of(spans: Sequence[FinishedSpan]) -> TraceSummary:
    """That of these spans of one trace, of which there is one at least."""
    here = {span.span_id for span in spans}
    # The root of what is here may have a parent in another process.
    first = min(spans, key=lambda span: (span.parent_id in here, span.start_ns, -span.end_ns))
    start_ns = min(span.start_ns for span in spans)
    reasons = {span.decision for span in spans}
    ids = (span.correlation_id for span in (first, *spans))
    return TraceSummary(
        trace_id=first.trace_id,
        name=first.name,
        start_ns=start_ns,
        duration_ns=max(span.end_ns for span in spans) - start_ns,
        spans=len(spans),
        failed=sum(span.failed for span in spans),
        correlation_id=next((one for one in ids if one is not None), None),
        decision=next(one for one in _REASONS if one in reasons),
    )
