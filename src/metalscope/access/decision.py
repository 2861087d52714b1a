"""What the gate says to a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from metalscope.access.principal import Principal
from metalscope.export_options import Audience

__all__ = ["UNKNOWN_ROUTE", "Decision"]

UNKNOWN_ROUTE: Final = "unknown"
"""The route of a request that fits no rule: whatever was asked for, there is one word for it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request is answered, and what else is known of it.

    Attributes:
        allowed: whether it is.
        principal: who asks, where that is known.
        status: the status to refuse it with; 200 where it is allowed.
        reason: why it is refused, in a sentence for the one who asked; empty where it is allowed.
        headers: to be sent with the refusal.
        route: the pattern of the rule it fits, or :data:`UNKNOWN_ROUTE`.
        target: what in its address stands for the pattern's ``{name}``.
        is_open: nobody is asked for a key there.
        changes: the route changes something.
        audience: for whom metrics are made that are sent as the answer.
    """

    allowed: bool
    principal: Principal | None = None
    status: int = 200
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    route: str = UNKNOWN_ROUTE
    target: str | None = None
    is_open: bool = False
    changes: bool = False
    audience: Audience = Audience.INTERNAL
