"""Asking a server that may not be there, may not be metalscope, or may not answer."""

from __future__ import annotations

import json
import socket
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError

from metalscope.asking import opener_for, why_no_answer

__all__ = ["ForeignAnswerError", "NoAnswerError", "ask", "ask_json", "reach"]

MOST_BYTES: Final = 64 * 1024 * 1024


class NoAnswerError(Exception):
    """Nothing answers, with the reason in words."""


class ForeignAnswerError(Exception):
    """Something answers, and not as metalscope does."""


def ask(base: str, path: str, *, timeout: float) -> str:
    """Get a text.

    Raises:
        NoAnswerError: there is no answer within ``timeout`` seconds.
        ForeignAnswerError: there is one, and it is no success.
    """
    try:
        with opener_for(base).open(f"{base.rstrip('/')}{path}", timeout=timeout) as response:
            body: bytes = response.read(MOST_BYTES)
    except HTTPError as error:
        raise ForeignAnswerError(f"{path} is answered {error.code} {error.reason}") from error
    except OSError as error:
        cause = getattr(error, "reason", error)
        raise NoAnswerError(why_no_answer(cause, timeout) or str(cause)) from error
    except HTTPException as error:
        raise ForeignAnswerError(f"the answer is not HTTP ({type(error).__name__})") from error
    return body.decode("utf-8", "replace")


def ask_json(base: str, path: str, *, timeout: float) -> dict[str, Any]:
    """Get an object.

    Raises:
        NoAnswerError: there is no answer within ``timeout`` seconds.
        ForeignAnswerError: there is one, and it is no JSON object.
    """
    try:
        found = json.loads(ask(base, path, timeout=timeout))
    except ValueError as error:
        raise ForeignAnswerError(f"{path} is answered with something that is not JSON") from error
    if not isinstance(found, dict):
        raise ForeignAnswerError(f"{path} is answered with JSON of another form")
    return found


def reach(host: str, port: int, *, timeout: float) -> None:
    """Open a TCP connection and close it.

    Raises:
        NoAnswerError: that is not possible within ``timeout`` seconds.
    """
    try:
        socket.create_connection((host, port), timeout).close()
    except OSError as error:
        raise NoAnswerError(why_no_answer(error, timeout) or str(error)) from error
