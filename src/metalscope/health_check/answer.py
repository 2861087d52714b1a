"""The answer to a request for health, whichever framework carries it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from metalscope.health_check.audience import HealthDetails, may_see
from metalscope.health_check.result import HealthCheckResult
from metalscope.health_json import MEDIA_TYPE

__all__ = ["METHODS", "REFUSAL", "Answer", "answer_to"]

METHODS: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status, headers with lower-case names, and a body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


REFUSAL: Final = Answer(405, (("allow", ", ".join(METHODS)), ("content-length", "0")), b"")
"""To every method but those."""


def answer_to(
    result: HealthCheckResult,
    *,
    details: HealthDetails,
    address: str | None,
    header_names: Iterable[str],
    links: Mapping[str, str] | None = None,
) -> Answer:
    """The document, for one who asks from ``address`` with headers of these names.

    ``links`` are URIs by their relation, given with the details.
    """
    document: dict[str, Any] = result.summary()
    if may_see(details, address, header_names):
        document = {**result.to_dict(), **({"links": dict(links)} if links else {})}
    body = json.dumps(document, allow_nan=False).encode()
    headers = (
        ("content-type", MEDIA_TYPE),
        ("cache-control", "no-store"),
        ("content-length", str(len(body))),
    )
    return Answer(result.http_status, headers, body)
