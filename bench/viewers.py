"""What 500 viewers of the event stream cost the program they look at: its steps a second, memory.
And where wrk is installed, what /metrics stands: 500 connections that ask without a pause.

python bench/viewers.py [--quick] [--rounds N] [--output PATH]
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from statistics import median
from time import perf_counter, sleep
from urllib.parse import urlsplit

import psutil

from goals import Result, Row, at_least, at_most, exactly, parser, publish, rounds_of
from timing import Spread

VIEWERS = 500
SETTLE_SECONDS = 1.5


def step_of_work() -> Callable[[], object]:
    """Half a millisecond of MLX, or where that is not installed, of hashing."""
    try:
        import mlx.core as mx
    except ImportError:
        data = bytes(700_000)
        return lambda: hashlib.sha256(data).digest()
    a = mx.random.uniform(shape=(128, 128))
    return lambda: mx.eval(a @ a)


def program() -> None:
    """Work under telemetry; each line of standard input is answered by the steps done so far."""
    import metalscope

    telemetry = metalscope.add_metal_telemetry(server={"enabled": True, "port": 0})
    metalscope.instrument("mlx", telemetry)
    assert telemetry.server is not None
    print(telemetry.server.url, flush=True)
    step, steps = step_of_work(), 0

    def answer() -> None:
        for _ in sys.stdin:
            print(json.dumps([steps, perf_counter()]), flush=True)

    threading.Thread(target=answer, daemon=True).start()
    while True:
        step()
        steps += 1


async def look(address: str, viewers: int, until: asyncio.Event) -> list[int]:
    """Open so many streams, read all that comes until told; how many updates each had."""
    place = urlsplit(address)

    async def one() -> int:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stop = asyncio.create_task(until.wait())
        updates = 0
        while not until.is_set():
            read = asyncio.create_task(reader.read(1 << 20))
            await asyncio.wait({read, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not read.done():
                read.cancel()
                break
            if not read.result():
                break
            updates += read.result().count(b"event: snapshot")
        writer.close()
        return updates

    return await asyncio.gather(*(one() for _ in range(viewers)))


def viewers(address: str) -> None:
    """Look until standard input ends, then say how many updates each viewer had."""

    async def run() -> list[int]:
        until = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, lambda: (sys.stdin.read(), loop.call_soon_threadsafe(until.set)))
        return await look(address, VIEWERS, until)

    print(json.dumps(asyncio.run(run())), flush=True)


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def rate(worker: subprocess.Popen[str], seconds: float) -> float:
    """Steps a second over so many."""
    assert worker.stdin is not None
    assert worker.stdout is not None

    def now() -> tuple[int, float]:
        print(file=worker.stdin, flush=True)
        steps, at = json.loads(worker.stdout.readline())  # type: ignore[union-attr]
        return steps, at

    before, began = now()
    sleep(seconds)
    after, ended = now()
    return (after - before) / (ended - began)


def ask_without_pause(address: str, process: psutil.Process, *, rounds: int) -> list[Row]:
    """wrk on ``/metrics``, round after round; fails where an answer is no 200."""
    rates, memory = [], []
    for _ in range(max(2, rounds)):
        command = ["wrk", "-t1", f"-c{VIEWERS}", "-d4s", "--timeout", "30s", f"{address}/metrics"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "Non-2xx" not in out, out
        rates.append(float(re.findall(r"Requests/sec: +([\d.]+)", out)[0]))
        memory.append(process.memory_info().rss / 2**20)
        sleep(SETTLE_SECONDS)
    return [
        Row(f"wrk, {VIEWERS} connections: scrapes a second", Spread.of(rates), ""),
        exactly(
            "memory of the program, last round of wrk above the first",
            memory[-1] - memory[0],
            "MB",
            at_most(4, "MB (flat)"),
        ),
    ]


def measure(*, rounds: int, seconds: float) -> Result:
    """Turn by turn with nobody looking and with all."""
    worker = start("--program")
    assert worker.stdout is not None
    address = worker.stdout.readline().strip()
    process = psutil.Process(worker.pid)
    alone: list[float] = []
    watched: list[float] = []
    seen: list[float] = []
    memory: list[float] = []
    try:
        rate(worker, SETTLE_SECONDS)
        for _ in range(rounds):
            alone.append(rate(worker, seconds))
            crowd = start("--viewers", address)
            sleep(SETTLE_SECONDS)
            watched.append(rate(worker, seconds))
            memory.append(process.memory_info().rss / 2**20)
            out, _ = crowd.communicate("")
            updates = json.loads(out)
            assert min(updates) > 0, "a viewer saw nothing"
            seen.append(median(updates) / (seconds + SETTLE_SECONDS))
            sleep(SETTLE_SECONDS / 2)
        scraped = ask_without_pause(address, process, rounds=rounds) if shutil.which("wrk") else []
    finally:
        worker.kill()
        worker.wait()
    ratios = Spread.of([one / other for one, other in zip(watched, alone, strict=True)])
    grown = memory[-1] - memory[0]
    return Result(
        f"{VIEWERS} viewers of the event stream",
        [
            Row("nobody looks: steps a second of the program", Spread.of(alone), ""),
            Row(f"{VIEWERS} viewers: steps a second of the program", Spread.of(watched), ""),
            Row("with viewers / without", ratios, "x", at_least(0.99, "x")),
            Row("updates a second that a viewer sees", Spread.of(seen), ""),
            exactly(
                "memory of the program, last round above the first",
                grown,
                "MB",
                at_most(4, "MB (flat)"),
            ),
            *scraped,
        ],
    )


def main() -> None:
    if "--program" in sys.argv:
        program()
    elif "--viewers" in sys.argv:
        viewers(sys.argv[-1])
    else:
        arguments = parser(__doc__, name="viewers").parse_args()
        found = measure(rounds=rounds_of(arguments), seconds=1.0 if arguments.quick else 4.0)
        publish(found, arguments.output)


if __name__ == "__main__":
    main()
