"""Which alerts are explained by others, and tell nobody while those fire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from metalscope.alert_report import Alert, AlertState, Matcher
from metalscope.alerts.engine.circles import circles

if TYPE_CHECKING:
    from metalscope.alert_options import InhibitionOptions

__all__ = ["Inhibition", "inhibited"]

MOST_SOURCES: Final = 10
"""Alerts named as the explanation of one other by one inhibition; the gravest of them."""


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While an alert that fulfils ``source`` fires, those that fulfil ``target`` are explained.

    Labels of ``equal`` must be the same in both, where both have them. As in Alertmanager, an
    alert that fulfils both sides is not explained by another that does.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: InhibitionOptions) -> Self:
        """The inhibition of checked options."""
        return cls(
            tuple(map(Matcher.parse, options.source)),
            tuple(map(Matcher.parse, options.target)),
            options.equal,
        )


@dataclass(frozen=True, slots=True)
class _Labelled:
    alert: Alert
    labels: Mapping[str, str]

    def fulfils(self, matchers: Iterable[Matcher]) -> bool:
        return all(one.matches(self.labels) for one in matchers)


def inhibited(
    alerts: Sequence[Alert], inhibitions: Iterable[Inhibition]
) -> dict[str, tuple[str, ...]]:
    """The fingerprints of alerts that tell nobody, with those of the alerts that explain them.

    Of alerts that explain each other in a circle, the gravest tells, and of these the one that
    fired first, unless one outside the circle explains them. So each alert that is quiet is
    explained, over others perhaps, by one that is not inhibited.
    """
    ordered = [_Labelled(one, one.all_labels) for one in sorted(alerts, key=_gravest_first)]
    explained: dict[str, dict[str, None]] = {}
    for inhibition in inhibitions:
        for target, sources in _explained_by(ordered, inhibition):
            explained.setdefault(target, {}).update(dict.fromkeys(sources))
    for speaker in _speakers([one.alert.fingerprint for one in ordered], explained):
        explained.pop(speaker, None)
    return {target: tuple(sources) for target, sources in explained.items()}


def _gravest_first(alert: Alert) -> tuple[int, float, str]:
    since = alert.fired_at or alert.active_since
    return -alert.severity.rank, since.timestamp(), alert.fingerprint


_Key = tuple[str | None, ...]
"""The values of the labels that must be equal, ``None`` of one that is not there."""


class _Sources:
    """The alerts that fulfil the source of an inhibition, to be found by their labels.

    Hundreds may explain hundreds, each one other: then nobody is to compare each with each.
    """

    def __init__(self, inhibition: Inhibition, ordered: Sequence[_Labelled]) -> None:
        self._complete: dict[_Key, list[tuple[int, str, bool]]] = {}
        self._partial: dict[_Key, list[tuple[int, str, bool]]] = {}
        self._found: dict[_Key, list[tuple[int, str, bool]]] = {}
        for place, one in enumerate(ordered):
            if one.alert.state is AlertState.FIRING and one.fulfils(inhibition.source):
                key = _key(one, inhibition)
                known = self._partial if None in key else self._complete
                is_target = one.fulfils(inhibition.target)
                known.setdefault(key, []).append((place, one.alert.fingerprint, is_target))

    def __bool__(self) -> bool:
        return bool(self._complete or self._partial)

    def of(self, key: _Key) -> list[tuple[int, str, bool]]:
        """Those whose labels are equal, the gravest first."""
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._equal_to(key)
        return found

    def _equal_to(self, key: _Key) -> list[tuple[int, str, bool]]:
        found = list(self._complete.get(key, ()))
        scanned = [self._partial, self._complete] if None in key else [self._partial]
        for groups in scanned:
            for other, group in groups.items():
                if _is_equal(key, other):
                    found += group
        return sorted(found)


def _explained_by(
    ordered: Sequence[_Labelled], inhibition: Inhibition
) -> Iterator[tuple[str, list[str]]]:
    """The targets of one inhibition, each with its sources."""
    sources = _Sources(inhibition, ordered)
    if not sources:
        return
    for one in ordered:
        if not one.fulfils(inhibition.target):
            continue
        is_source = one.fulfils(inhibition.source)
        others = (
            fingerprint
            for _, fingerprint, is_target in sources.of(_key(one, inhibition))
            if fingerprint != one.alert.fingerprint and not (is_source and is_target)
        )
        if found := list(islice(others, MOST_SOURCES)):
            yield one.alert.fingerprint, found


def _key(one: _Labelled, inhibition: Inhibition) -> _Key:
    return tuple(one.labels.get(name) or None for name in inhibition.equal)


def _is_equal(these: _Key, those: _Key) -> bool:
    return all(
        this is None or that is None or this == that
        for this, that in zip(these, those, strict=True)
    )


def _speakers(ordered: Sequence[str], explained: Mapping[str, Iterable[str]]) -> list[str]:
    """The first of each circle that nothing outside of it explains."""
    speakers = []
    for circle in circles(explained):
        inside = set(circle)
        if len(circle) > 1 and all(inside.issuperset(explained[one]) for one in circle):
            speakers.append(next(one for one in ordered if one in inside))
    return speakers
