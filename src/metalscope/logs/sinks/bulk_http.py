"""The way of the official clients' requests: over our transport, with its deadline, key and TLS."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from metalscope.sending.http.outcome import TransportError, judge
from metalscope.sending.http.transport import HttpAnswer, HttpTransport
from metalscope.sending.result import Reason

__all__ = ["ClientHttp", "NotTakenError", "base_of"]

_BULK: Final = re.compile(r"/_bulk/?$")


def base_of(endpoint: str | None) -> str | None:
    """The URL before the API's own path, which may be given with it."""
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(path=_BULK.sub("", parts.path)))


class NotTakenError(Exception):
    """The server answered with another status than a success."""

    def __init__(self, answer: HttpAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class ClientHttp:
    """Sends what a client made, and gives it the answer where that is a success.

    Args:
        transport: what carries it. It sends the key itself where ``auth`` is not ``api_key``.
        auth: ``api_key`` sends it as ``Authorization: ApiKey``.
        compress: whether bodies go with gzip.
    """

    def __init__(self, transport: HttpTransport, *, auth: str, compress: bool) -> None:
        self._transport = transport
        self._auth, self._compress = auth, compress

    @property
    def peer(self) -> str:
        """Host and port."""
        return self._transport.peer

    def shown(self, text: str) -> str:
        """A peer's words as they may be shown."""
        return self._transport.shown(text)

    def exchange(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> HttpAnswer:
        """One request.

        Raises:
            NotTakenError: the answer is no success.
            TransportError: there was no answer.
        """
        own = {name.lower(): value for name, value in headers.items()}
        content_type = own.pop("content-type", own.get("accept", "application/json"))
        # Ours says who sends, whatever client made it.
        own.pop("user-agent", None)
        own.pop("connection", None)
        if self._auth == "api_key":
            own |= self._key()
        answer = self._transport.send(
            body or b"",
            content_type=content_type,
            method=method,
            path=target,
            headers=own,
            compress=self._compress and bool(body),
        )
        # A web page is none either, whatever its status.
        if not judge(answer).ok:
            raise NotTakenError(answer)
        return answer

    def unreadable(self, product: str) -> TransportError:
        """What an answer is that is none of this product's API."""
        return TransportError(
            Reason.GARBAGE, f"{self.peer} answered in a way {product}'s API does not"
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _key(self) -> dict[str, str]:
        key = self._transport.secret()
        if key is None:
            return {}
        # Elasticsearch, "API key authentication": Base64 of `id:api_key`, and servers give both
        # that and the parts. There is no colon in Base64.
        if ":" in key:
            key = base64.b64encode(key.encode()).decode()
        return {"authorization": f"ApiKey {key}"}
