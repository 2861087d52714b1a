"""What is known of every process that is watched, and the view that is drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from metalscope.processes.merge import readings_of
from metalscope.processes.merge_health import health_of
from metalscope.readings import ResourceMetrics
from metalscope.snapshot import ActivityPoint, HealthReport, MetalTelemetrySnapshot
from metalscope.tui.gauges import TITLES, Gauge, all_gauges
from metalscope.tui.happenings import Happening, Log, Seen, Sort, happenings_in
from metalscope.tui.source import Arrived, Ended, Jumped, Lost, Noted, Source, Update
from metalscope.tui.spark import History
from metalscope.tui.track import Row, Track, total_pace

__all__ = ["Condition", "Model", "Place", "PlaceView", "View"]


class Condition(StrEnum):
    """How it stands with a source."""

    WAITING = "waiting"
    LIVE = "live"
    LOST = "lost"
    ENDED = "at the end"


@dataclass(slots=True)
class Place:
    """One source with what it has told so far."""

    source: Source
    track: Track
    history: History = field(default_factory=History)
    seen: Seen = field(default_factory=Seen)
    condition: Condition = Condition.WAITING
    why: str = ""


@dataclass(frozen=True, slots=True)
class PlaceView:
    """How it stood with a source at one moment."""

    label: str
    condition: Condition
    why: str
    snapshot: MetalTelemetrySnapshot | None
    calls_per_second: float | None


@dataclass(frozen=True, slots=True)
class View:
    """All that is drawn, as of one moment: it does not change while data flows."""

    places: tuple[PlaceView, ...]
    chosen: int | None
    rows: tuple[Row, ...]
    gauges: tuple[tuple[Gauge, tuple[float | None, ...]], ...]
    readings: tuple[ResourceMetrics, ...]
    health: HealthReport
    happenings: tuple[Happening, ...]

    @property
    def shown(self) -> tuple[PlaceView, ...]:
        """The sources the view is of: one that was chosen, or all."""
        return self.places if self.chosen is None else (self.places[self.chosen],)

    @property
    def snapshots(self) -> tuple[MetalTelemetrySnapshot, ...]:
        """The newest snapshot of each source that has one."""
        return tuple(one.snapshot for one in self.shown if one.snapshot is not None)


class Model:
    """Takes what the sources tell; says how it looks.

    Args:
        sources: at least one.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.places = [Place(one, Track(_short(one.label))) for one in sources]
        self.chosen: int | None = None
        self._together = History()
        self._log = Log()

    def take(self, place: Place, update: Update) -> None:
        """Take one update of one source."""
        match update:
            case Arrived(snapshot):
                self._arrived(place, snapshot)
            case Jumped(before):
                self._jumped(place, before)
            case Lost(why):
                if place.condition is Condition.LIVE:
                    self._tell(place, f"lost: {why}")
                    place.history.add(dict.fromkeys(TITLES))  # a gap, not a zero
                place.why = why
                place.condition = Condition.LOST if place.track.latest else Condition.WAITING
            case Ended():
                place.condition = Condition.ENDED
            case Noted():
                pass  # nothing of the process

    def choose_next(self) -> None:
        """Show the next process alone; after the last one, all."""
        if len(self.places) > 1:
            after = 0 if self.chosen is None else self.chosen + 1
            self.chosen = after if after < len(self.places) else None

    def view(self) -> View:
        """How it looks now."""
        places = self.scope()
        histories = self._together if len(places) > 1 else places[0].history
        readings = _readings(places)
        gauges = all_gauges(_pace(places), readings)
        snapshots = _snapshots(places)
        names = {place.track.name for place in places}
        return View(
            places=tuple(_place_view(place) for place in self.places),
            chosen=self.chosen,
            rows=tuple(row for place in _living(places) for row in place.track.rows()),
            gauges=tuple((gauge, histories.of(gauge.title)) for gauge in gauges),
            readings=readings,
            health=snapshots[0].health if len(snapshots) == 1 else health_of(snapshots),
            happenings=tuple(one for one in self._log.all() if one.process in names),
        )

    def _arrived(self, place: Place, snapshot: MetalTelemetrySnapshot) -> None:
        if place.condition is Condition.LOST:
            self._tell(place, "back")
        place.condition, place.why = Condition.LIVE, ""
        self._observe(place, snapshot)
        if len(self.places) > 1:
            self._together.add(_values(self.places))

    def _jumped(self, place: Place, before: Sequence[MetalTelemetrySnapshot]) -> None:
        place.track.forget()
        place.history.forget()
        place.seen = Seen()
        self._log.forget()
        self._together.forget()
        for snapshot in before:
            self._observe(place, snapshot)
        place.condition, place.why = Condition.LIVE, ""

    def _observe(self, place: Place, snapshot: MetalTelemetrySnapshot) -> None:
        is_first = place.track.latest is None
        anew = place.track.observe(snapshot)
        if is_first:
            # What the process remembers of the time before.
            for point in snapshot.recent.points:
                place.history.add(_pace_values(point))
        for happening in happenings_in(snapshot, place.track, place.seen, anew=anew):
            self._log.add(happening)
        place.history.add(_values([place]))

    def _tell(self, place: Place, text: str) -> None:
        self._log.add(Happening(datetime.now(UTC), Sort.PROCESS, text, place.track.name))

    def scope(self) -> list[Place]:
        """What is shown: the one that was chosen, or all."""
        return self.places if self.chosen is None else [self.places[self.chosen]]


def _pace_values(point: ActivityPoint) -> dict[str, float | None]:
    pace = (point.operations_per_second, point.errors_per_second, point.mean_ms)
    return {**dict.fromkeys(TITLES), **{g.title: g.value for g in all_gauges(pace, ())}}


def _values(places: Sequence[Place]) -> dict[str, float | None]:
    gauges = all_gauges(_pace(places), _readings(places))
    return {gauge.title: gauge.value for gauge in gauges}


def _living(places: Sequence[Place]) -> list[Place]:
    """The places whose figures are of now; where there is only one, its last ones are shown."""
    living = [place for place in places if place.condition is not Condition.LOST]
    return living if len(places) > 1 else list(places)


def _snapshots(places: Sequence[Place]) -> list[MetalTelemetrySnapshot]:
    return [p.track.latest for p in _living(places) if p.track.latest is not None]


def _readings(places: Sequence[Place]) -> tuple[ResourceMetrics, ...]:
    snapshots = _snapshots(places)
    if len(snapshots) == 1:
        return snapshots[0].resources
    hosts = {one.system.host if one.system else None for one in snapshots}
    if len(hosts) != 1:
        return ()  # of several machines nothing is true together
    return readings_of(snapshots)[0]


def _pace(places: Sequence[Place]) -> tuple[float, float, float | None] | None:
    return total_pace(p.track.pace for p in _living(places) if p.track.pace is not None)


def _place_view(place: Place) -> PlaceView:
    pace = place.track.pace
    return PlaceView(
        label=place.source.label,
        condition=place.condition,
        why=place.why,
        snapshot=place.track.latest,
        calls_per_second=pace.calls_per_second if pace else None,
    )


def _short(label: str) -> str:
    return label.partition("://")[2] or label
