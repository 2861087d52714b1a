"""Who is told which component is unwell and why; everybody else gets the status alone.

Section 6 of the draft in :mod:`metalscope.health_json` warns that health tells an attacker where to
push.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final, Literal

__all__ = ["FORWARDED", "HealthDetails", "may_see"]

HealthDetails = Literal["local", "always", "never"]
"""``local``: programs of this machine; ``always``: everybody; ``never``: nobody."""

FORWARDED: Final = frozenset({"forwarded", "via", "x-forwarded-for", "x-real-ip"})
"""Headers by which a proxy tells that the one who asks is somebody else. What they say is never
believed; that one is there is enough for the request not to be from this machine."""


def may_see(details: HealthDetails, address: str | None, headers: Iterable[str]) -> bool:
    """Whether one who asks from ``address`` is given the details.

    Args:
        details: who is.
        address: the other end of the connection; ``None`` where the server does not say.
        headers: names of the request's headers, in any case.
    """
    if details != "local":
        return details == "always"
    return _is_loopback(address) and FORWARDED.isdisjoint(name.lower() for name in headers)


def _is_loopback(address: str | None) -> bool:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    # A socket for both families says ::ffff:127.0.0.1.
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
