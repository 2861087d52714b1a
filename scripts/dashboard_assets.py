"""Write the Grafana dashboards into src/metalscope/assets/grafana; ``--check`` compares.

Needs the extra ``dashboards``, at the version that the tests have: other versions write other JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

from metalscope.dashboards.making import made_anew
from metalscope.options import MetalTelemetryOptions

FOLDER = Path(__file__).parents[1] / "src" / "metalscope" / "assets" / "grafana"


def main(arguments: list[str]) -> int:
    """Exit code 1 where ``--check`` finds a file that is not as it would be written."""
    stale = []
    for name, text in made_anew(MetalTelemetryOptions()).items():
        file = FOLDER / f"{name}.json"
        if "--check" not in arguments:
            file.write_text(text, encoding="utf-8", newline="\n")
        elif not file.exists() or file.read_text("utf-8") != text:
            stale.append(file.name)
    if stale:
        print(f"not current: {', '.join(stale)}; run {Path(__file__).name}")
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
