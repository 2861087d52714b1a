"""Alerts, silences and the state of channels from their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalscope.alert_report import (
    Acknowledgement,
    Alert,
    AlertEvidence,
    AlertState,
    ChannelStatus,
    Figure,
    Matcher,
    Silence,
)
from metalscope.export_status import BreakerState
from metalscope.json_values import (
    maybe,
    read_known,
    read_number,
    read_text,
    read_time,
    read_whole,
)
from metalscope.operation import Component, ErrorSeverity

__all__ = ["alert_from_dict", "channel_from_dict", "silence_from_dict"]

Data = Mapping[str, Any]


def alert_from_dict(data: Data) -> Alert:
    """What ``Alert.to_dict()`` was made of.

    Raises:
        ValueError, TypeError, KeyError: it is no such data.
    """
    return Alert(
        id=read_text(data["id"]),
        fingerprint=read_text(data["fingerprint"]),
        rule=read_text(data["rule"]),
        labels=tuple(sorted((name, read_text(v)) for name, v in data["labels"].items())),
        severity=ErrorSeverity(data["severity"]),
        state=AlertState(data["state"]),
        title=read_text(data["title"]),
        description=read_text(data.get("description", "")),
        component=read_known(Component, data.get("component")),
        value=maybe(read_number, data.get("value")),
        active_since=read_time(data["active_since"]),
        last_seen=read_time(data["last_seen"]),
        fired_at=maybe(read_time, data.get("fired_at")),
        resolved_at=maybe(read_time, data.get("resolved_at")),
        count=read_whole(data.get("count", 1)),
        evidence=_evidence(data.get("evidence") or {}),
        actions=_texts(data, "actions"),
        runbook=read_text(data.get("runbook", "")),
        link=read_text(data.get("link", "")),
        acknowledged=maybe(_acknowledgement, data.get("acknowledged")),
        silenced_by=_texts(data, "silenced_by"),
        inhibited_by=_texts(data, "inhibited_by"),
        flapping=bool(data.get("flapping", False)),
        resolution=read_text(data.get("resolution", "")),
    )


def silence_from_dict(data: Data) -> Silence:
    """What ``Silence.to_dict()`` was made of.

    Raises:
        ValueError, TypeError, KeyError: it is no such data.
    """
    return Silence(
        id=read_text(data["id"]),
        matchers=tuple(Matcher.parse(read_text(one)) for one in data["matchers"]),
        starts_at=read_time(data["starts_at"]),
        ends_at=read_time(data["ends_at"]),
        created_by=read_text(data["created_by"]),
        comment=read_text(data.get("comment", "")),
    )


def channel_from_dict(data: Data) -> ChannelStatus:
    """What ``ChannelStatus.to_dict()`` was made of.

    Raises:
        ValueError, TypeError, KeyError: it is no such data.
    """
    return ChannelStatus(
        name=read_text(data["name"]),
        type=read_text(data.get("type", "")),
        state=read_known(BreakerState, data.get("state")) or BreakerState.CLOSED,
        delivered=read_whole(data.get("delivered", 0)),
        failures=_counts(data, "failures"),
        dropped=_counts(data, "dropped"),
        waiting=read_whole(data.get("waiting", 0)),
        last_success=maybe(read_time, data.get("last_success")),
        last_error=read_text(data.get("last_error", "")),
    )


def _evidence(data: Data) -> AlertEvidence:
    return AlertEvidence(
        tuple(
            Figure(read_text(one["name"]), read_number(one["value"]), read_text(one["unit"]))
            for one in data.get("figures", ())
        ),
        _texts(data, "operations"),
        _texts(data, "trace_ids"),
        _texts(data, "correlation_ids"),
    )


def _acknowledgement(data: Data) -> Acknowledgement:
    return Acknowledgement(
        read_text(data["by"]), read_time(data["at"]), read_text(data.get("comment", ""))
    )


def _texts(data: Data, name: str) -> tuple[str, ...]:
    return tuple(map(read_text, data.get(name, ())))


def _counts(data: Data, name: str) -> dict[str, int]:
    return {read_text(key): read_whole(count) for key, count in (data.get(name) or {}).items()}
