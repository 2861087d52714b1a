"""Which of the readings that the sensors give stands in a gauge, and the lines of bars."""

from __future__ import annotations

import pytest

from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.tui.gauges import TITLES, Gauge, all_gauges, reading_text
from metalscope.tui.spark import POINTS, History, sparkline


def reading(kind: ResourceKind, name: str, current: float, limit: float | None = None):
    return ResourceMetrics(kind, name, "gpu:0", current, limit=limit)


def gauge(title: str, *readings: ResourceMetrics) -> Gauge:
    return next(one for one in all_gauges(None, readings) if one.title == title)


@pytest.mark.parametrize(
    ("title", "kind", "values", "shown"),
    [
        ("GPU load", "gpu_utilization", {"active": 40, "device": 50, "tiler": 90}, "50.0 %"),
        ("GPU load", "gpu_utilization", {"active": 40}, "40.0 %"),
        ("Power", "power", {"ane": 9, "gpu": 7, "cpu": 12}, "7.00 W"),
        ("Heat", "temperature", {"cpu": 70, "gpu": 55, "soc": 60}, "55 °C"),
        ("Heat", "temperature", {"cpu": 70, "soc": 60}, "70 °C"),
        ("Bandwidth", "bandwidth", {"read": 6e10, "total": 9e10, "write": 3e10}, "90.0GB/s"),
        ("GPU memory", "memory", {"mlx_cache": 4096, "mlx_active": 2048}, "2.00 KiB"),
        ("GPU memory", "memory", {"torch_driver": 4096, "torch_allocated": 1024}, "1.00 KiB"),
        ("GPU memory", "gpu_memory", {"gpu_allocated": 4096, "gpu_in_use": 3072}, "3.00 KiB"),
        ("Host memory", "host_memory", {"process_resident": 1, "used": 1 << 30}, "1.00 GiB"),
        ("Pressure", "memory_pressure", {"system": 3}, "critical"),
    ],
)
def test_the_reading_of_the_whole_comes_before_those_of_its_parts(
    title: str, kind: str, values: dict[str, float], shown: str
):
    readings = [reading(ResourceKind(kind), name, value) for name, value in values.items()]
    assert gauge(title, *readings).text == shown


def test_without_degrees_the_system_s_own_word_is_shown():
    state = reading(ResourceKind.THERMAL_STATE, "system", 2)
    assert gauge("Heat", state).text == "serious"
    hot = gauge("Heat", state, reading(ResourceKind.TEMPERATURE, "gpu", 91))
    assert (hot.text, hot.note) == ("91 °C", "serious")


def test_without_any_reading_every_gauge_is_absent():
    gauges = all_gauges(None, ())
    assert [one.title for one in gauges] == list(TITLES)
    assert {(one.text, one.value) for one in gauges} == {("—", None)}


def test_zero_is_a_value():
    assert gauge("Power", reading(ResourceKind.POWER, "gpu", 0)).text == "0.00 W"


@pytest.mark.parametrize("kind", list(ResourceKind))
def test_every_kind_of_reading_has_words(kind: ResourceKind):
    one = reading(kind, "any", 1)
    assert reading_text(one, one.current)
    assert reading_text(one, None) == "—"


def test_a_line_of_bars_ends_with_the_newest_and_has_gaps():
    assert sparkline([0, 5, None, 10], 6) == "  ▁▅ █"
    assert sparkline([1, 2, 3, 4], 2) == "▆█"
    assert sparkline([1, 50], 2, ceiling=100) == "▂▅"
    assert sparkline([0, 0], 2) == "▁▁"
    assert sparkline([0.001, 100], 2) == "▂█"
    assert sparkline([], 3) == "   "
    assert sparkline([1], 0) == ""


def test_of_the_history_only_so_much_is_kept():
    history = History()
    for number in range(POINTS + 5):
        history.add({"Power": number})
    assert history.of("Power") == tuple(range(5, POINTS + 5))
