"""The correlation id and the current span from a process to one that it starts.

``TRACEPARENT`` and ``TRACESTATE`` are the names that OpenTelemetry gives environment variables
(OpenTelemetry specification, "Environment Variables as Context Propagation Carriers").
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from metalscope.correlating import CURRENT_ID
from metalscope.propagation.headers import Incoming, header_of, incoming, outgoing_span
from metalscope.propagation.traceparent import traceparent_of

__all__ = ["CORRELATION_ID_VARIABLE", "environment", "from_environment"]

CORRELATION_ID_VARIABLE: Final = "METALSCOPE_CORRELATION_ID"
_PARENT: Final = "TRACEPARENT"
_STATE: Final = "TRACESTATE"


def environment(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables for a process to be started: ``subprocess.run(..., env=...)``.

    Args:
        env: those it is to have besides; this process's own where ``None``. What they say of a
            trace or an id stays only where there is none here.
    """
    made = dict(os.environ if env is None else env)
    correlation_id = CURRENT_ID.get()
    if correlation_id:
        made[CORRELATION_ID_VARIABLE] = header_of(correlation_id)
    span = outgoing_span()
    if span is not None:
        made[_PARENT] = traceparent_of(span)
        made.pop(_STATE, None)
        if span.trace_state:
            made[_STATE] = span.trace_state
    return made


def from_environment(env: Mapping[str, str] | None = None) -> Incoming:
    """What the process that started this one handed on; ``take_up()`` makes it current.

    Args:
        env: the environment variables; this process's own where ``None``.
    """
    variables = os.environ if env is None else env
    return incoming(
        correlation_id=variables.get(CORRELATION_ID_VARIABLE, ""),
        traceparent=variables.get(_PARENT, ""),
        tracestate=variables.get(_STATE, ""),
    )
