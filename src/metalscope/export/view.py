"""Which metrics an exporter may send, and under which names and labels it sends them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from operator import add
from typing import TYPE_CHECKING, Any, TypeVar

from metalscope.export.sanitize import sanitized_properties, usual_sanitizer
from metalscope.families import Distribution, Family, LabelValues, families
from metalscope.semconv import Metric
from metalscope.sending.resource import resource_of

if TYPE_CHECKING:
    from metalscope.export_options import SelectionOptions
    from metalscope.sanitizing.sanitizer import Sanitizer
    from metalscope.snapshot import MetalTelemetrySnapshot, TelemetryEvent

__all__ = ["MetricView"]

Clean = Callable[[str], str]
T = TypeVar("T")


class MetricView:
    """Snapshots as one exporter is to see them.

    Args:
        selections: what is chosen, renamed and cleaned, in this order; one that is at its defaults
            changes nothing.
        labels: put on every series by those protocols that have no resource, on the resource by
            the others; see :meth:`resource`.
        service_name: the service, where the options name one.
        sanitizer: what ``sanitize`` of a selection does; by the default rules where none is given.
    """

    def __init__(
        self,
        selections: Sequence[SelectionOptions] = (),
        *,
        labels: Mapping[str, str] | None = None,
        service_name: str | None = None,
        sanitizer: Sanitizer | None = None,
    ) -> None:
        self._selections = [_Selection.of(one, sanitizer) for one in selections]
        self._labels = dict(labels or {})
        self._service_name = service_name

    def families(self, snapshot: MetalTelemetrySnapshot) -> Iterator[Family]:
        """The metric families to send, those without any series left out.

        ``labels`` of the options are not among theirs.
        """
        return self.selected(families(snapshot))

    def selected(self, found: Iterable[Family]) -> Iterator[Family]:
        """The same for families that come from elsewhere."""
        for selection in self._selections:
            found = selection.families(found)
        return (family for family in found if family.values or family.distributions)

    def allows(self, name: str) -> bool:
        """Whether a metric of this name, as :mod:`~metalscope.semconv` has it, is sent."""
        for selection in self._selections:
            if not selection.allows(name):
                return False
            name = selection.options.rename.get(name, name)
        return True

    def cleaned(self, text: str) -> str:
        """Text that is no label, such as a reason, as it may be sent."""
        for selection in self._selections:
            text = selection.cleaned(text)
        return text

    def events(self, snapshot: MetalTelemetrySnapshot) -> Iterator[TelemetryEvent]:
        """The custom events the snapshot holds, oldest first, cleaned."""
        for event in snapshot.events:
            for selection in self._selections:
                event = replace(event, properties=selection.properties(event.properties))  # noqa: PLW2901
            yield event

    def resource(self, snapshot: MetalTelemetrySnapshot) -> dict[str, str | int]:
        """Who speaks, by OpenTelemetry's resource conventions, with the ``labels`` of the options.

        Always has ``service.name`` and ``service.instance.id``.
        """
        attributes = resource_of(snapshot, self._service_name) | self._labels
        for selection in self._selections:
            attributes = selection.attributes(attributes)
        return attributes

    def identity(self, snapshot: MetalTelemetrySnapshot) -> dict[str, str]:
        """The labels a push protocol without a resource puts on every series.

        ``job`` and ``instance`` are what a scrape would have put there, then the ``labels`` of the
        options, which may replace them.
        """
        resource = self.resource(snapshot)
        names = {"job": "service.name", "instance": "service.instance.id"}
        named = {label: str(resource[name]) for label, name in names.items() if name in resource}
        return named | self._labels


class _Cleaned(dict[str, str]):
    """Texts as they may be sent; each is cleaned once, as thousands of series share a few."""

    def __init__(self, clean: Sequence[Clean]) -> None:
        super().__init__()
        self._clean = clean

    def __missing__(self, text: str) -> str:
        cleaned = text
        for clean in self._clean:
            cleaned = clean(cleaned)
        self[text] = cleaned
        return cleaned


@dataclass(frozen=True)
class _Selection:
    """One group of options, ready to be applied."""

    options: SelectionOptions
    clean: tuple[Clean, ...]
    sanitizer: Sanitizer | None = None

    @classmethod
    def of(cls, options: SelectionOptions, sanitizer: Sanitizer | None) -> _Selection:
        clean: list[Clean] = [
            partial(re.compile(pattern).sub, text) for pattern, text in options.replace.items()
        ]
        if not options.sanitize:
            return cls(options, tuple(clean))
        sanitizer = sanitizer or usual_sanitizer()
        clean.append(sanitizer.text)
        return cls(options, tuple(clean), sanitizer)

    def families(self, found: Iterable[Family]) -> Iterator[Family]:
        texts = _Cleaned(self.clean)
        for family in found:
            if self.allows(family.metric.name):
                yield self._relabelled(self._renamed(family), texts)

    def properties(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        dropped = self.options.drop_labels
        kept = {key: self.cleaned(value) for key, value in properties.items() if key not in dropped}
        return kept if self.sanitizer is None else sanitized_properties(kept, self.sanitizer)

    def attributes(self, attributes: Mapping[str, str | int]) -> dict[str, str | int]:
        # Without a name and an instance, the series of two processes would be one.
        kept = {"service.name", "service.instance.id"}
        return {
            name: self.cleaned(value) if name not in kept else value
            for name, value in attributes.items()
            if name in kept or name not in self.options.drop_labels
        }

    def allows(self, name: str) -> bool:
        allow, deny = self.options.allow, self.options.deny
        if any(fnmatchcase(name, pattern) for pattern in deny):
            return False
        return not allow or any(fnmatchcase(name, pattern) for pattern in allow)

    def _renamed(self, family: Family) -> Family:
        name = self.options.rename.get(family.metric.name)
        if name is None:
            return family
        suffix = {"counter": "_total", "info": "_info"}.get(family.metric.type, "")
        name = name if name.endswith(suffix) else name + suffix
        return replace(family, metric=replace(family.metric, name=name))

    def _relabelled(self, family: Family, texts: _Cleaned) -> Family:
        metric = family.metric
        dropped, renamed = set(self.options.drop_labels), self.options.rename_labels
        if not (self.clean or dropped & {*metric.labels} or renamed.keys() & {*metric.labels}):
            return family
        kept = [place for place, label in enumerate(metric.labels) if label not in dropped]
        labels = tuple(renamed.get(metric.labels[place], metric.labels[place]) for place in kept)

        def chosen(values: LabelValues) -> LabelValues:
            return tuple([texts[values[place]] for place in kept])

        return Family(
            replace(metric, labels=labels),
            _merged(((chosen(k), v) for k, v in family.values), _adder(metric)),
            _merged(((chosen(k), v) for k, v in family.distributions), _added),
        )

    def cleaned(self, value: Any) -> Any:
        if isinstance(value, str):
            return _Cleaned(self.clean)[value]
        if isinstance(value, Mapping):
            return {key: self.cleaned(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.cleaned(part) for part in value]
        return value


def _adder(metric: Metric) -> Callable[[float, float], float]:
    return add if metric.type == "counter" else max


def _merged(
    pairs: Iterable[tuple[LabelValues, T]], add: Callable[[T, T], T]
) -> list[tuple[LabelValues, T]]:
    merged: dict[LabelValues, T] = {}
    for labels, value in pairs:
        merged[labels] = add(merged[labels], value) if labels in merged else value
    return list(merged.items())


def _added(one: Distribution, other: Distribution) -> Distribution:
    # Families of one metric have one set of bounds.
    buckets = [
        (bound, count + more)
        for (bound, count), (_, more) in zip(one.buckets, other.buckets, strict=True)
    ]
    both = one.durations is not None and other.durations is not None
    return Distribution(
        buckets,
        one.count + other.count,
        None if one.sum is None or other.sum is None else one.sum + other.sum,
        one.durations + other.durations if both else None,  # type: ignore[operator]
        tuple(chain(one.exemplars, other.exemplars)),
    )
