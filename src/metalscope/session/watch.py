"""The snapshots of a running process, asked for over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPException
from time import monotonic, sleep
from typing import Final
from urllib.error import HTTPError

from metalscope.asking import opener_for, why_no_answer
from metalscope.errors import MetalscopeError
from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.snapshot_json import SnapshotFormatError, snapshot_from_dict

__all__ = ["SourceUnavailableError", "fetch_snapshot", "watch"]

MOST_BYTES: Final = 256 * 1024 * 1024
"""A snapshot is some kilobytes, of very many operations some megabytes."""


class SourceUnavailableError(MetalscopeError, ConnectionError):
    """No snapshot came from the address; the text says why.

    ``refused`` says whether nothing listened there at all.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


def fetch_snapshot(url: str, *, timeout: float = 10.0) -> MetalTelemetrySnapshot:
    """The snapshot of the process that serves its telemetry at ``url``, collected now.

    Args:
        url: the base address, such as ``http://127.0.0.1:9464``.
        timeout: seconds to wait for the answer.

    Raises:
        SourceUnavailableError: nothing answers, or what answers is no snapshot that this version
            can read.
    """
    base = url.rstrip("/")
    try:
        with opener_for(base).open(f"{base}/api/v1/snapshot", timeout=timeout) as response:
            body: bytes = response.read(MOST_BYTES + 1)
    except HTTPError as error:
        raise SourceUnavailableError(f"{base} answered {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)
        why = why_no_answer(cause, timeout) or f"the answer is not HTTP ({type(cause).__name__})"
        raise SourceUnavailableError(
            f"cannot fetch from {base}: {why}",
            refused=isinstance(cause, ConnectionRefusedError),
        ) from error
    if len(body) > MOST_BYTES:
        raise SourceUnavailableError(f"{base} answered with more than {MOST_BYTES} bytes")
    try:
        return snapshot_from_dict(json.loads(body))
    except SnapshotFormatError as error:
        raise SourceUnavailableError(f"{base}: {error}") from error
    except ValueError as error:
        raise SourceUnavailableError(f"{base} answered with no snapshot") from error


def watch(
    url: str, *, interval: float = 1.0, timeout: float = 10.0, patience: float = 0.0
) -> Iterator[MetalTelemetrySnapshot]:
    """Follow the process at ``url``: a snapshot now, and one every ``interval`` seconds.

    It asks ``/api/v1/snapshot``, since the event stream leaves out what makes counts exact. Each
    ask is a collection of the process's. The iterator ends when it is closed.

    Args:
        url: the base address, such as ``http://127.0.0.1:9464``.
        interval: seconds from one ask to the next.
        timeout: seconds to wait for each answer.
        patience: seconds for which asks may fail, after the first that did not, before it gives
            up.

    Raises:
        SourceUnavailableError: from the iteration, where no snapshot came for so long.
    """
    due = monotonic()
    answered: float | None = None
    while True:
        try:
            snapshot = fetch_snapshot(url, timeout=timeout)
        except SourceUnavailableError:
            if answered is None or monotonic() - answered > patience:
                raise
        else:
            answered = monotonic()
            yield snapshot
        # Asks that were missed are let go, not caught up with.
        due = max(due + interval, monotonic())
        sleep(max(0.0, due - monotonic()))
