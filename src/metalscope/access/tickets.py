"""Tickets: a browser's EventSource cannot send a header, so it names one in the address.

An address may end in a log, so what it holds is good once, for one thing, and for half a minute.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from metalscope.fork import reset_in_child

if TYPE_CHECKING:
    from metalscope.access.principal import Principal

__all__ = ["LIFE_SECONDS", "MOST_EACH", "MOST_TICKETS", "Ticket", "Tickets"]

LIFE_SECONDS: Final = 30
MOST_TICKETS: Final = 4096
MOST_EACH: Final = 32
"""Of one principal; with the next its oldest is void."""

_LONGEST: Final = 128


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as it is given out; it does not show its text.

    Attributes:
        text: what is put in the address.
        expires_in: seconds for which it is good.
    """

    text: str
    expires_in: int

    def __repr__(self) -> str:
        return "Ticket(…)"


class Tickets:
    """Those that are out, by the hash of each. For all threads.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Have none out: in a child those of the parent are void, or they were good twice."""
        self._lock = threading.Lock()
        # In the order in which they end.
        self._out: dict[bytes, tuple[float, Principal]] = {}

    def mint(self, principal: Principal) -> Ticket:
        """A ticket for one who was let through."""
        text = secrets.token_urlsafe(32)
        with self._lock:
            now = self._clock()
            self._forget(now)
            own = [key for key, (_, owner) in self._out.items() if _same(owner, principal)]
            if len(own) >= MOST_EACH:
                del self._out[own[0]]
            elif len(self._out) >= MOST_TICKETS:
                del self._out[next(iter(self._out))]
            self._out[_hash(text)] = (now + LIFE_SECONDS, principal)
        return Ticket(text, LIFE_SECONDS)

    def redeem(self, text: str) -> Principal | None:
        """Whose ticket it is, which is void from now on; ``None`` where it is no good."""
        if len(text) > _LONGEST:
            return None
        with self._lock:
            now = self._clock()
            self._forget(now)
            # Looked up by a hash that nobody can choose: the time it takes says nothing.
            found = self._out.pop(_hash(text), None)
        return None if found is None else found[1]

    def __len__(self) -> int:
        return len(self._out)

    def _forget(self, now: float) -> None:
        while self._out:
            first = next(iter(self._out))
            if self._out[first][0] > now:
                return
            del self._out[first]


def _same(one: Principal, other: Principal) -> bool:
    return (one.kind, one.id) == (other.kind, other.id)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
