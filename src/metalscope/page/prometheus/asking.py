"""What every question needs: who is asked, how often there are samples, and the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from metalscope.page.prometheus.api import PrometheusApi
from metalscope.page.prometheus.growth import growth, increase, milliseconds
from metalscope.page.prometheus.selecting import matching, selected
from metalscope.page.prometheus.steps import Steps
from metalscope.page.prometheus.windows import Scrapes
from metalscope.page.source import Wanted
from metalscope.semconv import OPERATIONS, Metric

__all__ = ["HOST", "Asking", "Window", "chosen", "of_host"]

HOST = "instance"
"""The label that tells the hosts of a fleet apart."""

_RATE: Final = 4
"""Scrapes that a rate is of at least, as Grafana's ``$__rate_interval``."""

_MOST_LOOKED_AT: Final = 100_000
"""Counters times steps; Prometheus 2.42 takes some 5 µs for each of them."""

_MOST_SAMPLES: Final = 1_000_000
"""Samples of one answer; it takes about a second for so many."""


@dataclass(frozen=True, slots=True)
class Window:
    """How many seconds a query looks back, and how many are between two scrapes.

    ``is_exact`` is whether counters are looked at one by one, as
    :func:`~metalscope.page.prometheus.growth.growth` has it.
    """

    seconds: float
    scrape: float
    is_exact: bool = True

    def grown(self, metric: Metric, *matchers: str, part: str = "", by: Iterable[str] = ()) -> str:
        """What the counters of a metric have grown by, together or by some labels.

        Args:
            metric: whose series.
            matchers: those of :func:`~metalscope.page.prometheus.selecting.matching`.
            part: of a histogram: ``_bucket``, ``_sum`` or ``_count``.
            by: the labels that are kept.
        """
        series = selected(metric.name + part, *matchers)
        if self.is_exact:
            grown = growth(series, self.seconds, scrape=self.scrape)
        else:
            grown = increase(series, self.seconds)
        return f"sum by ({', '.join(by)}) ({grown})"


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked. ``now`` gives the seconds since the epoch."""

    api: PrometheusApi
    scrapes: Scrapes
    now: Callable[[], float]

    def window_of(self, steps: Steps, *, least: float = _RATE) -> Window:
        """What is looked at for each step: the step, and ``least`` scrapes at least."""
        scrape = self.scrapes.apart(min(self.now(), steps.last_asked))
        return Window(max(steps.step_ms / 1000, least * scrape), scrape)

    def counting(self, steps: Steps, *matchers: str, each: int) -> Window:
        """The window of counters, ``each`` for every series of operations that is chosen.

        It is exact unless there are so many that Prometheus would take seconds for it.
        """
        window = self.window_of(steps)
        known = self._series(window, min(self.now(), steps.last_asked), *matchers)
        return replace(window, is_exact=known * each * steps.count <= _MOST_LOOKED_AT)

    def counting_at(self, moment: float, seconds: float, *matchers: str, each: int) -> Window:
        """The same for one moment and just so many seconds."""
        window = self.window_at(moment, seconds, least=0)
        known = self._series(window, moment, *matchers)
        samples = known * each * seconds / window.scrape
        return replace(window, is_exact=samples <= _MOST_SAMPLES)

    def _series(self, window: Window, moment: float, *matchers: str) -> float:
        """How many series of operations are chosen."""
        series = f"{selected(OPERATIONS.name, *matchers)}[{milliseconds(window.seconds)}]"
        found = self.api.at(f"count(last_over_time({series}))", moment)
        return found[0].value or 0 if found else 0

    def window_at(self, moment: float, seconds: float, *, least: float = _RATE) -> Window:
        """What is looked at for one moment: so many seconds, and ``least`` scrapes at least."""
        scrape = self.scrapes.apart(moment)
        return Window(max(seconds, least * scrape), scrape)


def chosen(wanted: Wanted) -> tuple[str, ...]:
    """The matchers of the operations that are wanted."""
    return (
        matching("kind", wanted.kind),
        matching("name", wanted.name),
        matching("device", wanted.device),
        of_host(wanted.host),
    )


def of_host(host: str) -> str:
    """The matcher of one host; none where all are wanted."""
    # By its name as it is: a host is no pattern.
    return selected("", **{HOST: host})[1:-1]
