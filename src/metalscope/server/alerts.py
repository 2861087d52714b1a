"""The addresses of alerts: what fires, what has been, and what people do about it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metalscope.alert_report import Alert, AlertState, Matcher, Silence
from metalscope.durations import parse_duration
from metalscope.json_values import read_time
from metalscope.operation import ErrorSeverity
from metalscope.server.writing import RefusedError, check_writer, read_object
from metalscope.spelling import nearest

if TYPE_CHECKING:
    from metalscope.alerts.manager import MetalAlertsManager
    from metalscope.server.source import Asker, TelemetrySource

__all__ = ["MOST_IN_HISTORY", "AlertRoutes"]

T = TypeVar("T")

MOST_IN_HISTORY: Final = 1000
"""Alerts in one answer of the history."""

MOST_MATCHERS: Final = 50
LONGEST_SILENCE: Final = timedelta(days=366)
"""What is to be quiet for longer is a rule to be disabled."""

LONGEST_NAME: Final = 200
LONGEST_COMMENT: Final = 1000

ACTIVE: Final = (AlertState.PENDING, AlertState.FIRING)

OFF: Final = "no rules are looked at here: alerts are off, or are another program's"


class AlertRoutes:
    """``/api/v1/alerts``, ``/api/v1/silences`` and ``/api/v1/rules`` of one source.

    Args:
        telemetry: what has the alerts, as its ``alerts``; where it has none, 404 is answered.
        asker: runs what may block off the event loop.
    """

    def __init__(self, telemetry: TelemetrySource, asker: Asker) -> None:
        self._telemetry = telemetry
        self._asker = asker

    def routes(self) -> list[Route]:
        """The routes."""
        one = "/api/v1/alerts/{id}"
        return [
            Route("/api/v1/alerts", self._active),
            Route("/api/v1/alerts/history", self._history),
            Route(one, self._alert),
            Route(f"{one}/acknowledge", self._acknowledge, methods=["POST", "DELETE"]),
            Route("/api/v1/rules", self._rules),
            Route("/api/v1/silences", self._silences, methods=["GET", "POST"]),
            Route("/api/v1/silences/{id}", self._silence, methods=["GET", "DELETE"]),
        ]

    async def _active(self, request: Request) -> Response:
        _check_names(request.query_params, {"state", "severity", "rule"})
        states = _chosen(request, "state", ACTIVE)
        severities = _chosen(request, "severity", tuple(ErrorSeverity))
        rules = set(request.query_params.getlist("rule"))
        found = [
            alert.to_dict()
            for alert in await self._ask(lambda alerts: alerts.active)
            if alert.state in states
            and alert.severity in severities
            and (not rules or alert.rule in rules)
        ]
        return _json({"alerts": found})

    async def _history(self, request: Request) -> Response:
        query = request.query_params
        _check_names(query, {"limit", "before", "rule"})
        limit = _limit(query.get("limit", "100"))
        before = _time("before", query["before"]) if "before" in query else None
        found = await self._ask(
            lambda alerts: alerts.history(limit=limit, before=before, rule=query.get("rule"))
        )
        return _json({"alerts": [alert.to_dict() for alert in found]})

    async def _alert(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        alert = await self._ask(lambda alerts: alerts.get(wanted))
        if alert is None:
            raise RefusedError(404, "no alert has this id; see /api/v1/alerts and its history")
        return _json(alert.to_dict())

    async def _acknowledge(self, request: Request) -> Response:
        check_writer(request)
        wanted = request.path_params["id"]
        if request.method == "DELETE":
            return await self._change(wanted, lambda alerts: alerts.unacknowledge(wanted))
        data = await read_object(request)
        _check_names(data, {"by", "comment"})
        by, comment = _name(data, "by"), _comment(data)
        return await self._change(
            wanted, lambda alerts: alerts.acknowledge(wanted, by=by, comment=comment)
        )

    async def _change(self, wanted: str, act: Callable[[MetalAlertsManager], Alert]) -> Response:
        try:
            alert = await self._ask(act)
        except KeyError:
            if await self._ask(lambda alerts: alerts.get(wanted)) is None:
                raise RefusedError(404, "no alert has this id; see /api/v1/alerts") from None
            raise RefusedError(409, "this alert is over") from None
        return _json(alert.to_dict())

    async def _rules(self, _request: Request) -> Response:
        rules = await self._ask(lambda alerts: alerts.rules)
        return _json({"rules": [rule.model_dump(mode="json") for rule in rules]})

    async def _silences(self, request: Request) -> Response:
        if request.method in {"GET", "HEAD"}:
            found = await self._ask(lambda alerts: alerts.silences())
            return _json({"silences": [silence.to_dict() for silence in found]})
        check_writer(request)
        wanted = _silence_of(await read_object(request))
        try:
            silence = await self._ask(lambda alerts: alerts.silence(**wanted))
        except (ValueError, OverflowError) as error:
            raise RefusedError(400, f"the silence {error}") from error
        # Relative, so that it stays below the prefix of a mounted application.
        return _json(silence.to_dict(), 201, {"location": f"silences/{silence.id}"})

    async def _silence(self, request: Request) -> Response:
        wanted = request.path_params["id"]
        if request.method == "DELETE":
            check_writer(request)
        found = await self._ask(lambda alerts: _known(alerts, wanted))
        if found is not None and request.method == "DELETE":
            found = await self._ask(lambda alerts: alerts.expire_silence(wanted))
        if found is None:
            raise RefusedError(404, "no silence has this id; see /api/v1/silences")
        return _json(found.to_dict())

    async def _ask(self, question: Callable[[MetalAlertsManager], T]) -> T:
        alerts: MetalAlertsManager | None = getattr(self._telemetry, "alerts", None)
        if alerts is None:
            raise RefusedError(404, OFF)
        return await self._asker.ask(lambda: question(alerts))


def _known(alerts: MetalAlertsManager, wanted: str) -> Silence | None:
    return next((one for one in alerts.silences() if one.id == wanted), None)


def _json(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    # Escaped to ASCII: a label may hold half a surrogate pair, which UTF-8 cannot.
    return Response(
        json.dumps(data, allow_nan=False),
        status,
        {"cache-control": "no-store", **(headers or {})},
        "application/json",
    )


def _silence_of(data: dict[str, Any]) -> dict[str, Any]:
    """What the manager is asked for."""
    _check_names(data, {"matchers", "duration", "starts_at", "ends_at", "created_by", "comment"})
    wanted: dict[str, Any] = {
        "matchers": _matchers(data.get("matchers")),
        "created_by": _name(data, "created_by"),
        "comment": _comment(data),
    }
    if ("duration" in data) == ("ends_at" in data):
        raise RefusedError(400, "a silence must have either duration or ends_at")
    for name in ("starts_at", "ends_at"):
        if name in data:
            wanted[name] = _time(name, data[name])
    if "duration" in data:
        wanted["duration"] = _duration(data["duration"])
    return wanted


def _check_names(given: Collection[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            like = nearest(name, known)
            hint = f"; did you mean {like}?" if like else f"; there are {', '.join(sorted(known))}"
            raise RefusedError(400, f"{_shown(name)} is not known{hint}")


def _chosen(request: Request, name: str, known: tuple[Any, ...]) -> Collection[Any]:
    """The words that a parameter, which may be there several times, names; all without it."""
    given = request.query_params.getlist(name)
    for word in given:
        if word not in known:
            raise _wrong(name, f"one of {', '.join(known)}", word)
    return given or known


def _limit(text: str) -> int:
    expected = f"a number from 1 to {MOST_IN_HISTORY}"
    if not (text.isascii() and text.isdecimal() and len(text) <= 6):
        raise _wrong("limit", expected, text)
    limit = int(text)
    if not 1 <= limit <= MOST_IN_HISTORY:
        raise _wrong("limit", expected, text)
    return limit


def _time(name: str, value: object) -> datetime:
    try:
        return read_time(value)
    except (ValueError, TypeError, OverflowError):
        raise _wrong(name, "a time with its zone such as 2026-01-31T12:00:00Z", value) from None


def _duration(value: object) -> timedelta:
    try:
        duration = parse_duration(value)
    except ValueError as error:
        raise RefusedError(400, f"duration {error}, not {_shown(value)}") from None
    if not timedelta() < duration <= LONGEST_SILENCE:
        raise _wrong("duration", f"longer than 0 and at most {LONGEST_SILENCE.days} days", value)
    return duration


def _matchers(value: object) -> list[Matcher]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_MATCHERS:
        raise _wrong("matchers", f"a list of 1 to {MOST_MATCHERS} matchers", value)
    return [_matcher(f"matchers[{index}]", one) for index, one in enumerate(value)]


def _matcher(name: str, value: object) -> Matcher:
    text = _text(name, value, LONGEST_COMMENT)
    try:
        return Matcher.parse(text)
    except (ValueError, OverflowError, RecursionError) as error:
        raise RefusedError(400, f"{name} {error}") from None


def _name(data: Mapping[str, Any], field: str) -> str:
    name = _text(field, data.get(field), LONGEST_NAME, breaks="").strip()
    if not name:
        raise _wrong(field, "the name of a person or program", data[field])
    return name


def _comment(data: Mapping[str, Any]) -> str:
    return _text("comment", data.get("comment", ""), LONGEST_COMMENT)


def _text(name: str, value: object, longest: int, *, breaks: str = "\n\t") -> str:
    expected = f"text of at most {longest} characters, with no control characters"
    if not isinstance(value, str) or len(value) > longest:
        raise _wrong(name, expected, value)
    # Cs: half a surrogate pair, which cannot be written as UTF-8.
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in breaks for c in value):
        raise _wrong(name, expected, value)
    return value


def _wrong(name: str, expected: str, value: object) -> RefusedError:
    return RefusedError(400, f"{name} must be {expected}, not {_shown(value)}")


def _shown(value: object) -> str:
    """A value in an error: not all of it, and in ASCII."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 100 else f"{text[:99]}\N{HORIZONTAL ELLIPSIS}"
