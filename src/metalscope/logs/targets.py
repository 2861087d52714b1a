"""What an endpoint is, by what it looks like: a Splunk collector, Loki, a syslog server.

The paths and ports: Splunk, "HTTP Event Collector REST API endpoints"; Grafana, "Loki HTTP API";
OpenTelemetry, "OTLP Specification"; Elastic, "Networking settings" and "Connection details"; AWS,
"Amazon OpenSearch Service endpoints and quotas".
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

__all__ = ["POSSIBLE", "recognise"]

POSSIBLE: Final = (
    "splunk by the path /services/collector, loki by /loki/api/v1/push or port 3100, otlp by "
    "/v1/logs, grpc(s):// or port 4317 or 4318, elasticsearch by port 9200, syslog by udp://, "
    "tcp://, tls:// or unix://, file by file://"
)
"""For the error about an endpoint that tells nothing."""

_SCHEMES: Final = {
    "grpc": "otlp",
    "grpcs": "otlp",
    "udp": "syslog",
    "tcp": "syslog",
    "tls": "syslog",
    "unix": "syslog",
    "file": "file",
}
_PATHS: Final = (
    (re.compile(r"/services/collector(/|\Z)"), "splunk"),
    (re.compile(r"/loki/api/v1/push/?\Z"), "loki"),
    (re.compile(r"/v1/logs/?\Z"), "otlp"),
    (re.compile(r"/_bulk/?\Z"), "elasticsearch"),
)
# Those of the services; the first of AWS is that of OpenSearch too.
_HOSTS: Final = (
    (re.compile(r"(^|\.)(es|aoss)\.(amazonaws\.com|amazonaws\.com\.cn|api\.aws)\Z"), "opensearch"),
    (
        re.compile(r"(^|\.)es\..*(cloud\.es\.io|elastic\.cloud|elastic-cloud\.com)\Z"),
        "elasticsearch",
    ),
    (re.compile(r"(^|\.)(cloud\.es\.io|found\.io)\Z"), "elasticsearch"),
    (re.compile(r"(^|\.)splunkcloud\.com\Z"), "splunk"),
    (re.compile(r"\Alogs-[a-z0-9-]+\.grafana\.net\Z"), "loki"),
    (re.compile(r"\Aotlp-gateway-[a-z0-9-]+\.grafana\.net\Z"), "otlp"),
)
# Those the programs listen on by themselves.
_PORTS: Final = {
    3100: "loki",
    4317: "otlp",
    4318: "otlp",
    8088: "splunk",
    9200: "elasticsearch",
    9243: "elasticsearch",
}


def recognise(endpoint: str) -> str | None:
    """The type of sink that an endpoint is for; ``None`` where it looks like none.

    The scheme tells first, then the path, the host and the port. A host that has ``opensearch`` in
    its name is OpenSearch's where else it would be Elasticsearch's.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if parts.scheme in _SCHEMES:
        return _SCHEMES[parts.scheme]
    if parts.scheme not in {"http", "https"}:
        return None
    found = (
        next((kind for pattern, kind in _PATHS if pattern.search(parts.path)), None)
        or next((kind for pattern, kind in _HOSTS if pattern.search(host)), None)
        or (_PORTS.get(port) if port is not None else None)
    )
    if found in {None, "elasticsearch"} and _is_of_opensearch(host):
        return "opensearch"
    return found


def _is_of_opensearch(host: str) -> bool:
    return any("opensearch" in label for label in host.split(".")) or bool(
        _HOSTS[0][0].search(host)
    )
