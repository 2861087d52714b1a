"""What Datadog's API was sent, checked against the models of Datadog's own SDK.

There is no Datadog to run here. The models are generated from the API's schema; what they do not
know, or know otherwise, is an error.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from datadog_api_client import Configuration
from datadog_api_client.model_utils import ModelNormal, OpenApiModel, validate_and_convert_types
from faulty_server import Answer, FaultyServer, Request, answer_by

KEY = "0123456789abcdef0123456789abcdef"

# Path, the model of its body, the encodings it takes, and what it answers.
_ROUTES: Mapping[str, tuple[str, str, set[str], bytes]] = {
    "/api/v2/series": ("v2", "MetricPayload", {"gzip", "deflate", ""}, b'{"errors": []}'),
    "/api/v1/series": ("v1", "MetricsPayload", {"gzip", "deflate", ""}, b'{"status": "ok"}'),
    "/api/v1/distribution_points": (
        "v1",
        "DistributionPointsPayload",
        {"deflate", ""},
        b'{"status": "ok"}',
    ),
    "/api/v1/events": ("v1", "EventCreateRequest", {""}, b'{"status": "ok"}'),
}

Series = tuple[str, frozenset[str]]


@dataclass
class Intake:
    """The intake keeps one point for each series and second, the last, as Datadog does."""

    counts: dict[tuple[Series, int], float] = field(default_factory=dict)
    gauges: dict[tuple[Series, int], float] = field(default_factory=dict)
    distributions: dict[Series, list[float]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    intervals: set[tuple[str, int]] = field(default_factory=set)
    units: dict[str, str] = field(default_factory=dict)
    hosts: set[str | None] = field(default_factory=set)

    def answers(self) -> Answer:
        """What the server is to do: take what is right, answer 400 to the rest."""
        return answer_by(self._take)

    def total(self, metric: str, *tags: str) -> float:
        """All counts of a metric added up, of the series that have these tags."""
        return sum(
            value
            for ((name, has), _), value in self.counts.items()
            if name == metric and has.issuperset(tags)
        )

    def metrics(self) -> set[str]:
        return {name for (name, _), _ in (*self.counts, *self.gauges)}

    def _take(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        try:
            path, body = checked(request)
        except Exception as error:
            return 400, {}, repr(error).encode()
        match path:
            case "/api/v1/events":
                self.events.append(body)
            case "/api/v1/distribution_points":
                for one in body["series"]:
                    for _, values in one["points"]:
                        self.distributions.setdefault(_series(one), []).extend(values)
            case _:
                for one in body["series"]:
                    self._take_series(one)
        return 202, {"content-type": "application/json"}, _ROUTES[path][3]

    def _take_series(self, one: Mapping[str, Any]) -> None:
        is_count = one["type"] in {1, "count"}
        hosts = [part["name"] for part in one.get("resources", []) if part["type"] == "host"]
        self.hosts.add(one.get("host") or (hosts[0] if hosts else None))
        if "unit" in one:
            self.units[one["metric"]] = one["unit"]
        if is_count:
            self.intervals.add((one["metric"], one["interval"]))
        for point in one["points"]:
            second, value = (
                point if isinstance(point, list) else (point["timestamp"], point["value"])
            )
            (self.counts if is_count else self.gauges)[_series(one), int(second)] = value


def checked(request: Request) -> tuple[str, dict[str, Any]]:
    """The path and the body of a request that Datadog's schema allows; raises for another."""
    assert request.method == "POST"
    assert request.headers.get("dd-api-key") == KEY
    assert KEY not in request.path
    assert "dd-application-key" not in request.headers
    version, name, encodings, _ = _ROUTES[request.path]
    encoding = request.headers.get("content-encoding", "")
    assert encoding in encodings
    body = {"gzip": gzip.decompress, "deflate": zlib.decompress}.get(encoding, bytes)(request.body)
    assert KEY.encode() not in body
    # Datadog API, "Submit metrics": 500 kB, and 5 MB decompressed, of the stricter version 2.
    assert len(request.body) <= 512_000
    assert len(body) <= 5_242_880
    read = json.loads(body, parse_constant=_no_constant)
    file = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
    model = getattr(import_module(f"datadog_api_client.{version}.model.{file}"), name)
    strict = Configuration(discard_unknown_keys=False)
    made = validate_and_convert_types(read, (model,), ["body"], True, True, configuration=strict)
    _no_unknown(made)
    return request.path, read


def keys_in(server: FaultyServer) -> Iterable[str | None]:
    return {request.headers.get("dd-api-key") for request in server.requests}


def _series(one: Mapping[str, Any]) -> Series:
    return one["metric"], frozenset(one["tags"])


def _no_constant(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")


def _no_unknown(model: Any) -> None:
    """The SDK keeps keys it does not know; here they are an error, at any depth."""
    if isinstance(model, list):
        for one in model:
            _no_unknown(one)
    if isinstance(model, OpenApiModel):
        assert not model._unparsed, model
    if isinstance(model, ModelNormal):
        unknown = model._data_store.keys() - model.attribute_map.keys()
        assert not unknown, unknown
        for one in model._data_store.values():
            _no_unknown(one)
