"""What a detector found in a stream, against what is in it.

An incident is found where an anomaly of one of its kinds begins within it or within its grace
behind it; the delay runs from the incident's start to that beginning. An anomaly that begins in no
incident and no grace is a false alarm, also where it lasts until one. An anomaly is known by its
detector, kind and subject; one that comes back within a minute is the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from incidents.timeline import Incident
from metalscope.health_report import Anomaly

GAP_SECONDS = 60.0


@dataclass(slots=True)
class Episode:
    """One anomaly from its beginning to its end, in seconds of the stream."""

    start: float
    end: float
    anomaly: Anomaly


class Episodes:
    """Gathers a detector's findings, tick by tick."""

    def __init__(self) -> None:
        self.all: list[Episode] = []
        self._latest: dict[tuple[str, str, str], Episode] = {}

    def add(self, seconds: float, anomalies: Iterable[Anomaly]) -> None:
        """Take what goes on at a moment of the stream."""
        for anomaly in anomalies:
            before = self._latest.get(anomaly.key)
            if before is not None and seconds - before.end <= GAP_SECONDS:
                before.end = seconds
            else:
                episode = Episode(seconds, seconds, anomaly)
                self._latest[anomaly.key] = episode
                self.all.append(episode)


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one incident: ``by`` is the first episode that fits, if any.

    ``named`` says whether an episode within it carries the best of the incident's words.
    """

    stream: str
    incident: Incident
    by: Episode | None = None
    named: bool = False

    @property
    def delay(self) -> float | None:
        """Seconds from the incident's start until it was found."""
        return None if self.by is None else self.by.start - self.incident.start


@dataclass(slots=True)
class Score:
    """Of one detector over some streams."""

    seconds: float = 0.0
    incidents: list[Found] = field(default_factory=list)
    false: list[tuple[str, Episode]] = field(default_factory=list)
    episodes: int = 0

    def __iadd__(self, other: Score) -> Score:
        self.seconds += other.seconds
        self.incidents += other.incidents
        self.false += other.false
        self.episodes += other.episodes
        return self

    @property
    def found(self) -> int:
        return sum(one.by is not None for one in self.incidents)

    @property
    def recall(self) -> float | None:
        """Found by all incidents; ``None`` where there are none."""
        return self.found / len(self.incidents) if self.incidents else None

    @property
    def precision(self) -> float | None:
        """Episodes that begin in an incident by all; ``None`` where there are none."""
        return 1.0 - len(self.false) / self.episodes if self.episodes else None

    @property
    def false_per_day(self) -> float:
        """False alarms by simulated day."""
        return len(self.false) * 86_400.0 / self.seconds if self.seconds else 0.0

    @property
    def delay(self) -> float | None:
        """The median delay of those found, in seconds."""
        delays = [one.delay for one in self.incidents if one.delay is not None]
        return median(delays) if delays else None

    @property
    def worth(self) -> float:
        """F1, the harmonic mean of recall and precision; of a quiet stream, minus its alarms."""
        if not self.incidents:
            return -self.false_per_day
        recall, precision = self.recall or 0.0, self.precision or 0.0
        return 2 * recall * precision / (recall + precision) if recall + precision else 0.0

    @property
    def named(self) -> float | None:
        """The share of incidents for which the best word was found."""
        if not self.incidents:
            return None
        return sum(one.named for one in self.incidents) / len(self.incidents)


def score(
    stream: str, seconds: float, incidents: Sequence[Incident], episodes: Sequence[Episode]
) -> Score:
    """Hold what was found against what was there."""
    result = Score(seconds, episodes=len(episodes))
    for incident in incidents:
        within = [e for e in episodes if _begins_in(e, incident) and _fits(e, incident)]
        named = any(e.anomaly.kind == incident.kinds[0] for e in within)
        result.incidents.append(Found(stream, incident, within[0] if within else None, named))
    result.false = [
        (stream, episode)
        for episode in episodes
        if not any(_begins_in(episode, incident) for incident in incidents)
    ]
    return result


def _begins_in(episode: Episode, incident: Incident) -> bool:
    return incident.start <= episode.start <= incident.end + incident.grace


def _fits(episode: Episode, incident: Incident) -> bool:
    anomaly = episode.anomaly
    return anomaly.kind in incident.kinds and incident.subject in anomaly.subject
