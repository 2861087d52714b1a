"""Expressions, evaluated here and by Prometheus' own promtool over the same series."""

from __future__ import annotations

import json
import math
import re
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from expression_texts import ANY_VECTOR, chains, mutated, set_chains
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sampled_series import STEP, custom

from metalscope.alerts.expression import EvaluationError, ExpressionError, check, compile_expression
from metalscope.alerts.expression.samples import Samples
from metalscope.snapshot import CustomMetric, MetalTelemetrySnapshot
from peers import require_peer

CASES = 200
SAMPLINGS = 20
EPOCH = datetime.fromtimestamp(0, UTC)
"""Where promtool's time begins."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Line:
    """One series: a value for each sampling, ``None`` where it is absent."""

    name: str
    labels: Labels
    values: tuple[float | None, ...]

    def for_promtool(self) -> dict[str, str]:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels)
        values = " ".join("stale" if one is None else repr(one) for one in self.values)
        return {"series": f"{self.name}{{{labels}}}", "values": values}


def lines(random: Random) -> list[Line]:
    """Gauges with gaps, counters that are reset, a histogram; quarters, so that sums are exact."""
    found = []
    used: set[float] = set()

    def quarter() -> float:
        while (value := random.randrange(-200, 800) / 4) in used:
            pass
        used.add(value)
        return value

    for name in ("g", "f"):
        for a in "xyz":
            for b in "12":
                there = random.random() < 0.8
                values: list[float | None] = []
                for _ in range(SAMPLINGS):
                    there = there if random.random() < 0.9 else not there
                    values.append(quarter() if there else None)
                found.append(Line(name, (("a", a), ("b", b)), tuple(values)))
    for a in "xy":
        count = 0.0
        counts: list[float | None] = []
        for _ in range(SAMPLINGS):
            count = 0.0 if random.random() < 0.1 else count + random.randrange(5)
            counts.append(count)
        found.append(Line("c_total", (("a", a),), tuple(counts)))
    for a in "xy":
        buckets = [0.0, 0.0, 0.0]
        rows: list[tuple[float, ...]] = []
        for _ in range(SAMPLINGS):
            more = sorted(random.randrange(6) for _ in buckets)
            buckets = [old + new for old, new in zip(buckets, more, strict=True)]
            rows.append(tuple(buckets))
        for place, le in enumerate(("0.5", "2.5", "+Inf")):
            values = [row[place] for row in rows]
            found.append(Line("h_bucket", (("a", a), ("le", le)), tuple(values)))
    return found


def sampled(found: list[Line], place: int) -> MetalTelemetrySnapshot:
    metrics: list[CustomMetric] = []
    buckets: dict[str, dict[str, float]] = {}
    for line in found:
        value = line.values[place]
        if value is None:
            continue
        if line.name == "h_bucket":
            buckets.setdefault(line.labels[0][1], {})[line.labels[1][1]] = value
        elif line.name == "c_total":
            metrics.append(custom("c", value, "counter", **dict(line.labels)))
        else:
            metrics.append(custom(line.name, value, **dict(line.labels)))
    for a, counts in buckets.items():
        metrics.append(
            replace(
                custom("h", 1.0, "histogram", a=a),
                count=int(counts["+Inf"]),
                buckets=tuple((float(le), int(n)) for le, n in counts.items() if le != "+Inf"),
            )
        )
    return MetalTelemetrySnapshot(
        EPOCH + timedelta(seconds=place * STEP),
        EPOCH - timedelta(days=1),
        custom=tuple(sorted(metrics, key=lambda one: (one.name, one.labels))),
    )


Answer = dict[Labels, float] | str
"""A vector, or what was wrong."""


def ours(found: list[Line], texts: list[str]) -> list[Answer]:
    expressions = [compile_expression(text) for text in texts]
    samples = Samples(expressions)
    for place in range(SAMPLINGS):
        samples.take(sampled(found, place))
    answers: list[Answer] = []
    for expression in expressions:
        try:
            answers.append(dict(expression.evaluate(samples, samples.latest or 0.0)))
        except EvaluationError as error:
            answers.append(str(error))
    return answers


_SAMPLE = re.compile(r"\{([^}]*)\} (\S+?)(?:, (?=\{)|$)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def promtools(found: list[Line], texts: list[str], directory: Path) -> list[Answer]:
    """What promtool says: where a value is not the one expected it tells what it got."""
    file = directory / "expressions.json"  # JSON is YAML
    wrong = [{"labels": '{expected="something else"}', "value": 0}]
    at = f"{int((SAMPLINGS - 1) * STEP)}s"
    test = {
        "interval": "15s",
        "input_series": [line.for_promtool() for line in found],
        "promql_expr_test": [
            {"expr": text, "eval_time": at, "exp_samples": wrong} for text in texts
        ],
    }
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "15s", "tests": [test]}))
    done = subprocess.run(
        [require_peer("promtool"), "test", "rules", file],
        capture_output=True,
        text=True,
        check=False,
    )
    parts = done.stderr.split('    expr: "')[1:]
    assert len(parts) == len(texts), done.stderr[:2000]
    return [_read(part) for part in parts]


def _read(part: str) -> Answer:
    got = part.partition("        got: ")[2].strip()
    if not got:
        return part.partition("err: ")[2].strip()
    return {
        tuple((n, v) for n, v in _LABEL.findall(labels) if n != "__name__"): float(value)
        for labels, value in _SAMPLE.findall("" if got == "nil" else got)
    }


def agree(mine: Answer, theirs: Answer) -> bool:
    if isinstance(mine, str) or isinstance(theirs, str):
        return isinstance(mine, str) and isinstance(theirs, str)
    return mine.keys() == theirs.keys() and all(
        math.isclose(value, theirs[labels], rel_tol=1e-9, abs_tol=1e-9)
        or (math.isnan(value) and math.isnan(theirs[labels]))
        for labels, value in mine.items()
    )


def gathered(strategy: st.SearchStrategy[str], count: int) -> list[str]:
    """So many different examples of a strategy, the same each time."""
    found: dict[str, None] = {}

    @settings(
        max_examples=2 * count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def gather(text: str) -> None:
        found[text] = None

    gather()
    return list(found)[:count]


def refused(text: str) -> bool:
    try:
        check(text)
    except ExpressionError:
        return True
    return False


def compared(texts: list[str], seed: int, directory: Path) -> tuple[list[str], list[Answer]]:
    """Where the two disagree, and what is given here."""
    found = lines(Random(seed))
    mine, theirs = ours(found, texts), promtools(found, texts, directory)
    disagreements = [
        f"{text}\n    here: {one}\n    promtool: {other}"
        for text, one, other in zip(texts, mine, theirs, strict=True)
        if not agree(one, other)
    ]
    return disagreements, mine


def test_what_expressions_give_is_what_prometheus_gives(tmp_path: Path) -> None:
    texts = gathered(ANY_VECTOR, CASES)
    for text in texts:
        try:
            check(text)
        except ExpressionError as error:
            # Prometheus takes a label that cannot be there, and matches too much or nothing.
            assert "has no label" in error.what, text  # noqa: PT017
    texts = [text for text in texts if not refused(text)]
    assert len(texts) > 0.8 * CASES
    with_something = with_an_error = 0
    for seed in range(2):
        disagreements, mine = compared(texts, seed, tmp_path)
        assert not disagreements, "\n".join(disagreements)
        with_something += sum(bool(one) and not isinstance(one, str) for one in mine)
        with_an_error += sum(isinstance(one, str) for one in mine)
    # The comparison would say little if nearly all gave nothing.
    assert with_something > CASES
    assert with_an_error > 0


def test_operators_bind_as_in_prometheus(tmp_path: Path) -> None:
    texts = gathered(st.one_of(chains(), set_chains()), 120)
    disagreements, mine = compared(texts, 7, tmp_path)
    assert not disagreements, "\n".join(disagreements)
    assert sum(map(bool, mine)) > 80


def test_what_is_accepted_here_prometheus_accepts(tmp_path: Path) -> None:
    texts = [text for text in gathered(mutated(), 300) if not refused(text)]
    assert len(texts) > 30
    answers = promtools(lines(Random(0)), texts, tmp_path)
    wrong = [
        (text, answer)
        for text, answer in zip(texts, answers, strict=True)
        if isinstance(answer, str) and "parse error" in answer
    ]
    assert not wrong
