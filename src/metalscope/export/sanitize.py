"""What of an export is taken out, by the rules that hold for logs and spans too."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metalscope.sanitizing.sanitizer import Sanitizer

__all__ = ["sanitized_properties", "usual_sanitizer"]


@cache
def usual_sanitizer() -> Sanitizer:
    """The one with the default rules, for all exporters of the process that are given no other."""
    from metalscope.sanitizing.sanitizer import Sanitizer  # noqa: PLC0415 - where one sanitizes
    from metalscope.sanitizing_options import SanitizingOptions  # noqa: PLC0415 - the same

    return Sanitizer(SanitizingOptions.defaults())


def sanitized_properties(properties: Mapping[str, Any], sanitizer: Sanitizer) -> dict[str, Any]:
    """The properties of an event, by their names and their looks.

    None is left out: they were recorded to be exported.
    """
    from metalscope.export_options import Audience  # noqa: PLC0415 - where one sanitizes

    return sanitizer.attributes(properties, Audience.INTERNAL)
