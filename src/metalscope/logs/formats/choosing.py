"""Which format a line is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, assert_never

from metalscope.logs.record import LogRecord

if TYPE_CHECKING:
    from metalscope.log_options import LogFormat

__all__ = ["line_maker"]


def line_maker(
    format: LogFormat,  # noqa: A002 - the option's name
    resource: Mapping[str, str | int],
    *,
    colour: bool = False,
) -> Callable[[LogRecord], str]:
    """What makes the line of a record, without a line break at its end.

    A line of ``json``, ``ecs`` and ``otel`` is one JSON object and holds no line break; one of
    ``text`` has the stack trace on further lines, if there is one.

    Args:
        format: which.
        resource: who speaks, by OpenTelemetry's resource conventions.
        colour: whether ``text`` is coloured, for a terminal.
    """
    match format:
        case "text":
            from metalscope.logs.formats.text import text_lines  # noqa: PLC0415 - the one chosen

            return text_lines(colour=colour)
        case "json":
            from metalscope.logs.formats.json import json_lines  # noqa: PLC0415 - the one chosen

            return json_lines(resource)
        case "ecs":
            from metalscope.logs.formats.ecs import ecs_lines  # noqa: PLC0415 - the one chosen

            return ecs_lines(resource)
        case "otel":
            from metalscope.logs.formats.otel import otel_lines  # noqa: PLC0415 - the one chosen

            return otel_lines(resource)
        case _:
            assert_never(format)
