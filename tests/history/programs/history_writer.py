"""Writes a history until it is killed, for each line ``PATH FIRST`` that it is given.

It says its process id, the number of each tick that is written, and ``gone`` when it was killed.
Tick ``n`` has ``n % 100`` operations that failed and one that did not, and a reading of ``n``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from pasts import DAY, MINUTE, START, Program, keep, opened

from metalscope.snapshot import ResourceKind, ResourceMetrics

TICK = MINUTE / 3


def say(what: object) -> None:
    # In one piece, or not at all.
    os.write(1, f"{what}\n".encode())


def write(path: Path, first: int) -> None:
    # Each run is another one, which counts from zero.
    program = Program(now=START + first * TICK, started_at=START + first * TICK)
    # However many ticks a fast machine writes, none is forgotten.
    history = opened(path, program, keep_ticks=7 * DAY)
    number = first
    while True:
        number += 1
        program.passes(TICK)
        program.ran("matmul", [1.0] * (number % 100), outcome="timeout")
        program.ran("matmul", [1.0])
        keep(history, program.snapshot(ResourceMetrics(ResourceKind.MEMORY, "n", "", number)))
        say(number)


def main() -> None:
    for line in sys.stdin:
        path, first = line.rstrip("\n").rsplit(" ", 1)
        # Forked, so that what takes long to import is there.
        child = os.fork()
        if not child:
            say(os.getpid())
            write(Path(path), int(first))
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main()
