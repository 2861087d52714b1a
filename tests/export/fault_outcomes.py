"""What each fault comes to, for each exporter: what the tests assert and the docs show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from metalscope.sending.result import Reason, Verdict


class Way(StrEnum):
    """How an exporter's data travel, which decides what can happen to them."""

    HTTP = "HTTP"
    GRPC = "gRPC"
    UDP = "UDP"
    FILE = "file"


class Again(StrEnum):
    """What a platform makes of points that it has and is sent once more."""

    SAME = "nothing changes: the same points of the same times"
    REPLACED = "nothing changes: each time all is replaced"
    KNOWN = "nothing changes: the document has the id of the one before"
    OVERWRITTEN = (
        "nothing changes: counts have the same time and the last one stands; an event is there "
        "twice"
    )
    RECEIVER = "the same points of the same times; whether they count twice is the receiver's"
    ADDED = "they count twice: the platform adds up what it is sent"
    NO_ANSWER = "UDP has no answer that could be lost"
    NO_NETWORK = "a line that is there is not written again"


@dataclass(frozen=True)
class Row:
    """One exporter, as the tables show it."""

    key: str
    title: str
    way: Way
    sends: str
    again: Again


ROWS: Final = (
    Row("remote_write", "Prometheus remote write", Way.HTTP, "totals", Again.SAME),
    Row("pushgateway", "Prometheus Pushgateway", Way.HTTP, "totals", Again.REPLACED),
    Row("otlp_protobuf", "OTLP, `http/protobuf`", Way.HTTP, "totals", Again.SAME),
    Row("otlp_json", "OTLP, `http/json`", Way.HTTP, "totals", Again.SAME),
    Row("otlp_grpc", "OTLP, `grpc`", Way.GRPC, "totals", Again.SAME),
    Row("otlp_delta", "OTLP, `temporality: delta`", Way.HTTP, "differences", Again.RECEIVER),
    Row("grafana_otlp", "Grafana Cloud, `otlp`", Way.HTTP, "totals", Again.SAME),
    Row("grafana_write", "Grafana Cloud, `remote_write`", Way.HTTP, "totals", Again.SAME),
    Row("application_insights", "Application Insights", Way.HTTP, "differences", Again.ADDED),
    Row("datadog_v2", "Datadog, `v2`", Way.HTTP, "differences", Again.OVERWRITTEN),
    Row("datadog_v1", "Datadog, `v1`", Way.HTTP, "differences", Again.OVERWRITTEN),
    Row("dogstatsd", "DogStatsD", Way.UDP, "differences", Again.NO_ANSWER),
    Row("statsd", "StatsD", Way.UDP, "differences", Again.NO_ANSWER),
    Row("influxdb", "InfluxDB", Way.HTTP, "totals", Again.SAME),
    Row("webhook", "JSON to a webhook", Way.HTTP, "totals", Again.KNOWN),
    Row("file", "JSON to a file", Way.FILE, "totals", Again.NO_NETWORK),
)
BY_KEY: Final[Mapping[str, Row]] = {row.key: row for row in ROWS}


@dataclass(frozen=True)
class Outcome:
    """Of one try."""

    verdict: Verdict
    reason: Reason | None = None


def waits(reason: Reason) -> Outcome:
    """The snapshot stays first in the queue."""
    return Outcome(Verdict.RETRY, reason)


def refused(reason: Reason) -> Outcome:
    """It is let go and counted."""
    return Outcome(Verdict.REJECTED, reason)


ARRIVES: Final = Outcome(Verdict.DELIVERED)


class Trouble(StrEnum):
    """Something that goes wrong on the way."""

    DNS = "the name does not resolve"
    REFUSED = "nothing listens on the port"
    RESET_MID_BODY = "connection reset in the middle of the request"
    ANSWER_LOST = "connection reset after the request, which was taken"
    ANSWER_CUT = "the answer ends early; the request was taken"
    BAD_REQUEST = "HTTP 400"
    UNAUTHORIZED = "HTTP 401"
    FORBIDDEN = "HTTP 403"
    NOT_FOUND = "HTTP 404"
    TOO_LARGE = "HTTP 413 to a request that is too large"
    RATE_LIMITED = "HTTP 429 with `Retry-After`"
    RATE_LIMITED_BLINDLY = "HTTP 429 without `Retry-After`"
    SERVER_ERROR = "HTTP 500"
    UNAVAILABLE = "HTTP 503"
    GATEWAY_TIMEOUT = "HTTP 504 of a gateway, behind which the request was taken"
    SLOW_DRIP = "the answer comes a byte at a time; the request was taken"
    SILENCE = "there is no answer; the request was taken"
    GARBAGE = "what answers speaks no known protocol"
    WEB_PAGE = "a web page answers: a log-in page, a captive portal"
    TLS_EXPIRED = "the certificate has expired"
    TLS_OTHER_HOST = "the certificate is for another host"
    TLS_UNKNOWN_CA = "the certificate is of an authority that is not trusted"
    TLS_NONE = "plain HTTP on a port of an `https` URL"
    DISK_FULL = "the disk is full"
    CLOCK_SET_BACK = "the host's clock is set back 10 minutes"


TAKEN: Final = frozenset(
    {
        Trouble.ANSWER_LOST,
        Trouble.ANSWER_CUT,
        Trouble.GATEWAY_TIMEOUT,
        Trouble.SLOW_DRIP,
        Trouble.SILENCE,
    }
)
"""After these the peer has the data, and nobody here can know."""

SLOW: Final = frozenset({Trouble.SLOW_DRIP, Trouble.SILENCE})
"""These take as long as the exporter's timeout lets them."""

OF_TLS: Final = frozenset(
    {Trouble.TLS_EXPIRED, Trouble.TLS_OTHER_HOST, Trouble.TLS_UNKNOWN_CA, Trouble.TLS_NONE}
)

RETRY_AFTER_SECONDS: Final = 90
"""What the peer asks for with :attr:`Trouble.RATE_LIMITED`."""

_OUTCOMES: Final[Mapping[Trouble, Outcome]] = {
    Trouble.DNS: waits(Reason.DNS),
    Trouble.REFUSED: waits(Reason.REFUSED),
    Trouble.RESET_MID_BODY: waits(Reason.RESET),
    Trouble.ANSWER_LOST: waits(Reason.RESET),
    Trouble.ANSWER_CUT: waits(Reason.RESET),
    Trouble.BAD_REQUEST: refused(Reason.SCHEMA),
    Trouble.UNAUTHORIZED: waits(Reason.UNAUTHORIZED),
    Trouble.FORBIDDEN: waits(Reason.FORBIDDEN),
    Trouble.NOT_FOUND: waits(Reason.NOT_FOUND),
    Trouble.TOO_LARGE: ARRIVES,
    Trouble.RATE_LIMITED: waits(Reason.RATE_LIMITED),
    Trouble.RATE_LIMITED_BLINDLY: waits(Reason.RATE_LIMITED),
    Trouble.SERVER_ERROR: waits(Reason.SERVER_ERROR),
    Trouble.UNAVAILABLE: waits(Reason.SERVER_ERROR),
    Trouble.GATEWAY_TIMEOUT: waits(Reason.SERVER_ERROR),
    Trouble.SLOW_DRIP: waits(Reason.TIMEOUT),
    Trouble.SILENCE: waits(Reason.TIMEOUT),
    Trouble.GARBAGE: waits(Reason.GARBAGE),
    Trouble.WEB_PAGE: waits(Reason.GARBAGE),
    Trouble.TLS_EXPIRED: waits(Reason.TLS),
    Trouble.TLS_OTHER_HOST: waits(Reason.TLS),
    Trouble.TLS_UNKNOWN_CA: waits(Reason.TLS),
    Trouble.TLS_NONE: waits(Reason.TLS),
    Trouble.DISK_FULL: ARRIVES,
    Trouble.CLOCK_SET_BACK: ARRIVES,
}

HOW: Final[Mapping[Trouble, str]] = {
    Trouble.TOO_LARGE: ", in smaller parts",
    Trouble.RATE_LIMITED: ", not before that",
    Trouble.DISK_FULL: "; the queue goes on in memory",
    Trouble.CLOCK_SET_BACK: ", with times that go on forward",
}
"""What there is to add to the outcome, for the table."""

# The same trouble, as gRPC has it (OTLP specification, "OTLP/gRPC", "Failures").
GRPC_WORDS: Final[Mapping[Trouble, str]] = {
    Trouble.BAD_REQUEST: "INVALID_ARGUMENT",
    Trouble.UNAUTHORIZED: "UNAUTHENTICATED",
    Trouble.FORBIDDEN: "PERMISSION_DENIED",
    Trouble.NOT_FOUND: "UNIMPLEMENTED",
    Trouble.TOO_LARGE: "RESOURCE_EXHAUSTED, message larger than max",
    Trouble.RATE_LIMITED: "RESOURCE_EXHAUSTED with RetryInfo",
    Trouble.RATE_LIMITED_BLINDLY: "RESOURCE_EXHAUSTED without RetryInfo",
    Trouble.SERVER_ERROR: "INTERNAL",
    Trouble.UNAVAILABLE: "UNAVAILABLE",
    Trouble.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True)
class Difference:
    """Where one exporter differs, and why."""

    outcome: Outcome
    why: str


DIFFERENCES: Final[Mapping[tuple[Trouble, str], Difference]] = {
    (Trouble.TOO_LARGE, "pushgateway"): Difference(
        refused(Reason.TOO_LARGE), "a group is put as a whole; it cannot be halved"
    ),
    (Trouble.SERVER_ERROR, "otlp_grpc"): Difference(
        refused(Reason.SERVER_ERROR), "`INTERNAL` must not be tried again, says OTLP"
    ),
    (Trouble.RATE_LIMITED_BLINDLY, "otlp_grpc"): Difference(
        refused(Reason.RATE_LIMITED),
        "`RESOURCE_EXHAUSTED` without `RetryInfo` must not be tried again, says OTLP",
    ),
    (Trouble.GATEWAY_TIMEOUT, "otlp_grpc"): Difference(
        waits(Reason.TIMEOUT), "`DEADLINE_EXCEEDED`, of the peer or of our own"
    ),
    (Trouble.TOO_LARGE, "dogstatsd"): Difference(
        ARRIVES,
        "no line gets near the size of a datagram: tags and names are cut to 200 characters",
    ),
    (Trouble.TOO_LARGE, "statsd"): Difference(
        Outcome(Verdict.DELIVERED, Reason.PARTIAL),
        "of a line longer than a datagram, which no part can carry, that point is lost",
    ),
    (Trouble.DISK_FULL, "file"): Difference(
        waits(Reason.DISK), "it is its own disk, and a half-written line is taken back"
    ),
}

_OF_NETWORKS: Final = frozenset(Trouble) - {Trouble.DISK_FULL, Trouble.CLOCK_SET_BACK}
_POSSIBLE: Final[Mapping[Way, frozenset[Trouble]]] = {
    Way.HTTP: frozenset(Trouble),
    # An answer of HTTP/2 that ends early is a reset.
    Way.GRPC: frozenset(Trouble) - {Trouble.ANSWER_CUT},
    Way.UDP: frozenset(
        {
            Trouble.DNS,
            Trouble.REFUSED,
            Trouble.TOO_LARGE,
            Trouble.DISK_FULL,
            Trouble.CLOCK_SET_BACK,
        }
    ),
    Way.FILE: frozenset(Trouble) - _OF_NETWORKS,
}


def outcome_of(trouble: Trouble, exporter: str) -> Outcome | None:
    """What one try comes to; ``None`` where that cannot happen to this exporter."""
    if trouble not in _POSSIBLE[BY_KEY[exporter].way]:
        return None
    difference = DIFFERENCES.get((trouble, exporter))
    return difference.outcome if difference else _OUTCOMES[trouble]


def usual_outcome_of(trouble: Trouble) -> Outcome:
    """What it comes to where nothing else is said."""
    return _OUTCOMES[trouble]
