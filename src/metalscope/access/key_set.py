"""The public keys of an identity provider (a JWK Set, RFC 7517), as they are at the moment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from metalscope.errors import ConfigurationError, MetalscopeError
from metalscope.fork import reset_in_child
from metalscope.sending.http.watched import file_version

if TYPE_CHECKING:
    from metalscope.access_options import JwtOptions
    from metalscope.sending.http.transport import HttpTransport

__all__ = ["KeySet", "KeySetError", "PublicKey", "read_key_set"]

REFETCH_SECONDS: Final = 30.0
"""The least time between two fetches, whatever unknown keys tokens name."""

STALE: Final = timedelta(days=1)
"""How long keys are used beyond their time where the provider cannot be reached."""

_PATIENCE: Final = timedelta(seconds=5)
_MOST_KEYS: Final = 100
_LARGEST: Final = 1024 * 1024
_LEAST_RSA_BITS: Final = 2048  # RFC 7518, 3.3

# The kind of key, and its curve, that each algorithm takes (RFC 7518, 3.1; RFC 8037, 3.1).
_TAKES: Final[Mapping[tuple[str, str | None], str]] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}


class KeySetError(MetalscopeError):
    """There are no keys to check a token with; the text says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key: its name, the one algorithm it is used for, and the library's own object."""

    kid: str | None
    algorithm: str
    key: Any


def read_key_set(data: bytes) -> tuple[PublicKey, ...]:
    """The keys for signatures in a JWK Set; others, and secret ones, are passed over.

    Raises:
        KeySetError: it is no JWK Set, or has none.
    """
    try:
        listed = json.loads(data)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        listed = None
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise KeySetError(f"it is no JWK Set of at most {_MOST_KEYS} keys")
    found = tuple(key for one in listed if (key := _public_key(one)) is not None)
    if not found:
        raise KeySetError("no key in it is for signatures of RS256, ES256 or EdDSA")
    return found


def _public_key(data: object) -> PublicKey | None:
    from jwt import PyJWK  # noqa: PLC0415 - of an extra
    from jwt.exceptions import InvalidKeyError, PyJWKError  # noqa: PLC0415

    if not isinstance(data, dict) or data.get("use", "sig") != "sig":
        return None
    operations = data.get("key_ops")
    if isinstance(operations, list) and "verify" not in operations:
        return None
    curve = data.get("crv")
    kind = (str(data.get("kty")), curve if isinstance(curve, str) else None)
    algorithm = _TAKES.get(kind)
    kid = data.get("kid")
    # Its own "alg" may narrow that down, and never choose another. "d" is in a private key.
    if algorithm is None or data.get("alg", algorithm) not in {algorithm, None} or "d" in data:
        return None
    try:
        key = PyJWK(data, algorithm)
    except (InvalidKeyError, PyJWKError, ValueError, TypeError, KeyError):
        return None
    if algorithm == "RS256" and getattr(key.key, "key_size", 0) < _LEAST_RSA_BITS:
        return None
    return PublicKey(kid if isinstance(kid, str) else None, algorithm, key)


class KeySet:
    """Keys from a file, read anew when it changes, or from a URL, kept for a while.

    Args:
        options: where they are, and how that is reached.
        on_error: told where they cannot be had.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        options: JwtOptions,
        *,
        on_error: Callable[[BaseException], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._on_error = on_error
        self._clock = clock
        self._fresh = options.refresh.total_seconds()
        self._path: Path | None = None
        self._transport: HttpTransport | None = None
        if options.endpoint is None:
            self._path = Path(unquote(urlsplit(options.jwks).path))
        else:
            from metalscope.sending.http.transport import HttpTransport  # noqa: PLC0415 - loads ssl

            self._transport = HttpTransport.of(options, timeout=_PATIENCE)
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Know no key, with a lock that nobody holds."""
        self._lock = threading.Lock()
        self._keys: tuple[PublicKey, ...] = ()
        self._version: tuple[int, ...] | None = None
        self._got_at = self._tried_at = float("-inf")
        self._failure = "they were not fetched yet"

    @property
    def may_block(self) -> bool:
        """Whether the keys are fetched over a network."""
        return self._transport is not None

    def check(self) -> None:
        """Read the file, where it is one.

        Raises:
            ConfigurationError: it cannot be used.
        """
        if self._path is not None:
            try:
                self._from_file()
            except KeySetError as error:
                raise ConfigurationError(f"server.access.jwt.jwks = {error}") from None

    def find(self, algorithm: str, kid: str | None) -> PublicKey | None:
        """The key a token names, or the only one there is where it names none.

        Where it names one that is not known, the set is fetched anew, though not too often: the
        provider may have a new key.

        Raises:
            KeySetError: there are no keys.
        """
        with self._lock:  # One fetches, the others wait for it.
            if self._path is not None:
                return _fitting(self._from_file(), algorithm, kid)
            now = self._clock()
            if now - self._got_at >= self._fresh:
                self._fetch(now)
            found = _fitting(self._keys, algorithm, kid)
            if found is None:
                self._fetch(now)
                found = _fitting(self._keys, algorithm, kid)
            if not self._keys or now - self._got_at >= self._fresh + STALE.total_seconds():
                raise KeySetError(self._failure)
            return found

    def close(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            self._transport.close()

    def _from_file(self) -> tuple[PublicKey, ...]:
        path = self._path or Path()
        version = file_version(path)
        if not version or version != self._version:
            self._keys = ()
            try:
                with path.open("rb") as file:
                    self._keys = read_key_set(file.read(_LARGEST))
            except OSError as error:
                raise KeySetError(f"{path}: cannot be read ({error.strerror})") from None
            except KeySetError as error:
                raise KeySetError(f"{path}: {error}") from None
            self._version = version
        return self._keys

    def _fetch(self, now: float) -> None:
        if self._transport is None or now - self._tried_at < REFETCH_SECONDS:
            return
        self._tried_at = now
        try:
            answer = self._transport.get()
            if answer.status != 200:
                raise KeySetError(f"{self._transport.peer} answered {answer.status}")  # noqa: TRY301
            self._keys = read_key_set(answer.body)
            self._got_at = now
        except Exception as error:  # noqa: BLE001 - the keys that are known stay good for a while
            self._failure = f"the keys could not be fetched: {error}"
            self._on_error(error)


def _fitting(keys: tuple[PublicKey, ...], algorithm: str, kid: str | None) -> PublicKey | None:
    fit = [key for key in keys if key.algorithm == algorithm and kid in {None, key.kid}]
    # Which of several is meant, a token without a name does not say.
    return fit[0] if fit and (kid is not None or len(fit) == 1) else None
