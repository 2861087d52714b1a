"""Who asks, once that is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from metalscope.access.roles import Role

__all__ = ["Principal"]


@dataclass(frozen=True, slots=True)
class Principal:
    """The owner of a key or token. Holds nothing that is secret.

    Attributes:
        kind: ``key`` or ``jwt``.
        id: the key's id, or the token's subject.
        name: the key's name, or the token's subject.
        role: what it may do.
        expires_at: until when; ``None`` where nothing says.
    """

    kind: Literal["key", "jwt"]
    id: str
    name: str
    role: Role
    expires_at: datetime | None = None
