"""Streams that were recorded: real MLX work with real faults in it, see incidents/record.py."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from incidents.streams import Stream
from incidents.timeline import Incident
from metalscope.session import open_session

DATA = Path(__file__).parent / "data"


def recorded_streams() -> list[Stream]:
    """Every recording beside its labels in ``data``."""
    return [_stream(session) for session in sorted(DATA.glob("*.mscope"))]


def _stream(path: Path) -> Stream:
    with open_session(path) as session:
        tick = session.header.interval_seconds
        times = [snapshot.timestamp for snapshot in session]
    start = times[0]
    labels = json.loads(path.with_suffix(".json").read_text())
    return Stream(
        path.stem,
        f"recorded: {path.stem}",
        (times[-1] - start).total_seconds(),
        tick,
        tuple(_incident(label, start, tick) for label in labels),
        lambda: _played(path),
    )


def _played(path: Path) -> list[Any]:
    with open_session(path) as session:
        return list(session)


def _incident(label: dict[str, Any], start: datetime, tick: float) -> Incident:
    begin, end = (
        (datetime.fromisoformat(label[key]) - start).total_seconds() + tick
        for key in ("start", "end")
    )
    return Incident(begin, end, tuple(label["kinds"]), what=label["fault"])
