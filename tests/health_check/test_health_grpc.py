"""The gRPC health service, asked by gRPC's own client, of both kinds of server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import grpc
import pytest
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from health_source import StartedSource, report_of
from metalscope import default, health_grpc_servicer
from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.health_check import MetalBackendHealthCheck
from metalscope.health_grpc import GrpcHealth, add_health_service
from metalscope.health_report import HealthStatus
from metalscope.manager import MetalTelemetryManager

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
DEVICE = HealthCheckRequest(service="metalscope.device")
OVERALL = HealthCheckRequest()
PATIENCE = 30.0


@pytest.fixture
def source() -> Iterator[StartedSource]:
    made = StartedSource()
    yield made
    made.go_on.set()


@contextmanager
def serving(source: Any, **how: Any) -> Iterator[tuple[HealthStub, GrpcHealth]]:
    server = grpc.server(ThreadPoolExecutor(4))
    health = add_health_service(server, source, **how)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield HealthStub(channel), health
    health.close()
    server.stop(None).wait()


@asynccontextmanager
async def serving_aio(
    source: Any, *, close: bool = True, **how: Any
) -> AsyncIterator[tuple[Any, GrpcHealth]]:
    server = grpc.aio.server()
    health = add_health_service(server, source, **how)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield HealthStub(channel), health
    if close:
        await asyncio.to_thread(health.close)
    await server.stop(None)


def until(watch: Any, status: int) -> None:
    """Read the stream until it says so; the client's deadline ends it otherwise."""
    for answer in watch:
        if answer.status == status:
            return
    pytest.fail(f"the stream ended before {status}")


async def until_aio(watch: Any, status: int) -> None:
    async for answer in watch:
        if answer.status == status:
            return
    pytest.fail(f"the stream ended before {status}")


@pytest.mark.parametrize("status", [s for s in HealthStatus if s is not HealthStatus.CRITICAL])
def test_what_works_or_has_not_worked_yet_serves(
    status: HealthStatus, source: StartedSource
) -> None:
    source.report = report_of(status)
    with serving(source) as (stub, _):
        until(stub.Watch(OVERALL, timeout=PATIENCE), SERVING)
        until(stub.Watch(DEVICE, timeout=PATIENCE), SERVING)
        assert stub.Check(OVERALL).status == SERVING
        assert stub.Check(DEVICE).status == SERVING


def test_a_watcher_is_told_of_each_change_with_the_tick_that_brings_it(
    source: StartedSource,
) -> None:
    with serving(source, interval=3600) as (stub, _):
        overall = stub.Watch(OVERALL, timeout=PATIENCE)
        device = stub.Watch(DEVICE, timeout=PATIENCE)
        memory = HealthCheckRequest(service="metalscope.memory")
        until(overall, SERVING)
        until(device, SERVING)

        source.report = report_of(HealthStatus.CRITICAL, "3 device_lost")
        source.tick()
        until(overall, NOT_SERVING)
        until(device, NOT_SERVING)
        assert stub.Check(memory).status == SERVING

        source.report = report_of(HealthStatus.HEALTHY)
        source.tick()
        until(overall, SERVING)
        until(device, SERVING)


async def test_a_watcher_of_an_asyncio_server_is_told_of_each_change(
    source: StartedSource,
) -> None:
    async with serving_aio(source, interval=3600) as (stub, _):
        overall = stub.Watch(OVERALL, timeout=PATIENCE)
        device = stub.Watch(DEVICE, timeout=PATIENCE)
        await until_aio(overall, SERVING)
        await until_aio(device, SERVING)
        source.report = report_of(HealthStatus.CRITICAL)
        await asyncio.to_thread(source.tick)
        await until_aio(overall, NOT_SERVING)
        await until_aio(device, NOT_SERVING)
        assert (await stub.Check(DEVICE)).status == NOT_SERVING
        source.report = report_of(HealthStatus.DEGRADED)
        await asyncio.to_thread(source.tick)
        await until_aio(device, SERVING)


def test_a_service_there_is_not_is_not_found_and_watched_as_unknown(
    source: StartedSource,
) -> None:
    nothing = HealthCheckRequest(service="metalscope.nothing")
    with serving(source) as (stub, _):
        with pytest.raises(grpc.RpcError) as refusal:
            stub.Check(nothing)
        first = next(stub.Watch(nothing, timeout=PATIENCE))
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
    assert first.status == HealthCheckResponse.SERVICE_UNKNOWN


async def test_an_asyncio_server_does_not_know_such_a_service_either(
    source: StartedSource,
) -> None:
    nothing = HealthCheckRequest(service="metalscope.nothing")
    async with serving_aio(source) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await stub.Check(nothing)
        watch = stub.Watch(nothing, timeout=PATIENCE)
        first = await watch.read()
    assert refusal.value.code() is grpc.StatusCode.NOT_FOUND
    assert first.status == HealthCheckResponse.SERVICE_UNKNOWN


def test_closing_tells_every_watcher_to_go_elsewhere_for_good(source: StartedSource) -> None:
    with serving(source) as (stub, health):
        overall = stub.Watch(OVERALL, timeout=PATIENCE)
        device = stub.Watch(DEVICE, timeout=PATIENCE)
        until(overall, SERVING)
        until(device, SERVING)
        health.close()
        until(overall, NOT_SERVING)
        until(device, NOT_SERVING)
        source.tick()
        health.close()
        assert stub.Check(OVERALL).status == NOT_SERVING
        assert source.consumers == []
    assert not [one for one in threading.enumerate() if one.name == "metalscope-grpc-health"]


async def test_closing_tells_the_watchers_of_an_asyncio_server(source: StartedSource) -> None:
    async with serving_aio(source) as (stub, health):
        device = stub.Watch(DEVICE, timeout=PATIENCE)
        await until_aio(device, SERVING)
        await asyncio.to_thread(health.close)
        await until_aio(device, NOT_SERVING)
        assert (await stub.Check(OVERALL)).status == NOT_SERVING


def test_the_end_of_telemetry_is_the_end_of_serving() -> None:
    with MetalTelemetryManager() as tel, serving(tel) as (stub, _):
        watch = stub.Watch(OVERALL, timeout=PATIENCE)
        until(watch, SERVING)
        tel.shutdown()
        until(watch, NOT_SERVING)


def test_telemetry_that_hangs_is_found_without_a_tick_and_forgiven_when_it_is_over(
    source: StartedSource,
) -> None:
    check = MetalBackendHealthCheck(source, timeout=0.05)
    with serving(check, interval=0.05) as (stub, _):
        watch = stub.Watch(OVERALL, timeout=PATIENCE)
        until(watch, SERVING)
        source.go_on.clear()
        until(watch, NOT_SERVING)
        # Of the component nothing new is known.
        assert stub.Check(DEVICE).status == SERVING
        source.go_on.set()
        until(watch, SERVING)


def test_a_check_with_a_probe_decides_for_the_whole(source: StartedSource) -> None:
    works = threading.Event()
    works.set()
    check = MetalBackendHealthCheck(source, probe=works.is_set)
    with serving(check, interval=0.05) as (stub, _):
        watch = stub.Watch(OVERALL, timeout=PATIENCE)
        until(watch, SERVING)
        works.clear()
        until(watch, NOT_SERVING)
        assert stub.Check(DEVICE).status == SERVING


def test_nothing_goes_on_after_the_loop_of_an_asyncio_server(source: StartedSource) -> None:
    async def program() -> GrpcHealth:
        async with serving_aio(source, interval=0.01, close=False) as (_, health):
            return health

    health = asyncio.run(program())
    health._thread.join(PATIENCE)
    assert not health._thread.is_alive()
    health.close()


def test_without_telemetry_it_says_what_to_do_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "_default", None)
    with pytest.raises(ConfigurationError, match=r"add_metal_telemetry\(\)"):
        add_health_service(grpc.server(ThreadPoolExecutor(1)))


def test_outside_the_loop_an_asyncio_server_is_refused_in_words(source: StartedSource) -> None:
    server = asyncio.run(_made())
    with pytest.raises(ConfigurationError, match="within its event loop"):
        add_health_service(server, source)


async def _made() -> Any:
    return grpc.aio.server()


def test_without_its_library_it_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, source: StartedSource
) -> None:
    monkeypatch.setitem(sys.modules, "grpc_health.v1", None)
    with pytest.raises(MissingExtraError, match=r"metalscope\[grpc\]"):
        add_health_service(object(), source)


def test_watchers_that_come_and_go_while_statuses_change_do_not_stop_the_server(
    source: StartedSource,
) -> None:
    with serving(source, interval=3600) as (stub, health):
        until(stub.Watch(OVERALL, timeout=PATIENCE), SERVING)
        for serves in (False, True) * 100:
            watches = [stub.Watch(OVERALL, timeout=PATIENCE) for _ in range(3)]
            for watch in watches:
                next(watch)
                watch.cancel()
            health._voice.tell({"": serves})
        assert stub.Check(OVERALL, timeout=PATIENCE).status == SERVING


def test_more_watchers_than_there_may_be_are_refused_until_one_leaves(
    source: StartedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_grpc_servicer, "MAX_WATCHERS", 2)
    with serving(source) as (stub, _):
        watches = [stub.Watch(OVERALL, timeout=PATIENCE) for _ in range(2)]
        for watch in watches:
            next(watch)
        with pytest.raises(grpc.RpcError) as refusal:
            next(stub.Watch(OVERALL, timeout=PATIENCE))
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
        watches[0].cancel()
        while True:
            with suppress(grpc.RpcError):
                next(stub.Watch(OVERALL, timeout=PATIENCE))
                break


def test_another_health_service_of_the_process_keeps_its_own_ways(source: StartedSource) -> None:
    theirs = HealthServicer()
    with serving(source) as (stub, _):
        assert theirs.Watch.__func__.experimental_non_blocking is True  # type: ignore[attr-defined]
        until(stub.Watch(OVERALL, timeout=PATIENCE), SERVING)


@pytest.mark.parametrize("watched", [False, True])
def test_a_program_that_never_closes_it_can_end(watched: bool) -> None:
    program = f"""
from concurrent.futures import ThreadPoolExecutor
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from metalscope.health_grpc import add_health_service
from metalscope.manager import MetalTelemetryManager
tel = MetalTelemetryManager().start()
server = grpc.server(ThreadPoolExecutor(1))
add_health_service(server, tel)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
if {watched}:
    watch = HealthStub(grpc.insecure_channel(f"127.0.0.1:{{port}}")).Watch(HealthCheckRequest())
    next(watch)
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
