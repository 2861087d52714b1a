"""How many messages does an incident cost, and how many come of nothing?

    python bench/alert_fatigue.py [--days N] [--seeds N] [--sets open,closed] [--shapes NAME,…]
                                  [--jobs N] [--quick] [--details FILE] [--json FILE]

The incidents of bench/anomalies.py, whole days of snapshots, go through the health monitor with its
detectors and through MetalAlertsManager, with the options as they are by default and one channel
that counts. Beside it stand the rules of the system this one follows, as if its messages were sent.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import sleep

from goals import RESULTS, Result, Row, at_most, exactly, publish
from incidents.original_alerts import OriginalAlerts
from incidents.ranges import CLOSED, OPEN
from incidents.shapes import SHAPES
from incidents.streams import Stream, simulated
from incidents.timeline import Incident
from metalscope.alert_options import AlertsOptions, ChannelOptions
from metalscope.alerts.manager import MetalAlertsManager
from metalscope.alerts.notification import Notification
from metalscope.alerts.notify.base import Notifier
from metalscope.health.monitor import MetalHealthMonitor
from metalscope.health_options import HealthMonitorOptions
from metalscope.sending.result import ExportResult

DAY = 86_400.0
TICK = 10.0
GRACE = 1800.0
"""How many s after its end an incident may still be what a message is about: windows of rules are
a quarter of an hour, and detectors look for leaks and drifts each five minutes."""
SETS = {"open": OPEN, "closed": CLOSED}


@dataclass(frozen=True, slots=True)
class Told:
    """One message: when, and when what it is about began, in s of the stream."""

    at: float
    began: float
    kind: str
    what: str


@dataclass(slots=True)
class Tally:
    """Messages of some streams, by what they are about."""

    seconds: float = 0.0
    incidents: list[tuple[str, Incident, list[Told]]] = field(default_factory=list)
    stray: list[tuple[str, Told]] = field(default_factory=list)

    def __iadd__(self, other: Tally) -> Tally:
        self.seconds += other.seconds
        self.incidents += other.incidents
        self.stray += other.stray
        return self

    @property
    def told_of(self) -> list[int]:
        """Messages of each incident that anything was told of."""
        return [len(told) for _, _, told in self.incidents if told]


class Counting(Notifier):
    """A channel that takes all and keeps it."""

    def __init__(self) -> None:
        self.messages: list[Notification] = []

    def send(self, notification: Notification) -> ExportResult:
        self.messages.append(notification)
        return ExportResult.delivered()


def tally(stream: Stream, messages: Iterable[Told]) -> Tally:
    """Put each message to the incident within which, or within its grace, what it tells began."""
    found = [(stream.name, incident, []) for incident in stream.incidents]
    stray = []
    for told in messages:
        mine = next(
            (
                of
                for _, incident, of in found
                if incident.start <= told.began <= incident.end + GRACE
            ),
            None,
        )
        if mine is None:
            stray.append((stream.name, told))
        else:
            mine.append(told)
    return Tally(stream.seconds, found, stray)


def watch(of: str, shape: str, seed: int, seconds: float) -> dict[str, Tally]:
    """Show one stream to both."""
    stream = simulated(shape, SETS[of], seed, seconds=seconds, tick=TICK)
    health = MetalHealthMonitor(
        HealthMonitorOptions(), on_error=_raise, history_window=timedelta(minutes=15)
    )
    health.start()
    channel = Counting()
    people = ChannelOptions(
        name="people", type="webhook", target="http://127.0.0.1/", rate_limit=1_000_000
    )
    alerts = MetalAlertsManager(
        AlertsOptions(
            enable_notifications=True,
            channels=(people,),
            repeat_interval="30d",
        ),
        on_error=_raise,
        notifiers={"people": channel},
    )
    original, its_messages = OriginalAlerts(), []
    started: datetime | None = None
    for snapshot in stream.play():
        started = started or snapshot.timestamp - timedelta(seconds=stream.tick)
        now = (snapshot.timestamp - started).total_seconds()
        its_messages += [
            Told(now, now, kind, f"{rule}: {subject}")
            for kind, rule, subject in original.observe(snapshot)
        ]
        report = health.observe(snapshot)
        # The streams' breakers are not the monitor's own.
        report = replace(report, breakers=snapshot.health.breakers)
        alerts.observe(replace(snapshot, health=report))
        # Simulated time stands still until the channel has what it was sent.
        while alerts.channels()[0].waiting:
            sleep(0.001)
    assert started is not None
    alerts.close(10.0)
    ours = [
        Told(
            (one.created_at - started).total_seconds(),
            (min(a.active_since for a in one.alerts) - started).total_seconds(),
            one.kind.value,
            ", ".join(f"{a.rule}{dict(a.labels)} {a.severity}" for a in one.alerts),
        )
        for one in channel.messages
    ]
    return {
        "metalscope": tally(stream, ours),
        "the original's rules": tally(stream, _of_their_incident(its_messages)),
    }


def _of_their_incident(messages: Sequence[Told]) -> Iterable[Told]:
    """A resolved message of the original is about the alert that was raised before it."""
    raised: dict[str, float] = {}
    for told in messages:
        began = raised.setdefault(told.what, told.at) if told.kind == "raised" else told.began
        if told.kind == "resolved":
            began = raised.pop(told.what, told.began)
        yield replace(told, began=began)


def _raise(_room: str, error: BaseException) -> None:
    raise error


def rows_of(of: str, name: str, total: Tally, *, with_goals: bool) -> list[Row]:
    told = total.told_of
    share = len(told) / len(total.incidents) if total.incidents else 0.0
    stray = len(total.stray) * DAY / total.seconds
    return [
        exactly(f"{name}, {of}: incidents told of", share, ""),
        exactly(
            f"{name}, {of}: messages an incident",
            sum(told) / len(told) if told else 0.0,
            "",
            at_most(2.0, "") if with_goals else None,
        ),
        exactly(f"{name}, {of}: most messages of one incident", max(told, default=0), ""),
        exactly(f"{name}, {of}: messages of nothing, a simulated day", stray, "a day"),
    ]


def details(scores: dict[str, dict[str, dict[str, Tally]]]) -> str:
    lines = []
    for of, by_shape in scores.items():
        for shape, by in by_shape.items():
            mine = by["metalscope"]
            lines.append(f"## {of}, {shape}")
            for _, incident, told in mine.incidents:
                lines.append(f"- {incident.start:.0f}-{incident.end:.0f} s {incident.what}")
                lines += [f"    {t.at:.0f} {t.kind}: {t.what}" for t in told]
            lines += [f"- of nothing: {t.at:.0f} {t.kind}: {t.what}" for _, t in mine.stray]
    return "\n".join(lines) + "\n"


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=float, default=1.0, help="length of a stream")
    parser.add_argument("--seeds", type=int, default=1, help="streams of each shape")
    parser.add_argument("--sets", type=lambda text: text.split(","), default=list(SETS))
    parser.add_argument("--shapes", type=lambda text: text.split(","), default=list(SHAPES))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--quick", action="store_true", help="a rough look")
    parser.add_argument("--details", type=Path, help="each message, as text")
    parser.add_argument("--json", "--output", type=Path, default=RESULTS / "alert_fatigue.json")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.days = min(arguments.days, 0.25)
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parsed(argv)
    jobs = [
        (of, shape, seed, arguments.days * DAY)
        for of in arguments.sets
        for shape in arguments.shapes
        for seed in range(arguments.seeds)
    ]
    scores: dict[str, dict[str, dict[str, Tally]]] = {}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for job, found in zip(jobs, pool.map(watch, *zip(*jobs, strict=True)), strict=True):
            print(f"{job[0]}, {job[1]}", file=sys.stderr)
            by = scores.setdefault(job[0], {}).setdefault(job[1], {})
            for name, one in found.items():
                by.setdefault(name, Tally()).__iadd__(one)
    rows, raw = [], {}
    for of, by_shape in scores.items():
        for name in next(iter(by_shape.values())):
            total = Tally()
            for by in by_shape.values():
                total += by[name]
            rows += rows_of(of, name, total, with_goals=name == "metalscope")
            raw[f"{of}, {name}"] = dict(Counter(str(n) for n in total.told_of))
    facts = {"days": arguments.days, "seeds": arguments.seeds, "shapes": arguments.shapes}
    publish(Result("alert fatigue", rows, facts, raw=raw), arguments.json)
    if arguments.details:
        arguments.details.write_text(details(scores))


if __name__ == "__main__":
    main()
