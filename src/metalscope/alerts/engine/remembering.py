"""What the engine keeps besides alerts and silences, so that a restart changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from metalscope.alert_report import Alert, AlertState
from metalscope.alerts.engine.clock import SteadyClock
from metalscope.alerts.engine.flapping import Flapping
from metalscope.alerts.engine.life import Track, reworded
from metalscope.alerts.rule import AlertRule
from metalscope.json_values import maybe, read_number, read_time, read_whole
from metalscope.moments import rfc3339
from metalscope.operation import ErrorSeverity
from metalscope.snapshot_json_alerts import alert_from_dict

__all__ = ["remembered", "state_of"]

VERSION: Final = 1


def state_of(clock: SteadyClock, flapping: Flapping, tracks: Iterable[Track]) -> dict[str, Any]:
    """JSON-able data: the clock, when alerts fired, and of each alert what is not in it.

    Of one that fires it is what changes at each evaluation, as the alert itself is kept only when
    more than that changes. One that is pending is here as a whole: most of these are gone before
    anybody asks for them.
    """
    return {
        "version": VERSION,
        "clock": clock.to_dict(),
        "fired": flapping.to_dict(),
        "alerts": {track.alert.fingerprint: _track_to_dict(track) for track in tracks},
    }


def remembered(
    state: Mapping[str, Any] | None,
    kept: Iterable[Alert],
    rules: Mapping[str, AlertRule],
    *,
    clock: SteadyClock,
    flapping: Flapping,
) -> list[Track]:
    """The alerts that were active, from those that were kept and :func:`state_of`.

    The clock and the flapping go on from there. Without a state all begins anew but the alerts
    that fired.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is no such data.
    """
    data: Mapping[str, Any] = {}
    if state is not None:
        if state["version"] != VERSION:
            raise ValueError(f"is of version {state['version']!r}, not {VERSION}")
        clock.restore(state["clock"])
        flapping.restore(state["fired"])
        data = state["alerts"]
    firing = [one for one in kept if one.state is AlertState.FIRING]
    known = {one.fingerprint for one in firing}
    tracks = [_track(one, data.get(one.fingerprint), rules.get(one.rule)) for one in firing]
    for fingerprint, one in data.items():
        if "alert" in one and fingerprint not in known:
            tracks.append(_track(alert_from_dict(one["alert"]), one, None))
    return tracks


def _track_to_dict(track: Track) -> dict[str, Any]:
    alert = track.alert
    data: dict[str, Any] = {
        "since": {severity.value: since for severity, since in track.since.items()},
        "quiet": track.quiet,
        "told": track.told,
    }
    if track.is_firing:
        return data | {
            "id": alert.id,
            "value": alert.value,
            "count": alert.count,
            "last_seen": rfc3339(alert.last_seen),
        }
    return data | {"alert": alert.to_dict()}


def _track(alert: Alert, data: Mapping[str, Any] | None, rule: AlertRule | None) -> Track:
    if data is None:
        return Track(alert, altered=False)
    if data.get("id") == alert.id:
        value = maybe(read_number, data["value"])
        alert = replace(
            alert,
            value=value,
            count=read_whole(data["count"]),
            last_seen=read_time(data["last_seen"]),
        )
        if rule is not None:
            alert = reworded(alert, rule)
    return Track(
        alert,
        {ErrorSeverity(name): read_whole(since) for name, since in data["since"].items()},
        maybe(read_whole, data["quiet"]),
        read_whole(data["told"]),
        altered=False,
    )
