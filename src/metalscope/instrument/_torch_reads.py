"""Reads and moves of tensors, at which the program waits for the device, and files of them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from itertools import chain
from time import perf_counter_ns
from typing import Any, Final

from metalscope.instrument._probe import Probe, hide_frame
from metalscope.instrument._torch_calls import Level
from metalscope.instrument._torch_device_times import DeviceTimes
from metalscope.instrument._torch_state import TorchState

__all__ = ["MOVES", "READS", "Reads"]

READS: Final = {
    "item": "item",
    "tolist": "tolist",
    "numpy": "numpy",
    "__bool__": "bool",
    "__float__": "float",
    "__int__": "int",
    "__index__": "int",
    "__complex__": "complex",
    "__repr__": "repr",
    "__format__": "format",
}
"""Methods of a tensor that need its value on the host, and the names they are recorded under."""

MOVES: Final = ("cpu", "to")
"""Methods that bring a tensor to another device."""

_MAX_LEAVES: Final = 1024
"""How many tensors of an object bytes are counted of."""

_MAX_NODES: Final = 8 * _MAX_LEAVES
"""How many values of an object are looked at for tensors."""


class _Reading(threading.local):
    now = False
    """Whether this thread is inside a read. PyTorch may call a method again from inside it."""


class Reads:
    """Makes wrappers for the methods of ``torch.Tensor``.

    Args:
        torch: the module ``torch``.
        probe: where to record.
        state: answers on which device a tensor is, and whether anything is read at all.
        device_times: told when the program has waited.
        forward: the level of forwards. Within one, what is on the host anyway is not read.
        step: that of optimizers' steps, likewise: they read their own counters all the time.
    """

    def __init__(
        self,
        torch: Any,
        probe: Probe,
        state: TorchState,
        device_times: DeviceTimes,
        *,
        forward: Level,
        step: Level,
    ) -> None:
        self._torch = torch
        self._probe = probe
        self._state = state
        self._device_times = device_times
        self._forward = forward
        self._step = step
        self._reading = _Reading()
        self._is_dynamo_compiling: Callable[[], bool] = torch.compiler.is_dynamo_compiling

    def read(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Wrap a method that needs the tensor's value: a synchronize, with the tensor's bytes."""
        probe, reading = self._probe, self._reading
        is_dynamo_compiling = self._is_dynamo_compiling

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if is_dynamo_compiling():
                return original(*args, **kwargs)
            telemetry = probe.telemetry
            what = None
            if telemetry is not None and not reading.now:
                what = probe.guarded(telemetry, None, self._what_is_read, args)
            if telemetry is None or what is None:
                try:
                    return original(*args, **kwargs)
                except BaseException as error:
                    hide_frame(error)
                    raise
            device, nbytes, waits = what
            reading.now = True
            start = perf_counter_ns()
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                duration_ns = perf_counter_ns() - start
                telemetry.record(
                    "synchronize", name, duration_ns=duration_ns, error=error, device=device
                )
                hide_frame(error)
                raise
            finally:
                reading.now = False
            duration_ns = perf_counter_ns() - start
            telemetry.record(
                "synchronize", name, duration_ns=duration_ns, nbytes=nbytes, device=device
            )
            if waits:
                self._device_times.program_waited()
            return result

        return wrapper

    def _what_is_read(self, args: tuple[Any, ...]) -> tuple[str, int, bool] | None:
        """Device, bytes, and whether the program waits; ``None`` where nothing is recorded."""
        tensor = args[0] if args else None
        if not isinstance(tensor, self._state.tensor) or self._state.is_tracing():
            return None
        waits = not tensor.is_cpu
        if not waits and (self._forward.inside or self._step.inside):
            return None
        return self._state.device_of(tensor), tensor.nbytes, waits

    def move(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Wrap a method that may bring the tensor to another device: if it does, a transfer."""
        probe, state, reading = self._probe, self._state, self._reading
        is_dynamo_compiling = self._is_dynamo_compiling

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if is_dynamo_compiling():
                return original(*args, **kwargs)
            telemetry = probe.telemetry
            start = perf_counter_ns()
            nested, reading.now = reading.now, True
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                if telemetry is not None and not nested:
                    duration_ns = perf_counter_ns() - start
                    device = probe.guarded(telemetry, "", state.device_of, args)
                    telemetry.record(
                        "transfer", name, duration_ns=duration_ns, error=error, device=device
                    )
                hide_frame(error)
                raise
            finally:
                reading.now = nested
            if telemetry is None or nested or result is args[0]:
                return result
            duration_ns = perf_counter_ns() - start
            probe.guarded(
                telemetry, None, self._moved, telemetry, name, duration_ns, args[0], result
            )
            return result

        return wrapper

    def _moved(self, telemetry: Any, name: str, duration_ns: int, source: Any, result: Any) -> None:
        if source.device == result.device or self._state.is_tracing():
            return
        # The device at work is the one that is not the host.
        at_work = source if result.is_cpu else result
        telemetry.record(
            "transfer",
            name,
            duration_ns=duration_ns,
            nbytes=_nbytes(result),
            device=self._state.device_of(at_work),
        )
        if result.is_cpu:
            self._device_times.program_waited()

    def wait(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Wrap what waits for the Metal device: a synchronize."""
        probe = self._probe

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            telemetry = probe.telemetry
            failure: BaseException | None = None
            start = perf_counter_ns()
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                failure = error
                hide_frame(error)
                raise
            finally:
                duration_ns = perf_counter_ns() - start
                if telemetry is not None:
                    telemetry.record(
                        "synchronize", name, duration_ns=duration_ns, error=failure, device="mps:0"
                    )
                    self._device_times.program_waited()
                del failure

        return wrapper

    def file(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Wrap ``torch.save`` or ``torch.load``: a transfer of the tensors in the file."""
        probe, reading = self._probe, self._reading

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            telemetry = probe.telemetry
            nested, reading.now = reading.now, True
            start = perf_counter_ns()
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                duration_ns = perf_counter_ns() - start
                if telemetry is not None:
                    telemetry.record("transfer", name, duration_ns=duration_ns, error=error)
                hide_frame(error)
                raise
            finally:
                reading.now = nested
            duration_ns = perf_counter_ns() - start
            if telemetry is not None:
                # save(object, file) returns nothing, load(file) the object.
                value = args[:1] if result is None else result
                nbytes = probe.guarded(telemetry, 0, self._nbytes_within, value)
                telemetry.record("transfer", name, duration_ns=duration_ns, nbytes=nbytes)
            return result

        return wrapper

    def _nbytes_within(self, value: Any) -> int:
        return sum(one.nbytes for one in _tensors(self._torch, value))


def _nbytes(tensor: Any) -> int:
    return int(tensor.nbytes)


def _tensors(torch: Any, value: Any) -> Iterator[Any]:
    """The tensors in lists, tuples, dicts and modules: the first 1024."""
    nodes = [iter((value,))]
    found = 0
    for _ in range(_MAX_NODES):
        if not nodes or found == _MAX_LEAVES:
            return
        node = next(nodes[-1], nodes)
        if node is nodes:
            nodes.pop()
        elif isinstance(node, torch.Tensor):
            found += 1
            yield node
        elif isinstance(node, dict):
            nodes.append(iter(node.values()))
        elif isinstance(node, (list, tuple)):
            nodes.append(iter(node))
        elif isinstance(node, torch.nn.Module):
            nodes.append(chain(node.parameters(), node.buffers()))
