from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from frames import Frame, frames

from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.server import RunningServer, start_server
from metalscope.server.app import create_app
from metalscope.server.source import Asker
from metalscope.server.sse import EventHub, Viewer


def test_the_first_message_is_the_history_then_the_snapshot_then_live_ones(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    tel.record("execute", "matmul", duration_ns=2_000_000)
    with http.stream("GET", "/api/v1/events") as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-store"
        received = frames(stream.iter_lines())
        recent, first = next(received), next(received)
        assert (recent.event, recent.retry) == ("recent", "2000")
        assert set(recent.data) == {"started_at", "points", "alerts"}
        assert (first.event, first.data["total_operations"]) == ("snapshot", 1)
        assert first.event_id

        tel.record("execute", "matmul", duration_ns=2_000_000)
        live = next(frame for frame in received if frame.data["total_operations"] == 2)
        assert live.data["timestamp"] > first.data["timestamp"]


def test_the_first_message_does_not_wait_for_a_tick() -> None:
    options = MetalTelemetryOptions(tick_interval=timedelta(minutes=5))
    with MetalTelemetryManager(options) as tel:
        server = start_server(tel, host="127.0.0.1", port=0)
        try:
            with httpx.stream("GET", f"{server.url}/api/v1/events", trust_env=False) as stream:
                received = frames(stream.iter_lines())
                assert [next(received).event, next(received).event] == ["recent", "snapshot"]
        finally:
            server.stop()


def collect_events(stream: httpx.Response, until: int) -> list[Frame]:
    found = []
    for frame in frames(stream.iter_lines()):
        if frame.event == "event":
            found.append(frame)
            if frame.data["sequence"] == until:
                break
    return found


def test_custom_events_are_sent_once_each_in_their_order(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    tel.record_custom_event("before", {"n": 1})
    with http.stream("GET", "/api/v1/events") as stream:
        received = frames(stream.iter_lines())
        first = next(frame for frame in received if frame.event == "event")
        tel.record_custom_event("during", {"n": 2})
        second = next(frame for frame in received if frame.event == "event")
        tel.record_custom_event("after", {"n": 3})
        third = next(frame for frame in received if frame.event == "event")
    assert [frame.data["name"] for frame in (first, second, third)] == ["before", "during", "after"]
    assert second.data["properties"] == {"n": 2}


def test_a_viewer_that_comes_back_gets_only_what_it_missed(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    tel.record_custom_event("seen", {})
    with http.stream("GET", "/api/v1/events") as stream:
        received = frames(stream.iter_lines())
        last_id = next(frame.event_id for frame in received if frame.event == "snapshot")
    tel.record_custom_event("missed", {})

    with http.stream("GET", "/api/v1/events", headers={"last-event-id": last_id}) as stream:
        assert [frame.data["name"] for frame in collect_events(stream, 2)] == ["missed"]
    # An id of another run of the program says nothing of this one.
    with http.stream("GET", "/api/v1/events", headers={"last-event-id": "f00-1"}) as stream:
        assert [f.data["name"] for f in collect_events(stream, 2)] == ["seen", "missed"]


def test_hostile_names_stay_within_their_line_of_data(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    name = "kernel\n\nevent: snapshot\ndata: {}\u2028</script>"
    tel.record("execute", name, duration_ns=1)
    tel.record_custom_event(name, {"text\n\n": "\r\n\r\ndata: 1"})
    with http.stream("GET", "/api/v1/events") as stream:
        received = frames(stream.iter_lines())
        snapshot = next(frame for frame in received if frame.event == "snapshot")
        plain = http_snapshot_names(tel)
        assert [operation["name"] for operation in snapshot.data["operations"]] == plain


def http_snapshot_names(tel: MetalTelemetryManager) -> list[str]:
    return [operation["name"] for operation in tel.get_snapshot().to_dict()["operations"]]


@asynccontextmanager
async def viewer(client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[str]]:
    async with client.stream("GET", "/api/v1/events") as stream:
        assert stream.status_code == 200
        yield stream.aiter_lines()


async def until_total(lines: AsyncIterator[str], total: int) -> str:
    async for line in lines:
        if line.startswith("data:"):
            data = json.loads(line.removeprefix("data:"))
            if data.get("total_operations") == total:
                return line
    raise AssertionError("the stream ended early")


async def test_sixty_viewers_see_the_same_update_and_all_are_let_go_at_stop(
    tel: MetalTelemetryManager, server: RunningServer
) -> None:
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(
            base_url=server.url, trust_env=False, limits=limits, timeout=60
        ) as client,
        AsyncExitStack() as stack,
    ):
        streams = [await stack.enter_async_context(viewer(client)) for _ in range(60)]
        for _ in range(7):
            tel.record("execute", "matmul", duration_ns=1_000)
        lines = await asyncio.gather(*(until_total(stream, 7) for stream in streams))
        assert len(lines) == 60

        stopping = asyncio.to_thread(server.stop)

        async def drain(stream: AsyncIterator[str]) -> None:
            async for _ in stream:
                pass

        # A clean end of every stream: a cut one would raise here.
        await asyncio.gather(stopping, *(drain(stream) for stream in streams))


async def test_one_viewer_more_than_allowed_is_turned_away_and_a_place_comes_free(
    tel: MetalTelemetryManager,
) -> None:
    app = create_app(tel, max_viewers=2)
    hub: EventHub = app.state.hub
    first, second = hub.enter(), hub.enter()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        refused = await client.get("/api/v1/events")
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
    hub.leave(first)
    third = hub.enter()
    assert hub.viewers == 2
    for one in (second, third):
        hub.leave(one)
    hub.close()


async def test_a_viewer_that_leaves_is_forgotten(
    tel: MetalTelemetryManager, server: RunningServer
) -> None:
    hub = server._hub
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        async with viewer(client) as lines:
            await anext(lines)
            assert hub.viewers == 1
        while hub.viewers:
            await asyncio.sleep(0.01)


async def test_a_slow_viewer_skips_to_the_newest_and_what_it_missed_is_counted(
    tel: MetalTelemetryManager,
) -> None:
    tel.stop()  # the ticks here are made by hand
    hub = EventHub(tel, Asker(at_once=1, patience=10), max_viewers=2)
    slow: Viewer = hub.enter()
    sent = hub.frames(slow, None)
    await anext(sent)
    await anext(sent)
    for n in range(1, 6):
        tel.record("execute", "matmul", duration_ns=1)
        tel.record_custom_event(f"event {n}", {})
        await asyncio.to_thread(tel.export_now)
        await asyncio.sleep(0)  # the loop hands it round
        await asyncio.sleep(0)

    data = (await anext(sent)).decode()
    assert hub.skipped == 4
    received = list(frames(data.splitlines()))
    assert [f.data["total_operations"] for f in received if f.event == "snapshot"] == [5]
    # Custom events of the skipped updates are not lost.
    assert [f.data["name"] for f in received if f.event == "event"] == [
        f"event {n}" for n in range(1, 6)
    ]
    await sent.aclose()
    hub.close()


async def test_a_tick_costs_nothing_while_no_one_looks(
    tel: MetalTelemetryManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    serialised = []
    monkeypatch.setattr("metalscope.server.sse._live", lambda s: serialised.append(s) or {})
    hub = EventHub(tel, Asker(at_once=1, patience=10), max_viewers=2)
    tel.export_now()
    assert serialised == []
    viewers = [hub.enter(), hub.enter()]
    tel.stop()
    serialised.clear()
    tel.export_now()
    assert len(serialised) == 1
    for one in viewers:
        hub.leave(one)
    hub.close()


async def test_the_hub_that_is_closed_admits_no_one(tel: MetalTelemetryManager) -> None:
    app = create_app(tel)
    app.state.hub.close()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/api/v1/events")).status_code == 503
