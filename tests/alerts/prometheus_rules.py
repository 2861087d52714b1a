"""Rules as Prometheus's own tools see them: checked, and evaluated over series of our own."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from metalscope.alert_options import AlertRuleOptions, AlertsOptions
from metalscope.alerts.prometheus import rules_text
from metalscope.families import Distribution, families
from metalscope.operation import ErrorSeverity
from metalscope.snapshot import MetalTelemetrySnapshot
from peers import require_peer

BEGIN = datetime.fromtimestamp(0, UTC)
"""Prometheus's unit tests begin at 0 of the Unix epoch."""

Labels = tuple[tuple[str, str], ...]
Firing = dict[tuple[str, Labels], ErrorSeverity]
"""The alerts that fire at one moment, by name and labels, with the gravest severity of each."""

_TARGET = ("job", "instance")
_TOLD = re.compile(r"time: (?P<time>\w+),\s+exp: nil\s+got: (?P<got>.*)")
_SAMPLE = re.compile(r"\{((?:[^\"{}]|\"(?:[^\"\\]|\\.)*\")*)\} 1E\+00")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_OWN_LABELS = {"__name__", "alertname", "alertstate", "severity", *_TARGET}


def promtool(*arguments: str | Path, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require_peer("promtool"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=directory,
        check=False,
    )


def checked(text: str, directory: Path) -> str:
    """What ``promtool check rules`` has against a text; empty where nothing."""
    file = directory / "checked.rules.yml"
    file.write_text(text, encoding="utf-8")
    done = promtool("check", "rules", file, directory=directory)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def amtool(config: Path) -> subprocess.CompletedProcess[str]:
    command = [require_peer("amtool"), "check-config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def own(name: str, expr: str, **more: object) -> AlertRuleOptions:
    """A rule of one's own."""
    return AlertRuleOptions(name=name, expr=expr, **more)  # type: ignore[arg-type]


def exported(*rules: AlertRuleOptions, targets: tuple[str, ...] = ("job", "instance")) -> str:
    """A file with these rules alone."""
    return rules_text(AlertsOptions(disabled_rules=("*",), rules=rules), targets=targets)


@dataclass(frozen=True)
class Case:
    """Snapshots that one process gave, ``sampled`` apart from the begin on."""

    snapshots: Sequence[MetalTelemetrySnapshot]
    sampled: timedelta

    def series(self, wanted: Iterable[str], *, instance: str) -> dict[str, str]:
        """The values of each series with such a name, in the words of promtool."""
        names = {*wanted, "metalscope_start_time_seconds"}
        found: dict[str, list[float | None]] = {}
        for place, snapshot in enumerate(self.snapshots):
            for labels, value in _values(snapshot, names).items():
                series = _series(labels, instance)
                found.setdefault(series, [None] * len(self.snapshots))[place] = value
        return {series: _written(values) for series, values in found.items()}


def firing_in_prometheus(
    rules: str,
    cases: Sequence[Case],
    wanted: Iterable[str],
    *,
    interval: timedelta,
    directory: Path,
) -> list[list[Firing]]:
    """What fires in one Prometheus that looks at all cases, for each at each evaluation.

    Promtool tells what there is where it was told to expect nothing.
    """
    (directory / "rules.yml").write_text(rules, encoding="utf-8")
    first = cases[0]
    turns = int(len(first.snapshots) * first.sampled / interval)
    times = [int(turn * interval.total_seconds()) for turn in range(turns)]
    query = 'ALERTS{alertstate="firing"}'
    document = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{int(interval.total_seconds())}s",
        "tests": [
            {
                "interval": f"{int(first.sampled.total_seconds())}s",
                "input_series": [
                    {"series": series, "values": values}
                    for number, case in enumerate(cases)
                    for series, values in case.series(wanted, instance=str(number)).items()
                ],
                "promql_expr_test": [{"expr": query, "eval_time": f"{at}s"} for at in times],
            }
        ],
    }
    (directory / "tests.yml").write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    done = promtool("test", "rules", "tests.yml", directory=directory)
    said = done.stdout + done.stderr
    found: list[list[Firing]] = [[{} for _ in range(turns)] for _ in cases]
    told = 0
    for match in _TOLD.finditer(said):
        turn = times.index(_seconds(match["time"]))
        _put(match["got"], [firing[turn] for firing in found])
        told += 1
    # Whatever else it has to say is a rule that failed.
    assert told == said.count("expr:"), said
    assert told or done.returncode == 0, said
    return found


def _put(got: str, firing: Sequence[Firing]) -> None:
    for one in _SAMPLE.findall(got):
        labels = {name: json.loads(f'"{value}"') for name, value in _LABEL.findall(one)}
        found = firing[int(labels["instance"])]
        key = labels["alertname"], plain(labels)
        severity = ErrorSeverity(labels["severity"])
        found[key] = max(found.get(key, severity), severity, key=lambda it: it.rank)


def plain(labels: Mapping[str, str]) -> Labels:
    """Labels without those of Prometheus and those that every alert has."""
    return tuple(sorted((n, v) for n, v in labels.items() if n not in _OWN_LABELS))


def _values(snapshot: MetalTelemetrySnapshot, names: set[str]) -> dict[Labels, float]:
    found: dict[Labels, float] = {}
    for family in families(snapshot):
        metric = family.metric
        if metric.name in names:
            for values, value in family.values:
                found[_labels(metric.name, metric.labels, values)] = value
        for values, one in family.distributions:
            for end, labels, value in _parts(metric.labels, values, one):
                if metric.name + end in names:
                    found[_labels(metric.name + end, *labels)] = value
    return found


def _parts(
    names: tuple[str, ...], values: tuple[str, ...], one: Distribution
) -> Iterable[tuple[str, tuple[tuple[str, ...], tuple[str, ...]], float]]:
    for bound, count in (*one.buckets, ("+Inf", one.count)):
        yield "_bucket", ((*names, "le"), (*values, str(bound))), count
    yield "_count", (names, values), one.count


def _labels(name: str, names: Iterable[str], values: Iterable[str]) -> Labels:
    return ("__name__", name), *zip(names, values, strict=True)


def _series(labels: Labels, instance: str) -> str:
    (_, name), *others = labels
    pairs = [*others, ("job", "test"), ("instance", instance)]
    return f"{name}{{{','.join(f'{n}={json.dumps(v)}' for n, v in pairs)}}}"


def _written(values: Sequence[float | None]) -> str:
    parts: list[str] = []
    there = False
    for value in values:
        if value is None:
            # As a scrape that no longer has it.
            parts.append("stale" if there else "_")
        else:
            parts.append(repr(float(value)))
        there = value is not None
    return " ".join(parts)


def _seconds(text: str) -> int:
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([hms])", text))
