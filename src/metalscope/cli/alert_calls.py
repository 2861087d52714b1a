"""What ``metalscope alerts`` asks of a running program, and how an id is found by its beginning.

Loads http and ssl: the commands import it when they run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from metalscope.alert_report import Alert, Silence
from metalscope.cli.asking import NOT_OURS, Answer, ask, refusal
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.fetch import base_address
from metalscope.cli.output import printable
from metalscope.snapshot_json_alerts import alert_from_dict, silence_from_dict

__all__ = ["MOST_IN_HISTORY", "Calls", "one_of", "read_alert", "read_silence"]

MOST_IN_HISTORY: Final = 1000
"""Alerts in one answer of the history."""

_PROBLEM: Final = "application/problem+json"
_BAD_REQUEST: Final = 400
_OURS_TO_SAY: Final = frozenset({400, 403, 404, 409})


class Calls:
    """The program at ``url``.

    Args:
        url: as it was typed.
        timeout: s to wait for each answer.

    Raises:
        CommandFailed: the URL is none. Each method raises it where nothing answers, or not with
            what was asked for; the text says why.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        self._base = base_address(url).geturl().rstrip("/")
        self._timeout = timeout

    def active(self) -> list[dict[str, Any]]:
        """Alerts that are pending or fire."""
        return self._listed("/api/v1/alerts", "alerts")

    def history(
        self, *, limit: int, before: str | None = None, rule: str | None = None
    ) -> list[dict[str, Any]]:
        """Alerts that have fired, the latest first."""
        wanted = {"limit": str(limit), "before": before, "rule": rule}
        query = urlencode({key: value for key, value in wanted.items() if value is not None})
        return self._listed(f"/api/v1/alerts/history?{query}", "alerts")

    def silences(self) -> list[dict[str, Any]]:
        """All that are known."""
        return self._listed("/api/v1/silences", "silences")

    def acknowledge(self, alert_id: str, *, by: str, comment: str) -> dict[str, Any]:
        """The alert, acknowledged."""
        path = f"/api/v1/alerts/{quote(alert_id, safe='')}/acknowledge"
        return self._object(path, "POST", {"by": by, "comment": comment})

    def unacknowledge(self, alert_id: str) -> dict[str, Any]:
        """The alert, no longer acknowledged."""
        return self._object(f"/api/v1/alerts/{quote(alert_id, safe='')}/acknowledge", "DELETE")

    def silence(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """A new silence."""
        return self._object("/api/v1/silences", "POST", wanted)

    def end_silence(self, silence_id: str) -> dict[str, Any]:
        """The silence, which has ended."""
        return self._object(f"/api/v1/silences/{quote(silence_id, safe='')}", "DELETE")

    def _listed(self, path: str, name: str) -> list[dict[str, Any]]:
        found = self._object(path).get(name)
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self._not_ours()
        return found

    def _object(
        self, path: str, method: str = "GET", data: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        body = None if data is None else json.dumps(data).encode()
        answer = ask(self._base, path, timeout=self._timeout, method=method, body=body)
        found = _json(answer)
        if answer.media_type == _PROBLEM and answer.status in _OURS_TO_SAY:
            usage = answer.status == _BAD_REQUEST
            raise CommandFailed(
                printable(f"{self._base}: {(found or {}).get('detail', answer.reason)}"),
                ExitCode.USAGE if usage else ExitCode.FAILED,
            )
        if answer.status not in {200, 201}:
            raise refusal(self._base, answer)
        if found is None:
            raise self._not_ours()
        return found

    def _not_ours(self) -> CommandFailed:
        return CommandFailed(
            f"{self._base} answered, and not with alerts: {NOT_OURS}", ExitCode.UNREACHABLE
        )


def one_of(found: Iterable[dict[str, Any]], beginning: str, what: str) -> dict[str, Any] | None:
    """The one whose id is this, or alone begins so; ``None`` where none does.

    Raises:
        CommandFailed: several do.
    """
    by_id = {str(one.get("id")): one for one in found}
    if beginning in by_id:
        return by_id[beginning]
    fitting = [one for one in by_id if beginning and one.startswith(beginning)]
    if len(fitting) > 1:
        ids = ", ".join(map(printable, fitting[:5]))
        more = ", ..." if len(fitting) > 5 else ""
        raise CommandFailed(f"several {what} begin with {beginning!r}: {ids}{more}", ExitCode.USAGE)
    return by_id[fitting[0]] if fitting else None


def read_alert(data: dict[str, Any]) -> Alert:
    """An alert of an answer.

    Raises:
        CommandFailed: it is none that this version can read.
    """
    try:
        return alert_from_dict(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(error) from error


def read_silence(data: dict[str, Any]) -> Silence:
    """A silence of an answer.

    Raises:
        CommandFailed: it is none that this version can read.
    """
    try:
        return silence_from_dict(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> CommandFailed:
    return CommandFailed(
        printable(f"the answer cannot be read ({type(error).__name__}): is its metalscope newer?"),
        ExitCode.UNREACHABLE,
    )


def _json(answer: Answer) -> dict[str, Any] | None:
    try:
        found = json.loads(answer.text) if answer.media_type.endswith("json") else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
