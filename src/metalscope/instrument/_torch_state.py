"""What PyTorch is in the middle of: tracing for a compiler, the backward engine, which device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

from metalscope.sensors.torch import device_label

__all__ = ["TorchState"]

_MAX_LOOKED_AT: Final = 16
"""How many arguments are looked at for a tensor."""


class TorchState:
    """Answers what wrappers ask before they record.

    Args:
        torch: the module ``torch``.
    """

    __slots__ = (
        "_graph_task",
        "_infra",
        "_is_compiling",
        "_labels",
        "_mode_of",
        "_modes",
        "_symbolic",
        "tensor",
    )

    def __init__(self, torch: Any) -> None:
        import torch.fx._symbolic_trace as symbolic  # noqa: PLC0415 - a GPU library

        self.tensor: type[Any] = torch.Tensor
        self._is_compiling: Callable[[], bool] = torch.compiler.is_compiling
        self._symbolic: Any = symbolic
        keys = torch._C._TorchDispatchModeKey
        self._infra = (keys.FAKE, keys.PROXY, keys.FUNCTIONAL)
        self._modes: Callable[[], int] = torch._C._len_torch_dispatch_stack
        self._mode_of: Callable[[Any], Any] = torch._C._get_dispatch_mode
        self._graph_task: Callable[[], int] = torch._C._current_graph_task_id
        self._labels: dict[Any, str] = {}

    def is_tracing(self) -> bool:
        """Whether operations are only noted now, for a compiler or an export, and nothing runs."""
        # The function for the second of these warns.
        if self._is_compiling() or self._symbolic._is_fx_tracing_flag:
            return True
        return bool(self._modes()) and any(self._mode_of(key) is not None for key in self._infra)

    def in_backward(self) -> bool:
        """Whether this thread is one of the backward engine's, or inside of it."""
        return self._graph_task() != -1

    def device_of(self, value: Any) -> str:
        """The label of the device of the first tensor in ``value``, empty where none is found.

        Lists, tuples and dicts are looked into, 16 values wide and four deep.
        """
        tensor = value if type(value) is self.tensor else self._first_tensor(value, 4)
        if tensor is None:
            return ""
        device = tensor.device
        label = self._labels.get(device)
        if label is None:
            label = self._labels[device] = device_label(device)
        return label

    def _first_tensor(self, value: Any, depth: int) -> Any:
        values: Iterable[Any]
        if isinstance(value, (tuple, list)):
            values = value
        elif isinstance(value, dict):
            values = value.values()
        else:
            return value if isinstance(value, self.tensor) else None
        tensor = self.tensor
        for one in islice(values, _MAX_LOOKED_AT):
            if type(one) is tensor:
                return one
            if depth:
                found = self._first_tensor(one, depth - 1)
                if found is not None:
                    return found
        return None
