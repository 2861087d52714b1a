"""Threads, executors, processes: they inherit the correlation id and the span of who starts them.

Only these two are carried, nothing else of the context. Modules that are not imported yet are
hooked when they are; this one imports none of them.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from contextvars import Context
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from metalscope.carrying import Carried
from metalscope.correlating import CURRENT_ID, CURRENT_SPAN, SpanContext, within
from metalscope.instrument._import_hook import ImportHook
from metalscope.instrument._patch import Patches

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["INSTRUMENT", "ThreadsInstrument"]

_KEY: Final = "_metalscope_context"
_OURS: Final = "metalscope-"
"""How the names of this library's own threads begin. They work for all, and belong to nobody."""

Wrap = Callable[["_Switch", Callable[..., Any]], Callable[..., Any]]


class _Switch:
    """Whether the wrappers do anything.

    Another library may have wrapped ours, and hold it after it was taken out: then it does nothing,
    and works again when the hooks are put in place once more. Two around one another do no harm.
    """

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = False


class ThreadsInstrument:
    """Hooks the standard library. One for the process."""

    module: Final = "threading"

    def __init__(self) -> None:
        self._patches = Patches()
        self._switch = _Switch()
        self._hook: ImportHook | None = None
        # By what they are in place of: the same again where that is the same.
        self._made: dict[tuple[Any, str], tuple[Any, Callable[..., Any]]] = {}

    def install(self, telemetry: MetalTelemetryManager) -> None:  # noqa: ARG002 - records nothing
        """Put the hooks in place; all of them, or none where one fails."""
        self._switch.on = True
        try:
            self._wrap(threading.Thread, "_bootstrap_inner", _in_its_context)
            self._wrap(threading.Thread, "start", _with_context)
            self._wrap_or_wait(
                {
                    "concurrent.futures.thread": ("ThreadPoolExecutor", "submit", _carrying),
                    "concurrent.futures.process": ("ProcessPoolExecutor", "submit", _carrying),
                    "multiprocessing.process": ("BaseProcess", "start", _carrying_run),
                },
            )
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Take the hooks out again. What was started with them keeps what it was given."""
        self._switch.on = False
        hook, self._hook = self._hook, None
        if hook is not None:
            hook.remove()
        self._patches.restore()

    def settle(self, timeout: float) -> bool:  # noqa: ARG002 - there is nothing to wait for
        """Nothing is recorded here."""
        return True

    def _wrap(self, owner: Any, name: str, wrap: Wrap) -> None:
        found = vars(owner)[name]
        original, wrapper = self._made.get((owner, name), (None, None))
        if wrapper is found:
            return  # Somebody put it back, as what they once found.
        if wrapper is None or original is not found:
            # Not isinstance: a wrapper of another library may say that it is a function.
            function = found if type(found) is FunctionType else _bound(found)
            wrapper = wrap(self._switch, function)
            self._made[owner, name] = found, wrapper
        self._patches.replace(owner, name, wrapper)

    def _wrap_or_wait(self, where: dict[str, tuple[str, str, Wrap]]) -> None:
        later: dict[str, Callable[[], None]] = {}
        for module, place in where.items():
            now = functools.partial(self._wrap_in, module, *place)
            if module in sys.modules:
                now()
            else:
                later[module] = now
        if later:
            self._hook = ImportHook(later)
            self._hook.install()

    def _wrap_in(self, module: str, owner: str, name: str, wrap: Wrap) -> None:
        found = getattr(sys.modules[module], owner, None)
        # Called within an import, which must not fail because of us.
        if self._switch.on and name in vars(found or object):
            self._wrap(found, name, wrap)


INSTRUMENT: Final = ThreadsInstrument()
"""The entry of the threads in the table of instruments."""


def _bound(descriptor: Any) -> Callable[..., Any]:
    """A function that calls what another library put there as Python itself would."""

    @functools.wraps(descriptor)
    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return descriptor.__get__(self, type(self))(*args, **kwargs)

    return call


def _fill(correlation_id: str | None, span: SpanContext | None) -> None:
    CURRENT_ID.set(correlation_id)
    CURRENT_SPAN.set(span)


def _with_context(switch: _Switch, original: Callable[..., Any]) -> Callable[..., Any]:
    """``Thread.start``: note what to take along, for as long as the thread is being started."""

    @functools.wraps(original)
    def start(self: Any) -> Any:
        correlation_id, span = CURRENT_ID.get(), CURRENT_SPAN.get()
        if not switch.on or (correlation_id is None and span is None):
            return original(self)
        own = vars(self)
        if str(own.get("_name")).startswith(_OURS):
            return original(self)
        # A new thread begins in an empty context: there is none that this one would hide.
        context = own[_KEY] = Context()
        context.run(_fill, correlation_id, span)
        try:
            return original(self)
        finally:
            own.pop(_KEY, None)

    return start


def _in_its_context(_switch: _Switch, original: Callable[..., Any]) -> Callable[..., Any]:
    """``Thread._bootstrap_inner``: runs ``run``, whoever overrides that, and the excepthook.

    It is below the frame in which the thread's exceptions are caught, so that none of their
    tracebacks shows us.
    """

    @functools.wraps(original)
    def _bootstrap_inner(self: Any) -> Any:
        context: Context | None = vars(self).pop(_KEY, None)
        if context is None:
            return original(self)
        return context.run(original, self)

    return _bootstrap_inner


def _carrying(switch: _Switch, original: Callable[..., Any]) -> Callable[..., Any]:
    """``Executor.submit``: what is submitted runs in what is current now."""

    @functools.wraps(original)
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        correlation_id, span = CURRENT_ID.get(), CURRENT_SPAN.get()
        if not switch.on or (correlation_id is None and span is None):
            return original(self, fn, *args, **kwargs)
        # The pool may start a thread or a process now: it will work for others as well, and must
        # not inherit what is current here.
        with within(None, None):
            return original(self, Carried(fn, correlation_id, span), *args, **kwargs)

    return submit


def _carrying_run(switch: _Switch, original: Callable[..., Any]) -> Callable[..., Any]:
    """``BaseProcess.start``: the process takes it along in itself, however it is started."""

    @functools.wraps(original)
    def start(self: Any) -> Any:
        correlation_id, span = CURRENT_ID.get(), CURRENT_SPAN.get()
        if not switch.on or (correlation_id is None and span is None):
            return original(self)
        own = vars(self)
        before = own.get("run")
        own["run"] = Carried(self.run, correlation_id, span and span.elsewhere())
        try:
            return original(self)
        finally:
            if before is None:
                own.pop("run", None)
            else:
                own["run"] = before

    return start
