"""Reads server-sent events off an httpx stream, as a browser does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Frame(NamedTuple):
    event: str
    event_id: str | None
    retry: str | None
    data: Any


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        if "data" in fields:
            yield Frame(
                fields.get("event", "message"),
                fields.get("id"),
                fields.get("retry"),
                json.loads(fields["data"]),
            )
            fields = {}
