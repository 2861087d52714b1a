"""The options that only Datadog's protocols have, and how old a point may be for them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from metalscope.durations import parse_duration
from metalscope.errors import ConfigurationError
from metalscope.export.result import ExportResult, Reason

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
    def of(cls, context: ExporterContext, known: Iterable[str]) -> DatadogSettings:
        """Read those of ``known`` names.

        Raises:
            ConfigurationError: another name, or a value of the wrong type.
        """
        given = context.options.settings
        known = sorted(known)
        read: dict[str, Any] = {}
        for name, value in given.items():
            if name not in known:
                raise _wrong(context, name, f"is not known; there are {', '.join(known)}")
            read[name] = _read(context, name, value)
        return cls(**read)

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


def _read(context: ExporterContext, name: str, value: object) -> object:
    if name == "site":
        if not isinstance(value, str) or not value or "/" in value:
            raise _wrong(context, name, "must be a site such as 'datadoghq.eu'")
        return value
    if name == "max_age":
        try:
            age = parse_duration(value)
        except (TypeError, ValueError):
            age = None
        if not isinstance(age, timedelta) or age <= timedelta():
            raise _wrong(context, name, "must be a duration such as '1h'")
        return age
    if not isinstance(value, bool):
        raise _wrong(context, name, "must be true or false")
    return value


def _wrong(context: ExporterContext, name: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"exporter {context.name}: settings.{name} {what}")
