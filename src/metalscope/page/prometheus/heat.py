"""How long operations took, step by step and bucket by bucket."""

from __future__ import annotations

from math import inf

from metalscope.histogram import CLASSIC_BOUNDS_MS
from metalscope.page.prometheus.asking import Asking, chosen
from metalscope.page.prometheus.buckets import bound, cells
from metalscope.page.prometheus.operation_lines import WENT_WELL
from metalscope.page.prometheus.steps import Steps
from metalscope.page.source import Durations, Wanted
from metalscope.semconv import OPERATION_DURATION

__all__ = ["durations_of"]


def durations_of(asking: Asking, wanted: Wanted, steps: Steps) -> Durations:
    """Those of the operations that went well.

    Where a step is shorter than some scrapes, it has its share of what happened in those.

    Raises:
        SourceError: there is no answer.
    """
    window = asking.counting(steps, *chosen(wanted), each=len(CLASSIC_BOUNDS_MS) + 1)
    query = window.grown(OPERATION_DURATION, *chosen(wanted), WENT_WELL, part="_bucket", by=("le",))
    now = asking.now()
    counts: dict[float, list[float | None]] = {}
    for one in asking.api.over(query, steps):
        edge = bound(one.labels.get("le", ""))
        if edge is not None:
            counts[edge] = steps.up_to(now, steps.place(one.samples))
    part = steps.step_ms / 1000 / window.seconds
    edges = tuple(edge for edge in sorted(counts) if edge != inf)
    found = []
    for step in range(steps.count):
        known = {
            edge: count for edge, values in counts.items() if (count := values[step]) is not None
        }
        for edge, count in cells(known):
            if count > 0:
                place = edges.index(edge) if edge != inf else len(edges)
                found.append((step, place, count * part))
    return Durations(steps.start_ms / 1000, steps.step_ms / 1000, steps.count, edges, tuple(found))
