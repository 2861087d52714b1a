"""A Sanitizer by the options of telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalscope.sanitizing.sanitizer import Sanitizer
from metalscope.sanitizing.secrets import secrets_of

if TYPE_CHECKING:
    from metalscope.options import MetalTelemetryOptions

__all__ = ["sanitizer_of"]


def sanitizer_of(options: MetalTelemetryOptions) -> Sanitizer:
    """One that takes out the keys in the options, too.

    Raises:
        ConfigurationError: the key of its hashes cannot be read.
    """
    return Sanitizer(options.sanitizing, secrets=secrets_of(options))
