"""What `import metalscope` costs a fresh process, and what it brings along.

    python bench/imports.py [--quick] [--rounds N] [--output PATH]

See bench/README.md for what is measured and how.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from goals import Result, Row, at_most, exactly, parser, publish, rounds_of
from timing import Comparison, Variant, compare

BARE = "python -c pass"
OURS = "import metalscope"
BUILT = "import metalscope, build a manager"

PROGRAMS = {
    BARE: "pass",
    OURS: "import metalscope",
    BUILT: "import metalscope; metalscope.MetalTelemetryManager()",
    "import prometheus_client": "import prometheus_client",
    "import opentelemetry.sdk": "import opentelemetry.sdk.metrics, opentelemetry.sdk.trace",
}

HEAVY = (
    "mlx", "numpy", "opentelemetry", "prometheus_client", "pydantic", "rich", "starlette", "torch",
    "typer", "uvicorn", "wgpu",
)  # fmt: skip
"""What must not come with the import: libraries loaded where they are used."""


def run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout


def brought_along(program: str) -> list[str]:
    """Which of :data:`HEAVY` are loaded after ``program``."""
    listing = run(f"{program}\nimport sys, json\nprint(json.dumps(list(sys.modules)))")
    return sorted({name.partition(".")[0] for name in json.loads(listing)} & set(HEAVY))


def measure(*, rounds: int) -> Result:
    comparison = compare(
        {name: Variant(lambda program=program: run(program)) for name, program in PROGRAMS.items()},
        rounds=rounds,
    )
    bare = comparison.seconds[BARE]
    above = Comparison(
        {
            name: [own - start for own, start in zip(seconds, bare, strict=True)]
            for name, seconds in comparison.seconds.items()
            if name != BARE
        }
    )
    heavy = brought_along(PROGRAMS[OURS])
    rows = [Row(BARE, comparison.spread(BARE).scaled(1e3), "ms")]
    for name in above.seconds:
        goal = at_most(100, "ms") if name == OURS else None
        rows.append(
            Row(f"{name}, above the bare process", above.spread(name).scaled(1e3), "ms", goal)
        )
    rows.append(Row(f"{OURS} / {BARE}", comparison.ratio(OURS, BARE), "x"))
    rows += [
        Row(f"{OURS} / {other}, both above the bare process", above.ratio(OURS, other), "x")
        for other in ("import prometheus_client", "import opentelemetry.sdk")
    ]
    rows.append(
        exactly(f"heavy libraries {OURS} loads, of {len(HEAVY)}", len(heavy), "", at_most(0, ""))
    )
    return Result(
        "import, time on the wall",
        rows,
        facts={"rounds": rounds, "looked_for": list(HEAVY), "loaded": heavy},
        raw={"seconds": comparison.seconds},
    )


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parser(__doc__, name="imports").parse_args(argv)
    publish(measure(rounds=rounds_of(arguments)), arguments.output)


if __name__ == "__main__":
    main()
