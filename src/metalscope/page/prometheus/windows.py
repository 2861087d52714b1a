"""How far back a query looks: by how often programs are scraped."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import pairwise
from statistics import median
from typing import Final

from metalscope.fork import reset_in_child
from metalscope.page.prometheus.api import PrometheusApi
from metalscope.page.prometheus.growth import milliseconds
from metalscope.page.prometheus.selecting import selected
from metalscope.semconv import START_TIME

__all__ = ["Scrapes"]

_USUAL: Final = 15.0
"""Seconds; what is taken where nothing says. Four of it are a minute."""

_LOOKED_AT: Final = 600
_LONGEST: Final = 300.0
_MOST: Final = 32


class Scrapes:
    """How many seconds are between two scrapes, as the samples say."""

    def __init__(self, api: PrometheusApi) -> None:
        self._api = api
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """In a forked child: nothing is known yet."""
        self._known: OrderedDict[int, float] = OrderedDict()
        self._lock = threading.Lock()

    def apart(self, moment: float) -> float:
        """Seconds between two scrapes in the ten minutes before a moment, at least one.

        It is asked for once for each ten minutes of the past.

        Raises:
            SourceError: there is no answer.
        """
        place = int(moment // _LOOKED_AT)
        with self._lock:
            if place in self._known:
                return self._known[place]
        seconds = self._asked(moment)
        if seconds is None:
            return _USUAL
        with self._lock:
            self._known[place] = seconds
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return seconds

    def _asked(self, moment: float) -> float | None:
        # A few are enough, and there may be thousands.
        name, back = START_TIME.name, milliseconds(_LOOKED_AT)
        most = self._api.at(f"topk(3, count_over_time({name}[{back}]))", moment)
        gaps: list[float] = []
        for one in most:
            labels = {label: one.labels.get(label, "") for label in ("job", "instance")}
            for series in self._api.at(f"{selected(name, **labels)}[{back}]", moment):
                times = [at for at, _ in series.samples]
                gaps += [later - at for at, later in pairwise(times)]
        return min(max(median(gaps), 1.0), _LONGEST) if gaps else None
