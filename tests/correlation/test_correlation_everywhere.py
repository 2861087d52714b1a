"""One piece of work through threads, tasks, executors, processes and other services."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import urllib3
from traced_requests import Spans, here, tracer_into

import metalscope
from metalscope.carrying import carried
from metalscope.correlating import correlation
from metalscope.propagation import environment, inject
from metalscope.traces.tracer import Tracer
from peer_process import running
from peers import free_port

SERVICE = Path(__file__).parent / "hop_server.py"

CHILD = """
import json, sys
sys.path.insert(0, {folder!r})
from metalscope.propagation import from_environment
from traced_requests import here
from_environment().take_up()
print(json.dumps(here()))
"""


def ask(url: str) -> Any:
    """Ask the service from wherever this runs."""
    return urllib3.request("GET", url, headers=inject({}), retries=False, timeout=30.0).json()


def of_a_program() -> Any:
    """What a program sees that is started from here."""
    source = CHILD.format(folder=str(SERVICE.parent))
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def of_a_thread() -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(here()))
    thread.start()
    thread.join()
    return found[0]


def of_a_process() -> Any:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=tell, args=(theirs,))
    process.start()
    found = ours.recv()
    process.join()
    return found


def tell(pipe: Any) -> None:
    pipe.send(here())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(
        [sys.executable, str(SERVICE), str(port)],
        ready=f"{url}/spans",
        directory=tmp_path_factory.mktemp("service"),
    ):
        yield url


@pytest.fixture
def threads() -> Iterator[None]:
    metalscope.instrument("threads", metalscope.MetalTelemetryManager())
    yield
    metalscope.uninstrument("threads")


@dataclass
class Everywhere:
    """The ways work goes, and what is seen at the end of each."""

    service: str
    tracer: Tracer
    pool: ThreadPoolExecutor
    processes: ProcessPoolExecutor
    http: httpx.AsyncClient

    async def seen_by(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is seen here, and there."""
        loop = asyncio.get_running_loop()
        url = f"{self.service}/hop/{name}"
        async with correlation(name):
            with self.tracer.span(f"work {name}"):
                await asyncio.sleep(0)
                there = {
                    "a task": await asyncio.create_task(self.told()),
                    "a thread": await asyncio.to_thread(of_a_thread),
                    "a pool of threads": await loop.run_in_executor(self.pool, here),
                    "a pool of processes": await loop.run_in_executor(self.processes, here),
                    "one by hand": await loop.run_in_executor(self.processes, carried(here)),
                    "a program": await loop.run_in_executor(self.pool, of_a_program),
                    "the service, by httpx": (await self.http.get(url, headers=inject({}))).json(),
                    "the service, from a thread": await loop.run_in_executor(self.pool, ask, url),
                    "the service, from a process": await loop.run_in_executor(
                        self.processes, ask, url
                    ),
                }
                if name == "a":
                    there["a process"] = await asyncio.to_thread(of_a_process)
                return here(), there

    async def told(self) -> Any:
        await asyncio.sleep(0)
        return here()


async def test_id_and_trace_arrive_everywhere_and_siblings_stay_apart(
    service: str, threads: None
) -> None:
    spans = Spans()
    names = ["a", "b", "c"]
    spawn = multiprocessing.get_context("spawn")
    with (
        ThreadPoolExecutor(2) as pool,
        ProcessPoolExecutor(1, mp_context=spawn) as processes,
    ):
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            ways = Everywhere(service, tracer_into(spans), pool, processes, http)
            found = dict(zip(names, await asyncio.gather(*map(ways.seen_by, names)), strict=True))
            nothing = dict.fromkeys(["id", "trace", "span", "sampled", "state"])
            assert here() == nothing
            assert pool.submit(here).result() == nothing
            assert processes.submit(here).result() == nothing
            of_service = (await http.get(f"{service}/spans")).json()

    assert len({home["trace"] for home, _ in found.values()}) == 3
    for name, (home, there) in found.items():
        assert (home["id"], home["sampled"]) == (name, True)
        for way, seen in there.items():
            if "service" not in way:
                assert seen == home, f"{name} by {way}"
                continue
            # Ours, then the request's and the work's of the service, then those of the next one.
            for step in ("here", "thread", "next"):
                assert (seen[step]["id"], seen[step]["trace"]) == (name, home["trace"]), way
            assert seen["thread"] == seen["here"]
            asked, worked = seen["next"]["span"], seen["here"]["span"]
            assert of_service[asked] == ["GET /leaf", worked, home["trace"], name]
            what, request, trace, correlation_id = of_service[worked]
            assert (what, trace, correlation_id) == ("work", home["trace"], name)
            assert of_service[request] == ["GET /hop/{name}", home["span"], home["trace"], name]
    assert len(of_service) == 3 * 3 * 3
    assert {span.name: (f"{span.trace_id:032x}", span.correlation_id) for span in spans} == {
        f"work {name}": (found[name][0]["trace"], name) for name in names
    }
