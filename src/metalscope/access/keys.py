"""API keys: ``msk_<id>_<secret>``. The id is shown, the secret once; kept is a hash of it.

The hash is HMAC-SHA-256 with a salt of each key's own, not scrypt or the like: those slow down
the guessing of what people choose. A secret here is 256 random bits, which cannot be guessed at any
speed, while a slow hash would let anyone who sends wrong keys use up the host's processor.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from metalscope.access.roles import Role

__all__ = ["PREFIX", "ApiKey", "GivenKey", "Hashed", "masked", "new_id", "new_secret"]

PREFIX: Final = "msk_"
"""By which scanners for leaked secrets can know a key."""

LONGEST: Final = 128
"""Characters; what is longer is no key, and is not looked at."""

_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 6

# Secrets are 43 characters; a broken-off one is masked as well.
_SHAPE: Final = re.compile(r"msk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_ANYWHERE: Final = re.compile(
    r"(msk_[0-9A-Za-z]{0,64}_)[A-Za-z0-9_-]+|(\beyJ)[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)*"
)


def new_id() -> str:
    """The id of a new key: 48 random bits in hexadecimal."""
    return secrets.token_hex(_ID_BYTES)


def new_secret() -> str:
    """The secret of a new key: 256 random bits in base64url."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def masked(text: str) -> str:
    """A text without the secret of any key, and without what looks like a token."""
    return _ANYWHERE.sub(lambda found: f"{found[1] or found[2]}…", text)


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A key as somebody sent it; it does not show its secret."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"GivenKey({self.id})"

    @classmethod
    def parse(cls, text: str) -> GivenKey | None:
        """Read ``msk_<id>_<secret>``; ``None`` where the text has not that shape."""
        shape = _SHAPE.fullmatch(text) if len(text) <= LONGEST else None
        return None if shape is None else cls(shape[1], shape[2])

    @property
    def text(self) -> str:
        """The key itself, to be shown once."""
        return f"{PREFIX}{self.id}_{self.secret}"


@dataclass(frozen=True, slots=True, repr=False)
class Hashed:
    """What is kept of a secret."""

    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, secret: str) -> Hashed:
        """The hash of a secret, with a new salt."""
        salt = secrets.token_bytes(16)
        return cls(salt, _digest(salt, secret))

    def fits(self, secret: str) -> bool:
        """Whether it is of this secret; takes the same time wherever they differ."""
        return hmac.compare_digest(_digest(self.salt, secret), self.digest)


def _digest(salt: bytes, secret: str) -> bytes:
    return hmac.digest(salt, secret.encode(), hashlib.sha256)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept. Times are of UTC.

    Attributes:
        id: names it, in lists and in the audit; no secret.
        name: what it is for, in its owner's words.
        role: what it may do.
        created_at: when it was made.
        expires_at: from when on it is refused; ``None`` for never.
        revoked_at: when somebody took it back.
        last_used_at: when it was last let through, to the hour.
        replaced_by: the key that rotation made in its place.
        hashed: what its secret is compared with.
    """

    id: str
    name: str
    role: Role
    created_at: datetime
    hashed: Hashed
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    replaced_by: str | None = None

    def ended_at(self, now: datetime) -> datetime | None:
        """Since when it is refused; ``None`` while it is not."""
        ends = [time for time in (self.expires_at, self.revoked_at) if time and time <= now]
        return min(ends) if ends else None

    def state(self, now: datetime) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return "revoked"
        return "active" if self.ended_at(now) is None else "expired"
