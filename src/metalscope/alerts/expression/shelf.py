"""All series of one name, and which of them a selector means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from metalscope.alert_report import Labels, Matcher
from metalscope.alerts.expression.catalogue import catalogued
from metalscope.alerts.expression.keys import key_of
from metalscope.alerts.expression.series import Series
from metalscope.alerts.expression.wanted import Wanted

__all__ = ["Shelf"]

_OPERATION: Final = ("kind", "name", "device")
"""The first labels of what is counted by operation."""

Values = tuple[str, ...]


class Shelf:
    """The series of one name that are kept, by the values of their labels.

    ``from_boot`` counters began before the process did. ``restarts`` says that a series which is
    back after an absence began at 0 again: those of operations, which are let go when idle. Others
    are absent when a sensor is, and go on.
    """

    def __init__(self, name: str, needs: Wanted) -> None:
        self.name = name
        self.needs = needs
        metric = catalogued().get(name)
        self.from_boot = metric is not None and metric.from_boot
        self.restarts = metric is not None and metric.labels[:3] == _OPERATION
        # Custom metrics of one name may have other labels after a restart.
        self._series: dict[tuple[str, ...], dict[Values, Series]] = {}
        self._count = 0
        self._selected: dict[str, tuple[Sequence[Matcher], list[Series]]] = {}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Series]:
        for of_names in self._series.values():
            yield from of_names.values()

    def of(self, names: tuple[str, ...]) -> dict[Values, Series]:
        """The series with labels of these names, by their values in the same order."""
        return self._series.setdefault(names, {})

    def add(self, names: tuple[str, ...], values: Values, first: int, base_until: int) -> Series:
        """A new series, whose first sample is at a sampling."""
        # An empty label is none, as in Prometheus.
        labels = tuple(
            sorted((name, str(value)) for name, value in zip(names, values, strict=True) if value)
        )
        plain = tuple(map(str, values))
        series = Series(
            labels,
            key_of(self.name, names, plain),
            first,
            counted=self.needs.counted,
            restarts=self.restarts,
            base_until=base_until,
        )
        self.of(names)[plain] = series
        self._count += 1
        by_name = dict(labels)
        for matchers, selected in self._selected.values():
            if _match(matchers, by_name):
                selected.append(series)
        return series

    def remove(self, gone: set[Labels]) -> None:
        """Let go of series altogether."""
        for of_names in self._series.values():
            for values in [v for v, series in of_names.items() if series.labels in gone]:
                del of_names[values]
        self._count -= len(gone)
        self._selected.clear()

    def select(self, text: str, matchers: Sequence[Matcher]) -> Sequence[Series]:
        """The series that fulfil all matchers; ``text`` says the same, and is looked up by."""
        known = self._selected.get(text)
        if known is None:
            found = [series for series in self if _match(matchers, dict(series.labels))]
            known = self._selected[text] = matchers, found
        return known[1]


def _match(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    return all(matcher.matches(labels) for matcher in matchers)
