"""A fleet's past as the page asks for it: each question goes to who answers it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from metalscope.moments import microseconds
from metalscope.option_types import shown_endpoint
from metalscope.page.prometheus.api import PrometheusApi, RefusedQueryError
from metalscope.page.prometheus.asking import HOST, Asking
from metalscope.page.prometheus.custom_lines import custom_lines
from metalscope.page.prometheus.fleet import hosts_now
from metalscope.page.prometheus.heat import durations_of
from metalscope.page.prometheus.operation_lines import operation_lines
from metalscope.page.prometheus.reading_lines import reading_lines
from metalscope.page.prometheus.steps import Steps
from metalscope.page.prometheus.totals import operations_between
from metalscope.page.prometheus.windows import Scrapes
from metalscope.page.source import (
    MEASURES,
    Described,
    Durations,
    HostState,
    Line,
    Lines,
    Operations,
    TimeRange,
    Wanted,
)
from metalscope.semconv import START_TIME

if TYPE_CHECKING:
    from metalscope.page_options import PageSourceOptions

__all__ = ["PrometheusSource"]

_DAY: Final = 86400.0


class PrometheusSource:
    """A :class:`~metalscope.page.source.PageSource` over the HTTP API of Prometheus.

    Hosts are told apart by the label ``instance``. Steps are whole multiples of the step since the
    epoch; a step has what is of it, not of the time around it, unless it is shorter than four
    scrapes (two for readings): then it has what is of so many.

    Args:
        api: asks it.
        address: shown to who reads the page.
        now: seconds since the epoch.
    """

    def __init__(
        self, api: PrometheusApi, *, address: str, now: Callable[[], float] = time.time
    ) -> None:
        self._api = api
        self._address = address
        self._asking = Asking(api, Scrapes(api), now)

    @classmethod
    def of(
        cls, options: PageSourceOptions, *, now: Callable[[], float] = time.time
    ) -> PrometheusSource:
        """Of the options. Nothing is asked yet.

        Raises:
            ConfigurationError: no address is set, or it, a header, the proxy or a file of TLS is
                not usable.
            MissingExtraError: the key is in the keyring, and the library for it is not installed.
        """
        address = shown_endpoint(options.endpoint or "")
        return cls(PrometheusApi.of(options), address=address, now=now)

    def __repr__(self) -> str:
        return f"<PrometheusSource of {self._address}>"

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def describe(self) -> Described:
        """Where it is, and the hosts that it heard of in the last day."""
        now = self._asking.now()
        hosts = self._api.values_of(HOST, START_TIME.name, since=now - _DAY, until=now)
        last = None
        for one in self._api.at(f"max(timestamp({START_TIME.name}))", now):
            last = None if one.value is None else datetime.fromtimestamp(one.value, UTC)
        return Described("prometheus", self._address, last=last, hosts=tuple(hosts))

    def lines(self, wanted: Wanted, within: TimeRange) -> Lines:
        """The lines that are wanted, the highest first."""
        if wanted.measure not in MEASURES:
            raise ValueError(f"measure must be one of {', '.join(MEASURES)}")
        steps = Steps.of(within)
        if wanted.measure == "resource":
            return reading_lines(self._asking, wanted, steps)
        if wanted.measure == "custom":
            return custom_lines(self._asking, wanted, steps)
        return operation_lines(self._asking, wanted, steps)

    def operations(self, since: datetime, until: datetime, *, host: str, limit: int) -> Operations:
        """What ran, at most ``limit`` rows of it."""
        times = (microseconds(since) / 1_000_000, microseconds(until) / 1_000_000)
        return operations_between(self._asking, *times, host=host, limit=limit)

    def durations(self, wanted: Wanted, within: TimeRange) -> Durations:
        """How long the operations took that went well."""
        return durations_of(self._asking, wanted, Steps.of(within))

    def hosts(self) -> tuple[HostState, ...]:
        """The hosts that were heard of in the last five minutes."""
        return hosts_now(self._asking)

    def query(self, text: str, within: TimeRange, *, limit: int) -> Lines:
        """What is answered to a query in PromQL, a value for the end of each step."""
        steps = Steps.of(within)
        if not text.strip():
            raise ValueError("the query is empty; it must be PromQL")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("the query is no text: it cannot be written in UTF-8") from None
        try:
            found = self._api.over(text, steps)
        except RefusedQueryError as error:
            raise ValueError(error.words) from None
        now = self._asking.now()
        lines = [
            Line(
                steps.up_to(now, steps.place(one.samples)),
                host=one.labels.get(HOST, ""),
                labels=one.labels,
            )
            for one in found
        ]
        return steps.lines(lines, limit)
