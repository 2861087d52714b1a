"""``traceparent`` and ``tracestate`` (W3C Trace Context, https://www.w3.org/TR/trace-context/).

Read by Level 2, whose keys of ``tracestate`` are freer and which has a key that comes twice be no
reason to forget the others; written by Level 1, which is the same but for a flag it does not know.
"""

from __future__ import annotations

import re
from typing import Final

from metalscope.correlating import SpanContext, UnsampledContext

__all__ = ["MOST_STATE_CHARACTERS", "MOST_STATE_MEMBERS", "parse_traceparent", "traceparent_of"]

MOST_STATE_MEMBERS: Final = 32
"""W3C Trace Context, 3.3.1.1: a list of more is none."""

MOST_STATE_CHARACTERS: Final = 512
"""So many are kept (3.3.1.5: "at least 512"); of a longer list, whole members are left out."""

_LONG_MEMBER: Final = 128
"""Longer ones are left out first (3.3.1.5)."""

_MOST_CHARACTERS: Final = 8192
"""Of headers longer than this nothing is read."""

_WHITE: Final = " \t"
"""RFC 9110, 5.6.3, "OWS"."""

_PARENT: Final = re.compile(
    "(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
    "(?P<future>-.*)?",
    re.DOTALL,
)

_KEY: Final = "[a-z0-9][a-z0-9_*/@-]{0,255}"
"""3.3.1.3.1, "key", as Level 2 has it; all keys of Level 1 are among these."""

_VALUE: Final = "[ -+\\--<>-~]{0,255}[!-+\\--<>-~]"
"""3.3.1.3.2, "value": printable ASCII but comma and equals sign, with no space at its end."""

_MEMBER: Final = re.compile(f"({_KEY})={_VALUE}")


def parse_traceparent(text: str, tracestate: str = "") -> SpanContext | None:
    """What the two headers say: a span elsewhere, in a trace that is kept or not.

    ``None`` where ``text`` is not a ``traceparent``: then a trace begins anew. A later version than
    00 is read as far as it is like it. A ``tracestate`` that breaks a rule is left out, and the
    rest stands. Nothing is raised, whatever is given.
    """
    if len(text) > _MOST_CHARACTERS:
        return None
    found = _PARENT.fullmatch(text.strip(_WHITE))
    if found is None:
        return None
    version, trace_id, span_id, flags, future = found.groups()
    if future is not None and version == "00":
        return None
    # Only the lowest bit has a meaning in version 00: whether the caller keeps the trace.
    kind = SpanContext if int(flags, 16) & 1 else UnsampledContext
    state = _kept_of(tracestate) if tracestate else ""
    return kind(int(trace_id, 16), int(span_id, 16), trace_state=state)


def traceparent_of(span: SpanContext) -> str:
    """The ``traceparent`` that makes a span the parent of what a receiver does (version 00)."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-0{'1' if span.sampled else '0'}"


def _kept_of(tracestate: str) -> str:
    """The list as it is to be handed on; empty where it breaks a rule."""
    if len(tracestate) > _MOST_CHARACTERS:
        return ""
    members: dict[str, str] = {}
    count = 0
    for part in tracestate.split(","):
        # Spaces after the "=" are the value's own, those around the member are not.
        member = part.strip(_WHITE)
        if not member:
            continue
        found = _MEMBER.fullmatch(member)
        count += 1
        if found is None or count > MOST_STATE_MEMBERS:
            return ""
        # The newest is the leftmost.
        members.setdefault(found[1], member)
    return ",".join(_fitting([*members.values()]))


def _fitting(members: list[str]) -> list[str]:
    """Without as many as it takes: long ones first, then from the end."""
    over = sum(map(len, members)) + len(members) - 1 - MOST_STATE_CHARACTERS
    if over <= 0:
        return members
    fitting = []
    for member in reversed(members):
        if over > 0 and len(member) > _LONG_MEMBER:
            over -= len(member) + 1
        else:
            fitting.append(member)
    fitting.reverse()
    while over > 0:
        over -= len(fitting.pop()) + 1
    return fitting
