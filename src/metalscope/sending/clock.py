"""The two clocks of whoever sends, so that time can be given in tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from metalscope.moments import utc_now

__all__ = ["Clock"]


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks a lane looks at: one that only goes forward, in s, and the host's."""

    monotonic: Callable[[], float] = monotonic
    now: Callable[[], datetime] = utc_now
