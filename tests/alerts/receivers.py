"""What the receivers of chats and pagers share: how a channel is made, and any messages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from faulty_server import Request
from hypothesis import strategies as st

from alert_samples import FIRING, MESSAGE, NOW, RESOLVED
from metalscope.alert_options import ChannelOptions, SmtpOptions
from metalscope.alert_report import Acknowledgement, Alert, AlertEvidence, AlertState, Figure
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.registry import create_notifier
from metalscope.operation import Component, ErrorSeverity

OVER = replace(MESSAGE, id="m2", kind=NotificationKind.RESOLVED, alerts=(RESOLVED,))
TEST = replace(MESSAGE, id="m3", kind=NotificationKind.TEST, alerts=())
MANY = replace(
    MESSAGE,
    id="m4",
    kind=NotificationKind.UPDATE,
    alerts=(*(replace(FIRING, id=f"{n:016x}") for n in range(40)), RESOLVED),
    omitted=3,
)

Answer = tuple[int, dict[str, str], bytes]


def notifier(kind: str, url: str, **options: Any) -> Notifier:
    """A channel of this type that sends to ``url``."""
    channel = ChannelOptions(name="ops", type=kind, target=url, **options)
    return create_notifier(channel, SmtpOptions.defaults())


@dataclass(eq=False)
class Receiver:
    """Takes requests, refuses those that break the platform's rules, and keeps the others."""

    taken: list[Any] = field(default_factory=list)
    """The bodies it took, as JSON."""
    refused: list[str] = field(default_factory=list)
    """Why it did not take others."""

    def __call__(self, request: Request) -> Answer:
        """Answer as the platform does."""
        raise NotImplementedError


class BrokenRuleError(Exception):
    """The platform does not take this; the text is what it says."""


def strict_json(request: Request) -> Any:
    """The body, which must be JSON in UTF-8 without NaN, and without lone surrogates."""
    if request.method != "POST":
        raise BrokenRuleError("method")
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise BrokenRuleError("content-type")

    def no_constant(name: str) -> Any:
        raise BrokenRuleError(f"constant {name}")

    text = request.body.decode("utf-8")
    if re.search(r"\\ud[89a-f]", text, re.IGNORECASE):
        raise BrokenRuleError("surrogate")
    return json.loads(text, parse_constant=no_constant)


_NASTY = (
    "x" * 20_000,
    "🔥" * 9000,
    "&<>" * 4000,
    "\n" * 5000,
    "a\n" * 3000,
    "*_`[]()~#" * 2000,
    '"\\' * 8000,
    "\x00\x1b[31m\x7f\x85\u2028\ud800\udfff\ufffe",
    "<!channel> <@U1> <https://evil.example|click>",
    "[click](https://evil.example) {{DATE(2026-01-01T00:00:00Z, SHORT)}}",
    "\u202egnp.exe",
    "",
    " ",
)
_ANY_CHARACTER = st.characters(codec=None, exclude_categories=())
texts = st.one_of(st.text(_ANY_CHARACTER, max_size=60), st.sampled_from(_NASTY))
links = st.one_of(
    st.sampled_from(
        ["https://example.com/a?b=c&d", "javascript:alert(1)", "https://h/" + "p" * 4000]
    ),
    texts,
)
_numbers = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    """Alerts that say anything at any length."""
    over = draw(st.booleans())
    began = NOW - timedelta(seconds=draw(st.integers(0, 10**7)))
    several = st.lists(texts, max_size=12).map(tuple)
    return Alert(
        id=draw(st.uuids()).hex[:16],
        fingerprint="f",
        rule=draw(st.sampled_from(["MetalKernelFailures", "R" * 3000])),
        labels=tuple(draw(st.dictionaries(texts, texts, max_size=12)).items()),
        severity=draw(st.sampled_from(ErrorSeverity)),
        state=AlertState.RESOLVED if over else AlertState.FIRING,
        title=draw(texts),
        description=draw(texts),
        component=draw(st.sampled_from([None, *Component])),
        value=draw(st.none() | _numbers),
        active_since=began,
        fired_at=draw(st.sampled_from([None, began])),
        last_seen=NOW,
        resolved_at=NOW if over else None,
        evidence=AlertEvidence(
            figures=tuple(
                Figure(*one)
                for one in draw(
                    st.lists(
                        st.tuples(texts, _numbers, st.sampled_from(["", "ms", "bytes", "s", "%"])),
                        max_size=4,
                    )
                )
            ),
            operations=draw(several),
            trace_ids=draw(several),
            correlation_ids=draw(several),
        ),
        actions=draw(several),
        runbook=draw(links),
        link=draw(links),
        acknowledged=draw(st.none() | st.builds(Acknowledgement, texts, st.just(NOW), texts)),
        flapping=draw(st.booleans()),
        resolution=draw(texts),
    )


@st.composite
def notifications(draw: st.DrawFn) -> Notification:
    """Messages of any kind, about up to 60 alerts."""
    some = draw(st.lists(alerts(), max_size=3))
    told = sorted(some * draw(st.sampled_from([1, 1, 20])), key=lambda one: one.state.value)
    return Notification(
        id=draw(st.text(_ANY_CHARACTER, min_size=1, max_size=60)),
        channel="ops",
        kind=draw(st.sampled_from(NotificationKind)),
        created_at=NOW,
        began_at=NOW - timedelta(minutes=2),
        alerts=tuple(told),
        group=tuple(draw(st.dictionaries(texts, texts, max_size=3)).items()),
        source=draw(texts),
        omitted=draw(st.integers(0, 10**6)),
        links=tuple(draw(st.dictionaries(texts, links, max_size=3)).items()),
    )
