"""What opens over the view: help, details, the choice of a column, the name of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from metalscope.snapshot import OperationMetrics
from metalscope.tui.columns import COLUMNS, Column
from metalscope.tui.gauges import reading_text
from metalscope.tui.model import View
from metalscope.tui.text import (
    ABSENT,
    bytes_text,
    fit,
    ms_text,
    percent_text,
    rate_text,
    visible,
)
from metalscope.tui.track import Row
from metalscope.tui.widgets import health_words

__all__ = ["ColumnChoice", "FileName", "Page", "help_text", "operation_text", "readings_text"]

_BAR_CELLS: Final = 24

_KEYS: Final = (
    ("↑ ↓  PgUp PgDn  Home End", "move in the table"),
    ("Enter, double click", "all of one operation"),
    ("< >, click on a heading", "sort by the column to the left, to the right, by that one"),
    ("s", "choose the column to sort by"),
    ("r", "turn the order round"),
    ("/", "show only what has this text in it; Esc ends that"),
    ("Space", "freeze the view, data flows on; in a recording: halt and play"),
    ("m", "all readings, health with its reasons, devices"),
    ("e", "more of errors and events; Tab goes to them"),
    ("p", "next process alone, then all"),
    ("w", "write the snapshot that is shown to a file, as JSON"),
    ("t", "dark, light, the terminal's own colours"),
    ("← →", "recording: 10 seconds back, on"),
    (", .", "recording: one frame back, on"),
    ("[ ]", "recording: slower, faster"),
    ("? h", "this help"),
    ("q, Ctrl-C", "end"),
)


class Page(ModalScreen[None]):
    """Text over the view; any of Esc, Enter and q closes it."""

    DEFAULT_CSS = """
    Page { align: center middle; }
    Page > VerticalScroll {
        width: 92%; max-width: 110; height: auto; max-height: 92%;
        border: round $accent; background: $surface; padding: 0 1;
    }
    Page Static { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,space,question_mark", "dismiss", "Close")
    ]

    def __init__(self, title: str, text: Content) -> None:
        super().__init__()
        self._heading, self._text = title, text

    def compose(self) -> ComposeResult:
        """The text in a frame."""
        with VerticalScroll() as frame:
            frame.border_title = Content(self._heading)
            frame.border_subtitle = "Esc closes"
            yield Static(self._text)


class ColumnChoice(ModalScreen[str | None]):
    """Which column to sort by."""

    DEFAULT_CSS = """
    ColumnChoice { align: center middle; }
    ColumnChoice > OptionList {
        width: 74; max-width: 94%; height: auto; max-height: 92%;
        border: round $accent; background: $surface;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss(None)", "Close")]

    def __init__(self, columns: Sequence[Column], present: Column) -> None:
        super().__init__()
        self._columns = columns
        self._present = present

    def compose(self) -> ComposeResult:
        """A line for each column."""
        lines = [Content(f"{fit(one.title, 9)}{one.meaning}") for one in self._columns]
        choice = OptionList(*lines)
        choice.border_title = "Sort by"
        choice.highlighted = self._columns.index(self._present)
        yield choice

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """It is chosen."""
        self.dismiss(self._columns[event.option_index].key)


class FileName(ModalScreen[None]):
    """Asks for a file's name until what is to be done with it succeeds, or Esc.

    Args:
        name: what stands there at first.
        write: writes the file; raises ``OSError`` with what is wrong.
    """

    DEFAULT_CSS = """
    FileName { align: center middle; }
    FileName > Vertical {
        width: 76; max-width: 94%; height: auto;
        border: round $accent; background: $surface; padding: 0 1;
    }
    FileName .wrong { color: $text-error; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Close")]

    def __init__(self, name: str, write: Callable[[str], None]) -> None:
        super().__init__()
        self._name, self._write = name, write

    def compose(self) -> ComposeResult:
        """A field for the name and a line for what is wrong with it."""
        with Vertical() as frame:
            frame.border_title = "Write the snapshot to a file"
            frame.border_subtitle = "Enter writes, Esc does not"
            yield Input(self._name, select_on_focus=False)
            yield Static("", classes="wrong", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Write, or say why not."""
        try:
            self._write(event.value)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self.query_one(".wrong", Static).update(Content(f"✖ {visible(reason)}"))
        else:
            self.dismiss()


def help_text() -> Content:
    """Every key, and what the columns mean."""
    lines = [
        Content.assemble((fit(keys, 26), "bold $text-accent"), meaning) for keys, meaning in _KEYS
    ]
    lines += [Content(""), Content.styled("Columns", "bold")]
    lines += [
        Content.assemble((fit(one.title, 26), "$text-accent"), one.meaning) for one in COLUMNS
    ]
    lines += [
        Content(""),
        Content("A dash is a value that is not known; `metalscope doctor` says why. Percentiles"),
        Content("are within 4.5 % of the true value; counts are exact."),
    ]
    return Content("\n").join(lines)


def operation_text(row: Row) -> Content:
    """All that is known of one operation."""
    one = row.operation
    durations = one.durations
    facts = [
        ("kind", one.kind.value),
        ("name", one.name),
        ("device", one.device or ABSENT),
        ("process", row.process),
        ("calls", f"{one.executions:,}"),
        ("calls/s", rate_text(row.calls_per_second)),
        ("share", percent_text(None if row.share is None else 100 * row.share)),
        ("failed", _errors(one)),
        ("bytes", bytes_text(one.nbytes) if one.nbytes else ABSENT),
        ("bytes/s", bytes_text(row.bytes_per_second)),
        ("device time", ms_text(one.gpu_ms)),
        ("shortest", ms_text(durations.min_ms)),
        ("p50", ms_text(durations.quantile_ms(0.5))),
        ("p95", ms_text(durations.quantile_ms(0.95))),
        ("p99", ms_text(durations.quantile_ms(0.99))),
        ("longest", ms_text(durations.max_ms)),
        ("mean", ms_text(durations.average_ms)),
        ("total", ms_text(durations.total_ms)),
    ]
    lines = [_fact(title, value) for title, value in facts]
    lines += [Content(""), Content.styled("Speed", "bold")]
    lines += [
        _bar(category.value, count, durations.count) for category, count in one.categories.items()
    ]
    return Content("\n").join(lines)


def readings_text(view: View) -> Content:
    """Every reading, the health of each component with its reasons, and the devices."""
    lines = [Content.assemble(("Health  ", "bold"), health_words(view.health.status))]
    for part in view.health.components:
        reasons = visible("; ".join(part.reasons))
        lines.append(
            Content.assemble(
                f"  {fit(part.component, 12)}", health_words(part.status), f"  {reasons}"
            )
        )
    heads = f"  {fit('reading', 34)}{fit('device', 14)}{fit('now', 12)}{fit('peak', 12)}limit"
    lines += [Content(""), Content.styled("Readings", "bold")]
    lines.append(Content.styled(heads, "$foreground-muted"))
    for one in view.readings:
        name = f"{one.kind.value} {one.name}"
        now, peak, limit = (reading_text(one, v) for v in (one.current, one.peak, one.limit))
        columns = [fit(name, 33), fit(one.device or ABSENT, 13), fit(now, 11), fit(peak, 11), limit]
        lines.append(Content(f"  {' '.join(columns)}"))
    if not view.readings:
        lines.append(Content("  none here; see metalscope doctor"))
    lines += [Content(""), Content.styled("Devices", "bold"), *_devices(view)]
    return Content("\n").join(lines)


def _devices(view: View) -> Sequence[Content]:
    systems = [one.system for one in view.snapshots if one.system is not None]
    found = dict.fromkeys(device for system in systems for device in system.devices)
    return [
        Content(
            f"  {fit(one.name, 33)} {visible(one.backend)}  memory {bytes_text(one.memory_bytes)}"
        )
        for one in found
    ] or [Content("  none named")]


def _errors(operation: OperationMetrics) -> str:
    if not operation.error_count:
        return "0"
    by_type = ", ".join(f"{error} {count:,}" for error, count in operation.errors.items())
    return f"{operation.error_count:,} ({by_type})"


def _fact(title: str, value: str) -> Content:
    return Content.assemble((fit(title, 13), "$foreground-muted"), visible(value))


def _bar(title: str, count: int, of: int) -> Content:
    cells = round(_BAR_CELLS * count / of) if of else 0
    bar = "█" * (max(1, cells) if count else 0)
    return Content.assemble(
        (fit(title, 13), "$foreground-muted"), (fit(bar, _BAR_CELLS), "$text-accent"), f" {count:,}"
    )
