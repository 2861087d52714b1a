"""The process's default telemetry: made by add_metal_telemetry, flushed at exit."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

from metalscope.manager import MetalTelemetryManager

if TYPE_CHECKING:
    from metalscope._termination import FlushOnTermination
    from metalscope.options import MetalTelemetryOptions

__all__ = ["add_metal_telemetry", "get_telemetry", "leave_sigterm"]

EXIT_TIMEOUT_SECONDS: Final = 5.0
"""The end waits no longer than this for the last round to the consumers."""

_lock = threading.Lock()
_default: MetalTelemetryManager | None = None
_termination: FlushOnTermination | None = None


def add_metal_telemetry(
    options: MetalTelemetryOptions | Mapping[str, Any] | str | PathLike[str] | None = None,
    **overrides: Any,
) -> MetalTelemetryManager:
    """Start telemetry and make it the default of the process.

    Args:
        options: ready options, taken as they are; or the path of an options file; or a mapping of
            options; or ``None`` for the file ``METALSCOPE_CONFIG`` names, if any. In the last
            three cases ``METALSCOPE_*`` variables count too.
        overrides: options that win over all else; nested ones as ``server={"port": 0}`` or
            ``server__port=0``.

    What was logged and traced, where it is, goes out at SIGTERM too, if nobody else handles that
    signal; the process then dies of it as it would have.

    Returns:
        The started manager. Asked for nothing in particular, it is the running default where there
        is one, such as that of ``metalscope run``; else a default there was before is shut down
        first, and the new one takes over what it instrumented.

    Raises:
        ConfigurationError: an option is unknown or wrong; the text says which and where.
        MissingExtraError: an enabled part needs a library that is not installed.
    """
    global _default  # noqa: PLW0603 - the one default there is
    if options is None and not overrides and _default is not None and _default.is_running:
        return _default
    manager = MetalTelemetryManager(_resolve(options, overrides))
    with _lock:
        previous, _default = _default, None
    if previous is not None:
        previous.shutdown(EXIT_TIMEOUT_SECONDS)
    manager.start()
    with _lock:
        _default = manager
    _flush_at_sigterm(manager)
    instruments = sys.modules.get("metalscope.instrument")
    if previous is not None and instruments is not None:
        instruments.hand_over(previous, manager)
    return manager


def get_telemetry() -> MetalTelemetryManager | None:
    """The process's default telemetry, or ``None`` before there is one."""
    return _default


def leave_sigterm() -> None:
    """Leave SIGTERM to somebody else, who has the default telemetry end in time."""
    global _termination
    termination, _termination = _termination, None
    if termination is not None:
        termination.remove()


def _flush_at_sigterm(manager: MetalTelemetryManager) -> None:
    global _termination  # noqa: PLW0603
    options = manager.options
    if _termination is not None or not (options.logging.is_on or options.traces.enabled):
        return
    from metalscope._termination import FlushOnTermination  # noqa: PLC0415 - where it is wanted

    # A longer time than the end has itself, which is counted from when it begins.
    _termination = FlushOnTermination(_at_exit, timeout=EXIT_TIMEOUT_SECONDS * 2)
    _termination.install()


def _resolve(options: Any, overrides: Mapping[str, Any]) -> MetalTelemetryOptions:
    from metalscope.config import load_options, override  # noqa: PLC0415 - loads pydantic
    from metalscope.options import MetalTelemetryOptions  # noqa: PLC0415

    if isinstance(options, MetalTelemetryOptions):
        return override(options, overrides) if overrides else options
    if isinstance(options, Mapping):
        given = load_options(overrides=options)
        return override(given, overrides) if overrides else given
    return load_options(options, overrides=overrides)


@atexit.register
def _at_exit() -> None:
    manager = _default
    if manager is not None:
        manager.shutdown(EXIT_TIMEOUT_SECONDS)
