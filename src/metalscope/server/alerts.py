"""The addresses of alerts: what fires, what has been, and what people do about it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from metalscope.alert_report import Alert, AlertState, Matcher, Silence
from metalscope.durations import parse_duration
from metalscope.operation import ErrorSeverity
from metalscope.server.asked import check_names, chosen, shown, time_of, whole_of, wrong
from metalscope.server.writing import RefusedError, check_writer, read_object

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
        check_names(request.query_params, {"state", "severity", "rule"})
        states = chosen(request, "state", ACTIVE)
        severities = chosen(request, "severity", tuple(ErrorSeverity))
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
        check_names(query, {"limit", "before", "rule"})
        limit = whole_of("limit", query.get("limit", "100"), 1, MOST_IN_HISTORY)
        before = time_of("before", query["before"]) if "before" in query else None
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
        check_names(data, {"by", "comment"})
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
    check_names(data, {"matchers", "duration", "starts_at", "ends_at", "created_by", "comment"})
    wanted: dict[str, Any] = {
        "matchers": _matchers(data.get("matchers")),
        "created_by": _name(data, "created_by"),
        "comment": _comment(data),
    }
    if ("duration" in data) == ("ends_at" in data):
        raise RefusedError(400, "a silence must have either duration or ends_at")
    for name in ("starts_at", "ends_at"):
        if name in data:
            wanted[name] = time_of(name, data[name])
    if "duration" in data:
        wanted["duration"] = _duration(data["duration"])
    return wanted


def _duration(value: object) -> timedelta:
    try:
        duration = parse_duration(value)
    except ValueError as error:
        raise RefusedError(400, f"duration {error}, not {shown(value)}") from None
    if not timedelta() < duration <= LONGEST_SILENCE:
        raise wrong("duration", f"longer than 0 and at most {LONGEST_SILENCE.days} days", value)
    return duration


def _matchers(value: object) -> list[Matcher]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_MATCHERS:
        raise wrong("matchers", f"a list of 1 to {MOST_MATCHERS} matchers", value)
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
        raise wrong(field, "the name of a person or program", data[field])
    return name


def _comment(data: Mapping[str, Any]) -> str:
    return _text("comment", data.get("comment", ""), LONGEST_COMMENT)


def _text(name: str, value: object, longest: int, *, breaks: str = "\n\t") -> str:
    expected = f"text of at most {longest} characters, with no control characters"
    if not isinstance(value, str) or len(value) > longest:
        raise wrong(name, expected, value)
    # Cs: half a surrogate pair, which cannot be written as UTF-8.
    if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in breaks for c in value):
        raise wrong(name, expected, value)
    return value
