"""The options that only Datadog's protocols have, and how old a point may be for them."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from metalscope.export.base import ExporterContext
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MAX_AGE", "DatadogSettings"]

MAX_AGE: Final = timedelta(hours=1)
"""Datadog drops older points without a word (Datadog API, "Submit metrics": ``timestamp``)."""


@dataclass(frozen=True, slots=True)
class DatadogSettings:
    """``settings`` of an exporter of type datadog.

    ``distributions`` sends durations as distributions in place of quantiles, ``events`` the custom
    events. ``max_age`` is how old a snapshot may be to be sent. ``timestamps`` is for DogStatsD.
    ``site`` is for the API, such as ``datadoghq.eu``.
    """

    distributions: bool = False
    events: bool = True
    timestamps: bool = True
    max_age: timedelta = MAX_AGE
    site: str | None = None

    @classmethod
    def of(cls, context: ExporterContext, known: Collection[str]) -> DatadogSettings:
        """Read those of ``known`` names.

        Raises:
            ConfigurationError: another name, or a value of the wrong type.
        """
        settings = Settings(context.options, known)
        return cls(
            distributions=settings.flag("distributions"),
            events=settings.flag("events", default=True),
            timestamps=settings.flag("timestamps", default=True),
            max_age=settings.duration("max_age", MAX_AGE),
            site=settings.text("site", r"[^/]+", such_as="datadoghq.eu"),
        )

    def too_old(self, snapshot: MetalTelemetrySnapshot) -> ExportResult | None:
        """The refusal of a snapshot that Datadog would drop; ``None`` where it would not.

        What was counted until then is not lost: it is in the totals of the next snapshot of its
        process, and goes with that.
        """
        age = time.time() - snapshot.timestamp.timestamp()
        if age <= self.max_age.total_seconds():
            return None
        return ExportResult.rejected(
            Reason.EXPIRED,
            f"the snapshot is {age / 60:.0f} minutes old and Datadog takes no point older than "
            f"{self.max_age.total_seconds() / 60:.0f}; its counts go with the next one",
        )
