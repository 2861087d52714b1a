"""Options of access to the server: keys, tokens, and the record of who did what."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from metalscope.access.roles import Role
from metalscope.option_base import Options
from metalscope.option_types import (
    Bytes,
    Count,
    CountOrZero,
    Duration,
    DurationOrZero,
    is_loopback,
    shown_endpoint,
)
from metalscope.peer_options import ReachingOptions, SecretSourceText

__all__ = ["AccessOptions", "Algorithm", "AuditSync", "JwtOptions"]

Algorithm = Literal["RS256", "ES256", "EdDSA"]
"""Signatures that take a public key to check; those with a shared secret are never accepted."""

AuditSync = Literal["always", "second", "never"]
"""How often what was written is forced to the disk."""

_LONGEST_LEEWAY: Final = timedelta(minutes=5)


class JwtOptions(ReachingOptions):
    """Tokens of an identity provider (OpenID Connect) that are accepted in place of a key.

    The options of a peer (`headers`, `tls`, `proxy`, ...) are for fetching the provider's keys.
    """

    issuer: str = Field(min_length=1, description="What `iss` must be, to the letter.")
    audience: str = Field(min_length=1, description="What `aud` must be, or hold.")
    jwks: str = Field(
        description="The provider's public keys (a JWK Set): an https URL, or `file:///path`. "
        "http is for this machine alone."
    )
    algorithms: tuple[Algorithm, ...] = Field(
        ("RS256", "ES256", "EdDSA"), min_length=1, description="Signatures that are accepted."
    )
    required_claims: tuple[str, ...] = Field(
        ("exp", "iss", "aud", "sub"),
        description="Claims a token must have; these four always are required.",
    )
    leeway: DurationOrZero = Field(
        timedelta(seconds=30),
        description="How far the provider's clock may be off, at most 5 minutes.",
    )
    role_claim: str = Field(
        "roles",
        min_length=1,
        description="The claim with the roles: a list, or words with spaces between; a dot goes "
        "into an object, as in `realm_access.roles`.",
    )
    roles: dict[str, Role] = Field(
        default_factory=dict,
        description="Which role each value of that claim stands for; where none are given, the "
        "values are roles themselves. The highest counts.",
    )
    refresh: Duration = Field(
        timedelta(hours=1), description="How long fetched keys are used before they are fetched."
    )

    @property
    def name(self) -> str:
        """Its name in errors."""
        return "jwt"

    @property
    def who(self) -> str:
        """Whose options these are, as errors begin."""
        return "server.access.jwt"

    @property
    def endpoint(self) -> str | None:
        """The URL the keys are fetched from; ``None`` where they are in a file."""
        return None if self.jwks.startswith("file:") else self.jwks

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show the URL without its query, which may carry a key."""
        for name, value in super().__repr_args__():
            yield name, shown_endpoint(value) if name == "jwks" else value

    @field_validator("jwks")
    @classmethod
    def _can_be_trusted(cls, jwks: str) -> str:
        try:
            parts = urlsplit(jwks)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            parts, host, port = urlsplit(""), "", None
        if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
            return jwks
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
        if not (safe and host and port != 0 and "@" not in parts.netloc):
            raise ValueError(
                "must be an https URL, an http URL of this machine, or 'file:///absolute/path': "
                "who can change the keys on their way can make tokens"
            )
        return jwks

    @field_validator("leeway")
    @classmethod
    def _not_too_lenient(cls, leeway: timedelta) -> timedelta:
        if leeway > _LONGEST_LEEWAY:
            raise ValueError("must be at most 5m")
        return leeway


class AccessOptions(Options):
    """Who may ask the server for what. Where neither keys nor tokens are set, nobody is asked."""

    keys_file: Path | None = Field(
        None,
        description="The file with the API keys, as `metalscope keys` makes it; a key is asked for "
        "where it is set. It is read anew when it changes.",
    )
    jwt: JwtOptions | None = Field(
        None,
        description="Tokens of an identity provider that are accepted; needs the extra `oidc`.",
    )
    external_roles: tuple[Role, ...] = Field(
        (),
        description="Roles that are given the metrics as an external platform is: "
        "without what `sanitizing` keeps within the house.",
    )
    failures_per_minute: Count = Field(
        10,
        description="Wrong keys and tokens from one address, and for one key, before the next is "
        "answered with 429. A count.",
    )
    audit_file: Path | None = Field(
        None, description="The file in which each access and change is recorded; none without it."
    )
    audit_reads: bool = Field(
        True,
        description="Record what was read, too; without it only changes and what was refused.",
    )
    audit_max_bytes: Bytes = Field(
        10 * 1024 * 1024,
        description="The size, in bytes, at which the file is moved to `.1` and begun anew.",
    )
    audit_backups: CountOrZero = Field(
        10, description="How many such files are kept; the oldest is deleted. A count."
    )
    audit_sync: AuditSync = Field(
        "second",
        description="When records are forced to the disk: `always` after each write, at most once "
        "a `second`, or `never`.",
    )
    audit_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="A key for the chain of the audit file, without which nobody can make it "
        "anew; secret.",
    )
    audit_key_from: SecretSourceText | None = Field(
        None, description="Where that key is read from in place of `audit_key`."
    )

    @property
    def is_on(self) -> bool:
        """Whether anybody is asked for a key or token."""
        return self.keys_file is not None or self.jwt is not None

    @model_validator(mode="after")
    def _one_audit_key(self) -> Self:
        if self.audit_key is not None and self.audit_key_from is not None:
            raise ValueError("has both audit_key and audit_key_from; give one of them")
        return self
