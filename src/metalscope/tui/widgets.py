"""The parts of the screen beside the table. Each draws a view and knows nothing of its making."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from metalscope.snapshot import HealthStatus, MetalTelemetrySnapshot
from metalscope.tui.gauges import Gauge
from metalscope.tui.happenings import Happening, Sort
from metalscope.tui.model import Condition, PlaceView, View
from metalscope.tui.spark import sparkline
from metalscope.tui.text import ABSENT, duration_text, fit, rate_text, visible

__all__ = ["Gauges", "HappeningsPane", "Header", "Line", "Processes", "health_words"]

# A sign of its own for each, so that nothing hangs on the colour.
_HEALTH: Final = {
    HealthStatus.HEALTHY: ("●", "$text-success"),
    HealthStatus.DEGRADED: ("▲", "bold $text-warning"),
    HealthStatus.CRITICAL: ("✖", "bold $text-error"),
    HealthStatus.UNKNOWN: ("?", "$foreground-muted"),
}
_CONDITIONS: Final = {
    Condition.WAITING: "$foreground-muted",
    Condition.LIVE: "$text-success",
    Condition.LOST: "bold $text-error",
    Condition.ENDED: "$foreground-muted",
}

_TITLE_WIDTH: Final = 12
_VALUE_WIDTH: Final = 10
_NOTE_WIDTH: Final = 13
_WIDE_GAUGE: Final = 48
_GAUGE_WIDTHS: Final = ((156, 4), (116, 3), (60, 2))
"""From how many cells on there are how many gauges side by side."""


def health_words(status: HealthStatus) -> Content:
    """A sign and the word."""
    sign, style = _HEALTH[status]
    return Content.styled(f"{sign} {status.value}", style)


class Line(Widget):
    """One line of content, cut where the screen ends; it is gone where it has nothing to say."""

    DEFAULT_CSS = "Line { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }"

    def __init__(self, *, id: str) -> None:  # noqa: A002 - textual's word
        super().__init__(id=id)
        self._content = Content("")

    def say(self, content: Content) -> None:
        """Show this."""
        self._content = content
        self.display = bool(content.plain)
        self.refresh()

    def render(self) -> Content:
        """What is shown."""
        return self._content


class Header(Line):
    """Who is watched and how it does, and whether what is shown is of now."""

    DEFAULT_CSS = "Header { background: $panel; }"

    def show(self, view: View, mode: str) -> None:
        """Draw the view; ``mode`` says whether it is live, frozen or played."""
        parts: list[Content] = [Content.styled(" metalscope", "bold")]
        snapshots = view.snapshots
        if len(view.shown) == 1:
            parts += _process(view.shown[0])
        else:
            parts.append(Content(f"{len(snapshots)} of {len(view.shown)} processes"))
        # What changes comes before what is long.
        status: list[Content] = [Content.styled(mode, "bold")]
        if snapshots:
            status.append(health_words(view.health.status))
        self.say(Content("  ").join([parts[0], *status, *parts[1:]]))


class Gauges(Widget):
    """Value and last minutes of each gauge, in as many columns as there is room for."""

    DEFAULT_CSS = "Gauges { height: auto; text-wrap: nowrap; }"

    def __init__(self) -> None:
        super().__init__()
        self._gauges: Sequence[tuple[Gauge, tuple[float | None, ...]]] = ()

    def show(self, view: View) -> None:
        """Draw the view."""
        self._gauges = view.gauges
        self.refresh(layout=len(self._gauges) != self.size.height)

    def get_content_height(
        self,
        container: Size,  # noqa: ARG002 - textual's signature
        viewport: Size,  # noqa: ARG002 - as above
        width: int,
    ) -> int:
        """As many lines as the gauges take at this width."""
        return -(-len(self._gauges) // _columns(width))

    def render(self) -> Content:
        """Gauges run down the columns."""
        width = self.content_size.width
        columns = _columns(width)
        each = (width - (columns - 1)) // columns
        height = -(-len(self._gauges) // columns)
        lines = []
        for line in range(height):
            here = self._gauges[line::height]
            lines.append(Content(" ").join([_gauge(gauge, past, each) for gauge, past in here]))
        return Content("\n").join(lines)


class Processes(Widget):
    """A line for each process, where there are several."""

    DEFAULT_CSS = "Processes { height: auto; max-height: 6; text-wrap: nowrap; }"

    def __init__(self) -> None:
        super().__init__()
        self._view: View | None = None

    def show(self, view: View) -> None:
        """Draw the view."""
        self._view = view
        self.display = len(view.places) > 1
        self.refresh(layout=True)

    def get_content_height(
        self,
        container: Size,  # noqa: ARG002 - textual's signature
        viewport: Size,  # noqa: ARG002 - as above
        width: int,  # noqa: ARG002 - as above
    ) -> int:
        """A line for each."""
        return len(self._view.places) if self._view else 0

    def render(self) -> Content:
        """Which process, how it stands with it, how much it does."""
        if self._view is None:
            return Content("")
        lines = []
        for index, place in enumerate(self._view.places):
            is_shown = self._view.chosen in (None, index)
            lines.append(
                Content.assemble(
                    "▸ " if is_shown else "  ",
                    (fit(place.label, 28), "bold" if is_shown else ""),
                    " ",
                    (fit(place.condition.value, 9), _CONDITIONS[place.condition]),
                    f"{fit(rate_text(place.calls_per_second), 8, right=True)} calls/s  ",
                    health_words(place.snapshot.health_status)
                    if place.snapshot and place.condition is not Condition.LOST
                    else Content.styled(visible(place.why), "$foreground-muted"),
                )
            )
        return Content("\n").join(lines)


class HappeningsPane(ScrollView, can_focus=True):
    """Errors and events, the newest at the bottom; it follows unless it was scrolled away."""

    DEFAULT_CSS = """
    HappeningsPane {
        height: 4; border-top: solid $panel-lighten-2; border-title-color: $foreground-muted;
        overflow-x: hidden; scrollbar-size-vertical: 1;
    }
    HappeningsPane:focus { border-top: solid $accent; }
    HappeningsPane.large { height: 60%; }
    HappeningsPane > .happenings--error { text-style: bold; color: $text-error; }
    HappeningsPane > .happenings--quiet { color: $foreground-muted; }
    """
    COMPONENT_CLASSES = {"happenings--error", "happenings--quiet"}  # noqa: RUF012 - as textual has it

    def __init__(self) -> None:
        super().__init__()
        self.border_title = "Errors and events"
        self._lines: Sequence[Happening] = ()
        self._several = False

    def on_mount(self) -> None:
        """Stay at the end."""
        self.anchor()

    def show(self, view: View) -> None:
        """Draw the view."""
        if view.happenings == self._lines:
            return
        self._several = len(view.places) > 1
        self._lines = view.happenings
        self.virtual_size = Size(0, len(self._lines))
        self.refresh(layout=True)

    def render_line(self, y: int) -> Strip:
        """Draw one line of what is on the screen."""
        width = self.scrollable_content_region.width
        index = self.scroll_offset.y + y
        if index >= len(self._lines):
            text = "nothing so far" if not self._lines and y == 0 else ""
            quiet = self.get_component_rich_style("happenings--quiet")
            return Strip([Segment(fit(text, width), quiet)])
        one = self._lines[index]
        style = self.get_component_rich_style(
            "happenings--error" if one.sort is Sort.ERROR else "happenings--quiet"
        )
        when = f"{one.at.astimezone():%H:%M:%S} "
        sort = fit(one.sort.value, 8)
        rest = max(0, width - len(when) - len(sort))
        text = f"{one.text}  ({one.process})" if self._several else one.text
        return Strip(
            [
                Segment(when, self.get_component_rich_style("happenings--quiet")),
                Segment(sort, style),
                Segment(fit(text, rest), self.rich_style),
            ]
        ).adjust_cell_length(width, self.rich_style)


def _process(place: PlaceView) -> list[Content]:
    snapshot = place.snapshot
    if snapshot is None:
        return [Content(visible(place.label))]
    facts = [f"up {duration_text(snapshot.uptime_seconds)}", *_machine(snapshot)]
    return [Content(" · ".join([*facts, visible(place.label)]))]


def _machine(snapshot: MetalTelemetrySnapshot) -> list[str]:
    system = snapshot.system
    if system is None:
        return []
    names = dict.fromkeys(visible(device.name)[:40] for device in system.devices)
    return [f"{visible(system.host)[:40]} pid {system.pid}", *list(names)[:2]]


def _columns(width: int) -> int:
    return next((columns for least, columns in _GAUGE_WIDTHS if width >= least), 1)


def _gauge(gauge: Gauge, past: Sequence[float | None], width: int) -> Content:
    note_width = _NOTE_WIDTH if width >= _WIDE_GAUGE else 0
    rest = max(0, width - _TITLE_WIDTH - _VALUE_WIDTH - 1)
    title = Content.styled(fit(gauge.title, _TITLE_WIDTH), "$foreground-muted")
    value = Content.styled(fit(gauge.text, _VALUE_WIDTH, right=True), "bold")
    if gauge.text == ABSENT and gauge.note:
        why = fit(f"{ABSENT} {gauge.note}", width - _TITLE_WIDTH)
        return Content.assemble(title, (why, "$foreground-muted"))
    note = fit(gauge.note, min(note_width, rest))
    bars = sparkline(past, rest - len(note) - 1, gauge.ceiling)
    return Content.assemble(
        title, value, " ", (note, "$foreground-muted"), " ", (bars, "$text-primary")
    )
