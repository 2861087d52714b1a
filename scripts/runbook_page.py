"""Write docs/runbooks.md as the page that a program serves; ``--check`` only compares."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import markdown

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "docs" / "runbooks.md"
PAGE = ROOT / "src" / "metalscope" / "assets" / "web" / "runbooks.html"

HEAD = """\
<!doctype html>
<!-- Written by scripts/runbook_page.py from docs/runbooks.md. -->
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Runbooks · metalscope</title>
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <link rel="icon" type="image/svg+xml" href="icon.svg">
  <link rel="stylesheet" href="css/tokens.css">
  <link rel="stylesheet" href="css/layout.css">
  <link rel="stylesheet" href="css/runbooks.css">
  <script src="js/theme-early.js"></script>
</head>
<body>
<main class="runbooks">
<p><a href="./">metalscope</a></p>
"""
TAIL = """
</main>
</body>
</html>
"""


def page() -> str:
    """The page: what is served has no other page of the documentation to link to."""
    text = re.sub(r"\[([^\]]+)\]\([a-z-]+\.md[^)]*\)", r"\1", SOURCE.read_text())
    body = markdown.markdown(text, extensions=["fenced_code", "toc"], output_format="html")
    return HEAD + body + TAIL


def main(arguments: list[str]) -> int:
    """Write the page, or compare; 1 where it is not current."""
    if "--check" in arguments:
        if PAGE.exists() and PAGE.read_text() == page():
            return 0
        print(f"{PAGE.name} is not current: run scripts/runbook_page.py", file=sys.stderr)
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
