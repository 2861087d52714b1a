"""Which recorder counts, and why that one."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterator
from importlib import import_module
from typing import Final

from metalscope.doctor.diagnosis import Diagnosis, State

__all__ = ["GROUP", "check_recorder"]

GROUP: Final = "recorder"

_COMPILED: Final = "metalscope._core"
_SWITCH: Final = "METALSCOPE_PURE_PYTHON"
_REBUILD: Final = "pip install --force-reinstall --no-deps metalscope"


def check_recorder() -> Iterator[Diagnosis]:
    """Load it and count one operation with it."""
    from metalscope.manager import MetalTelemetryManager  # noqa: PLC0415 - may not load
    from metalscope.recorder import IMPLEMENTATION  # noqa: PLC0415 - may not load

    telemetry = MetalTelemetryManager()
    telemetry.record("execute", "doctor", duration_ns=1)
    counted = telemetry.get_snapshot().total_operations
    if counted != 1:
        why = f"it counted {counted} operations where there was one"
        yield Diagnosis(GROUP, IMPLEMENTATION, State.BROKEN, why=why)
        return
    if IMPLEMENTATION == "compiled":
        yield Diagnosis(GROUP, "compiled", State.WORKS)
        return
    yield _pure()


def _pure() -> Diagnosis:
    what = "exact, and slower than the compiled one"
    if os.environ.get(_SWITCH, "0") not in {"", "0"}:
        return Diagnosis(
            GROUP,
            "pure",
            State.WORKS,
            what=what,
            why=f"{_SWITCH} is set",
            remedy=f"unset {_SWITCH}",
        )
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return Diagnosis(GROUP, "pure", State.WORKS, what=what, why="this Python is free-threaded")
    try:
        import_module(_COMPILED)
        why = "it is there and does not fit this version of metalscope"
    except ModuleNotFoundError:
        return Diagnosis(
            GROUP,
            "pure",
            State.WORKS,
            what=what,
            why=f"the compiled one was not built for this Python {platform.python_version()}",
            remedy=f"{_REBUILD}, where there is a C compiler",
        )
    except ImportError as error:
        why = f"it is there and does not load: {error}"
    return Diagnosis(
        GROUP,
        "compiled",
        State.BROKEN,
        what="the pure one counts in its place",
        why=why,
        remedy=_REBUILD,
    )
