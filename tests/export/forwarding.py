"""A reverse proxy before a real server: it keeps what goes through, and may ask for a key."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping

from faulty_server import Answer, Request, answer_by


def forwarding(upstream: str, *, authorization: str | None = None) -> Answer:
    """Forward each request to ``upstream``; 401 where it has not this ``Authorization``."""

    def forward(request: Request) -> tuple[int, Mapping[str, str], bytes]:
        if authorization is not None and request.headers.get("authorization") != authorization:
            return 401, {"WWW-Authenticate": "Basic"}, b"invalid authentication credentials"
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in {"host", "connection", "content-length", "authorization"}
        }
        onward = urllib.request.Request(
            upstream + request.path, request.body or None, headers, method=request.method
        )
        try:
            with urllib.request.urlopen(onward, timeout=10) as answer:
                return answer.status, {}, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, {}, error.read()

    return answer_by(forward)
