"""Write docs/schema/page.schema.json, by which editors check pages of one's own; ``--check`` only
compares."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from metalscope.page.descriptions import PageDescription

SCHEMA = Path(__file__).parents[1] / "docs" / "schema" / "page.schema.json"


def schema() -> dict[str, Any]:
    """What a file may hold; that some keys exclude each other is not in it."""
    made = PageDescription.model_json_schema()
    # Of a file that gives none it is the file's name.
    made["required"].remove("id")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:metalscope:schema:page",
        **made,
    }


def main() -> int:
    """Write the schema, or say that it is not current."""
    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    if SCHEMA.exists() and SCHEMA.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in sys.argv[1:]:
        print(f"{SCHEMA.name} is not current: run scripts/page_schema.py", file=sys.stderr)
        return 1
    SCHEMA.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
