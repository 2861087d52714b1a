"""What recording takes of memory: after many operations, and under ever new names.

    python bench/memory.py [--quick] [--output PATH]

See bench/README.md for what is measured and how.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from goals import Goal, Result, Row, at_most, exactly, parser, publish

# The measured process: it says where it is, and goes on when told to. Its memory is read from
# outside, so that the reading is not part of it.
CHILD = """
import sys
def wait(*words):
    print(*words, flush=True)
    sys.stdin.readline()
wait("bare")
import metalscope
wait("imported")
tel = metalscope.MetalTelemetryManager().start()
wait("started", metalscope.recorder.IMPLEMENTATION)
for count, names in {steps}:
    step = ["kernel_%06d" % number for number in range(names)]
    for turn in range(count // names):
        for name in step:
            with tel.operation("execute", name, nbytes=64):
                pass
    del step
    snapshot = tel.get_snapshot()
    wait(snapshot.total_operations, len(snapshot.operations), snapshot.internals.overflowed)
tel.shutdown()
"""


class Process:
    """A running :data:`CHILD`, stopped at one of its waits."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        import psutil

        self._child = child
        self._memory = psutil.Process(child.pid)
        self.words: list[str] = []

    def next(self) -> int:
        """Run it to its next wait; return its resident memory there, in bytes."""
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin
        assert stdout
        if self.words:
            stdin.write("\n")
            stdin.flush()
        self.words = stdout.readline().split()
        if not self.words:
            raise SystemExit("the measured process ended early: void")
        return int(self._memory.memory_info().rss)


@contextmanager
def process(steps: Sequence[tuple[int, int]], *, pure: bool) -> Iterator[Process]:
    """Start a process that records ``(operations, names)`` after one another."""
    environment = os.environ | {"METALSCOPE_PURE_PYTHON": "1" if pure else "0"}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD.format(steps=list(steps))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as child:
        try:
            yield Process(child)
        finally:
            if child.stdin:
                child.stdin.close()
            child.wait(30)


def many_operations(*, pure: bool, operations: int, names: int) -> tuple[str, list[Row]]:
    """Memory after so many operations, and after ten times as many more."""
    with process([(operations, names), (10 * operations, names)], pure=pure) as child:
        bare, imported, started = child.next(), child.next(), child.next()
        implementation = child.words[1]
        first = child.next()
        _expect(child.words, [operations, names, 0])
        second = child.next()
        _expect(child.words, [11 * operations, names, 0])
    of = f"{implementation}: resident memory"
    rows = [
        _row(f"{of}, metalscope imported", imported - bare),
        _row(f"{of}, telemetry started", started - bare),
        _row(
            f"{of} after {operations:,} operations on {names} names",
            first - bare,
            at_most(25, "MB over the bare process"),
        ),
        _row(
            f"{of}, growth over the next {10 * operations:,}",
            second - first,
            at_most(0.5, "MB (flat)"),
        ),
    ]
    return implementation, rows


def many_names(*, pure: bool, names: int, cap: int = 1000) -> list[Row]:
    """Memory and counts after one operation of each of so many names, and again after more."""
    with process([(names, names), (names, names)], pure=pure) as child:
        bare, _, _ = child.next(), child.next(), child.next()
        implementation = child.words[1]
        first = child.next()
        _expect(child.words, [names, min(names, cap + 1), max(0, names - cap)])
        second = child.next()
        _expect(child.words, [2 * names, min(names, cap + 1), 2 * max(0, names - cap)])
    of = f"{implementation}: {names:,} distinct names"
    return [
        _row(f"{of}, resident memory", first - bare),
        _row(f"{of}, growth when they come again", second - first, at_most(0.5, "MB (capped)")),
        exactly(f"{of}, series kept", min(names, cap + 1), "", at_most(cap + 1, "")),
        exactly(f"{of}, operations counted as other", max(0, names - cap), ""),
    ]


def _row(what: str, size: int, goal: Goal | None = None) -> Row:
    return exactly(what, size / 1e6, "MB", goal)


def _expect(words: Sequence[str], counts: Sequence[int]) -> None:
    if [int(word) for word in words] != list(counts):
        raise SystemExit(f"the process counted {words} where {counts} was right: void")


def measure(*, operations: int, names: int, distinct: int) -> Result:
    rows: list[Row] = []
    done: set[str] = set()
    for pure in (False, True):
        implementation, found = many_operations(pure=pure, operations=operations, names=names)
        if implementation not in done:
            done.add(implementation)
            rows += found
            rows += many_names(pure=pure, names=distinct)
    facts: dict[str, Any] = {"operations": operations, "names": names, "distinct_names": distinct}
    return Result("memory", rows, facts)


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="memory")
    arguments_parser.add_argument("--operations", type=int, help=argparse.SUPPRESS)
    arguments_parser.add_argument("--names", type=int, default=200, help=argparse.SUPPRESS)
    arguments_parser.add_argument("--distinct", type=int, default=100_000, help=argparse.SUPPRESS)
    arguments = arguments_parser.parse_args(argv)
    result = measure(
        operations=arguments.operations or (100_000 if arguments.quick else 1_000_000),
        names=arguments.names,
        distinct=arguments.distinct,
    )
    publish(result, arguments.output)


if __name__ == "__main__":
    main()
