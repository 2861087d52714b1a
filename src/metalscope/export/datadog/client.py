"""Datadog's own API client over our transport.

The client makes the bodies and reads the answers; the bytes go over
:class:`~metalscope.sending.http.transport.HttpTransport`, as those of all exporters: the time
limit then holds for the whole request, no redirect carries the key to another host, and proxy
and TLS are those of the options.
"""

from __future__ import annotations

import http.client
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from metalscope.errors import MissingExtraError
from metalscope.export.datadog.requests import Request
from metalscope.sending.http.transport import (
    HttpAnswer,
    HttpTransport,
    TransportError,
    judge,
    result_of_error,
)
from metalscope.sending.result import ExportResult, Reason

__all__ = ["DatadogClient"]


class DatadogClient:
    """Makes calls of ``datadog_api_client`` and says what became of them.

    Args:
        http: what carries them, and has the key.
        key_is_a_header: whether the options have the key as the header ``DD-API-KEY``.
    """

    def __init__(self, http: HttpTransport, *, key_is_a_header: bool = False) -> None:
        try:
            from datadog_api_client import ApiClient, Configuration  # noqa: PLC0415
            from datadog_api_client.exceptions import OpenApiException  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtraError("the Datadog exporter", "datadog", cause=str(error)) from error
        self._http, self._key_is_a_header = http, key_is_a_header
        self._invalid: type[Exception] = OpenApiException
        with _logging_untouched():
            # No host: what the client then calls the URL is the path that our transport appends.
            make: Any = Configuration
            self._configuration = make(host="", compress=False, check_input_type=False)
        self._configuration.api_key.clear()
        self._configuration.access_token = None
        self._client: Any = ApiClient(self._configuration)
        self._client.rest_client.pool_manager = _Pool(http)

    def call(self, request: Request) -> tuple[ExportResult, Any]:
        """Make one call; the result, and what the client read in the answer where it arrived."""
        try:
            if not self._key_is_a_header:
                self._configuration.api_key["apiKeyAuth"] = self._key()
            return ExportResult.delivered(), request(self._client)
        except TransportError as error:
            return result_of_error(error), None
        except _NotTakenError as refusal:
            return judge(_with_rate_limit(refusal.answer)), None
        except (self._invalid, UnicodeDecodeError):
            detail = f"{self._http.peer} answered in a way Datadog's API does not"
            return ExportResult.retry(Reason.GARBAGE, detail), None

    def shown(self, text: str) -> str:
        """A peer's words as they may be shown."""
        return self._http.shown(text)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _key(self) -> str:
        key = self._http.secret() or ""
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise TransportError(
                Reason.CONFIGURATION, "the API key is empty or holds characters no key has"
            )
        return key


class _NotTakenError(Exception):
    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class _Response:
    """What the client looks at of urllib3's response."""

    status: int
    data: bytes
    headers: Mapping[str, str]
    reason: str = ""


class _Pool:
    """Stands where the client has its ``urllib3.PoolManager``, of which it calls these two."""

    def __init__(self, transport: HttpTransport) -> None:
        self._transport = transport

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: str | bytes, **_: object
    ) -> _Response:
        own = dict(headers)
        answer = self._transport.send(
            body.encode() if isinstance(body, str) else body,
            content_type=own.pop("Content-Type", "application/json"),
            method=method,
            path=url,
            headers=own,
        )
        if not 200 <= answer.status < 300:
            raise _NotTakenError(answer)
        # The client looks for the charset under the name as it is usually written.
        return _Response(
            answer.status, answer.body, {k.title(): v for k, v in answer.headers.items()}
        )

    def clear(self) -> None:
        self._transport.close()


def _with_rate_limit(answer: HttpAnswer) -> HttpAnswer:
    # Datadog documentation, "Rate limits": X-RateLimit-Reset is the s until the limit is reset.
    reset = answer.headers.get("x-ratelimit-reset")
    if reset is None or "retry-after" in answer.headers:
        return answer
    headers = {**answer.headers, "retry-after": reset}
    return HttpAnswer(answer.status, headers, answer.body, answer.peer, answer.words)


@contextmanager
def _logging_untouched() -> Iterator[None]:
    """Undo what making a ``Configuration`` does: it sets levels of loggers that are others'."""
    loggers = [logging.getLogger(name) for name in ("datadog_api_client", "urllib3")]
    levels = [logger.level for logger in loggers]
    debug = http.client.HTTPConnection.debuglevel
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        http.client.HTTPConnection.debuglevel = debug
