"""Scores as tables, as JSON, and as a list of what was missed and falsely found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from incidents.scoring import Found, Score

ByShape = Mapping[str, Mapping[str, Score]]
MOST_FALSE = 12


def table(of: str, scores: ByShape) -> str:
    """One row a shape; of each detector found/all with the median delay, and false alarms a day."""
    detectors = list(next(iter(scores.values())))
    lines = [
        f"| {of} | " + " | ".join(detectors) + " |",
        "|---" * (len(detectors) + 1) + "|",
    ]
    lines += [
        f"| {shape} | " + " | ".join(cell(by[name]) for name in detectors) + " |"
        for shape, by in scores.items()
    ]
    totals = {name: Score() for name in detectors}
    for by in scores.values():
        for name in detectors:
            totals[name] += by[name]
    lines.append("| **all** | " + " | ".join(cell(totals[name]) for name in detectors) + " |")
    return "\n".join(lines)


def cell(score: Score) -> str:
    """``5/6, 40 s; 0.3 false a day``."""
    false = f"{score.false_per_day:.2g} false a day"
    if not score.incidents:
        return false
    delay = "" if score.delay is None else f" in {spoken(score.delay)}"
    return f"{score.found}/{len(score.incidents)}{delay}; {false}"


def spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 300 else f"{seconds / 60:.0f} min"


def as_data(scores: Mapping[str, ByShape]) -> dict[str, Any]:
    """All scores as JSON-able data."""
    return {
        of: {
            shape: {name: _score(score) for name, score in by.items()}
            for shape, by in by_shape.items()
        }
        for of, by_shape in scores.items()
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "days": score.seconds / 86_400.0,
        "incidents": len(score.incidents),
        "found": score.found,
        "recall": score.recall,
        "named": score.named,
        "precision": score.precision,
        "episodes": score.episodes,
        "false": len(score.false),
        "false_per_day": score.false_per_day,
        "median_delay_seconds": score.delay,
    }


def details(scores: Mapping[str, ByShape], detector: str) -> str:
    """What one detector missed and falsely found, with times and reasons."""
    return "\n".join(_details(scores, detector))


def _details(scores: Mapping[str, ByShape], detector: str) -> Iterator[str]:
    for of, by_shape in scores.items():
        yield f"## {detector}, {of}"
        for shape, by in by_shape.items():
            score = by[detector]
            facts = f"precision {_share(score.precision)}, right word {_share(score.named)}"
            yield f"### {shape}: {cell(score)} ({facts})"
            for one in score.incidents:
                if one.by is None:
                    yield f"- missed {_incident(one)}"
                elif not one.named:
                    yield f"- found as {one.by.anomaly.kind} {_incident(one)}"
            kinds = Counter(f"{e.anomaly.kind} of {e.anomaly.subject}" for _, e in score.false)
            if kinds:
                yield f"- false, by kind: {dict(kinds.most_common(8))}"
            for stream, episode in score.false[:MOST_FALSE]:
                lasted = spoken(episode.end - episode.start)
                anomaly = episode.anomaly
                yield (
                    f"- false at {clock(episode.start)} for {lasted}: {anomaly.kind} of "
                    f"{anomaly.subject}: {anomaly.reason} [{stream}]"
                )


def _incident(one: Found) -> str:
    incident = one.incident
    return (
        f"{incident.what} from {clock(incident.start)} to {clock(incident.end)}, wanted "
        f"{'/'.join(incident.kinds)} [{one.stream}]"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def clock(seconds: float) -> str:
    """``05:12:40`` of the stream."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}"
