"""What exporting 10,000 series a tick costs, against the OpenTelemetry SDK's exporter.

    python bench/export.py [--quick] [--rounds N] [--ticks N] [--output PATH]

See bench/README.md for what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from export_series import SERIES_A_NAME, SPOOL_BYTES
from goals import Result, Row, at_least, at_most, exactly, parser, publish, rounds_of
from timing import Comparison, Spread

HERE = Path(__file__).parent

FLOOR = "floor: ready data, official encoder, one POST"
OURS = "metalscope, OTLP as by default: gzip, spool in memory"
ON_DISK = "metalscope, OTLP as by default, spool on disk"
PLAIN = "metalscope, OTLP in one request without gzip"
IN_JSON = "metalscope, OTLP in JSON"
WRITE = "metalscope, remote write"
SDK = "OpenTelemetry SDK, OTLP as by default: one request without gzip"
SDK_GZIP = "OpenTelemetry SDK, OTLP with gzip"
IDLE = "metalscope, OTLP as by default, no series moved"

WAYS = {
    FLOOR: "floor",
    OURS: "otlp",
    ON_DISK: "otlp",
    PLAIN: "otlp-plain",
    IN_JSON: "otlp-json",
    WRITE: "remote-write",
    SDK: "sdk",
    SDK_GZIP: "sdk-gzip",
}
"""The ways of exporting, by what export_child.py calls them."""


def has_sdk_exporter() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


class Child:
    """A running export_child.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._read()

    def ask(self, command: str, argument: float = 0) -> dict[str, float]:
        """Have it do something; return what it says of it."""
        assert self._process.stdin
        self._process.stdin.write(f"{command} {argument}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, float]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process that exports ended early: void")
        answer: dict[str, float] = json.loads(line)
        return answer


@contextmanager
def process(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program of this folder until the end of its input."""
    with subprocess.Popen(
        [sys.executable, HERE / arguments[0], *arguments[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Nothing but what is measured decides where, and how, is exported.
        env={name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
    ) as running:
        try:
            yield running
        finally:
            if running.stdin:
                running.stdin.close()
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                running.kill()


@contextmanager
def child(name: str, url: str, names: int, *, on_disk: bool = False) -> Iterator[Child]:
    arguments = ["export_child.py", WAYS[name], url, str(names)]
    with tempfile.TemporaryDirectory() as folder:
        if on_disk:
            arguments.append(folder)
        with process(*arguments) as running:
            yield Child(running)


@contextmanager
def sink() -> Iterator[str]:
    """A peer that takes everything; gives its URL."""
    with process("export_sink.py") as running:
        assert running.stdout
        yield f"http://127.0.0.1:{int(running.stdout.readline())}"


@contextmanager
def nobody() -> Iterator[str]:
    """A URL whose port refuses every connection."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, so that no other program gets it, and not listened to
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def received(base: str, slug: str) -> dict[str, int]:
    with urlopen(f"{base}/{slug}", timeout=60) as answer:
        found: dict[str, int] = json.load(answer)
    return found


def slug_of(name: str) -> str:
    return str(list(WAYS).index(name))


# -- time ------------------------------------------------------------------------------------------


def ticks(
    base: str, ways: Sequence[str], *, names: int, rounds: int
) -> tuple[dict[str, dict[str, list[float]]], dict[str, dict[str, int]]]:
    """Seconds of every tick, by what was measured and way; and what one tick sends."""
    seconds: dict[str, dict[str, list[float]]] = {"cpu": {}, "wall": {}, "consume": {OURS: []}}
    sent: dict[str, dict[str, int]] = {}
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(
                child(name, f"{base}/{slug_of(name)}", names, on_disk=name == ON_DISK)
            )
            for name in ways
        }
        for name, one in children.items():
            one.ask("tick")  # does not count
            sent[name] = _checked(name, received(base, slug_of(name)), names)
        for number in range(rounds):
            turn = number % len(ways)
            for name in [*ways[turn:], *ways[:turn]]:
                took = children[name].ask("tick")
                for what in ("cpu", "wall"):
                    seconds[what].setdefault(name, []).append(took[what])
                if name == OURS:
                    took = children[name].ask("again")
                    seconds["cpu"].setdefault(IDLE, []).append(took["cpu"])
            seconds["consume"][OURS].append(children[OURS].ask("consume")["seconds"])
        for name in ways:
            expected = sent[name]["requests"] * (1 + rounds * (3 if name == OURS else 1))
            if (found := received(base, slug_of(name))["requests"]) != expected:
                raise SystemExit(f"{name}: {found} requests where {expected} were right: void")
    return seconds, sent


def _checked(name: str, sent: dict[str, int], names: int) -> dict[str, int]:
    """What a tick sent, if these are the series that were to be sent."""
    series = names * SERIES_A_NAME
    most = series + 100  # ours has some of the process, the host and its health besides
    if name == WRITE:
        # A histogram is a series for each of its 20 bounds, +Inf, count and sum.
        series, most = names * (SERIES_A_NAME + 22), names * (SERIES_A_NAME + 22) + 100
    if not series <= sent["points"] <= most:
        raise SystemExit(f"{name}: {sent['points']} points where {series} were right: void")
    return sent


def loops(
    base: str, ways: Sequence[str], *, names: int, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds that a loop which holds the interpreter took beside a tick, and alone."""
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        children = {
            name: stack.enter_context(child(name, f"{base}/{slug_of(name)}", names))
            for name in ways
        }
        for one in children.values():
            one.ask("tick")
        steps = children[ways[0]].ask("steps", seconds)["steps"]
        for number in range(rounds):
            turn = number % len(ways)
            for name in [*ways[turn:], *ways[:turn]]:
                took = children[name].ask("loop", steps)
                if not took["over"]:
                    raise SystemExit(f"{name}: the loop was over before the export: void")
                for what in ("alone", "beside"):
                    found.setdefault(f"{name}, {what}", []).append(took[what])
    return found


# -- memory ----------------------------------------------------------------------------------------


def grown(
    url: str, name: str, *, names: int, counts: tuple[int, int], on_disk: bool, down: bool
) -> Any:
    """Resident memory before the first tick and after each of two counts of ticks."""
    command = "queue" if down else "ticks"
    with child(name, url, names, on_disk=on_disk) as one:
        before = one.ask("memory")
        first = one.ask(command, counts[0])
        second = one.ask(command, counts[1] - counts[0])
    return {"before": before, "first": first, "second": second}


def memory(
    base: str, closed: str, *, sdk: bool, names: int, counts: tuple[int, int]
) -> dict[str, Any]:
    cases = {
        "metalscope, spool in memory": (base, OURS, False, False),
        "metalscope, spool on disk": (base, ON_DISK, True, False),
        "metalscope, spool in memory, peer down": (closed, OURS, False, True),
        "metalscope, spool on disk, peer down": (closed, ON_DISK, True, True),
    }
    if sdk:
        cases["OpenTelemetry SDK"] = (base, SDK, False, False)
    # Side by side: memory does not depend on speed.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        running = {
            case: pool.submit(
                grown,
                f"{base_url}/memory-{number}",
                name,
                names=names,
                counts=counts,
                on_disk=on_disk,
                down=down,
            )
            for number, (case, (base_url, name, on_disk, down)) in enumerate(cases.items())
        }
        return {case: future.result() for case, future in running.items()}


def memory_rows(found: dict[str, Any], counts: tuple[int, int]) -> Iterator[Row]:
    first, last = counts
    for case, one in found.items():
        ours = case.startswith("metalscope")
        peak = one["second"]["peak"] - one["before"]["rss"]
        growth = one["second"]["rss"] - one["first"]["rss"]
        flat = at_most(4, "MB (flat)") if ours else None
        yield exactly(f"{case}: most memory above that before the first tick", peak / 1e6, "MB")
        yield exactly(f"{case}: growth from tick {first} to tick {last}", growth / 1e6, "MB", flat)
        if "waiting" in one["second"]:
            yield exactly(
                f"{case}: most bytes that waited",
                one["second"]["waiting"] / 1e6,
                "MB",
                at_most(SPOOL_BYTES / 1e6, "MB, the spool's limit"),
            )


# -- all of it -------------------------------------------------------------------------------------


def measure(*, names: int, rounds: int, counts: tuple[int, int], loop_seconds: float) -> Result:
    sdk = has_sdk_exporter()
    ways = [name for name in WAYS if sdk or name not in (SDK, SDK_GZIP)]
    with sink() as base, nobody() as closed:
        seconds, sent = ticks(base, ways, names=names, rounds=rounds)
        loop_ways = [OURS, SDK] if sdk else [OURS]
        loop = loops(base, loop_ways, names=names, rounds=max(2, rounds // 2), seconds=loop_seconds)
        found = memory(base, closed, sdk=sdk, names=names, counts=counts)
    cpu = Comparison(seconds["cpu"])
    held = Spread.of(seconds["consume"][OURS]).scaled(1e6)
    rows = [Row(name, cpu.spread(name).scaled(1e3), "ms") for name in (*ways, IDLE)]
    if sdk:
        no_slower = at_least(1, "x")
        rows += [
            Row(f"{SDK} / {PLAIN}", cpu.ratio(SDK, PLAIN), "x", no_slower),
            Row(f"{SDK_GZIP} / {OURS}", cpu.ratio(SDK_GZIP, OURS), "x", no_slower),
            Row(f"{SDK} / {OURS}", cpu.ratio(SDK, OURS), "x", no_slower),
        ]
    rows += [
        Row(f"{OURS} / {FLOOR}", cpu.ratio(OURS, FLOOR), "x"),
        Row("the thread of the tick is held by consume()", held, "µs", at_most(200, "µs")),
    ]
    comparison = Comparison(loop)
    for name in loop_ways:
        beside, alone = f"{name}, beside", f"{name}, alone"
        longer = Spread.of([a - b for a, b in zip(loop[beside], loop[alone], strict=True)])
        long = f"{loop_seconds:g} s"
        rows += [
            Row(f"a loop of {long} beside a tick: {name}", longer.scaled(1e3), "ms longer"),
            Row(
                f"a loop of {long} beside a tick / alone: {name}",
                comparison.ratio(beside, alone),
                "x",
            ),
        ]
    rows += memory_rows(found, counts)
    return Result(
        f"export of {names * SERIES_A_NAME:,} series a tick, CPU of the process",
        rows,
        facts={"names": names, "rounds": rounds, "ticks": counts, "a_tick_sends": sent, "sdk": sdk},
        raw={"seconds": seconds, "loop": loop, "memory": found},
    )


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="export")
    arguments_parser.add_argument("--names", type=int, default=1250, help=argparse.SUPPRESS)
    arguments_parser.add_argument("--ticks", type=int, help="ticks that memory is watched over")
    arguments_parser.add_argument("--loop-seconds", type=float, default=1.5, help=argparse.SUPPRESS)
    arguments = arguments_parser.parse_args(argv)
    last = arguments.ticks or (40 if arguments.quick else 300)
    result = measure(
        names=arguments.names,
        rounds=rounds_of(arguments),
        counts=(max(1, last // 10), last),
        loop_seconds=arguments.loop_seconds,
    )
    publish(result, arguments.output)
    print()
    for name, sent in result.facts["a_tick_sends"].items():
        print(
            f"{name}: {sent['points']:,} points, {sent['requests']} requests, "
            f"{sent['bytes']:,} bytes, {sent['unpacked']:,} uncompressed"
        )
    if not result.facts["sdk"]:
        print("opentelemetry-exporter-otlp-proto-http is not installed: nothing to compare with.")


if __name__ == "__main__":
    main()
