"""Write the index templates of log sinks into src/metalscope/assets/logs; ``--check`` compares.

For those who put them themselves: the sinks make theirs of the same functions, by their settings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from metalscope.log_options import LogSinkOptions
from metalscope.logs.sinks.bulk_settings import BulkSettings
from metalscope.logs.sinks.index_template import (
    elasticsearch_template,
    ism_policy,
    opensearch_template,
)

FOLDER = Path(__file__).parents[1] / "src" / "metalscope" / "assets" / "logs"


def files() -> dict[str, str]:
    """The texts by the names of the files: of the usual settings, the policy for 30 days."""

    def settings(**more: str) -> BulkSettings:
        return BulkSettings.of(LogSinkOptions(type="opensearch", settings=more), ("bearer",))

    made = {
        "elasticsearch-index-template.json": elasticsearch_template(settings()),
        "opensearch-index-template.json": opensearch_template(settings()),
        "opensearch-ism-policy.json": ism_policy(settings(retention="30d")),
    }
    return {name: json.dumps(body, indent=2) + "\n" for name, body in made.items()}


def main() -> int:
    """Write them; return the exit code."""
    code = 0
    for name, text in files().items():
        path = FOLDER / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in sys.argv[1:]:
            print(f"{name} is not current: run scripts/log_templates.py", file=sys.stderr)
            code = 1
        else:
            path.write_text(text, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
