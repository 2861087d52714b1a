"""Environments in which packages are not installed, as far as a Python started there can tell."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("not_installed")
HEAVY: Final = ("torch", "wgpu")
"""What the doctor looks at for seconds of processor time."""


def without(*packages: str) -> dict[str, str]:
    """An environment in which these are not installed."""
    return {"PYTHONPATH": str(FOLDER), "NOT_INSTALLED": ",".join(packages)}


def without_heavy(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment, in which :data:`HEAVY` is not installed either."""
    made = {**without(*HEAVY), **(env or {})}
    made["PYTHONPATH"] = os.pathsep.join(dict.fromkeys((str(FOLDER), made["PYTHONPATH"])))
    return made
