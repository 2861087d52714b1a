"""What the audit says of one access or change."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from metalscope.access.keys import masked
from metalscope.access.principal import Principal
from metalscope.moments import rfc3339, utc_now

__all__ = ["LONGEST_TEXT", "AuditEntry", "AuditResult", "bounded"]

LONGEST_TEXT: Final = 200
"""Characters of one text; the rest is cut off."""

AuditResult = Literal["allowed", "refused", "failed"]
"""``failed``: it was let through, and then did not succeed."""


def bounded(text: str | None) -> str | None:
    """A text as it is kept: no secret of a key, no token, and not all of it where it is long."""
    if text is None:
        return None
    # Cut first as well: what is looked through is bounded whatever came. What stands at the cut
    # may be half a secret, and that is masked like a whole one.
    shown = masked(text[: 4 * LONGEST_TEXT])
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[: LONGEST_TEXT - 1]}…"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One access or change.

    Attributes:
        event: ``access``, ``change``, or another word.
        result: what became of it.
        who: who asked, where that is known.
        address: the other end of the connection.
        method: of the request.
        route: the pattern of the address.
        target: what was asked for or changed, by its id.
        status: the status it was answered with.
        reason: why it was refused.
        time: when; now.
    """

    event: str
    result: AuditResult
    who: Principal | None = None
    address: str | None = None
    method: str | None = None
    route: str | None = None
    target: str | None = None
    status: int | None = None
    reason: str = ""
    time: datetime = field(default_factory=utc_now)

    def fields(self) -> dict[str, Any]:
        """The same as a record has it, bounded."""
        who = self.who
        return {
            "time": rfc3339(self.time),
            "event": bounded(self.event),
            "result": self.result,
            "who": who
            and {
                "kind": who.kind,
                "id": bounded(who.id),
                "name": bounded(who.name),
                "role": who.role.value,
            },
            "from": bounded(self.address),
            "method": bounded(self.method),
            "route": bounded(self.route),
            "target": bounded(self.target),
            "status": self.status,
            "reason": bounded(self.reason),
        }
