"""The view, driven by its keys and the mouse as a person would, over snapshots told to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from telling import START, Told, operation, screen_text, settle, snapshot, text_of
from textual.events import MouseScrollDown
from textual.pilot import Pilot
from textual.widgets import Input

from metalscope.operation import Component, OperationKind
from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.snapshot import (
    ActivityPoint,
    ComponentHealth,
    HealthReport,
    HealthStatus,
    RecentActivity,
    TelemetryEvent,
)
from metalscope.tui.app import TopApp
from metalscope.tui.columns import COLUMNS
from metalscope.tui.source import Lost
from metalscope.tui.table import OperationsTable
from metalscope.tui.widgets import Gauges, HappeningsPane, Header

WORK = (
    operation("matmul", 400, ms=2),
    operation("softmax", 900, ms=0.1),
    operation("load", 50, ms=8, kind=OperationKind.TRANSFER, nbytes=1 << 20),
    operation("compile_k", 3, ms=30, kind=OperationKind.COMPILE, errors=2),
)


@asynccontextmanager
async def watching(
    *sources: Told, size: tuple[int, int] = (120, 36)
) -> AsyncIterator[tuple[TopApp, Pilot[Any]]]:
    app = TopApp(sources)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot)
        yield app, pilot


def names(app: TopApp) -> list[str]:
    return [row.operation.name for row in app.query_one(OperationsTable).rows]


def drawn_names(app: TopApp) -> list[str]:
    """The names as drawn, from the top."""
    lines = text_of(app, app.query_one(OperationsTable))[1:]
    return [line.split()[1] for line in lines if line.split()]


def names_under(app: TopApp) -> list[str]:
    """The names in the table under a page."""
    table = app.screen_stack[0].query_one(OperationsTable)
    return [row.operation.name for row in table.rows]


def header(app: TopApp) -> str:
    return text_of(app, app.query_one(Header))[0]


def gauges(app: TopApp) -> str:
    return "\n".join(text_of(app, app.query_one(Gauges)))


async def test_before_anything_answers_it_says_so_and_what_to_do():
    source = Told()
    async with watching(source, size=(80, 24)) as (app, pilot):
        source.tell(Lost("nothing listens there"))
        await settle(pilot)
        shown = screen_text(app)
        assert "http://127.0.0.1:9464: nothing listens there" in shown
        assert "metalscope run" in shown
        assert "no connection" in header(app)


async def test_it_shows_who_is_watched_and_what_it_does():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(60, *WORK), snapshot(70, operation("matmul", 600, ms=2), *WORK[1:]))
        await settle(pilot)
        assert "live" in header(app)
        assert "up 1:10" in header(app)
        assert "studio pid 7" in header(app)
        assert "unknown" in header(app)
        matmul = next(line for line in screen_text(app).split("\n") if "matmul" in line)
        assert matmul.split() == [
            "exec", "matmul", "gpu:0", "600", "20.0",
            "2.00", "ms", "2.00", "ms", "2.00", "ms", "0", "—", "100", "%",
        ]  # fmt: skip
        failing = next(line for line in screen_text(app).split("\n") if "compile_k" in line)
        assert "!2" in failing


async def test_at_first_rates_are_a_dash():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(60, operation("matmul", 400)))
        await settle(pilot)
        line = next(line for line in screen_text(app).split("\n") if "matmul" in line)
        assert line.split()[3:5] == ["400", "—"]
        assert "Calls/s" in gauges(app)
        assert "Calls/s              —" in gauges(app)


async def test_what_no_sensor_gives_is_a_dash_and_never_zero():
    source = Told()
    async with watching(source, size=(80, 24)) as (app, pilot):
        source.tell(snapshot(1), snapshot(2))
        await settle(pilot)
        for title in ("GPU load", "GPU memory", "Power", "Heat", "Frequency", "Bandwidth"):
            assert f"{title:12}— see metalscope doctor" in gauges(app)


async def test_readings_are_shown_in_their_units_with_their_last_minutes():
    source = Told()

    def readings(load: float) -> list[ResourceMetrics]:
        return [
            ResourceMetrics(ResourceKind.GPU_UTILIZATION, "tiler", "gpu:0", 3),
            ResourceMetrics(ResourceKind.GPU_UTILIZATION, "device", "gpu:0", load),
            ResourceMetrics(ResourceKind.MEMORY, "mlx_active", "gpu:0", 3 << 29, limit=8 << 30),
            ResourceMetrics(ResourceKind.POWER, "gpu", "gpu:0", 12.34),
            ResourceMetrics(ResourceKind.FREQUENCY, "gpu", "gpu:0", 1.398e9),
            ResourceMetrics(ResourceKind.BANDWIDTH, "dram", "gpu:0", 88e9),
            ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", 1),
            ResourceMetrics(ResourceKind.MEMORY_PRESSURE, "system", "", 2),
        ]

    async with watching(source) as (app, pilot):
        source.tell(*(snapshot(s, resources=readings(load)) for s, load in enumerate((0, 50, 100))))
        await settle(pilot)
        shown = gauges(app)
        for text in ("100 %", "1.50 GiB", "12.3 W", "1.40GHz", "88.0GB/s", "fair", "high"):
            assert text in shown
        assert "▁▅█" in shown
        await pilot.press("m")
        await settle(pilot)
        assert "8.00 GiB" in screen_text(app)
        assert "gpu_utilization tiler" in screen_text(app)


async def test_a_value_that_goes_missing_leaves_a_gap_and_a_dash():
    source = Told()
    power = ResourceMetrics(ResourceKind.POWER, "gpu", "gpu:0", 10)
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, resources=[power]), snapshot(1), snapshot(2, resources=[power]))
        await settle(pilot)
        assert "█ █" in gauges(app)
        source.tell(snapshot(3))
        await settle(pilot)
        assert "Power       — see metalscope doctor" in gauges(app)


@pytest.mark.parametrize("column", COLUMNS, ids=[one.key for one in COLUMNS])
async def test_every_column_sorts(column):
    source = Told()
    grown = (operation("matmul", 500, ms=2), operation("softmax", 1_900, ms=0.1), *WORK[2:])
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK), snapshot(10, *grown))
        await settle(pilot)
        table = app.query_one(OperationsTable)
        for _ in COLUMNS:
            if table.sorted_by is column:
                break
            await pilot.press("greater_than_sign")
        if column.key == "process":
            assert table.sorted_by is not column  # there is one process, and no such column
            return
        values = [column.value(row) for row in table.rows]
        present = [value for value in values if value is not None]
        assert values[: len(present)] == present
        assert present == sorted(present, reverse=not column.is_text)
        assert drawn_names(app) == names(app)
        await pilot.press("r")
        await settle(pilot)
        assert present[::-1] == [v for v in map(column.value, table.rows) if v is not None]
        assert f"by {column.title}" in screen_text(app)


async def test_a_click_on_a_heading_sorts_and_another_turns_the_order_round():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK))
        await settle(pilot)
        table = app.query_one(OperationsTable)
        heading = text_of(app, table)[0].index("calls")
        await pilot.click(table, offset=(heading, 0))
        await settle(pilot)
        assert names(app) == ["softmax", "matmul", "load", "compile_k"]
        assert "calls▼" in screen_text(app)
        await pilot.click(table, offset=(heading, 0))
        await settle(pilot)
        assert names(app) == ["compile_k", "load", "matmul", "softmax"]
        assert "calls▲" in screen_text(app)


async def test_a_column_can_be_chosen_by_name():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK))
        await pilot.press("s")
        await settle(pilot)
        assert "how many failed since the start" in screen_text(app)
        await pilot.press("home", "down", "enter")
        await settle(pilot)
        assert names(app) == ["compile_k", "load", "matmul", "softmax"]


async def test_the_cursor_stays_on_its_operation_as_the_order_changes():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK))
        await settle(pilot)
        table = app.query_one(OperationsTable)
        await pilot.press("down", "down")
        under = table.current
        assert under
        await pilot.press("r")
        assert table.current
        assert table.current.operation.name == under.operation.name


async def test_rows_are_filtered_as_the_text_is_typed():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK))
        await pilot.press("slash", *"MaT")
        await settle(pilot)
        assert drawn_names(app) == ["matmul"]
        assert "Operations 1 of 4" in screen_text(app)
        source.tell(snapshot(1, *WORK, operation("matvec", 1)))
        await settle(pilot)
        assert sorted(drawn_names(app)) == ["matmul", "matvec"]
        await pilot.press("enter", "down", "escape")
        await settle(pilot)
        assert len(drawn_names(app)) == 5


async def test_the_filter_looks_at_kind_and_device_too_and_its_keys_do_nothing_else():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK, operation("q", 1, device="cpu:0")))
        await pilot.press("slash", *"cpu")
        await settle(pilot)
        assert drawn_names(app) == ["q"]
        await pilot.press("escape", "slash", *"transfer")
        await settle(pilot)
        assert drawn_names(app) == ["load"]
        # q, space and the like were text while it was typed.
        await pilot.press(*" q?/")
        assert app.query_one("#filter", Input).value == "transfer q?/"


async def test_frozen_the_view_stays_while_data_flows():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, operation("matmul", 10)), snapshot(1, operation("matmul", 20)))
        await settle(pilot)
        await pilot.press("space")
        before = screen_text(app).split("\n")[1:]
        source.tell(snapshot(2, operation("matmul", 70)), snapshot(3, operation("late", 1)))
        await settle(pilot)
        assert screen_text(app).split("\n")[1:] == before
        assert "frozen, 2 newer" in header(app)
        await pilot.press("space")
        await settle(pilot)
        assert "live" in header(app)
        assert drawn_names(app) == ["late"]


async def test_frozen_it_still_sorts_and_filters():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK))
        await settle(pilot)
        await pilot.press("space", "slash", *"o", "enter", "s", "home", "down", "enter")
        await settle(pilot)
        assert drawn_names(app) == ["compile_k", "load", "softmax"]


async def test_the_snapshot_that_is_shown_is_written_to_the_file_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    source = Told()
    shown = snapshot(60, *WORK)
    async with watching(source) as (app, pilot):
        source.tell(shown)
        await settle(pilot)
        await pilot.press("space")
        source.tell(snapshot(90, operation("later", 1)))
        await settle(pilot)
        await pilot.press("w")
        await settle(pilot)
        assert "metalscope-studio-20260102T030505Z.json" in screen_text(app)
        await pilot.press("enter")
        await settle(pilot)
        (written,) = tmp_path.iterdir()
        assert written.name == "metalscope-studio-20260102T030505Z.json"
        assert json.loads(written.read_text()) == shown.to_dict()


async def test_no_file_is_written_over_and_the_reason_is_told(tmp_path: Path):
    kept = tmp_path / "kept.json"
    kept.write_text("mine")
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK))
        await settle(pilot)
        await pilot.press("w")
        await settle(pilot)
        field = app.screen.query_one(Input)
        field.value = str(kept)
        await pilot.press("enter")
        await settle(pilot)
        assert "✖ File exists" in screen_text(app)
        field.value = str(tmp_path / "none" / "x.json")
        await pilot.press("enter")
        await settle(pilot)
        assert "✖ No such file or directory" in screen_text(app)
        await pilot.press("escape")
        assert kept.read_text() == "mine"


async def test_a_lost_process_is_said_to_be_and_its_last_figures_stay_until_it_is_back():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK), snapshot(1, *WORK), Lost("nothing listens there"))
        await settle(pilot)
        assert "no connection" in header(app)
        assert "✖ lost since " in screen_text(app)
        assert ", trying again: nothing listens there" in screen_text(app)
        assert "matmul" in screen_text(app)
        source.tell(snapshot(30, operation("reborn", 1), started=29, pid=8))
        await settle(pilot)
        assert "✖ lost" not in screen_text(app)
        assert "live" in header(app)
        assert drawn_names(app) == ["reborn"]
        events = "\n".join(text_of(app, app.query_one(HappeningsPane)))
        assert "started anew" in events
        source.tell(snapshot(31, operation("reborn", 4), started=29, pid=8))
        await settle(pilot)
        line = next(line for line in screen_text(app).split("\n") if "reborn" in line)
        assert line.split()[3:5] == ["4", "3.00"]


async def test_errors_events_and_health_are_told_a_line_each():
    source = Told()
    sick = HealthReport(
        HealthStatus.DEGRADED,
        (ComponentHealth(Component.KERNEL, HealthStatus.DEGRADED, ("5 % of calls fail",)),),
    )
    event = TelemetryEvent(4, START, "epoch", {"loss": 0.5})
    async with watching(source) as (app, pilot):
        await pilot.press("e")
        source.tell(snapshot(0, operation("k", 1, errors=1), events=(event,)))
        source.tell(
            snapshot(1, operation("k", 1, errors=3), events=(event,), health=sick),
        )
        await settle(pilot)
        lines = text_of(app, app.query_one(HappeningsPane))[1:]
        told = [line[9:] for line in lines if line]
        assert told == [
            'event   epoch {"loss": 0.5}',
            "error   execute k on gpu:0: timeout ×2",
            "health  degraded: 5 % of calls fail",
        ]
        assert "▲ degraded" in header(app)


@pytest.mark.parametrize(
    "name",
    [
        "[red]x[/red] [@click=app.quit]y[/]",
        "[/]unbalanced",
        "\x1b[2J\x1b[31mescape",
        "line\nbreak\r\ttab",
        "right\u202eleft",
        "核" * 400,
        "a" * 5_000,
        "\u0335\u0335" + "z" + "\u0335" * 99,
        "\ud800lone",
        "",
    ],
)
async def test_a_hostile_name_stays_text_everywhere(name: str, tmp_path: Path):
    source = Told(label="http://127.0.0.1:9464")
    work = operation(name, 5, device=name, errors=1)
    worse = operation(name, 5, device=name, errors=2)
    event = TelemetryEvent(1, START, name, {name: name})
    reading = ResourceMetrics(ResourceKind.POWER, name, name, 1.0)
    sick = HealthReport(
        HealthStatus.CRITICAL, (ComponentHealth(Component.DEVICE, HealthStatus.CRITICAL, (name,)),)
    )
    async with watching(source, size=(80, 24)) as (app, pilot):
        source.tell(snapshot(0, work, resources=[reading], host=name))
        source.tell(
            snapshot(1, worse, resources=[reading], host=name, events=(event,), health=sick)
        )
        source.tell(Lost(name))
        await settle(pilot)
        for keys in ([], ["enter"], ["escape", "m"], ["escape", "w"], ["escape", "e"]):
            await pilot.press(*keys)
            await settle(pilot)
            shown = screen_text(app)
            assert all(char.isprintable() or char == "\n" for char in shown)
            assert "\u202e" not in shown
        await pilot.press("slash", *"zz", "enter", "escape")
        assert app.is_running


async def test_markup_in_a_name_is_shown_as_it_is():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, operation("[red]x[/red]", 5)))
        await settle(pilot)
        assert drawn_names(app) == ["[red]x[/red]"]
        await pilot.press("enter")
        await settle(pilot)
        assert "name         [red]x[/red]" in screen_text(app)


async def test_all_of_one_operation_is_a_key_away():
    source = Told()
    async with watching(source, size=(80, 40)) as (app, pilot):
        source.tell(snapshot(0, operation("matmul_" * 9, 400, ms=2, nbytes=4096, errors=3)))
        await settle(pilot)
        await pilot.press("enter")
        await settle(pilot)
        shown = screen_text(app)
        for text in ("matmul_" * 9, "3 (timeout 3)", "4.00 KiB", "p99          2.00 ms", "normal"):
            assert text in shown
        await pilot.press("escape")
        await settle(pilot)
        assert "3 (timeout 3)" not in screen_text(app)


async def test_of_a_thousand_operations_only_those_on_the_screen_are_drawn():
    source = Told()
    drawn: list[int] = []
    async with watching(source, size=(100, 30)) as (app, pilot):
        table = app.query_one(OperationsTable)
        real = table._line
        table._line = lambda layout, index: drawn.append(index) or real(layout, index)  # type: ignore[method-assign]
        for second in range(3):
            source.tell(snapshot(second, *(operation(f"k{n}", n + 1) for n in range(1_000))))
        await settle(pilot)
        assert len(table.rows) == 1_000
        assert drawn
        assert max(drawn) < table.size.height
        await pilot.press("end")
        await settle(pilot)
        assert table.current is table.rows[-1]
        assert table.rows[-1].operation.name in screen_text(app)
        await pilot.press("pageup", "home")
        await settle(pilot)
        assert table.rows[0].operation.name in screen_text(app)


async def test_who_scrolled_away_from_the_cursor_is_not_pulled_back():
    source = Told()
    async with watching(source, size=(100, 30)) as (app, pilot):
        work = [operation(f"k{n}", n + 1) for n in range(200)]
        source.tell(snapshot(0, *work))
        await settle(pilot)
        table = app.query_one(OperationsTable)
        for _ in range(5):
            await pilot._post_mouse_events([MouseScrollDown], table, offset=(5, 5))
        await settle(pilot)
        scrolled = table.scroll_offset.y
        assert scrolled > 0
        source.tell(snapshot(1, *work))
        await settle(pilot)
        assert table.scroll_offset.y == scrolled
        await pilot.press("down")
        await settle(pilot)
        assert table.scroll_offset.y <= 1


async def test_snapshots_go_on_under_an_open_page():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK))
        for key in ("question_mark", "enter", "m", "s", "w"):
            await pilot.press(key)
            await settle(pilot)
            source.tell(snapshot(1, *WORK), Lost("gone"), snapshot(2, *WORK))
            await settle(pilot)
            assert app.is_running
            await pilot.press("escape")
            await settle(pilot)
        source.tell(snapshot(3, operation("after", 1)))
        await settle(pilot)
        assert drawn_names(app) == ["after"]


async def test_a_double_click_opens_an_operation():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK))
        await settle(pilot)
        await pilot.click(app.query_one(OperationsTable), offset=(10, 2), times=2)
        await settle(pilot)
        assert "longest" in screen_text(app)
        assert f"name         {names_under(app)[1]}" in screen_text(app)


async def test_the_lines_of_bars_begin_with_what_the_process_remembers():
    source = Told()
    points = tuple(
        ActivityPoint(START, operations_per_second=rate, errors_per_second=0, mean_ms=1)
        for rate in (10, 20, 40, 80)
    )
    async with watching(source) as (app, pilot):
        source.tell(snapshot(9, *WORK, recent=RecentActivity(points=points)))
        await settle(pilot)
        assert "▂▃▅█ " in gauges(app)


async def test_frozen_it_still_says_that_the_connection_is_gone():
    source = Told()
    async with watching(source) as (app, pilot):
        source.tell(snapshot(0, *WORK))
        await settle(pilot)
        await pilot.press("space")
        source.tell(Lost("gone"))
        await settle(pilot)
        assert "frozen, 0 newer, no connection" in header(app)


async def test_it_draws_once_for_each_snapshot():
    source = Told()
    async with watching(source) as (app, pilot):
        views: list[object] = []
        real = app._draw_view
        app._draw_view = lambda view: (views.append(view), real(view))  # type: ignore[method-assign,assign,return-value]
        source.tell(*(snapshot(s, *WORK) for s in range(5)))
        await settle(pilot)
        assert len(views) == 5


async def test_several_processes_are_watched_together_and_one_by_one():
    first, second = Told("http://127.0.0.1:9464"), Told("http://127.0.0.1:9465")
    used = ResourceMetrics(ResourceKind.MEMORY, "mlx_active", "gpu:0", 1 << 30)
    async with watching(first, second) as (app, pilot):
        for s in range(2):
            first.tell(snapshot(s, operation("train", 10 * s), resources=[used]))
            second.tell(snapshot(s, operation("serve", 5 * s), resources=[used], pid=9))
        await settle(pilot)
        assert "2 of 2 processes" in header(app)
        assert "15.0" in gauges(app)
        assert "2.00 GiB" in gauges(app)
        lines = [line.split() for line in screen_text(app).split("\n")]
        assert ["127.0.0.1:9464", "exec", "train"] in [line[:3] for line in lines]
        assert ["127.0.0.1:9465", "exec", "serve"] in [line[:3] for line in lines]
        await pilot.press("p", "p")
        await settle(pilot)
        assert drawn_names(app) == ["serve"]
        assert "1.00 GiB" in gauges(app)
        assert "pid 9" in header(app)
        second.tell(Lost("nothing listens there"))
        await settle(pilot)
        await pilot.press("p")
        await settle(pilot)
        assert names(app) == ["train"]
        assert "lost" in screen_text(app)


async def test_of_several_machines_no_reading_is_added_up():
    first, second = Told("http://a:9464"), Told("http://b:9464")
    used = ResourceMetrics(ResourceKind.MEMORY, "mlx_active", "gpu:0", 1 << 30)
    async with watching(first, second) as (app, pilot):
        first.tell(snapshot(0, resources=[used], host="a"))
        second.tell(snapshot(0, resources=[used], host="b"))
        await settle(pilot)
        assert "GPU memory  — " in gauges(app)


@pytest.mark.parametrize("size", [(80, 24), (60, 16), (40, 10), (132, 43), (240, 70)])
async def test_it_fits_every_terminal(size: tuple[int, int]):
    source = Told()
    async with watching(source, size=size) as (app, pilot):
        source.tell(snapshot(0, *WORK), snapshot(1, *WORK))
        await settle(pilot)
        lines = screen_text(app).split("\n")
        assert len(lines) == size[1]
        table = app.query_one(OperationsTable)
        width = sum(cells for _, cells in table.layout_now()) + len(table.layout_now()) - 1
        assert width <= size[0]
        assert drawn_names(app)
        await pilot.press("question_mark")
        await settle(pilot)
        assert "move" in screen_text(app)


async def test_at_80_by_24_what_matters_most_is_all_there():
    source = Told()
    async with watching(source, size=(80, 24)) as (app, pilot):
        source.tell(snapshot(0, *WORK), snapshot(1, *WORK))
        await settle(pilot)
        shown = screen_text(app)
        for word in ("kind", "name", "calls/s", "p50", "p95", "errors", "share", "Calls/s", "Heat"):
            assert word in shown
        assert len(drawn_names(app)) == 4
        await pilot.press(*["greater_than_sign"] * 10)  # bytes/s, which has no room of its own
        await settle(pilot)
        assert "bytes/s▼" in text_of(app, app.query_one(OperationsTable))[0]


async def test_the_colours_go_from_dark_to_light_to_those_of_the_terminal():
    async with watching(Told()) as (app, pilot):
        seen = [app.theme]
        for _ in range(4):
            await pilot.press("t")
            seen.append(app.theme)
        assert seen == ["textual-dark", "textual-light", "ansi-dark", "ansi-light", "textual-dark"]


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_it_ends_at_a_key(key: str):
    app = TopApp([Told()])
    async with app.run_test() as pilot:
        await pilot.press(key)
        await pilot.pause()
    assert app.return_value == 0
