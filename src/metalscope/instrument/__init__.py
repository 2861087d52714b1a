"""Zero-code instrumentation: hooks in the libraries that do GPU work.

A library is one entry: a name and an object with the methods of :class:`Instrument`. Those
metalscope brings are in a table here; another package adds its own under the entry point group
``metalscope.instruments``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

from metalscope.default import get_telemetry
from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.instrument._import_hook import ImportHook
from metalscope.plugins import entry_points_of
from metalscope.spelling import nearest

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = [
    "ENTRY_POINT_GROUP",
    "Instrument",
    "find_instrument",
    "hand_over",
    "instrument",
    "instrument_on_import",
    "instruments",
    "require",
    "settle",
    "uninstrument",
]

ENTRY_POINT_GROUP: Final = "metalscope.instruments"
"""Entry points of this group name an :class:`Instrument` each."""

_BUILT_IN: Final = {
    "mlx": "metalscope.instrument.mlx:INSTRUMENT",
    "torch": "metalscope.instrument.torch:INSTRUMENT",
    "webgpu": "metalscope.instrument.webgpu:INSTRUMENT",
}

_ON_REQUEST: Final = {"threads": "metalscope.instrument.threads:INSTRUMENT"}
"""Hooks that record nothing, and are put in place only where they are asked for by name."""


class Instrument(Protocol):
    """The hooks of one library."""

    @property
    def module(self) -> str:
        """The module whose import, once complete, means that everything to be hooked is there."""
        ...

    def install(self, telemetry: MetalTelemetryManager) -> None:
        """Put the hooks in place. Leaves nothing behind where it raises."""
        ...

    def remove(self) -> None:
        """Put back what was there. What the program still holds of ours must go on working."""
        ...

    def settle(self, timeout: float) -> bool:
        """Wait until work under way is recorded; false where ``timeout`` seconds were not enough.

        An instrument whose work is all recorded when a call returns has nothing to do here.
        """
        ...


_lock = threading.RLock()
_active: dict[str, tuple[Instrument, MetalTelemetryManager]] = {}
# By whom a default telemetry was replaced, for libraries that are imported after that.
_successors: WeakKeyDictionary[MetalTelemetryManager, MetalTelemetryManager] = WeakKeyDictionary()


def instruments() -> tuple[str, ...]:
    """The libraries :func:`instrument` knows how to record."""
    return tuple(sorted({*_BUILT_IN, *entry_points_of(ENTRY_POINT_GROUP)}))


def instrument(name: str, telemetry: MetalTelemetryManager | None = None) -> None:
    """Record what the program does with a library, without a change to the program.

    Code that took a function out of the library before (``from mlx.core import eval``) holds the
    bare one and cannot be reached. Instrumenting again does nothing, or moves the library over to
    another ``telemetry``.

    Args:
        name: the library: ``"mlx"``, ``"torch"``, ``"webgpu"``; or ``"threads"``, which records
            nothing, and has threads, executors and processes inherit the correlation id and the
            span.
        telemetry: where to record; the process's default where ``None``.

    Raises:
        ConfigurationError: there is no such library, or no telemetry to record to.
        MissingExtraError: the library is not installed.
    """
    library = find_instrument(name)
    telemetry = telemetry or get_telemetry()
    if telemetry is None:
        raise ConfigurationError(
            f"instrument({name!r}) has nowhere to record: call metalscope.add_metal_telemetry() "
            "first, or pass telemetry="
        )
    with _lock:
        if name in _active:
            if _active[name][1] is telemetry:
                return
            uninstrument(name)
        try:
            library.install(telemetry)
        except ImportError as error:
            raise MissingExtraError(f"instrument({name!r})", name, cause=str(error)) from error
        _active[name] = (library, telemetry)


def uninstrument(name: str) -> None:
    """Put back everything :func:`instrument` replaced, the same objects. Idempotent.

    Compiled functions and kernels the program made in between keep working and record no more.

    Raises:
        ConfigurationError: there is no such library.
    """
    find_instrument(name)
    with _lock:
        library, _ = _active.pop(name, (None, None))
        if library is not None:
            library.remove()


def settle(timeout: float) -> bool:
    """Wait until asynchronous work submitted so far is recorded.

    For the moment before a last snapshot is taken. Returns false where ``timeout`` seconds were
    not enough.
    """
    deadline = monotonic() + timeout
    with _lock:
        active = [library for library, _ in _active.values()]
    settled = [library.settle(max(0.0, deadline - monotonic())) for library in active]
    return all(settled)


def require(name: str) -> None:
    """Make sure that a library is installed, without importing it.

    Raises:
        ConfigurationError: there is no such library.
        MissingExtraError: it is not installed.
    """
    package = find_instrument(name).module.partition(".")[0]
    try:
        found = package in sys.modules or find_spec(package) is not None
    except ImportError:
        found = False
    if not found:
        raise MissingExtraError(f"instrument({name!r})", name)


def hand_over(old: MetalTelemetryManager, new: MetalTelemetryManager) -> None:
    """Let what is recorded to ``old`` be recorded to ``new`` from here on."""
    with _lock:
        _successors[old] = new
        for name in [name for name, (_, telemetry) in _active.items() if telemetry is old]:
            instrument(name, new)


def instrument_on_import(
    telemetry: MetalTelemetryManager, names: Iterable[str] | None = None
) -> Callable[[], None]:
    """Instrument libraries at the end of their import; those imported already, now.

    All known libraries, or only those of ``names``. Nothing is raised into an import: where hooks
    cannot be installed the library stays as it is, and the failure is counted as an internal error
    of the telemetry.

    Returns:
        A function that watches imports no more. What was instrumented stays so.
    """

    def install(name: str) -> None:
        try:
            instrument(name, _latest(telemetry))
        except Exception as error:  # noqa: BLE001 - law: an import must not fail because of us
            telemetry.internal_error(f"instrument.{name}", error)

    then: dict[str, Callable[[], None]] = {}
    for name in instruments() if names is None else names:
        try:
            module = find_instrument(name).module
        except Exception as error:  # noqa: BLE001 - another package's entry point
            telemetry.internal_error(f"instrument.{name}", error)
            continue
        then[module] = _calling(install, name)
    hook = ImportHook(then)
    hook.install()
    for module, now in then.items():
        if module in sys.modules:
            now()
    return hook.remove


def _latest(telemetry: MetalTelemetryManager) -> MetalTelemetryManager:
    while (successor := _successors.get(telemetry)) is not None:
        telemetry = successor
    return telemetry


def _calling(install: Callable[[str], None], name: str) -> Callable[[], None]:
    return lambda: install(name)


def find_instrument(name: str) -> Instrument:
    """The hooks of a library, not installed.

    Raises:
        ConfigurationError: there is no such library.
    """
    target = _BUILT_IN.get(name) or _ON_REQUEST.get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        library: Instrument = getattr(import_module(module), attribute)
        return library
    point = entry_points_of(ENTRY_POINT_GROUP).get(name)
    if point is not None:
        found: Instrument = point.load()
        return found
    known = (*instruments(), *_ON_REQUEST)
    meant = nearest(name, known)
    hint = f"; did you mean {meant!r}?" if meant else ""
    raise ConfigurationError(
        f"unknown library {name!r} to instrument{hint} (known: {', '.join(known)})"
    )


class _Callable(ModuleType):
    """This package under the name of its main function.

    Once it is imported, Python makes it the attribute ``instrument`` of ``metalscope``, in the
    place of the function of that name: so ``metalscope.instrument("mlx")`` calls this.
    """

    def __call__(self, name: str, telemetry: MetalTelemetryManager | None = None) -> None:
        instrument(name, telemetry)


sys.modules[__name__].__class__ = _Callable
