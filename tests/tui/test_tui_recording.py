"""A recorded session: played, halted, stepped and sought by its own timestamps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from telling import START, operation, screen_text, settle, snapshot, text_of
from textual.pilot import Pilot

from metalscope.session import SessionWriter, open_session
from metalscope.session.format import SessionHeader, SessionSource
from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.tui import reel
from metalscope.tui.app import TopApp
from metalscope.tui.player import SPEEDS, Player
from metalscope.tui.widgets import Header


def frames(count: int, *, every: float = 60) -> list[MetalTelemetrySnapshot]:
    """One a minute, so that nothing moves by itself while a test looks."""
    return [snapshot(n * every, operation("matmul", 60 * n * (n + 1))) for n in range(count)]


def record(path: Path, snapshots: list[MetalTelemetrySnapshot]) -> Path:
    writer = SessionWriter(path, SessionHeader(START, SessionSource.PROCESS, 60.0, host="studio"))
    for one in snapshots:
        writer.write(one)
    writer.close()
    return path


def player_of(path: Path, **options: Any) -> Player:
    session = open_session(path)
    return Player(
        str(path),
        iter(session),
        complaint=lambda: str(session.damage) if session.damage else "",
        **options,
    )


@asynccontextmanager
async def playing(player: Player) -> AsyncIterator[tuple[TopApp, Pilot[Any]]]:
    app = TopApp([player])
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: not header(app).endswith("…") and " / " in header(app))
        yield app, pilot


async def until(pilot: Pilot[Any], condition: Callable[[], bool]) -> None:
    """Wait for what another thread brings about."""
    for _ in range(300):
        await settle(pilot)
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come about")


def header(app: TopApp) -> str:
    """The first line up to the health."""
    return text_of(app, app.query_one(Header))[0].partition("  ? ")[0]


def calls(app: TopApp) -> list[str]:
    """Calls and calls a second, as drawn."""
    line = next(line for line in screen_text(app).split("\n") if "exec" in line)
    return line.split()[3:5]


async def test_it_begins_at_the_first_frame_and_plays(tmp_path: Path):
    player = player_of(record(tmp_path / "a.mscope", frames(6)))
    async with playing(player) as (app, _):
        assert header(app).endswith("▶ playing 1× 0:00 / 5:00")
        assert calls(app) == ["0", "—"]
        assert "studio" in screen_text(app)


async def test_it_is_stepped_frame_by_frame_both_ways(tmp_path: Path):
    player = player_of(record(tmp_path / "a.mscope", frames(6)))
    async with playing(player) as (app, pilot):
        await pilot.press("full_stop", "full_stop")
        await settle(pilot)
        assert header(app).endswith("‖ halted 1× 2:00 / 5:00")
        # 360 calls at the second minute, 240 of them in the last one.
        assert calls(app) == ["360", "4.00"]
        await pilot.press("comma")
        await settle(pilot)
        # As if it had come from before: 120 calls in the first minute.
        assert calls(app) == ["120", "2.00"]
        await pilot.press(*["comma"] * 9)
        await settle(pilot)
        assert calls(app) == ["0", "—"]


async def test_it_is_sought_by_seconds_both_ways(tmp_path: Path):
    player = player_of(record(tmp_path / "a.mscope", frames(20, every=5)), speed=0.25)
    async with playing(player) as (app, pilot):
        await pilot.press("space", "right", "right")
        await settle(pilot)
        assert header(app).endswith("‖ halted 0.25× 0:20 / 1:35")
        await pilot.press("left")
        await settle(pilot)
        assert header(app).endswith("‖ halted 0.25× 0:10 / 1:35")
        await pilot.press(*["right"] * 30)
        await settle(pilot)
        assert " 1:35 / 1:35" in header(app)


async def test_a_seek_moves_on_where_frames_are_further_apart(tmp_path: Path):
    player = player_of(record(tmp_path / "a.mscope", frames(3)))
    async with playing(player) as (app, pilot):
        await pilot.press("right")
        await settle(pilot)
        assert " 1:00 / 2:00" in header(app)


async def test_the_lines_of_bars_lead_up_to_the_place_that_was_sought(tmp_path: Path):
    player = player_of(record(tmp_path / "a.mscope", frames(30)))
    async with playing(player) as (app, pilot):
        await pilot.press(*["full_stop"] * 8)
        await settle(pilot)
        line = next(line for line in screen_text(app).split("\n") if line.startswith("Calls/s"))
        assert "▂▃▄▅▅▆▇█" in line


async def test_it_goes_faster_and_slower(tmp_path: Path):
    player = player_of(record(tmp_path / "a.mscope", frames(6)))
    async with playing(player) as (app, pilot):
        await pilot.press("right_square_bracket", "right_square_bracket")
        assert player.speed == 5
        await settle(pilot)
        assert "playing 5×" in header(app)
        await pilot.press(*["left_square_bracket"] * 20)
        assert player.speed == SPEEDS[0]
        await pilot.press(*["right_square_bracket"] * 20)
        assert player.speed == SPEEDS[-1]


async def test_it_plays_to_the_end_and_from_the_beginning_again(tmp_path: Path):
    player = player_of(record(tmp_path / "a.mscope", frames(4, every=0.5)), speed=100)
    async with playing(player) as (app, pilot):
        await until(pilot, lambda: "■ at the end" in header(app))
        assert calls(app)[0] == "720"
        await pilot.press(*["left_square_bracket"] * 9, "space")
        await settle(pilot)
        assert "▶ playing 0.25× 0:00 / 0:01" in header(app)
        assert calls(app) == ["0", "—"]


async def test_halted_it_stays_where_it_is(tmp_path: Path):
    player = player_of(record(tmp_path / "a.mscope", frames(50, every=0.5)))
    async with playing(player) as (app, pilot):
        await pilot.press("space")
        await settle(pilot)
        before = calls(app)
        await pilot.press("right_square_bracket")
        await asyncio.sleep(0.6)  # longer than a frame: what must not happen takes its time
        assert calls(app) == before
        assert not player.is_playing


async def test_of_a_file_that_is_cut_off_what_is_whole_is_played(tmp_path: Path):
    path = record(tmp_path / "a.mscope", frames(6))
    path.write_bytes(path.read_bytes()[:-50])
    player = player_of(path)
    async with playing(player) as (app, pilot):
        assert "damaged at byte" in header(app)
        await pilot.press("full_stop")
        await settle(pilot)
        assert calls(app) == ["120", "2.00"]


async def test_a_recording_without_a_frame_says_so(tmp_path: Path):
    player = player_of(record(tmp_path / "a.mscope", []))
    app = TopApp([player])
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "the recording has no frame" in screen_text(app))
        await pilot.press("space", "right", "full_stop", "left_square_bracket")
        assert app.is_running


async def test_what_does_not_fit_into_memory_is_said_to_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reel, "MOST_BYTES", 1)
    player = player_of(record(tmp_path / "a.mscope", frames(6)))
    async with playing(player) as (app, _):
        assert "0:00 / 0:00 (the rest does not fit into memory)" in header(app)


async def test_a_frame_is_the_same_after_it_was_packed():
    kept = reel.Reel()
    whole = frames(3)[2]
    kept.append(whole)
    assert kept.frame(0) == whole
