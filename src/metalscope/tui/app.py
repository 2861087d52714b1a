"""The application: sources in, one view out, keys to what they do."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import ClassVar, Final

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Footer, Input

from metalscope.tui.model import Condition, Model, Place, View
from metalscope.tui.player import Player
from metalscope.tui.screens import (
    ColumnChoice,
    FileName,
    Page,
    help_text,
    operation_text,
    readings_text,
)
from metalscope.tui.source import Arrived, Noted, Source
from metalscope.tui.table import OperationsTable
from metalscope.tui.text import visible
from metalscope.tui.widgets import Gauges, HappeningsPane, Header, Line, Processes

__all__ = ["THEMES", "TopApp"]

THEMES: Final = ("textual-dark", "textual-light", "ansi-dark", "ansi-light")
"""Those that ``t`` goes through; the last two have the terminal's own colours."""

LOW_LINES: Final = 20
"""Below this height the gauges are cut and errors and events are left out."""

SEEK_SECONDS: Final = 10.0
TERMINATED: Final = 143
"""128 + SIGTERM."""


class TopApp(App[int]):
    """What ``metalscope top`` shows.

    Args:
        sources: the processes to watch, or one recording.
        theme: one of :data:`THEMES`.
    """

    CSS = """
    #trouble { color: $text-error; text-style: bold; }
    #caption { color: $foreground-muted; }
    #filter { display: none; border: none; height: 1; padding: 0 1; background: $boost; }
    .low HappeningsPane { display: none; }
    .low Gauges { max-height: 3; }
    #notice { height: 1fr; padding: 1 2; text-wrap: wrap; display: none; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        # Before all others, so that what is typed right after it is already text.
        Binding("slash", "filter", "filter", priority=True),
        Binding("s", "choose_column", "sort"),
        Binding("space", "pause", "pause"),
        Binding("e", "errors", "errors"),
        Binding("m", "readings", "more"),
        Binding("w", "write", "write"),
        Binding("question_mark,h", "help", "help", key_display="?"),
        Binding("q,ctrl+c", "quit", "quit", priority=False),
        Binding("less_than_sign", "sort(-1)", show=False),
        Binding("greater_than_sign", "sort(1)", show=False),
        Binding("r", "reverse", show=False),
        Binding("p", "process", show=False),
        Binding("t", "theme", show=False),
        Binding("escape", "no_filter", show=False),
        Binding("left", f"seek(-{SEEK_SECONDS})", show=False),
        Binding("right", f"seek({SEEK_SECONDS})", show=False),
        Binding("comma", "step(-1)", show=False),
        Binding("full_stop", "step(1)", show=False),
        Binding("left_square_bracket", "speed(-1)", show=False),
        Binding("right_square_bracket", "speed(1)", show=False),
    ]

    def __init__(self, sources: Sequence[Source], *, theme: str = THEMES[0]) -> None:
        super().__init__()
        self.theme = theme
        self._model = Model(sources)
        self._player = next((one for one in sources if isinstance(one, Player)), None)
        self._view = self._model.view()
        self._is_frozen = False
        self._missed = 0

    @property
    def view(self) -> View:
        """What is on the screen."""
        return self._view

    def compose(self) -> ComposeResult:
        """From the top down."""
        yield Header(id="header")
        yield Line(id="trouble")
        yield Processes()
        yield Gauges()
        yield Line(id="caption")
        yield OperationsTable()
        yield Notice(id="notice")
        yield HappeningsPane()
        yield Input(placeholder="kind, name, device or process", id="filter", compact=True)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin to follow the sources."""
        self.title = "metalscope top"
        with suppress(NotImplementedError, RuntimeError, ValueError):  # no loop of a main thread
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGTERM, lambda: self.exit(TERMINATED)
            )
        self.query_one(OperationsTable).focus()
        self._draw()
        for place in self._model.places:
            self.run_worker(self._follow(place), exit_on_error=True)

    def on_resize(self, event: events.Resize) -> None:
        """Where there are few lines, the table has most of them."""
        self.screen_stack[0].set_class(event.size.height < LOW_LINES, "low")

    async def _follow(self, place: Place) -> None:
        async for update in place.source.updates():
            if isinstance(update, Noted):
                self.query_one(Header).show(self._view, self._mode())
                continue
            self._model.take(place, update)
            self._missed += self._is_frozen and isinstance(update, Arrived)
            self._draw()

    def _draw(self) -> None:
        """Show what is known now; where the view is frozen, only that more has come."""
        if not self._is_frozen:
            self._view = self._model.view()
            self._draw_view(self._view)
        self.query_one(Header).show(self._view, self._mode())
        self._draw_caption()

    def _draw_view(self, view: View) -> None:
        has_data = bool(view.snapshots)
        several = len(view.shown) > 1
        self.query_one(Processes).show(view)
        self.query_one(Gauges).show(view)
        self.query_one(HappeningsPane).show(view)
        table = self.query_one(OperationsTable)
        table.show_rows(view.rows, several_processes=several)
        table.display = has_data
        notice = self.query_one("#notice", Notice)
        notice.say(Content("") if has_data else _notice(view))
        self.query_one("#trouble", Line).say(_trouble(view))

    def _draw_caption(self) -> None:
        table = self.query_one(OperationsTable)
        wanted = self.query_one("#filter", Input).value
        shown = f"{len(table.rows)} of {table.total}" if wanted else f"{table.total}"
        ends = ("Z to A", "A to Z") if table.sorted_by.is_text else ("highest", "lowest")
        order = ends[0] if table.is_descending else ends[1]
        first = order if table.sorted_by.is_text else f"{order} first"
        parts = [f"Operations {shown}", f"by {table.sorted_by.title}, {first}"]
        if wanted:
            parts.append(f"with {visible(wanted)!r} (Esc: all)")
        self.query_one("#caption", Line).say(Content(" · ".join(parts)))

    def _mode(self) -> str:
        if self._player is not None:
            return self._player.words
        is_live = any(place.condition is Condition.LIVE for place in self._model.scope())
        if self._is_frozen:
            return f"‖ frozen, {self._missed} newer" + ("" if is_live else ", no connection")
        return "live" if is_live else "no connection"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a text is typed a slash is part of it."""
        if action == "filter" and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def action_pause(self) -> None:
        """Freeze the view or let it go on; halt or play a recording."""
        if self._player is not None:
            self._player.toggle()
        else:
            self._is_frozen = not self._is_frozen
            self._missed = 0
        self._draw()

    def action_seek(self, seconds: float) -> None:
        """Go on or back in a recording."""
        if self._player is not None:
            self._player.seek(seconds)

    def action_step(self, frames: int) -> None:
        """Go on or back in a recording by frames."""
        if self._player is not None:
            self._player.step(frames)

    def action_speed(self, steps: int) -> None:
        """Play a recording faster or slower."""
        if self._player is not None:
            self._player.faster(steps)
            self._draw()

    def action_process(self) -> None:
        """Show the next process alone, then all."""
        self._model.choose_next()
        self._is_frozen = False
        self._draw()

    def action_sort(self, step: int) -> None:
        """Sort by the next column."""
        self.query_one(OperationsTable).sort_by_neighbour(step)

    def action_reverse(self) -> None:
        """Turn the order round."""
        table = self.query_one(OperationsTable)
        table.sort(table.sorted_by.key)

    def action_choose_column(self) -> None:
        """Let a column be chosen to sort by."""
        table = self.query_one(OperationsTable)

        def sort(key: str | None) -> None:
            if key is not None and key != table.sorted_by.key:
                table.sort(key)

        self.push_screen(ColumnChoice(table.columns, table.sorted_by), sort)

    def action_filter(self) -> None:
        """Let a text be typed that rows must have."""
        field = self.query_one("#filter", Input)
        field.display = True
        self.set_focus(field)

    def action_no_filter(self) -> None:
        """Show all rows."""
        field = self.query_one("#filter", Input)
        field.value = ""
        self._close_filter()

    def action_errors(self) -> None:
        """Give errors and events more room, or less."""
        self.query_one(HappeningsPane).toggle_class("large")

    def action_theme(self) -> None:
        """Take the next colours."""
        place = THEMES.index(self.theme) if self.theme in THEMES else -1
        self.theme = THEMES[(place + 1) % len(THEMES)]

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Page("Help", help_text()))

    def action_readings(self) -> None:
        """Show every reading."""
        self.push_screen(Page("Readings, health, devices", readings_text(self._view)))

    def action_write(self) -> None:
        """Ask for a file's name and write what is shown."""
        snapshots = self._view.snapshots
        if not snapshots:
            self.notify("there is no snapshot yet", markup=False)
            return
        documents = [one.to_dict() for one in snapshots]
        text = json.dumps(documents[0] if len(documents) == 1 else documents, indent=2)

        def write(name: str) -> None:
            path = Path(name).expanduser()
            # A new file, always: nothing that was there is lost to a slip of the finger.
            with path.open("x", encoding="utf-8") as file:
                file.write(text + "\n")
            self.notify(f"wrote {visible(str(path))}", markup=False)

        self.push_screen(FileName(_file_name(self._view), write))

    async def action_quit(self) -> None:
        """End."""
        self.exit(0)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as it is typed."""
        if event.input.id == "filter":
            self.query_one(OperationsTable).filter(event.value)
            self._draw_caption()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter, and give the keys back to the table."""
        if event.input.id == "filter":
            self._close_filter()

    def on_operations_table_opened(self, event: OperationsTable.Opened) -> None:
        """Show all of one operation."""
        self.push_screen(Page("Operation", operation_text(event.row)))

    def on_operations_table_sorted(self) -> None:
        """Say the order."""
        self._draw_caption()

    def _close_filter(self) -> None:
        self.query_one("#filter", Input).display = False
        self.query_one(OperationsTable).focus()


class Notice(Line):
    """What stands in place of the table while there is nothing to show."""


def _notice(view: View) -> Content:
    lines = []
    for place in view.shown:
        why = place.why or "asking"
        lines.append(Content.assemble((visible(place.label), "bold"), f": {visible(why)}"))
    lines += [
        Content(""),
        Content("Start a program with `metalscope run script.py`, or see it work with"),
        Content("`metalscope demo`. This view goes on trying, and fills when it answers."),
    ]
    return Content("\n").join(lines)


def _trouble(view: View) -> Content:
    if not view.snapshots:
        return Content("")
    lost = [place for place in view.shown if place.condition is Condition.LOST]
    words = []
    for place in lost:
        then = place.snapshot.timestamp.astimezone() if place.snapshot else None
        which = f" {visible(place.label)}" if len(view.shown) > 1 else ""
        since = f" since {then:%H:%M:%S}" if then else ""
        words.append(f"✖ lost{which}{since}, trying again: {visible(place.why)}")
    return Content("  ".join(words))


def _file_name(view: View) -> str:
    """A name that sorts by time and holds nothing a file system minds."""
    newest = max(view.snapshots, key=lambda one: one.timestamp)
    host = newest.system.host if newest.system else ""
    when = newest.timestamp.astimezone(UTC)
    parts = ("metalscope", re.sub(r"[^A-Za-z0-9.-]+", "-", host)[:40], f"{when:%Y%m%dT%H%M%SZ}")
    return "-".join(part for part in parts if part) + ".json"
