"""An endpoint that speaks Application Insights' protocol as Azure's does ("Breeze").

Recorded, not real: requests are read as ``EndpointSpecs/ENDPOINT-PROTOCOL.md`` of
microsoft/ApplicationInsights-Home says, and each item is held against the models of Azure's SDK,
which are generated from the service's own description. What has a field they do not know, lacks
one they require, or has another type, is refused.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any

from azure.monitor.opentelemetry.exporter._generated.exporter import models
from azure.monitor.opentelemetry.exporter._generated.exporter._utils.model_base import Model
from faulty_server import Answer, FaultyServer, Request, answer_by, faulty_server

KEY = "12345678-9abc-def0-1234-56789abcdef0"

# What the service calls the kinds of telemetry, and their models.
_BASE_TYPES = {
    "MetricData": ("Microsoft.ApplicationInsights.Metric", models.MetricsData),
    "EventData": ("Microsoft.ApplicationInsights.Event", models.TelemetryEventData),
}
# Application Insights telemetry data model, "Max length".
_LONGEST = {"key": 150, "property": 8192, "metric": 1024, "event": 512}

Verdict = tuple[int, str]


class NotAnItemError(ValueError):
    """Why an item is none."""


@dataclass(eq=False)
class Breeze:
    """Takes requests, answers them, and keeps the items it accepted.

    ``refuse`` may say status and message for an item it is not to accept.
    """

    key: str = KEY
    refuse: Callable[[dict[str, Any]], Verdict | None] = lambda _: None
    items: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Why an item was no item of the protocol."""

    def __call__(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        if (request.method, request.path) != ("POST", "/v2.1/track"):
            return 404, {}, b""
        errors: list[dict[str, Any]] = []
        items = _parsed(request)
        for index, item in enumerate(items):
            verdict = self._verdict(item)
            if verdict is None:
                self.items.append(item)
            else:
                status, message = verdict
                errors.append({"index": index, "statusCode": status, "message": message})
        accepted = len(items) - len(errors)
        status = 200 if not errors else 206 if accepted else errors[0]["statusCode"]
        said = {"itemsReceived": len(items), "itemsAccepted": accepted, "errors": errors}
        return status, {"content-type": "application/json"}, json.dumps(said).encode()

    @property
    def fault(self) -> Answer:
        """Itself, as an answer of :func:`faulty_server.faulty_server`."""
        return answer_by(self)

    def _verdict(self, item: Any) -> Verdict | None:
        try:
            check(item)
        except NotAnItemError as error:
            self.refused.append(str(error))
            return 400, str(error)
        if item["iKey"] != self.key:
            return 400, "Invalid instrumentation key"
        return self.refuse(item)

    def metrics(self) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
        """Name, properties and the data point of each metric item."""
        found = []
        for item in self.items:
            if item["data"]["baseType"] == "MetricData":
                data = item["data"]["baseData"]
                (point,) = data["metrics"]
                found.append((point["name"], data.get("properties", {}), point))
        return found

    def events(self) -> list[dict[str, Any]]:
        """The event items."""
        return [item for item in self.items if item["data"]["baseType"] == "EventData"]


@contextmanager
def breeze_endpoint(breeze: Breeze | None = None) -> typing.Iterator[tuple[Breeze, FaultyServer]]:
    """A running endpoint and the server it runs on."""
    breeze = breeze or Breeze()
    with faulty_server(breeze.fault) as server:
        yield breeze, server


def check(item: Any) -> None:
    """Raise :class:`NotAnItemError` where the service would refuse the item."""
    _is_model(item, models.TelemetryItem, "item")
    data = item.get("data") or {}
    name, model = _BASE_TYPES.get(data.get("baseType"), ("", None))
    if model is None or item["name"] != name:
        raise NotAnItemError(f"{item['name']} of {data.get('baseType')}")
    base = data["baseData"]
    _is_model(base, model, "baseData")
    if base["ver"] != 2:
        raise NotAnItemError("ver is not 2")
    for key, value in (base.get("properties") or {}).items():
        if not 0 < len(key) <= _LONGEST["key"] or len(value) > _LONGEST["property"]:
            raise NotAnItemError(f"property {key[:20]} is too long")
    if model is models.MetricsData:
        # "Only one metric in the list is currently supported by Application Insights storage."
        (point,) = base["metrics"]
        if not 0 < len(point["name"]) <= _LONGEST["metric"] or point.get("count", 1) < 1:
            raise NotAnItemError(f"metric {point['name'][:20]}")
    elif not 0 < len(base["name"]) <= _LONGEST["event"]:
        raise NotAnItemError("the name of the event")


def _parsed(request: Request) -> list[Any]:
    def no_constant(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON")

    content = request.content.decode("utf-8")
    if request.headers["content-type"] == "application/x-json-stream":
        return [json.loads(line, parse_constant=no_constant) for line in content.splitlines()]
    assert request.headers["content-type"] == "application/json"
    read = json.loads(content, parse_constant=no_constant)
    return read if isinstance(read, list) else [read]


def _is_model(data: Any, model: type[Any], where: str) -> None:
    if not isinstance(data, dict):
        raise NotAnItemError(f"{where} is no object")
    model({})  # Of a class of which there was no instance yet the fields are not known.
    hints = typing.get_type_hints(model, localns={"_models": models})
    fields = {
        rest._rest_name: (hints[name], rest._is_discriminator)
        for name, rest in model._attr_to_rest_field.items()
    }
    for name, value in data.items():
        if name not in fields:
            raise NotAnItemError(f"{where} has an unknown field {name}")
        _is_of(value, fields[name][0], f"{where}.{name}")
    for name, (hint, is_discriminator) in fields.items():
        # What the service tells kinds by is in baseType.
        optional = type(None) in typing.get_args(hint) or is_discriminator
        if not optional and name not in data:
            raise NotAnItemError(f"{where} lacks {name}")


def _is_of(value: Any, hint: Any, where: str) -> None:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return
        why = NotAnItemError(where)
        for choice in (one for one in inner if one is not type(None)):
            try:
                _is_of(value, choice, where)
            except NotAnItemError as error:
                why = error
                continue
            return
        raise why
    if origin is list:
        if not isinstance(value, list):
            raise NotAnItemError(f"{where} is no list")
        for part in value:
            _is_of(part, inner[0], where)
    elif origin is dict:
        if not isinstance(value, dict):
            raise NotAnItemError(f"{where} is no object")
        for part in value.values():
            _is_of(part, inner[1], where)
    elif isinstance(hint, type) and issubclass(hint, Model):
        # Which of them it is the discriminator does not say on the wire; see check().
        if hint is not models.MonitorDomain:
            _is_model(value, hint, where)
    elif not _is_plain(value, hint):
        raise NotAnItemError(f"{where} is {value!r}, not {hint}")


def _is_plain(value: Any, hint: Any) -> bool:
    if hint is datetime:
        form = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,7})?Z"
        return isinstance(value, str) and bool(re.fullmatch(form, value))
    if hint is float:
        return isinstance(value, int | float) and type(value) is not bool and isfinite(value)
    if hint is int:
        return type(value) is int
    return isinstance(hint, type) and type(value) is hint
