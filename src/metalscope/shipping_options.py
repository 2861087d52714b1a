"""Options of all who ship records to a peer in batches: sinks of logs, exporters of spans."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from metalscope.export_options import Audience, RetryOptions, SpoolOptions
from metalscope.option_base import Options
from metalscope.option_types import Bytes, Count, Duration, DurationOrZero
from metalscope.peer_options import ReachingOptions

__all__ = ["DeliveryOptions", "ReceiverOptions"]


class ReceiverOptions(ReachingOptions):
    """One place records are shipped to."""

    enabled: bool = Field(True, description="Whether anything is sent to it.")
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
