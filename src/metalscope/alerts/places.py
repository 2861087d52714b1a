"""Where alerts are kept, by the options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from metalscope.alerts.memory_store import MemoryStore

if TYPE_CHECKING:
    from metalscope.alerts.storing import AlertStore
    from metalscope.options import MetalTelemetryOptions

__all__ = ["path_of", "store_for"]


def path_of(options: MetalTelemetryOptions) -> Path | None:
    """The file alerts are kept in: ``alerts.path``, or one beside the history's."""
    if options.alerts.path is not None:
        return options.alerts.path
    history = options.history.path
    return None if history is None else history.with_name(history.name + ".alerts")


def store_for(
    options: MetalTelemetryOptions, *, on_error: Callable[[str, BaseException], None]
) -> AlertStore:
    """A store in that file, in memory without one.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    path = path_of(options)
    if path is None:
        return MemoryStore()
    from metalscope.alerts.sqlite_store import SqliteStore  # noqa: PLC0415 - loads sqlite3

    return SqliteStore(path, on_error=on_error)
