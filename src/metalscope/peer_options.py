"""Options that all have who send something to a peer over a network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from metalscope.option_base import Options
from metalscope.option_types import ExporterEndpoint, SecretHeaders, shown_endpoint

__all__ = ["ReachingOptions", "SecretSourceText", "TlsOptions"]


def _secret_source(value: str) -> str:
    if not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+|keyring:[^/]+/.+", value):
        raise ValueError(
            "must be 'env:VARIABLE', 'file:/path' or 'keyring:service/user'; "
            "a key itself belongs in api_key"
        )
    return value


SecretSourceText = Annotated[str, AfterValidator(_secret_source)]
"""Where a key is read from: a variable, a file, the keyring."""


class TlsOptions(Options):
    """How a secure connection is made. Certificates are always verified."""

    ca_file: Path | None = Field(
        None, description="The certificates to trust, in PEM, in place of the system's."
    )
    cert_file: Path | None = Field(
        None, description="The client's own certificate, in PEM, for servers that ask for one."
    )
    key_file: Path | None = Field(
        None, description="The key of that certificate; none where the certificate's file has it."
    )
    min_version: str = Field(
        "1.2", pattern="^1\\.[23]$", description="Lowest version of TLS: 1.2 or 1.3."
    )

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> Self:
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs the cert_file it belongs to")
        return self


class ReachingOptions(Options):
    """How a peer is reached, and who one is to it."""

    headers: SecretHeaders = Field(
        default_factory=dict, description="HTTP headers sent to this peer only; secret."
    )
    api_key: SecretStr | None = Field(
        None, min_length=1, description="The platform's key, token or password; secret."
    )
    api_key_from: SecretSourceText | None = Field(
        None,
        description="Where the key is read from in place of `api_key`: `env:VARIABLE`, "
        "`file:/path`, read anew when it changes, or `keyring:service/user`.",
    )
    user: str | None = Field(
        None,
        min_length=1,
        description="The user of HTTP basic authentication, with the key as the password; for "
        "Grafana Cloud the instance id.",
    )
    proxy: ExporterEndpoint | None = Field(
        None,
        description="The HTTP proxy to go through; where none is set, what `https_proxy`, "
        "`http_proxy` and `no_proxy` say.",
    )
    proxy_headers: SecretHeaders = Field(
        default_factory=dict, description="HTTP headers for the proxy; secret."
    )
    tls: TlsOptions = Field(TlsOptions.defaults(), description="Its secure connection.")

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.api_key is not None and self.api_key_from is not None:
            raise ValueError("has both api_key and api_key_from; give one of them")
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show addresses without a query, which may carry a key."""
        for name, value in super().__repr_args__():
            hidden = name in {"endpoint", "proxy"} and value
            yield name, shown_endpoint(value) if hidden else value
