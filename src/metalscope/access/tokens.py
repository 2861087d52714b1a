"""Tokens of an identity provider: JWT (RFC 7519), checked as RFC 8725 asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from metalscope.access.key_set import KeySet, KeySetError
from metalscope.access.keys import masked
from metalscope.access.principal import Principal
from metalscope.access.roles import Role
from metalscope.errors import MissingExtraError

if TYPE_CHECKING:
    from metalscope.access_options import JwtOptions

__all__ = ["LONGEST_TOKEN", "KeySetError", "NoRoleError", "TokenError", "Tokens"]

LONGEST_TOKEN: Final = 8192
"""Characters; what is longer is not looked at."""

_ALWAYS: Final = ("exp", "iss", "aud", "sub")
_LONGEST_SUBJECT: Final = 200
_RANKS: Final = (Role.SCRAPER, Role.VIEWER, Role.OPERATOR, Role.ADMIN)


class TokenError(Exception):
    """A token is not good; the text says why, and never what is in it."""


class NoRoleError(Exception):
    """A token is good, and gives no role here."""


class Tokens:
    """Checks tokens of one provider. For all threads.

    Args:
        options: what a token must be.
        on_error: told where the provider's keys cannot be had.
        clock: seconds that never go back, by which keys are kept.

    Raises:
        MissingExtraError: the library is not installed.
    """

    def __init__(
        self,
        options: JwtOptions,
        *,
        on_error: Callable[[BaseException], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        try:
            import cryptography  # noqa: F401, PLC0415 - of an extra
            import jwt  # noqa: F401, PLC0415
        except ImportError as error:
            raise MissingExtraError("server.access.jwt", "oidc", cause=str(error)) from error
        self._options = options
        self.keys = KeySet(options, on_error=on_error, clock=clock)
        """The provider's keys."""

    def check(self, token: str) -> Principal:
        """Whose token it is.

        Raises:
            TokenError: it is not good.
            NoRoleError: it is good, and none of its roles is known here.
            KeySetError: there are no keys to check it with.
        """
        import jwt  # noqa: PLC0415 - of an extra

        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise TokenError("the token is longer than any, or no token")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise TokenError("the token cannot be read") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._options.algorithms:
            raise TokenError("the token's algorithm is not accepted")
        # RFC 7515, 4.1.11: what must be understood and is not. Keys that a token brings along
        # ("jwk", "jku", "x5c", "x5u") are never looked at.
        if "crit" in header or not isinstance(kid, str | None):
            raise TokenError("the token's header is not accepted")
        key = self.keys.find(algorithm, kid)
        if key is None:
            raise TokenError("no key of the provider fits the token")
        return self._principal(self._claims(token, key.key, algorithm))

    def _claims(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        import jwt  # noqa: PLC0415 - of an extra

        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._options.audience,
                issuer=self._options.issuer,
                leeway=self._options.leeway,
                options={"require": [*{*_ALWAYS, *self._options.required_claims}]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenError("the token has expired") from None
        except jwt.ImmatureSignatureError:
            raise TokenError("the token is not good yet") from None
        except jwt.InvalidAudienceError:
            raise TokenError("the token is for another audience") from None
        except jwt.InvalidIssuerError:
            raise TokenError("the token is of another issuer") from None
        except jwt.MissingRequiredClaimError:
            raise TokenError("the token lacks a claim that is required") from None
        except jwt.InvalidSignatureError:
            raise TokenError("the token's signature is wrong") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise TokenError("the token is not good") from None

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise TokenError("the token's subject is not usable")
        try:
            expires_at = datetime.fromtimestamp(float(claims["exp"]), UTC) + self._options.leeway
        except (ValueError, TypeError, OverflowError, OSError):
            raise TokenError("the token's end is not usable") from None
        roles = [role for word in self._words(claims) if (role := self._role(word)) is not None]
        if not roles:
            raise NoRoleError("the token gives no role that is known here")
        role = max(roles, key=_RANKS.index)
        shown = masked(
            "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in subject)
        )
        return Principal("jwt", shown, shown, role, expires_at)

    def _role(self, word: str) -> Role | None:
        if self._options.roles:
            return self._options.roles.get(word)
        return Role(word) if word in list(Role) else None

    def _words(self, claims: Mapping[str, Any]) -> Iterator[str]:
        """The words of the role claim, by its whole name or by the way into an object."""
        name = self._options.role_claim
        found: Any = claims.get(name)
        if found is None:
            found = claims
            for part in name.split("."):
                found = found.get(part) if isinstance(found, dict) else None
        if isinstance(found, str):
            yield from found.split()
        elif isinstance(found, list):
            yield from (one for one in found if isinstance(one, str))
