"""Stands in for Elasticsearch and OpenSearch: their bulk and template APIs, strictly checked.

It keeps documents as they do, by index and id, and refuses what their documentation says they
refuse. It is no search engine: nothing is indexed, analysed or replicated here.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from faulty_server import Answer, Request, answer_by

Reply = tuple[int, Mapping[str, str], bytes]
Problem = tuple[int, str, str]
"""Status, type and reason of an error."""

_ACTIONS = {"create", "index", "delete", "update"}
_OF_ACTION = {"_index", "_id", "routing", "pipeline", "require_alias", "dynamic_templates"}
_MEDIA = re.compile(
    r"application/(?:vnd\.elasticsearch\+(?P<of>json|x-ndjson);\s*compatible-with=(?P<version>\d+)"
    r"|(?P<plain>json|x-ndjson))(?:;\s*charset=utf-8)?$",
    re.IGNORECASE,
)
_TEMPLATE_KEYS = {
    "index_patterns", "template", "composed_of", "priority", "version", "_meta", "data_stream",
}  # fmt: skip
_TYPES = {
    "date", "date_nanos", "keyword", "text", "long", "integer", "double", "boolean", "object",
    "match_only_text", "wildcard", "constant_keyword", "flattened", "ip",
}  # fmt: skip
_ELASTIC_ONLY = {"match_only_text", "wildcard", "constant_keyword"}


class ProblemError(Exception):
    def __init__(self, status: int, type: str, reason: str) -> None:  # noqa: A002
        super().__init__(reason)
        self.problem: Problem = (status, type, reason)


@dataclass
class BulkServer:
    """What a cluster keeps. ``authorization`` is the one header it lets in."""

    product: Literal["elasticsearch", "opensearch"] = "elasticsearch"
    major: int = 9
    authorization: str | None = None
    most_bytes: int = 100 * 1024**2
    """``http.max_content_length``."""
    documents: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Documents of each bulk request that was taken in."""
    no_templates: Problem | None = None
    """What is answered to all that is about templates."""
    refuses: Callable[[str, Mapping[str, Any]], Problem | None] = lambda _, __: None
    """Given the id and the document; the error for it, if any."""

    def answers(self) -> Answer:
        return answer_by(self._answer)

    def all_documents(self) -> list[dict[str, Any]]:
        return [document for index in self.documents.values() for document in index.values()]

    def _answer(self, request: Request) -> Reply:
        own = {"content-type": "application/json"}
        if self.product == "elasticsearch":
            own["X-elastic-product"] = "Elasticsearch"
        try:
            read = self._read(request)
        except ProblemError as error:
            status, kind, reason = error.problem
            said = {"error": {"type": kind, "reason": reason}, "status": status}
            return status, own, json.dumps(said).encode()
        accept = request.headers.get("accept", "")
        if "vnd.elasticsearch" in accept:
            own["content-type"] = f"application/vnd.elasticsearch+json;compatible-with={self.major}"
        return 200, own, json.dumps(read).encode()

    def _read(self, request: Request) -> Any:
        url = urlsplit(request.path)
        path, query = unquote(url.path), parse_qs(url.query, strict_parsing=bool(url.query))
        self.asked.append(f"{request.method} {path}")
        if self.authorization is not None:
            given = request.headers.get("authorization")
            if given != self.authorization:
                raise ProblemError(401, "security_exception", f"unable to authenticate [{given}]")
        if len(request.content) > self.most_bytes:
            raise ProblemError(413, "content_too_long_exception", "request entity too large")
        self._check_media(request)
        match request.method, path.strip("/").split("/"):
            case "GET", [""]:
                return {
                    "version": {"number": f"{self.major}.1.0"},
                    "tagline": "You Know, for Tests",
                }
            case (("POST" | "PUT"), [*target, "_bulk"]) if len(target) < 2:
                return self._bulk(request.content, target[0] if target else None, query)
            case "GET", ["_index_template", name]:
                return self._get_template(name)
            case "PUT", ["_index_template", name]:
                return self._put_template(name, _strictly(request.content))
            case "PUT", ["_plugins", "_ism", "policies", name] if self.product == "opensearch":
                return self._put_policy(name, _strictly(request.content))
        raise ProblemError(405, "illegal_argument_exception", f"no handler for {request.path}")

    def _check_media(self, request: Request) -> None:
        names = ["accept"] + (["content-type"] if request.body else [])
        versions = set()
        for name in names:
            text = request.headers.get(name, "" if name == "content-type" else "application/json")
            found = _MEDIA.match(text)
            if found is None and name == "accept" and "*/*" in text:
                continue
            if found is None or (found["of"] and self.product == "opensearch"):
                what = f"{name} header [{text}] is not supported"
                raise ProblemError(406, "media_type_header_exception", what)
            versions.add(found["version"])
        wanted = {one for one in versions if one is not None}
        if wanted and (len(versions) > 1 or int(wanted.pop()) not in {self.major, self.major - 1}):
            what = f"Invalid media-type value on headers {names}"
            raise ProblemError(400, "media_type_header_exception", what)

    # -- bulk ------------------------------------------------------------------------------------

    def _bulk(self, body: bytes, target: str | None, query: Mapping[str, list[str]]) -> Any:
        known = {"filter_path", "refresh", "pipeline", "timeout", "require_data_stream"}
        if query.keys() - known:
            what = f"request contains unrecognized parameters: {query.keys() - known}"
            raise ProblemError(400, "illegal_argument_exception", what)
        if not body.endswith(b"\n"):
            what = "The bulk request must be terminated by a newline [\\n]"
            raise ProblemError(400, "illegal_argument_exception", what)
        lines = body.split(b"\n")[:-1]
        parsed: list[tuple[str, str, str | None, bytes]] = []
        while lines:
            action, index, name = _action(lines.pop(0), target)
            if action == "delete":
                parsed.append((action, index, name, b""))
                continue
            if not lines:
                what = "Malformed content, found extra data after parsing"
                raise ProblemError(400, "illegal_argument_exception", what)
            parsed.append((action, index, name, lines.pop(0)))
        self.sizes.append(len(parsed))
        items = [self._item(*one) for one in parsed]
        said: Any = {
            "took": 3,
            "errors": any("error" in next(iter(item.values())) for item in items),
            "items": items,
        }
        return _filtered(said, query["filter_path"][0]) if "filter_path" in query else said

    def _item(self, action: str, index: str, name: str | None, source: bytes) -> Any:
        try:
            name, status = self._create(action, index, name, source)
            return {action: {"_index": index, "_id": name, "result": "created", "status": status}}
        except ProblemError as error:
            status, kind, reason = error.problem
            said = {"type": kind, "reason": reason, "index": index}
            return {action: {"_index": index, "_id": name, "status": status, "error": said}}

    def _create(self, action: str, index: str, name: str | None, source: bytes) -> tuple[str, int]:
        template = self._template_of(index)
        stream = template is not None and "data_stream" in template
        if stream and action != "create":
            what = "only write ops with an op_type of create are allowed in data streams"
            raise ProblemError(400, "illegal_argument_exception", what)
        try:
            document = _strictly(source)
        except ProblemError as error:
            raise ProblemError(400, "document_parsing_exception", error.problem[2]) from None
        name = name or f"auto-{sum(map(len, self.documents.values()))}"
        problem = self.refuses(name, document)
        if problem is not None:
            raise ProblemError(*problem)
        if stream and "@timestamp" not in document:
            what = "data stream timestamp field [@timestamp] is missing"
            raise ProblemError(400, "document_parsing_exception", what)
        if template is not None:
            _check_mapped(document, template["template"]["mappings"]["properties"])
        there = self.documents.setdefault(index, {})
        if name in there:
            if action == "create":
                what = f"[{name}]: version conflict, document already exists"
                raise ProblemError(409, "version_conflict_engine_exception", what)
            there[name] = document
            return name, 200
        if stream:
            self.streams.add(index)
        there[name] = document
        return name, 201

    def _template_of(self, index: str) -> dict[str, Any] | None:
        fitting = [
            one
            for one in self.templates.values()
            if any(fnmatchcase(index, pattern) for pattern in one["index_patterns"])
        ]
        return max(fitting, key=lambda one: one.get("priority", 0), default=None)

    # -- templates -------------------------------------------------------------------------------

    def _get_template(self, name: str) -> Any:
        if self.no_templates is not None:
            raise ProblemError(*self.no_templates)
        if name not in self.templates:
            what = f"index template matching [{name}] not found"
            raise ProblemError(404, "resource_not_found_exception", what)
        return {"index_templates": [{"name": name, "index_template": self.templates[name]}]}

    def _put_template(self, name: str, body: dict[str, Any]) -> Any:
        if self.no_templates is not None:
            raise ProblemError(*self.no_templates)
        elastic = self.product == "elasticsearch"
        keys = _TEMPLATE_KEYS | ({"ignore_missing_component_templates"} if elastic else set())
        inner = {"settings", "mappings", "aliases"} | ({"lifecycle"} if elastic else set())
        unknown = (body.keys() - keys) | (body.get("template", {}).keys() - inner)
        if unknown or not body.get("index_patterns"):
            raise ProblemError(400, "x_content_parse_exception", f"unknown field {unknown}")
        missing = set(body.get("composed_of", ())) - set(
            body.get("ignore_missing_component_templates", ())
        )
        if missing:
            what = f"component templates {missing} do not exist"
            raise ProblemError(400, "invalid_index_template_exception", what)
        _check_types(body["template"]["mappings"]["properties"], elastic=elastic)
        stamp = body["template"]["mappings"]["properties"].get("@timestamp", {})
        # DataStreamTimestampFieldMapper: a date, and no attribute but these.
        if "data_stream" in body and (
            stamp.get("type") not in {"date", "date_nanos"}
            or stamp.get("ignore_malformed")
            or stamp.keys() - {"type", "format", "meta", "ignore_malformed"}
        ):
            what = "data stream timestamp field [@timestamp] has disallowed attributes"
            raise ProblemError(400, "illegal_argument_exception", what)
        self.templates[name] = body
        return {"acknowledged": True}

    def _put_policy(self, name: str, body: dict[str, Any]) -> Any:
        if name in self.policies:
            raise ProblemError(409, "version_conflict_engine_exception", f"[{name}] exists")
        policy = body["policy"]
        states = {state["name"]: state for state in policy["states"]}
        assert policy["default_state"] in states
        for state in states.values():
            assert state.keys() == {"name", "actions", "transitions"}
            assert all(one["state_name"] in states for one in state["transitions"])
        self.policies[name] = body
        return {"_id": name, "policy": body}


def api_key(text: str) -> str:
    """The header of an API key in its two parts."""
    return "ApiKey " + base64.b64encode(text.encode()).decode()


def _action(line: bytes, target: str | None) -> tuple[str, str, str | None]:
    read = _strictly(line)
    if len(read) != 1 or not read.keys() <= _ACTIONS:
        what = f"Malformed action/metadata line, expected one of {_ACTIONS}, found {[*read]}"
        raise ProblemError(400, "illegal_argument_exception", what)
    ((action, about),) = read.items()
    if about.keys() - _OF_ACTION:
        what = f"Action/metadata line contains an unknown parameter {about.keys() - _OF_ACTION}"
        raise ProblemError(400, "illegal_argument_exception", what)
    index, name = about.get("_index", target), about.get("_id")
    if not index:
        raise ProblemError(400, "action_request_validation_exception", "index is missing")
    if index != index.lower() or re.search(r'[\\/*?"<>| ,#:]', index) or index[0] in "-_+.":
        raise ProblemError(400, "invalid_index_name_exception", f"Invalid index name [{index}]")
    if name is not None and not 0 < len(name.encode()) <= 512:
        raise ProblemError(400, "action_request_validation_exception", "id is too long")
    return action, index, name


def _strictly(text: bytes) -> dict[str, Any]:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("Duplicate field")
        return dict(pairs)

    def constant(name: str) -> float:
        raise ValueError(f"Non-standard token {name}")

    try:
        read = json.loads(text.decode(), object_pairs_hook=members, parse_constant=constant)
    except ValueError as error:
        raise ProblemError(400, "x_content_parse_exception", str(error)) from None
    if not isinstance(read, dict):
        raise ProblemError(400, "x_content_parse_exception", "expected an object")
    return read


def _check_types(properties: Mapping[str, Any], *, elastic: bool) -> None:
    for name, mapping in properties.items():
        if "properties" in mapping:
            _check_types(mapping["properties"], elastic=elastic)
            continue
        kind = mapping.get("type")
        if kind not in _TYPES or (kind in _ELASTIC_ONLY and not elastic):
            what = f"The mapper type [{kind}] declared on field [{name}] does not exist"
            raise ProblemError(400, "mapper_parsing_exception", what)


def _check_mapped(document: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    """Of fields a template names, values of another type; names with dots are not looked into."""
    for name, mapping in properties.items():
        value = document.get(name)
        if value is None:
            continue
        if "properties" in mapping:
            if not isinstance(value, dict):
                what = f"object mapping for [{name}] tried to parse field as object, found a value"
                raise ProblemError(400, "document_parsing_exception", what)
            _check_mapped(value, mapping["properties"])
            continue
        kind, constant = mapping["type"], mapping.get("value")
        fits = {
            "long": isinstance(value, int) and not isinstance(value, bool),
            "date": isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z$", value),
            "constant_keyword": constant is None or value == constant,
        }.get(kind, not isinstance(value, dict))
        if not fits:
            what = f"failed to parse field [{name}] of type [{kind}]. Preview: '{value}'"
            raise ProblemError(400, "document_parsing_exception", what)


def _filtered(value: Any, paths: str) -> Any:
    """``filter_path``: what is named stays; a list is as if it were not there."""
    steps = [path.split(".") for path in paths.split(",")]
    return _kept(value, steps)


def _kept(value: Any, paths: list[list[str]]) -> Any:
    if any(not path for path in paths):
        return value
    if isinstance(value, list):
        return [_kept(one, paths) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, inner in value.items():
        further = [path[1:] for path in paths if fnmatchcase(name, path[0])]
        if further and (any(not path for path in further) or isinstance(inner, dict | list)):
            kept[name] = _kept(inner, further)
    return kept
