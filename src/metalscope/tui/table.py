"""The operations table: only the rows on the screen are drawn, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from metalscope.tui.columns import COLUMNS, GAP, Column, Layout, column_of, lay_out, sort_rows
from metalscope.tui.text import fit
from metalscope.tui.track import Row

__all__ = ["OperationsTable"]

_HEADER_LINES: Final = 1


class OperationsTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows sorted by one column, filtered by text, with a cursor that stays on its operation."""

    DEFAULT_CSS = """
    OperationsTable { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    OperationsTable > .table--header { text-style: bold; color: $foreground-muted; }
    OperationsTable > .table--sorted { text-style: bold underline; }
    OperationsTable > .table--cursor { text-style: reverse; }
    OperationsTable > .table--failed { text-style: bold; color: $text-error; }
    OperationsTable > .table--quiet { text-style: dim; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--header",
        "table--sorted",
        "table--cursor",
        "table--failed",
        "table--quiet",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move_page(-1)", "Page up", show=False),
        Binding("pagedown", "move_page(1)", "Page down", show=False),
        Binding("home,g", "move_to(0)", "First", show=False),
        Binding("end,G", "move_to(-1)", "Last", show=False),
        Binding("enter", "open", "Details", show=False),
    ]

    class Opened(Message):
        """The details of a row are asked for."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    class Sorted(Message):
        """Rows are in another order now."""

    def __init__(self) -> None:
        super().__init__()
        self._all: Sequence[Row] = ()
        self._several = False
        self._wanted = ""
        self._by = column_of("share")
        self._descending = True
        self._cursor = 0
        self.rows: list[Row] = []

    @property
    def total(self) -> int:
        """How many rows there are, those the filter hides included."""
        return len(self._all)

    @property
    def sorted_by(self) -> Column:
        """The column that gives the order."""
        return self._by

    @property
    def is_descending(self) -> bool:
        """Whether the largest comes first."""
        return self._descending

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns there are, whether or not there is room for them."""
        return tuple(one for one in COLUMNS if self._several or one.key != "process")

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self._cursor] if self.rows else None

    def show_rows(self, rows: Sequence[Row], *, several_processes: bool) -> None:
        """Show these rows in place of those before."""
        self._all, self._several = rows, several_processes
        if self._by not in self.columns:
            self._by, self._descending = column_of("share"), True
        self._arrange()

    def filter(self, text: str) -> None:
        """Show only rows with this text in their kind, name, device or process."""
        self._wanted = text.casefold()
        self._arrange()

    def sort(self, key: str) -> None:
        """Sort by a column; once more by the same turns the order round."""
        column = column_of(key)
        if column is self._by:
            self._descending = not self._descending
        else:
            self._by, self._descending = column, not column.is_text
        self._arrange()
        self.post_message(self.Sorted())

    def sort_by_neighbour(self, step: int) -> None:
        """Sort by the next column to the right, or with -1 to the left."""
        keys = [one.key for one in self.columns]
        place = keys.index(self._by.key) if self._by.key in keys else 0
        self.sort(keys[(place + step) % len(keys)])

    def layout_now(self) -> Layout:
        """The columns shown at the present width."""
        return lay_out(
            self.scrollable_content_region.width,
            sorted_by=self._by.key,
            several_processes=self._several,
        )

    def render_line(self, y: int) -> Strip:
        """Draw one line of what is on the screen."""
        width = self.scrollable_content_region.width
        layout = self.layout_now()
        if y < _HEADER_LINES:
            return self._header(layout).adjust_cell_length(width, self.rich_style)
        index = self.scroll_offset.y + y - _HEADER_LINES
        if index >= len(self.rows):
            return Strip.blank(width, self.rich_style)
        return self._line(layout, index).adjust_cell_length(width, self._base(index))

    def action_move(self, step: int) -> None:
        """Move the cursor by rows."""
        self._go(self._cursor + step)

    def action_move_page(self, pages: int) -> None:
        """Move the cursor by what fits on the screen."""
        self._go(self._cursor + pages * max(1, self._page))

    def action_move_to(self, index: int) -> None:
        """Move the cursor to the first (0) or the last (-1) row."""
        self._go(index if index >= 0 else len(self.rows) - 1)

    def action_open(self) -> None:
        """Ask for the details of the row under the cursor."""
        if self.current is not None:
            self.post_message(self.Opened(self.current))

    def on_click(self, event: events.Click) -> None:
        """A heading sorts, a row takes the cursor, a second click opens it."""
        place = event.get_content_offset(self)
        if place is None:
            return
        if place.y < _HEADER_LINES:
            column = self._column_at(place.x)
            if column is not None:
                self.sort(column.key)
            return
        index = self.scroll_offset.y + place.y - _HEADER_LINES
        if index < len(self.rows):
            self._go(index)
            if event.chain == 2:
                self.action_open()

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._go(self._cursor)

    @property
    def _page(self) -> int:
        return self.scrollable_content_region.height - _HEADER_LINES

    def _arrange(self) -> None:
        kept = self.current
        matching = [row for row in self._all if self._wanted in _searched(row)]
        self.rows = sort_rows(matching, by=self._by, descending=self._descending)
        places = (i for i, row in enumerate(self.rows) if kept and row.identity == kept.identity)
        # At the top the cursor stays at the top, as the busiest operation changes.
        place = 0 if self._cursor == 0 else next(places, self._cursor)
        was_in_sight = 0 <= self._cursor - self.scroll_offset.y < max(1, self._page)
        self.virtual_size = Size(0, len(self.rows) + _HEADER_LINES)
        # Where someone scrolled away from the cursor, a new snapshot does not pull them back.
        self._go(place, in_sight=was_in_sight)

    def _go(self, index: int, *, in_sight: bool = True) -> None:
        self._cursor = max(0, min(index, len(self.rows) - 1))
        top = self.scroll_offset.y
        page = self._page
        if page > 0 and in_sight:
            if self._cursor < top:
                self.scroll_to(y=self._cursor, animate=False, immediate=True)
            elif self._cursor >= top + page:
                self.scroll_to(y=self._cursor - page + 1, animate=False, immediate=True)
        self.refresh()

    def _column_at(self, x: int) -> Column | None:
        left = 0
        for column, width in self.layout_now():
            if left <= x < left + width + GAP:
                return column
            left += width + GAP
        return None

    def _header(self, layout: Layout) -> Strip:
        style = self.get_component_rich_style("table--header")
        chosen = self.get_component_rich_style("table--sorted")
        segments = []
        for column, width in layout:
            is_key = column is self._by
            arrow = ("▼" if self._descending else "▲") if is_key else ""
            title = fit(column.title + arrow, width, right=not column.is_text)
            segments += [Segment(title, chosen if is_key else style), Segment(" " * GAP, style)]
        return Strip(segments)

    def _base(self, index: int) -> Style:
        if index == self._cursor and self.has_focus:
            return self.rich_style + self.get_component_rich_style("table--cursor", partial=True)
        return self.rich_style

    def _line(self, layout: Layout, index: int) -> Strip:
        row = self.rows[index]
        base = self._base(index)
        segments = []
        for column, width in layout:
            style = base
            if column.key == "errors" and row.operation.error_count:
                style = base + self.get_component_rich_style("table--failed", partial=True)
            elif index != self._cursor and _is_quiet(column, row):
                style = base + self.get_component_rich_style("table--quiet", partial=True)
            text = fit(column.text(row), width, right=not column.is_text)
            segments += [Segment(text, style), Segment(" " * GAP, base)]
        return Strip(segments)


def _is_quiet(column: Column, row: Row) -> bool:
    """Whether the eye may pass over it."""
    return column.key in {"kind", "device", "process"} or column.value(row) in (0, None)


def _searched(row: Row) -> str:
    one = row.operation
    return f"{one.kind} {one.name} {one.device} {row.process}".casefold()
