"""Write the tables of faults into docs/export-faults.md; ``--check`` only compares.

They are made from what tests/export/test_fault_matrix.py asserts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "export")]

from fault_outcomes import (  # noqa: E402 - found by the line above
    DIFFERENCES,
    GRPC_WORDS,
    HOW,
    ROWS,
    Outcome,
    Trouble,
    outcome_of,
    usual_outcome_of,
)

from metalscope.sending.result import Verdict  # noqa: E402
from page_tables import write_tables  # noqa: E402

PAGE = ROOT / "docs" / "export-faults.md"
BEGIN = "<!-- faults: written by scripts/fault_table.py -->\n"
END = "<!-- faults: end -->\n"

TOO_LARGE_LINE = "a line is too large for a datagram"

BECOMES = {
    Verdict.DELIVERED: "arrives",
    Verdict.RETRY: "waits, is tried again",
    Verdict.REJECTED: "is let go and counted",
}


def tables() -> str:
    """What each fault comes to, and what each exporter makes of a lost answer."""
    return "\n".join([*_by_fault(), "", *_by_exporter(), ""])


def _by_fault() -> Iterator[str]:
    yield "| What happens | `reason` | The snapshot | Other than that |"
    yield "|---|---|---|---|"
    for trouble in Trouble:
        outcome = usual_outcome_of(trouble)
        name = f"{trouble[:1].upper()}{trouble[1:]}"
        if trouble in GRPC_WORDS:
            name += f"; in gRPC {_code(GRPC_WORDS[trouble])}"
        becomes = BECOMES[outcome.verdict] + HOW.get(trouble, "")
        cells = [name, _reason(outcome), becomes, _differences(trouble)]
        yield f"| {' | '.join(cells)} |"


def _code(words: str) -> str:
    status, _, rest = words.partition(" ")
    return f"`{status.rstrip(',')}`{',' if status.endswith(',') else ''} {rest}".strip()


def _differences(trouble: Trouble) -> str:
    said = []
    for row in ROWS:
        difference = DIFFERENCES.get((trouble, row.key))
        if difference is not None:
            outcome = difference.outcome
            reason = f" (`{outcome.reason}`)" if outcome.reason else ""
            said.append(f"{row.title}: {BECOMES[outcome.verdict]}{reason}; {difference.why}.")
    return " ".join(said)


def _reason(outcome: Outcome) -> str:
    return f"`{outcome.reason}`" if outcome.reason else ""


def _by_exporter() -> Iterator[str]:
    yield "| Exporter | Sends | Where the peer took it and the answer was lost, it comes again |"
    yield "|---|---|---|"
    for row in ROWS:
        yield f"| {row.title} | {row.sends} | {row.again} |"
    yield ""
    for row in ROWS:
        possible = [one for one in Trouble if outcome_of(one, row.key) is not None]
        if len(possible) < len(Trouble) // 2:
            names = [TOO_LARGE_LINE if one is Trouble.TOO_LARGE else str(one) for one in possible]
            yield f"- {row.title}: of all these only: {'; '.join(names)}."


def main() -> int:
    """Rewrite the page, or say that it is not current."""
    return write_tables(PAGE, tables(), begin=BEGIN, end=END, script="fault_table.py")


if __name__ == "__main__":
    sys.exit(main())
