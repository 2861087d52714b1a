"""What ran in some time: each operation, and all together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeVar

from metalscope.histogram import CLASSIC_BOUNDS_MS
from metalscope.operation import OK
from metalscope.page.prometheus.asking import Asking, of_host
from metalscope.page.prometheus.buckets import at_most, bound, quantile
from metalscope.page.source import QUANTILES, OperationRow, Operations
from metalscope.semconv import (
    OPERATION_BYTES,
    OPERATION_DURATION,
    OPERATION_GPU_TIME,
    OPERATIONS,
)

__all__ = ["operations_between"]

_SERIES: Final = ("kind", "name", "device")
_LEAST_SECONDS: Final = 1.0

K = TypeVar("K")


@dataclass(slots=True)
class _Ran:
    """One operation, as it is added up.

    Counts are by outcome; buckets, those of all and of those that went well, are cumulative.
    """

    outcomes: dict[str, float] = field(default_factory=dict)
    timed: float = 0.0
    total_ms: float = 0.0
    nbytes: float = 0.0
    gpu_seconds: float = 0.0
    ok: dict[float, float] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)

    def add(self, other: _Ran) -> None:
        self.timed += other.timed
        self.total_ms += other.total_ms
        self.nbytes += other.nbytes
        self.gpu_seconds += other.gpu_seconds
        _add(self.outcomes, other.outcomes)
        _add(self.ok, other.ok)
        _add(self.buckets, other.buckets)

    @property
    def operations(self) -> float:
        return sum(self.outcomes.values())

    def row(self, kind: str, name: str, device: str, host: str) -> OperationRow:
        failures = {one: n for one, n in self.outcomes.items() if one != OK and n > 0}
        well = self.outcomes.get(OK, 0.0)
        return OperationRow(
            kind=kind,
            name=name,
            device=device,
            host=host,
            operations=self.operations,
            errors=sum(failures.values()),
            failures=MappingProxyType(failures),
            mean_ms=self.total_ms / self.timed if self.timed > 0 else None,
            **{measure: quantile(share, self.ok) for measure, share in QUANTILES.items()},
            max_ms=at_most(self.buckets),
            nbytes=self.nbytes or None,
            gpu_ms=1000 * self.gpu_seconds / well if self.gpu_seconds and well > 0 else None,
        )


def operations_between(
    asking: Asking, since: float, until: float, *, host: str, limit: int
) -> Operations:
    """What ran from ``since`` until before ``until``, in seconds since the epoch.

    Raises:
        SourceError: there is no answer.
        ValueError: ``until`` is not after ``since``.
    """
    if until <= since:
        raise ValueError("until must be after since")
    at = min(until, asking.now())
    if at - since < _LEAST_SECONDS:
        return Operations()
    found = _ran(asking, at - 0.001, at - since, of_host(host))
    ended = {key: one for key, one in found.items() if one.operations > 0}
    if not ended:
        return Operations()
    total = _Ran()
    for one in ended.values():
        total.add(one)
    busiest = sorted(ended.items(), key=lambda one: (-one[1].operations, one[0]))
    return Operations(
        total=total.row("", "", "", host),
        rows=tuple(one.row(*key, host) for key, one in busiest[:limit]),
        omitted=max(0, len(busiest) - limit),
    )


def _ran(
    asking: Asking, at: float, seconds: float, matcher: str
) -> Mapping[tuple[str, str, str], _Ran]:
    window = asking.counting_at(at, seconds, matcher, each=1)
    in_buckets = asking.counting_at(at, seconds, matcher, each=len(CLASSIC_BOUNDS_MS) + 1)
    found: dict[tuple[str, str, str], _Ran] = {}

    def grown(query: str) -> Iterable[tuple[_Ran, Mapping[str, str], float]]:
        for one in asking.api.at(query, at):
            kind, name, device = (one.labels.get(label, "") for label in _SERIES)
            if one.value is not None:
                ran = found.setdefault((kind, name, device), _Ran())
                yield ran, one.labels, max(0.0, one.value)

    for ran, labels, value in grown(window.grown(OPERATIONS, matcher, by=(*_SERIES, "outcome"))):
        ran.outcomes[labels.get("outcome", "")] = value
    for ran, _, value in grown(window.grown(OPERATION_DURATION, matcher, part="_sum", by=_SERIES)):
        ran.total_ms = value
    for ran, _, value in grown(
        window.grown(OPERATION_DURATION, matcher, part="_count", by=_SERIES)
    ):
        ran.timed = value
    for ran, labels, value in grown(
        in_buckets.grown(
            OPERATION_DURATION, matcher, part="_bucket", by=(*_SERIES, "outcome", "le")
        )
    ):
        edge = bound(labels.get("le", ""))
        if edge is not None:
            _add(ran.buckets, {edge: value})
            if labels.get("outcome") == OK:
                _add(ran.ok, {edge: value})
    for ran, _, value in grown(window.grown(OPERATION_BYTES, matcher, by=_SERIES)):
        ran.nbytes = value
    for ran, _, value in grown(window.grown(OPERATION_GPU_TIME, matcher, by=_SERIES)):
        ran.gpu_seconds = value
    return found


def _add(counts: dict[K, float], more: Mapping[K, float]) -> None:
    for key, value in more.items():
        counts[key] = counts.get(key, 0.0) + value
