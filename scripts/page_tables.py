"""Tables that a script writes between two marks of a page of the documentation."""

from __future__ import annotations

import sys
from pathlib import Path


def write_tables(page: Path, tables: str, *, begin: str, end: str, script: str) -> int:
    """Put the tables into the page; with ``--check`` only say whether it is current.

    Returns the exit code: 0 where the page is current, or has become so.
    """
    text = page.read_text(encoding="utf-8")
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        print(f"{page.name} has lost the marks the tables stand between", file=sys.stderr)
        return 1
    current = f"{before}{begin}\n{tables}\n{end}{after}"
    if current == text:
        return 0
    if "--check" in sys.argv[1:]:
        print(f"{page.name} is not current: run scripts/{script}", file=sys.stderr)
        return 1
    page.write_text(current, encoding="utf-8")
    return 0
