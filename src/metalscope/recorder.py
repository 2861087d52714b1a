"""The hot path: count and time operations as cheaply as the machine allows.

There are two recorders of one behaviour. The compiled one is used where it was built and the
interpreter has a global lock; the other is Python alone. ``METALSCOPE_PURE_PYTHON=1`` in the
environment asks for the second.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal

from metalscope._recorder_base import (
    MAX_NAME_LENGTH,
    OTHER,
    ErrorLike,
    Remembered,
    Series,
    Totals,
)

__all__ = [
    "IMPLEMENTATION",
    "MAX_NAME_LENGTH",
    "OTHER",
    "UNRECORDED",
    "ErrorLike",
    "Operation",
    "Recorder",
    "Recording",
    "Remembered",
    "Series",
    "Totals",
]

if TYPE_CHECKING:
    # The compiled names have the same signatures; these have the documentation.
    from metalscope._recorder_pure import UNRECORDED, Operation, Recorder, Recording

    _implementation: Literal["compiled", "pure"]
elif os.environ.get("METALSCOPE_PURE_PYTHON", "0") not in {"", "0"}:
    from metalscope._recorder_pure import UNRECORDED, Operation, Recorder, Recording

    _implementation = "pure"
else:
    try:
        from metalscope._recorder_compiled import UNRECORDED, Operation, Recorder, Recording

        _implementation = "compiled"
    except ImportError:
        from metalscope._recorder_pure import UNRECORDED, Operation, Recorder, Recording

        _implementation = "pure"

IMPLEMENTATION: Final = _implementation
"""Which recorder is in use: ``"compiled"`` or ``"pure"``."""
