"""The single operations (``aten::mm``) within a call, seen by a dispatch mode."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from time import perf_counter_ns
from typing import Any, Final

from metalscope.instrument._probe import Probe, hide_frame
from metalscope.instrument._torch_dynamo import can_keep_out
from metalscope.instrument._torch_state import TorchState

__all__ = ["Detail"]

_MAX_NAMES: Final = 4096


class Detail:
    """Gives every so-manyth call of each name a context that records its operations.

    A ``TorchDispatchMode`` sees each operation on the thread that entered it and on those of the
    backward engine that work for it. It costs some microseconds for each, so that only some calls
    get one; what a compiled graph does inside is not seen, and not disturbed.

    Args:
        torch: the module ``torch``.
        probe: where to record.
        state: answers on which device an operation ran.
        every: one in how many calls of a name has its operations recorded; none where 0.
    """

    def __init__(self, torch: Any, probe: Probe, state: TorchState, every: int) -> None:
        self.every = every
        self._seen: dict[str, int] = {}
        self._new_mode = _mode_class(torch, probe, state)

    def __call__(self, name: str) -> AbstractContextManager[Any] | None:
        """The context for this call of ``name``, ``None`` where it goes without."""
        if not self.every:
            return None
        # A count that two threads get to at once gives one call more or less; nothing else.
        seen = self._seen.get(name, 0)
        if seen or len(self._seen) < _MAX_NAMES:
            self._seen[name] = seen + 1
        if seen % self.every:
            return None
        return self._new_mode()


def _mode_class(
    torch: Any, probe: Probe, state: TorchState
) -> Callable[[], AbstractContextManager[Any]]:
    from torch.utils._python_dispatch import TorchDispatchMode  # noqa: PLC0415 - a GPU library

    names: dict[Any, str] = {}
    call_code = torch._ops.OpOverload.__call__.__code__

    class OperationMode(TorchDispatchMode):  # type: ignore[misc, unused-ignore]
        # What torch.compile made of operations runs as ever, and unseen.
        @classmethod
        def ignore_compile_internals(cls) -> bool:
            return True

        # By default PyTorch wraps __torch_dispatch__ to keep Dynamo off it, which imports Dynamo
        # at the first operation. All our functions are kept out of it anyhow, at no cost.
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return not can_keep_out(torch)

        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            telemetry = probe.telemetry
            name = names.get(func)
            if name is None:
                name = names[func] = str(func._schema.name)
            # PyTorch's own marks for its profiler are no work.
            if telemetry is None or name.startswith("profiler::"):
                return func(*args, **(kwargs or {}))
            start = perf_counter_ns()
            try:
                result = func(*args, **kwargs) if kwargs else func(*args)
            except BaseException as error:
                duration_ns = perf_counter_ns() - start
                device = probe.guarded(telemetry, "", state.device_of, (args, kwargs))
                telemetry.record(
                    "execute", name, duration_ns=duration_ns, error=error, device=device
                )
                hide_frame(error)
                # That of the operation's own __call__ is there because we called it.
                own = error.__traceback__
                if own is not None and own.tb_frame.f_code is call_code:
                    hide_frame(error)
                raise
            duration_ns = perf_counter_ns() - start
            device = probe.guarded(telemetry, "", state.device_of, (result, args))
            telemetry.record("execute", name, duration_ns=duration_ns, device=device)
            return result

    return OperationMode
