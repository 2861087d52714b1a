"""Options of all who ship records to a peer in batches: sinks of logs, exporters of spans."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator

from metalscope.export_options import (
    Audience,
    RetryOptions,
    SecretSourceText,
    SpoolOptions,
    TlsOptions,
)
from metalscope.option_base import Options
from metalscope.option_types import (
    Bytes,
    Count,
    Duration,
    DurationOrZero,
    ExporterEndpoint,
    SecretHeaders,
    shown_endpoint,
)

__all__ = ["DeliveryOptions", "ReceiverOptions"]


class ReceiverOptions(Options):
    """One place records are shipped to."""

    enabled: bool = Field(True, description="Whether anything is sent to it.")
    headers: SecretHeaders = Field(default_factory=dict, description="HTTP headers; secret.")
    api_key: SecretStr | None = Field(
        None, min_length=1, description="The key, token or password; secret."
    )
    api_key_from: SecretSourceText | None = Field(
        None, description="Where it is read from in place of `api_key`, as of an exporter."
    )
    user: str | None = Field(
        None, min_length=1, description="The user of HTTP basic authentication, with that key."
    )
    batch_size: Count = Field(500, description="Most records sent at once; a count.")
    batch_bytes: Bytes = Field(
        1024**2, description="Most bytes sent at once, before they are compressed."
    )
    compress: bool = Field(True, description="Send with gzip, where it is sent over HTTP.")
    timeout: Duration = Field(
        timedelta(seconds=30), description="Longest time one sending may take."
    )
    audience: Audience | None = Field(
        None,
        description="Whether it is `internal` or `external`, for which "
        "`sanitizing.external_fields` holds; where none is set, its address tells.",
    )
    proxy: ExporterEndpoint | None = Field(None, description="The HTTP proxy to go through.")
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


class DeliveryOptions(Options):
    """What could not be sent yet, when it is tried again, and how long the end waits for it."""

    spool: SpoolOptions = Field(
        SpoolOptions.defaults(), description="Where what could not be sent yet waits."
    )
    retry: RetryOptions = Field(RetryOptions.defaults(), description="Failed sendings.")
    shutdown_timeout: DurationOrZero = Field(
        timedelta(seconds=5),
        description="How long the end of the program waits for the last records to go out; what "
        "has not gone by then stays in the spool, where there is one.",
    )
