"""What the end of a gRPC call means for the data that were sent, in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from grpc import StatusCode

from metalscope.sending.result import ExportResult, Reason

__all__ = ["GrpcCall", "outcome_of"]


@dataclass(frozen=True, slots=True)
class GrpcCall:
    """The call that failed: to whom, whether over TLS or by way of a proxy, and the s it had.

    ``show`` makes a peer's words fit to be shown.
    """

    peer: str
    secure: bool
    proxied: bool
    seconds: float
    show: Callable[[str], str]


def outcome_of(
    code: StatusCode, words: str, wait: timedelta | None, call: GrpcCall
) -> ExportResult:
    """What a call that did not succeed means.

    OTLP specification, "OTLP/gRPC", "Failures" and "Throttling", says which codes are to be tried
    again; beside them those whose cause a person can mend.

    Args:
        code: the status, of the peer or of gRPC's own.
        words: its details.
        wait: what the peer's ``RetryInfo`` says, where it sent one.
        call: the call.
    """
    if code is StatusCode.DEADLINE_EXCEEDED:
        late = f"{call.peer} gave no answer within {call.seconds:.3g} s"
        return ExportResult.retry(Reason.TIMEOUT, late)
    return _broken(code, words, call) or _answered(code, words, wait, call)


def _answered(code: StatusCode, words: str, wait: timedelta | None, call: GrpcCall) -> ExportResult:
    says = f"{call.peer} answered {code.name}" + (f": {call.show(words)}" if words else "")
    if _TOO_LARGE.search(words):
        return ExportResult.rejected(Reason.TOO_LARGE, says)
    if code is StatusCode.RESOURCE_EXHAUSTED:
        if wait is None:
            return ExportResult.rejected(Reason.RATE_LIMITED, f"{says}, and not when to come again")
        return ExportResult.retry(Reason.RATE_LIMITED, says, retry_after=wait)
    if code in _MAY_CHANGE:
        return ExportResult.retry(_MAY_CHANGE[code], says, retry_after=wait)
    return ExportResult.rejected(_FOR_GOOD.get(code, Reason.SERVER_ERROR), says)


_MAY_CHANGE: Final = {
    StatusCode.CANCELLED: Reason.SERVER_ERROR,
    StatusCode.ABORTED: Reason.SERVER_ERROR,
    StatusCode.OUT_OF_RANGE: Reason.SERVER_ERROR,
    StatusCode.UNAVAILABLE: Reason.SERVER_ERROR,
    StatusCode.DATA_LOSS: Reason.SERVER_ERROR,
    StatusCode.UNAUTHENTICATED: Reason.UNAUTHORIZED,
    StatusCode.PERMISSION_DENIED: Reason.FORBIDDEN,
    StatusCode.NOT_FOUND: Reason.NOT_FOUND,
    StatusCode.UNIMPLEMENTED: Reason.NOT_FOUND,
}
_FOR_GOOD: Final = {
    StatusCode.INVALID_ARGUMENT: Reason.SCHEMA,
    StatusCode.FAILED_PRECONDITION: Reason.SCHEMA,
    StatusCode.ALREADY_EXISTS: Reason.SCHEMA,
}
# The words of gRPC's own libraries: its C core and Go (RESOURCE_EXHAUSTED), tonic (OUT_OF_RANGE).
_TOO_LARGE: Final = re.compile(r"message larger than max|message length too large", re.IGNORECASE)

# How the C core begins where it speaks for itself: there was no connection, or no more.
_NO_CONNECTION: Final = re.compile(
    r"failed to connect to all addresses|errors resolving |DNS resolution failed"
)
_LOST: Final = re.compile(
    r"Socket closed$|recvmsg:|sendmsg:|Connection reset|Broken pipe|Stream removed|GOAWAY received"
    r"|Received RST_STREAM|RST_STREAM|Transport closed|Endpoint closing|Cancelling all calls$"
)
_OWN_CODES: Final = frozenset({StatusCode.UNAVAILABLE, StatusCode.INTERNAL, StatusCode.UNKNOWN})

# Its words, the reason, and ours; the first that is found holds.
_WORDS: Final = (
    (r"errors resolving|DNS resolution|Domain name not found", Reason.DNS, "no such host"),
    (r"HTTP proxy", Reason.PROXY, "the proxy opened no tunnel"),
    (r"CERTIFICATE_VERIFY_FAILED", Reason.TLS, "its certificate is not trusted here (tls.ca_file)"),
    (
        r"Hostname Verification|not in peer certificate",
        Reason.TLS,
        "its certificate is for another host",
    ),
    (
        r"WRONG_VERSION_NUMBER|HTTP_REQUEST",
        Reason.TLS,
        "it does not speak TLS; is the URL http, not https?",
    ),
    (r"(?i)ssl|tls handshake|handshake failed", Reason.TLS, "no secure connection"),
    (r"Connection refused", Reason.REFUSED, "nothing listens there"),
    (r"Failed parsing HTTP/2|http1", Reason.GARBAGE, "what answers is not gRPC; is it its port?"),
    (r"(?i)timed? ?out|timeout|deadline", Reason.TIMEOUT, "no connection in time"),
)


def _broken(code: StatusCode, words: str, call: GrpcCall) -> ExportResult | None:
    """The failure of the connection; ``None`` where it is the peer that has answered."""
    if code is StatusCode.INTERNAL and words.startswith("Exception deserializing response"):
        return ExportResult.retry(Reason.GARBAGE, f"{call.peer}: what it answers is no OTLP")
    if code in _OWN_CODES and _NO_CONNECTION.match(words):
        reason, ours = _why_none(words, call)
        if call.proxied and reason in {Reason.DNS, Reason.REFUSED}:
            return ExportResult.retry(Reason.PROXY, f"the proxy to {call.peer}: {ours}")
        return ExportResult.retry(reason, f"{call.peer}: {ours}")
    if code in _OWN_CODES and _LOST.match(words):
        return ExportResult.retry(
            Reason.RESET, f"{call.peer}: the connection was closed before there was an answer"
        )
    return None


def _why_none(words: str, call: GrpcCall) -> tuple[Reason, str]:
    for its, reason, ours in _WORDS:
        if re.search(its, words):
            return reason, ours
    if re.search(r"(?i)closed|reset|EOF|broken pipe", words):
        hint = (
            "it may want a client certificate (tls.cert_file)"
            if call.secure
            else "is the URL https, not http?"
        )
        return Reason.RESET, f"the connection was closed before it was ready; {hint}"
    return Reason.NETWORK, call.show(words)
