from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import webgpu_work
from webgpu_work import USAGE

from metalscope import MetalTelemetryManager, instrument, uninstrument
from metalscope.instrument.webgpu import INSTRUMENT
from metalscope.snapshot import ResourceKind

pytestmark = pytest.mark.webgpu


@pytest.fixture
def telemetry() -> Iterator[MetalTelemetryManager]:
    telemetry = MetalTelemetryManager()
    instrument("webgpu", telemetry)
    yield telemetry
    uninstrument("webgpu")


@pytest.fixture
def device(telemetry: MetalTelemetryManager) -> Any:
    return webgpu_work.open_device()


def live() -> list[float]:
    """What the sensor reads now; a snapshot reads it once a tick only."""
    installed = INSTRUMENT._installed
    assert installed is not None
    return [one.current for one in installed.buffers.read()]


def test_live_buffers_are_in_the_snapshot(telemetry: MetalTelemetryManager, device: Any) -> None:
    kept = device.create_buffer(size=1000, usage=USAGE)
    (reading,) = [one for one in telemetry.get_snapshot().resources if one.name == "webgpu_buffers"]
    assert (reading.kind, reading.current) == (ResourceKind.MEMORY, kept.size)
    assert reading.device == device.adapter_info["device"]
    uninstrument("webgpu")
    names = [one.name for one in telemetry.get_snapshot().resources]
    assert "webgpu_buffers" not in names


def test_without_a_buffer_there_is_no_reading(device: Any) -> None:
    assert live() == []


def test_a_buffer_counts_until_it_is_destroyed_or_let_go(device: Any) -> None:
    first = device.create_buffer(size=64, usage=USAGE)
    second = device.create_buffer_with_data(data=bytes(100), usage=USAGE)
    third = device.create_buffer(size=8, usage=USAGE)
    assert live() == [172]
    first.destroy()
    first.destroy()
    assert live() == [108]
    del second
    gc.collect()
    assert live() == [8]
    third.destroy()
    del first, third
    gc.collect()
    assert live() == [0]


def test_a_destroyed_device_has_no_buffers_and_another_keeps_its_own(device: Any) -> None:
    other = webgpu_work.open_device()
    kept = [one.create_buffer(size=64, usage=USAGE) for one in (device, other)]
    assert live() == [128]
    device.destroy()
    assert live() == [64]
    del kept


def test_what_wgpu_makes_for_itself_and_what_fails_does_not_count(device: Any) -> None:
    buffer = device.create_buffer(size=64, usage=USAGE)
    device.queue.read_buffer(buffer)
    with pytest.raises(Exception, match="usage"):
        device.create_buffer(size=64, usage=0)
    assert live() == [64]


def test_ten_thousand_buffers_come_and_go_and_none_is_forgotten(device: Any) -> None:
    buffers: list[Any] = []
    for number in range(10_000):
        buffers.append(device.create_buffer(size=4 + number % 7 * 4, usage=USAGE))
        if number % 3 == 0:
            del buffers[number % len(buffers)]
    assert live() == [sum(one.size for one in buffers)]
    buffers.clear()
    gc.collect()
    assert live() == [0]
