"""The index template for log records in ECS, for Elasticsearch and for OpenSearch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from metalscope.logs.sinks.bulk_settings import BulkSettings

__all__ = [
    "TEMPLATE_VERSION",
    "elasticsearch_template",
    "ism_policy",
    "may_be_put",
    "opensearch_template",
]

TEMPLATE_VERSION: Final = 1
"""Raised when a template changes; one with a higher version on the server is left as it is."""

_MANAGED_BY: Final = "metalscope"
# Those of Elastic's own `logs-*-*` have 100.
_PRIORITY: Final = 200

_KEYWORD: Final = {"type": "keyword", "ignore_above": 1024}
_LONG: Final = {"type": "long"}


def elasticsearch_template(settings: BulkSettings) -> dict[str, Any]:
    """The body of ``PUT /_index_template/NAME`` of Elasticsearch 8.14 or newer.

    What is kept for how long is a data stream's own lifecycle, which rolls it over by itself; a
    component template ``NAME@custom``, where there is one, adds to it.
    """
    stream = settings.stream
    properties = _properties({"type": "match_only_text"}, {"type": "wildcard"})
    if stream is not None:
        properties["data_stream"] = {
            "properties": {
                "type": {"type": "constant_keyword", "value": stream.type},
                "dataset": {"type": "constant_keyword", "value": stream.dataset},
                "namespace": {"type": "constant_keyword"},
            }
        }
    custom = f"{settings.template_name}@custom"
    # A value of another type than the first one was is kept, not searchable, in place of the whole
    # record being refused; of their time stamp data streams do not take that.
    properties["@timestamp"] = {"type": "date", "ignore_malformed": False}
    body = _template(settings, properties)
    body["template"]["settings"] = {"index": {"mapping": {"ignore_malformed": True}}}
    body["composed_of"] = [custom]
    body["ignore_missing_component_templates"] = [custom]
    if stream is not None:
        body["template"]["lifecycle"] = (
            {"data_retention": settings.retention} if settings.retention else {}
        )
    return body


def opensearch_template(settings: BulkSettings) -> dict[str, Any]:
    """The body of ``PUT /_index_template/NAME`` of OpenSearch 2 or newer."""
    text = {"type": "text", "norms": False}
    properties = _properties(text, {"type": "keyword", "index": False, "doc_values": False})
    if settings.stream is not None:
        properties["data_stream"] = {
            "properties": dict.fromkeys(("type", "dataset", "namespace"), _KEYWORD)
        }
    return _template(settings, properties)


def ism_policy(settings: BulkSettings) -> dict[str, Any]:
    """The body of ``PUT /_plugins/_ism/policies/NAME``: a new index a day, deleted in its time."""
    retention = settings.retention or ""
    return {
        "policy": {
            "description": f"Log records of metalscope, kept for {retention}.",
            "default_state": "hot",
            "states": [
                {
                    "name": "hot",
                    "actions": [{"rollover": {"min_index_age": "1d"}}] if settings.stream else [],
                    "transitions": [
                        {"state_name": "delete", "conditions": {"min_index_age": retention}}
                    ],
                },
                {"name": "delete", "actions": [{"delete": {}}], "transitions": []},
            ],
            "ism_template": [{"index_patterns": [settings.pattern], "priority": _PRIORITY}],
        }
    }


def may_be_put(found: object, ours: Mapping[str, Any]) -> bool:
    """Whether this template is to be put where ``GET`` of its name said this.

    One that somebody else made, or a newer version, stays; the same one need not be put again.
    """
    templates = found.get("index_templates") if isinstance(found, Mapping) else None
    if not isinstance(templates, list) or not templates:
        return True
    there = templates[0].get("index_template") if isinstance(templates[0], Mapping) else None
    meta = there.get("_meta") if isinstance(there, Mapping) else None
    if not isinstance(there, Mapping) or not isinstance(meta, Mapping):
        return False
    if meta.get("managed_by") != _MANAGED_BY:
        return False
    version = there.get("version")
    if isinstance(version, int) and version > TEMPLATE_VERSION:
        return False
    return version != TEMPLATE_VERSION or meta != ours["_meta"]


def _template(settings: BulkSettings, properties: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "index_patterns": [settings.pattern],
        "priority": _PRIORITY,
        "version": TEMPLATE_VERSION,
        "_meta": {
            "managed_by": _MANAGED_BY,
            "description": "Log records of metalscope, in the Elastic Common Schema.",
        },
        "template": {
            "mappings": {
                "date_detection": False,
                "dynamic_templates": [
                    # Else the first value, where it is whole, would make all of them so.
                    {"milliseconds": {"match": "*_ms", "mapping": {"type": "double"}}},
                    {"strings": {"match_mapping_type": "string", "mapping": _KEYWORD}},
                ],
                "properties": properties,
            },
        },
    }
    if settings.retention:
        body["_meta"]["retention"] = settings.retention
    if settings.stream is not None:
        body["data_stream"] = {}
    return body


def _properties(text: Mapping[str, Any], long_text: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of ECS that records have: https://www.elastic.co/docs/reference/ecs."""
    return {
        "@timestamp": {"type": "date"},
        "message": dict(text),
        "log": {"properties": {"level": _KEYWORD, "logger": _KEYWORD}},
        "event": {"properties": {"action": _KEYWORD, "sequence": _LONG, "dataset": _KEYWORD}},
        "error": {
            "properties": {
                "type": _KEYWORD,
                "message": dict(text),
                "stack_trace": dict(long_text),
            }
        },
        "trace": {"properties": {"id": _KEYWORD}},
        "span": {"properties": {"id": _KEYWORD}},
        "process": {
            "properties": {
                "pid": _LONG,
                "thread": {"properties": {"name": _KEYWORD}},
            }
        },
    }
