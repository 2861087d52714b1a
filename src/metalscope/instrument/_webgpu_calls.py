"""The wrappers that take the place of wgpu's methods."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from metalscope.instrument._probe import hide_frame
from metalscope.instrument._webgpu_completion import Completions, Submission
from metalscope.instrument._webgpu_names import submission_name
from metalscope.instrument._webgpu_promise import when_settled
from metalscope.instrument._webgpu_scope import ROOM, Scope

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = [
    "Call",
    "noting",
    "noting_result",
    "only_failures",
    "promising",
    "recorded",
    "submitting",
]

Method = Callable[..., Any]


class Call(NamedTuple):
    """How one method is recorded."""

    kind: str
    name: str | Callable[[Mapping[str, Any]], str]
    """The name, or what finds it in the keyword arguments."""
    nbytes: Callable[[tuple[Any, ...], Mapping[str, Any], Any], int] | None = None
    """How many bytes it moved, by its arguments and result."""
    then: Callable[[Any, str, Mapping[str, Any], str], None] | None = None
    """What to note of the result, given the operation's name, the arguments and the device."""

    def name_of(
        self, telemetry: MetalTelemetryManager, kwargs: Mapping[str, Any], otherwise: str
    ) -> str:
        """The name of the operation; ``otherwise`` where it cannot be found."""
        if isinstance(self.name, str):
            return self.name
        try:
            return self.name(kwargs)
        except Exception as error:  # noqa: BLE001 - the arguments may be anything at all
            telemetry.internal_error(ROOM, error)
            return otherwise

    def bytes_of(
        self,
        telemetry: MetalTelemetryManager,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
    ) -> int:
        """The bytes it moved; 0 where they cannot be told."""
        if self.nbytes is None:
            return 0
        try:
            return self.nbytes(args, kwargs, result)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            telemetry.internal_error(ROOM, error)
            return 0


def recorded(scope: Scope, original: Method, call: Call) -> Method:
    """Each outermost call is one operation, ended when the method returns."""
    inside = scope.inside

    @functools.wraps(original)
    def wrapper(this: Any, *args: Any, **kwargs: Any) -> Any:
        watched = scope.watched(this)
        if watched is None:
            try:
                return original(this, *args, **kwargs)
            except BaseException as error:
                hide_frame(error)
                raise
        telemetry, device = watched
        name = call.name_of(telemetry, kwargs, original.__name__)
        start = perf_counter_ns()
        try:
            inside.call = True
            result = original(this, *args, **kwargs)
        except BaseException as error:
            telemetry.record(
                call.kind,
                name,
                duration_ns=perf_counter_ns() - start,
                error=scope.error_of(call.kind, error),
                device=device,
            )
            hide_frame(error)
            raise
        finally:
            inside.call = False
        duration_ns = perf_counter_ns() - start
        if call.then is not None:
            scope.guarded(telemetry, call.then, result, name, kwargs, device)
        telemetry.record(
            call.kind,
            name,
            duration_ns=duration_ns,
            nbytes=call.bytes_of(telemetry, args, kwargs, result),
            device=device,
        )
        return result

    return wrapper


def promising(scope: Scope, original: Method, call: Call) -> Method:
    """Each outermost call is one operation, ended when the promise it returned is settled."""
    inside = scope.inside

    @functools.wraps(original)
    def wrapper(this: Any, *args: Any, **kwargs: Any) -> Any:
        watched = scope.watched(this)
        if watched is None:
            try:
                return original(this, *args, **kwargs)
            except BaseException as error:
                hide_frame(error)
                raise
        telemetry, device = watched
        name = call.name_of(telemetry, kwargs, original.__name__)
        start = perf_counter_ns()

        def ended(failure: BaseException | None) -> None:
            telemetry.record(
                call.kind,
                name,
                duration_ns=perf_counter_ns() - start,
                error=None if failure is None else scope.error_of(call.kind, failure),
                device=device,
            )

        try:
            inside.call = True
            promise = original(this, *args, **kwargs)
        except BaseException as error:
            ended(error)
            hide_frame(error)
            raise
        finally:
            inside.call = False
        try:
            when_settled(promise, ended)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            telemetry.internal_error(ROOM, error)
            ended(None)
        if call.then is not None:
            scope.guarded(telemetry, call.then, promise, name, kwargs, device)
        return promise

    return wrapper


def submitting(scope: Scope, original: Method, completions: Completions) -> Method:
    """Each outermost submit is one execute, ended when the queue has done the work."""

    @functools.wraps(original)
    def submit(this: Any, *args: Any, **kwargs: Any) -> Any:
        watched = scope.watched(this)
        if watched is None:
            try:
                return original(this, *args, **kwargs)
            except BaseException as error:
                hide_frame(error)
                raise
        telemetry, device = watched
        try:
            name = submission_name(args[0] if args else kwargs.get("command_buffers"))
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            telemetry.internal_error(ROOM, error)
            name = "submit"
        start = perf_counter_ns()
        try:
            result = original(this, *args, **kwargs)
        except BaseException as error:
            telemetry.record(
                "execute",
                name,
                duration_ns=perf_counter_ns() - start,
                error=scope.error_of("execute", error),
                device=device,
            )
            hide_frame(error)
            raise
        completions.follow(Submission(telemetry, name, device, start), this)
        return result

    return submit


def only_failures(
    scope: Scope, original: Method, then: Callable[[Any, Any], None] | None = None
) -> Method:
    """A call that prepares work: it is an operation only where it fails."""

    @functools.wraps(original)
    def wrapper(this: Any, *args: Any, **kwargs: Any) -> Any:
        start = perf_counter_ns()
        try:
            result = original(this, *args, **kwargs)
        except BaseException as error:
            watched = scope.watched(this)
            if watched is not None:
                watched[0].record(
                    "execute",
                    original.__name__,
                    duration_ns=perf_counter_ns() - start,
                    error=scope.error_of("execute", error),
                    device=watched[1],
                )
            hide_frame(error)
            raise
        if then is not None and (telemetry := scope.telemetry) is not None:
            try:
                then(this, result)
            except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
                telemetry.internal_error(ROOM, error)
        return result

    return wrapper


def noting(scope: Scope, original: Method, note: Callable[[Any, Any], None]) -> Method:
    """A call that is no operation; of its object and its first argument something is noted."""
    return _noting(
        scope,
        original,
        lambda this, args, kwargs, _result: note(
            this, args[0] if args else next(iter(kwargs.values()), None)
        ),
    )


def noting_result(scope: Scope, original: Method, note: Callable[[Any, Any], None]) -> Method:
    """A call that is no operation; of its object and its result something is noted."""
    return _noting(scope, original, lambda this, _args, _kwargs, result: note(this, result))


def _noting(
    scope: Scope,
    original: Method,
    note: Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None],
) -> Method:
    @functools.wraps(original)
    def wrapper(this: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = original(this, *args, **kwargs)
        except BaseException as error:
            hide_frame(error)
            raise
        telemetry = scope.telemetry
        if telemetry is not None:
            try:
                note(this, args, kwargs, result)
            except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
                telemetry.internal_error(ROOM, error)
        return result

    return wrapper
