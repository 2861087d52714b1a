"""What the page shows beyond the live figures: its past, and pages of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from metalscope.forecast.base import Forecaster
    from metalscope.history import HistoryReader
    from metalscope.page.descriptions import PageDescription
    from metalscope.page.source import PageSource
    from metalscope.page_options import PageOptions
    from metalscope.server.source import TelemetrySource

__all__ = ["PageData"]

NOT_KEPT: Final = (
    "no past is kept: server.page.keep_past is false, and neither history.path nor "
    "server.page.source is set"
)


def _no_forecaster() -> Forecaster:
    from metalscope.forecast.robust import RobustForecaster  # noqa: PLC0415 - where one is asked

    return RobustForecaster()


@dataclass(frozen=True, slots=True)
class PageData:
    """What the page's past is read from.

    Attributes:
        source: answers questions about the past; ``None`` where there is none.
        why: why there is none; empty where there is.
        kind: what the source is, also while it cannot be read.
        descriptions: pages of one's own.
        forecaster: makes what forecasts; may raise what ``forecaster_of`` raises.
        close: to be called at the end.
    """

    source: PageSource | None = None
    why: str = ""
    kind: Literal["history", "prometheus"] = "history"
    descriptions: tuple[PageDescription, ...] = ()
    forecaster: Callable[[], Forecaster] = _no_forecaster
    close: Callable[[], None] = field(default=lambda: None)

    @classmethod
    def of(
        cls, telemetry: TelemetrySource, options: PageOptions, *, forecaster: str = "robust"
    ) -> PageData:
        """What the options ask for.

        The past is that of the Prometheus they name; else that of ``telemetry.history``; else what
        is kept from now on in a temporary file, where they want that. Where that file cannot be
        made there is no past, and the error is counted.

        Args:
            telemetry: what is served.
            options: ``server.page``.
            forecaster: the name of who makes forecasts.

        Raises:
            ConfigurationError: the source's or a page's options cannot be used.
            MissingExtraError: a library of theirs is not installed.
        """
        from metalscope.forecast.forecasters import forecaster_of  # noqa: PLC0415 - entry points

        maker = partial(forecaster_of, forecaster)
        pages: tuple[PageDescription, ...] = ()
        if options.descriptions:
            from metalscope.page.descriptions import (  # noqa: PLC0415 - where there are any
                load_descriptions,
            )

            pages = load_descriptions(options.descriptions)
        if options.source.address is not None:
            from metalscope.page.prometheus import (  # noqa: PLC0415 - where it is wanted
                PrometheusSource,
            )

            fleet = PrometheusSource.of(options.source)
            return cls(
                fleet,
                kind="prometheus",
                descriptions=pages,
                forecaster=maker,
                close=fleet.close,
            )
        history: HistoryReader | None = getattr(telemetry, "history", None)
        if history is None and not options.keep_past:
            return cls(None, NOT_KEPT, descriptions=pages, forecaster=maker)
        from metalscope.page.history_source import HistorySource  # noqa: PLC0415 - where wanted

        if history is not None:
            return cls(HistorySource(history), descriptions=pages, forecaster=maker)
        from metalscope.page.recent_past import RecentPast  # noqa: PLC0415 - where it is wanted

        past = RecentPast(
            telemetry, max_bytes=options.max_past_bytes, on_error=telemetry.internal_error
        )
        if past.why:
            return cls(None, past.why, descriptions=pages, forecaster=maker)
        source = HistorySource(past.reader)
        return cls(source, descriptions=pages, forecaster=maker, close=past.close)
