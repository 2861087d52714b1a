"""How often somebody may be wrong: wrong keys and tokens by address, and by key.

Each address, and each key id, has a bucket of tokens (a wrong key takes one) that fills again with
time. What is remembered is bounded: full buckets say nothing and are forgotten, and where there
are too many that are not full, the addresses beyond share one bucket.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from metalscope.fork import reset_in_child

__all__ = ["MOST_BUCKETS", "FailureLimit", "network_of"]

MOST_BUCKETS: Final = 4096
"""Addresses, and key ids, that are remembered at once."""

_SWEEP_SECONDS: Final = 1.0
_SHARED: Final = "(others)"


@dataclass(slots=True)
class _Bucket:
    tokens: float
    seen: float


class _Buckets:
    """Buckets by name, at most so many."""

    def __init__(self, size: int, per_second: float) -> None:
        self._size = size
        self._per_second = per_second
        self._buckets: dict[str, _Bucket] = {}
        self._swept = float("-inf")

    def __len__(self) -> int:
        return len(self._buckets)

    def left(self, name: str, now: float) -> float:
        """The tokens in a bucket; one that is not there is full."""
        bucket = self._buckets.get(name)
        if bucket is None:
            # Not made for a question; in a crowd whoever is not known has what all such have.
            bucket = self._buckets.get(_SHARED) if len(self._buckets) >= MOST_BUCKETS else None
        if bucket is None:
            return self._size
        return min(self._size, bucket.tokens + (now - bucket.seen) * self._per_second)

    def take(self, name: str, now: float) -> None:
        """Take one token."""
        if name not in self._buckets and len(self._buckets) >= MOST_BUCKETS:
            self._sweep(now)
            if len(self._buckets) >= MOST_BUCKETS:
                name = _SHARED
        left = self.left(name, now)
        self._buckets[name] = _Bucket(max(0.0, left - 1), now)

    def seconds_until_one(self, name: str, now: float) -> float:
        """How long until the bucket has a token."""
        return max(0.0, (1 - self.left(name, now)) / self._per_second)

    def is_full(self, name: str, now: float) -> bool:
        """Whether nothing was taken lately."""
        return self.left(name, now) >= self._size

    def _sweep(self, now: float) -> None:
        # All are looked at, which takes a millisecond: not for each of a flood.
        if now - self._swept < _SWEEP_SECONDS:
            return
        self._swept = now
        self._buckets = {
            name: bucket
            for name, bucket in self._buckets.items()
            if bucket.tokens + (now - bucket.seen) * self._per_second < self._size
        }


class FailureLimit:
    """Says whether one who sends a key is to be heard. For all threads.

    Args:
        per_minute: wrong ones in a minute, of one address and for one key id.
        clock: seconds that never go back.
    """

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget who was wrong."""
        self._lock = threading.Lock()
        self._addresses = _Buckets(self._per_minute, self._per_minute / 60)
        self._keys = _Buckets(self._per_minute, self._per_minute / 60)

    def wait(self, address: str | None, key_id: str | None) -> float:
        """Seconds until one from ``address`` is heard with this key; 0 for now.

        An id is no secret: so that nobody can lock its owner out by wrong secrets, who sends it
        from an address that was not wrong lately is heard all the same.
        """
        network = network_of(address)
        with self._lock:
            now = self._clock()
            if self._addresses.left(network, now) < 1:
                return self._addresses.seconds_until_one(network, now)
            if key_id is None or self._addresses.is_full(network, now):
                return 0.0
            return self._keys.seconds_until_one(key_id, now)

    def failed(self, address: str | None, key_id: str | None) -> None:
        """Count a wrong key, whose id, where it has the shape of one, is given."""
        with self._lock:
            now = self._clock()
            self._addresses.take(network_of(address), now)
            if key_id is not None:
                self._keys.take(key_id, now)

    @property
    def remembered(self) -> int:
        """How many buckets there are."""
        with self._lock:
            return len(self._addresses) + len(self._keys)


def network_of(address: str | None) -> str:
    """What has one bucket: an IPv4 address, or the /64 that one host of IPv6 has (RFC 4291)."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    mapped = getattr(found, "ipv4_mapped", None) or found
    if mapped.version == 4:
        return str(mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
