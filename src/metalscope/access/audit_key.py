"""The key of the audit's chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalscope.errors import ConfigurationError
from metalscope.sending.http.outcome import TransportError
from metalscope.sending.http.secrets import source_of

if TYPE_CHECKING:
    from pydantic import SecretStr

__all__ = ["SHORTEST_KEY", "audit_key"]

SHORTEST_KEY: Final = 16
"""Characters; a shorter one could be guessed from a record."""


def audit_key(given: SecretStr | None, kept_in: str | None, who: str) -> bytes | None:
    """The key, by the option itself or from where it is kept; ``None`` where there is none.

    Args:
        given: ``audit_key``.
        kept_in: ``audit_key_from``.
        who: whose options they are, as errors begin.

    Raises:
        ConfigurationError: it is not there, or too short.
        MissingExtraError: it is in the keyring, and the library for it is not installed.
    """
    source = source_of(given, kept_in, who, option="audit_key")
    if source is None:
        return None
    try:
        key = source.read()
    except TransportError as error:
        raise ConfigurationError(f"{who}: audit_key_from: {error}") from None
    if len(key) < SHORTEST_KEY:
        raise ConfigurationError(f"{who}: audit_key must have at least {SHORTEST_KEY} characters")
    return key.encode()
