"""How many incidents do anomaly detectors find, how soon, with how many false alarms, at what cost?

    python bench/anomalies.py [--days N] [--seeds N] [--detectors robust,river,original,original-5m]
                              [--sets open,closed,recorded] [--shapes NAME,…] [--jobs N]
                              [--long-tick-only]
                              [--quick] [--json FILE]

Streams of snapshots with labelled incidents are shown to every detector, tick by tick. What
they are made of is in incidents/shapes.py and ranges.py, what counts as found in scoring.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import process_time_ns
from typing import Any

from goals import RESULTS, Goal, Result, Row, at_least, at_most, exactly, publish
from incidents.original import OriginalRule
from incidents.ranges import CLOSED, OPEN
from incidents.recorded import recorded_streams
from incidents.reporting import as_data, details, table
from incidents.scoring import Episodes, Score, score
from incidents.shapes import SHAPES, SHAPES_BY_THE_SECOND
from incidents.streams import Stream, simulated
from metalscope.errors import MissingExtraError
from metalscope.health.detector import AnomalyDetector
from metalscope.health.detectors import detectors_of
from metalscope.health_options import HealthMonitorOptions
from timing import Spread

DAY = 86_400.0
TICK = 10.0
SHORT_TICK = 1.0
SHORT_SHARE = 1 / 12
"""Streams with a tick of a second are this part of the others' length."""
SETS = ("open", "closed", "recorded")
RECALL = at_least(0.95, "")
FALSE_PER_DAY = at_most(1.0, "a day")
COST = at_most(50.0, "µs")


def _of(name: str) -> Callable[[], AnomalyDetector]:
    """What the product makes of a name in its options."""
    options = HealthMonitorOptions(anomaly_detectors=(name,))
    return lambda: detectors_of(options)[0]


DETECTORS: Mapping[str, Callable[[], AnomalyDetector]] = {
    "robust": _of("robust"),
    "river": _of("river"),
    "original": OriginalRule,
    "original-5m": lambda: OriginalRule(timedelta(minutes=5)),
}


DEFAULT_DETECTORS = ("robust", "river", "original")


@dataclass(frozen=True, slots=True)
class Job:
    """One stream and who is to look at it; small, so that it can go to another process."""

    of: str
    shape: str
    seed: int
    seconds: float
    tick: float
    detectors: tuple[str, ...]

    def stream(self) -> Stream:
        if self.of == "recorded":
            return next(s for s in recorded_streams() if s.shape == self.shape)
        ranges = {"open": OPEN, "closed": CLOSED}[self.of]
        return simulated(self.shape, ranges, self.seed, seconds=self.seconds, tick=self.tick)


def watch(job: Job) -> dict[str, Score]:
    """Show one stream to every detector at once."""
    stream = job.stream()
    watching = {name: (DETECTORS[name](), Episodes()) for name in job.detectors}
    started = None
    for snapshot in stream.play():
        started = started or snapshot.timestamp - timedelta(seconds=stream.tick)
        seconds = (snapshot.timestamp - started).total_seconds()
        for detector, episodes in watching.values():
            episodes.add(seconds, detector.observe(snapshot))
    return {
        name: score(stream.name, stream.seconds, stream.incidents, episodes.all)
        for name, (_, episodes) in watching.items()
    }


def jobs_of(arguments: argparse.Namespace, detectors: tuple[str, ...]) -> list[Job]:
    made = []
    for of in arguments.sets:
        if of == "recorded":
            made += [Job(of, s.shape, 0, s.seconds, s.tick, detectors) for s in recorded_streams()]
            continue
        for seed in range(arguments.seeds):
            for shape in arguments.shapes:
                made.append(Job(of, shape, seed, arguments.days * DAY, TICK, detectors))
                if shape in SHAPES_BY_THE_SECOND and not arguments.long_tick_only:
                    seconds = arguments.days * DAY * SHORT_SHARE
                    made.append(Job(of, shape, seed, seconds, SHORT_TICK, detectors))
    return made


Scores = dict[str, dict[str, dict[str, Score]]]
"""By set, shape and detector; a shape by the second is one of its own."""


def scores_of(jobs: Sequence[Job], processes: int) -> Scores:
    found: Scores = {}
    with ProcessPoolExecutor(processes) as pool:
        results = []
        for job, scores in zip(jobs, pool.map(watch, jobs), strict=True):
            results.append(scores)
            print(f"{len(results)} of {len(jobs)}: {job.of}, {job.shape}", file=sys.stderr)
    for job, scores in zip(jobs, results, strict=True):
        shape = job.shape if job.tick != SHORT_TICK else f"{job.shape}, tick 1 s"
        by_detector = found.setdefault(job.of, {}).setdefault(shape, {})
        for name, one in scores.items():
            total = by_detector.setdefault(name, Score())
            total += one
            by_detector[name] = total
    return found


def cost(detector: str, hours: float) -> float:
    """CPU time in µs, a series a tick, over a stream that no other detector is shown."""
    stream = simulated("step", OPEN, 0, seconds=hours * 3600.0, tick=TICK)
    looking = DETECTORS[detector]()
    spent = series = 0
    for snapshot in stream.play():
        series += len(snapshot.operations) + len(snapshot.resources)
        start = process_time_ns()
        looking.observe(snapshot)
        spent += process_time_ns() - start
    return spent / series / 1e3


def present(names: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Those that can be made here, and why the others cannot."""
    absent = {}
    for name in names:
        try:
            DETECTORS[name]()
        except MissingExtraError as error:
            absent[name] = str(error)
    return tuple(name for name in names if name not in absent), absent


def rows_of(of: str, detector: str, scores: Mapping[str, Mapping[str, Score]]) -> list[Row]:
    total = Score()
    for by_detector in scores.values():
        total += by_detector[detector]
    goal: dict[str, Goal] = {}
    if detector == "robust" and of != "recorded":
        goal = {"recall": RECALL, "false": FALSE_PER_DAY}
    rows = []
    if total.recall is not None:
        rows.append(exactly(f"{detector}, {of}: recall", total.recall, "", goal.get("recall")))
    if total.precision is not None:
        rows.append(exactly(f"{detector}, {of}: precision", total.precision, ""))
    rows.append(
        exactly(
            f"{detector}, {of}: false alarms a simulated day",
            total.false_per_day,
            "a day",
            goal.get("false"),
        )
    )
    if total.delay is not None:
        rows.append(exactly(f"{detector}, {of}: median delay", total.delay, "s"))
    if detector == "robust" and "original" in next(iter(scores.values())):
        rows.append(_ahead(of, scores))
    return rows


def _ahead(of: str, scores: Mapping[str, Mapping[str, Score]]) -> Row:
    """On how many shapes the default detector is worth more; see Score.worth."""
    ahead = sum(by["robust"].worth > by["original"].worth for by in scores.values())
    goal = at_least(len(scores), "shapes") if of != "recorded" else None
    return exactly(f"robust, {of}: shapes ahead of the original's rule", ahead, "shapes", goal)


def measure(arguments: argparse.Namespace) -> tuple[Result, Scores]:
    detectors, absent = present(arguments.detectors)
    scores = scores_of(jobs_of(arguments, detectors), arguments.jobs)
    rows = [
        row
        for of, by_shape_of in scores.items()
        for name in detectors
        for row in rows_of(of, name, by_shape_of)
    ]
    hours = 24.0 * min(arguments.days, 0.1)
    for name in detectors:
        spread = Spread.of([cost(name, hours) for _ in range(3)])
        goal = COST if name == "robust" else None
        rows.append(Row(f"{name}: CPU time of a series a tick", spread, "µs", goal))
    facts: dict[str, Any] = {
        "days": arguments.days,
        "seeds": arguments.seeds,
        "shapes": list(arguments.shapes),
        "detectors": list(detectors),
        "absent": absent,
    }
    return Result("anomaly detection", rows, facts, raw=as_data(scores)), scores


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=float, default=1.0, help="length of a stream")
    parser.add_argument("--seeds", type=int, default=1, help="streams of each shape")
    parser.add_argument("--detectors", type=_names(",", DETECTORS), default=DEFAULT_DETECTORS)
    parser.add_argument("--sets", type=_names(",", SETS), default=SETS)
    parser.add_argument("--shapes", type=_names(",", SHAPES), default=tuple(SHAPES))
    parser.add_argument("--long-tick-only", action="store_true", help="none at a tick of 1 s")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--quick", action="store_true", help="a rough look")
    parser.add_argument("--details", type=Path, help="what was missed and falsely found, as text")
    parser.add_argument("--json", "--output", type=Path, default=RESULTS / "anomalies.json")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.days, arguments.seeds = min(arguments.days, 0.25), 1
    return arguments


def _names(separator: str, known: Sequence[str] | Mapping[str, Any]) -> Callable[[str], Any]:
    def read(text: str) -> tuple[str, ...]:
        names = tuple(part.strip() for part in text.split(separator))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return read


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parsed(argv)
    result, scores = measure(arguments)
    publish(result, arguments.json)
    for of, by_shape_of in scores.items():
        print()
        print(table(of, by_shape_of))
    if arguments.details:
        texts = [details(scores, name) for name in result.facts["detectors"]]
        arguments.details.write_text("\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
