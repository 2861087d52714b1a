"""Write the events of the log into docs/logging-events.md and their JSON Schema into the assets;
``--check`` only compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from metalscope.logs.events import EVENTS, Event, event_schema
from page_tables import write_tables

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "logging-events.md"
SCHEMA = ROOT / "src" / "metalscope" / "assets" / "schema" / "log-v1.schema.json"
BEGIN = "<!-- events: written by scripts/log_event_page.py -->\n"
END = "<!-- events: end -->\n"


def tables() -> str:
    """Each event with its fields."""
    return "\n".join(map(_section, EVENTS))


def schema() -> dict[str, Any]:
    """One schema for a line in the format json: what all have, and the attributes by event."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:metalscope:schema:log-v1",
        "title": "metalscope.log/1",
        "description": "One line of the log in the format json.",
        "type": "object",
        "required": ["timestamp", "severity", "message", "logger", "sequence"],
        "properties": {
            "timestamp": {"type": "string", "format": "date-time"},
            "severity": {"enum": ["debug", "info", "warning", "error", "critical"]},
            "sequence": {"type": "integer", "minimum": 0},
            "event": {"type": "string"},
            "message": {"type": "string"},
            "logger": {"type": "string"},
            "correlation_id": {"type": "string", "maxLength": 128},
            "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "span_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "sampled": {"type": "boolean"},
            "thread": {"type": "string"},
            "exception_type": {"type": "string"},
            "exception_message": {"type": "string"},
            "exception_stacktrace": {"type": "string"},
        },
        "allOf": [
            {
                "if": {"properties": {"event": {"const": event.name}}, "required": ["event"]},
                "then": event_schema(event),
            }
            for event in EVENTS
        ],
    }


def _section(event: Event) -> str:
    rows = [
        f"| `{field.name}` | {field.type} | {'always' if field.always else ''} | {field.meaning} |"
        for field in event.fields
    ]
    return "\n".join(
        [
            f"### `{event.name}`\n",
            f"Logged when {event.when}. Severity: {event.severity}.\n",
            "| attribute | type | | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main() -> int:
    """Write both; return the exit code."""
    text = json.dumps(schema(), indent=2) + "\n"
    code = write_tables(PAGE, tables(), begin=BEGIN, end=END, script="log_event_page.py")
    if SCHEMA.exists() and SCHEMA.read_text(encoding="utf-8") == text:
        return code
    if "--check" in sys.argv[1:]:
        print(f"{SCHEMA.name} is not current: run scripts/log_event_page.py", file=sys.stderr)
        return 1
    SCHEMA.write_text(text, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
