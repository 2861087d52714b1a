"""What became of one export: delivered, to be tried again, or refused for good, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

__all__ = ["ExportResult", "Reason", "Verdict"]


class Verdict(StrEnum):
    """What is to be done with the snapshot."""

    DELIVERED = "delivered"
    """It is there; the next one may go."""
    RETRY = "retry"
    """It is not there, and may be later: it stays first in the queue."""
    REJECTED = "rejected"
    """It will never be taken: it is let go and counted, so that it does not hold up the rest."""


class Reason(StrEnum):
    """Why an export failed, or a point was let go: the ``reason`` label of the export metrics."""

    DNS = "dns"
    REFUSED = "refused"
    RESET = "reset"
    TIMEOUT = "timeout"
    TLS = "tls"
    PROXY = "proxy"
    NETWORK = "network"
    """Any other error of the network, such as no route to the host."""
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    REDIRECTED = "redirected"
    """Redirects are not followed: they would carry the key to another host."""
    SERVER_ERROR = "server_error"
    SCHEMA = "schema"
    """The peer says that it cannot take these data: HTTP 400, 422 and their like."""
    GARBAGE = "garbage"
    """What came back is no answer in the peer's protocol."""
    PARTIAL = "partial"
    """The peer took the rest and refused these points."""
    CONFIGURATION = "configuration"
    """Something on this side is missing or unreadable, such as the file with the key."""
    DISK = "disk"
    EXPORTER_ERROR = "exporter_error"
    """The exporter raised something, or returned no result."""
    QUEUE_FULL = "queue_full"
    EXPIRED = "expired"
    CORRUPT = "corrupt"
    SUPERSEDED = "superseded"
    """A newer snapshot took its place, where the peer keeps only the last."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What :meth:`~metalscope.export.base.MetricsExporter.export` returns.

    ``points`` is how many points the peer took, ``rejected_points`` how many it named as refused.
    ``detail`` is one sentence for a person, without any secret. ``retry_after`` is how long the
    peer asks to be left alone.
    """

    verdict: Verdict
    reason: Reason | None = None
    detail: str = ""
    retry_after: timedelta | None = None
    points: int = 0
    rejected_points: int = 0

    @classmethod
    def delivered(
        cls, points: int = 0, *, rejected_points: int = 0, detail: str = ""
    ) -> ExportResult:
        """It arrived, all but ``rejected_points`` which will never be taken."""
        reason = Reason.PARTIAL if rejected_points else None
        return cls(
            Verdict.DELIVERED, reason, detail, points=points, rejected_points=rejected_points
        )

    @classmethod
    def retry(
        cls, reason: Reason, detail: str, *, retry_after: timedelta | None = None
    ) -> ExportResult:
        """It did not arrive; the same snapshot is to be exported again later."""
        return cls(Verdict.RETRY, reason, detail, retry_after)

    @classmethod
    def rejected(cls, reason: Reason, detail: str) -> ExportResult:
        """It did not arrive and never will."""
        return cls(Verdict.REJECTED, reason, detail)

    @property
    def ok(self) -> bool:
        """Whether it arrived."""
        return self.verdict is Verdict.DELIVERED
