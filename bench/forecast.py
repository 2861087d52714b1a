"""How right forecasts are: rolling-origin back-tests against naive and seasonal-naive forecasts.

    python bench/forecast.py [--quick] [--forecasters robust,statsmodels] [--docs] [--output PATH]

Each forecaster is shown a stretch of a series, says what comes, and is held against what came.
``--docs`` writes the table into docs/predictions.md; of a forecaster that is not asked for, the
rows are those of the last run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

from forecast_series import Case, made, public
from goals import RESULTS
from metalscope.forecast.base import Forecaster, Series
from metalscope.forecast.forecasters import forecaster_of
from timing import Machine

PAGE = Path(__file__).parent.parent / "docs" / "predictions.md"
BEGIN, END = "<!-- table: python bench/forecast.py --docs -->", "<!-- end of table -->"
LOW, HIGH = 0.85, 0.95


@dataclass
class Score:
    """Sums over all values forecast. Errors are scaled by the mean step of the past, as in MASE
    (Hyndman & Koehler 2006, doi:10.1016/j.ijforecast.2006.03.001)."""

    values: int = 0
    within: int = 0
    error: float = 0.0
    naive: float = 0.0
    seasonal: float = 0.0
    smape: float = 0.0
    seconds: float = 0.0
    forecasts: int = 0
    refused: int = 0

    def add(self, other: Score) -> None:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def coverage(self) -> float:
        return self.within / self.values

    def to_dict(self) -> dict[str, float | int]:
        n = max(1, self.values)
        return {
            "values": self.values,
            "coverage": self.within / n,
            "mase": self.error / n,
            "mase_naive": self.naive / n,
            "mase_seasonal_naive": self.seasonal / n,
            "smape": self.smape / n,
            "ms_a_forecast": 1e3 * self.seconds / max(1, self.forecasts),
            "refused": self.refused,
        }


def origins(case: Case, most: int) -> Iterator[int]:
    last = len(case.series.values) - case.steps
    span = last - case.window
    number = min(most, max(1, span // case.steps + 1))
    for k in range(number):
        yield case.window + round(k * span / max(1, number - 1))


def back_test(forecaster: Forecaster, case: Case, most: int) -> Score:
    score = Score()
    values = case.series.values
    for origin in origins(case, most):
        shown = list(values[origin - case.window : origin])
        scale = _scale(shown, case.season)
        last = next((v for v in reversed(shown) if v is not None), None)
        if not scale or last is None:
            continue
        start = case.series.start + case.series.step * (origin - case.window)
        began = process_time()
        found = forecaster.forecast(Series(start, case.series.step, shown), case.steps)
        score.seconds += process_time() - began
        score.forecasts += 1
        if found is None:
            score.refused += 1
            continue
        for h in range(case.steps):
            came = values[origin + h]
            if came is None:
                continue
            before = shown[len(shown) - case.season + h % case.season]
            score.values += 1
            score.within += found.lower[h] <= came <= found.upper[h]
            score.error += abs(came - found.values[h]) / scale
            score.naive += abs(came - last) / scale
            score.seasonal += abs(came - (last if before is None else before)) / scale
            size = abs(came) + abs(found.values[h])
            score.smape += 200.0 * abs(came - found.values[h]) / size if size else 0.0
    return score


def _scale(shown: Sequence[float | None], season: int) -> float:
    steps = [
        abs(later - value)
        for value, later in zip(shown, shown[season:], strict=False)
        if value is not None and later is not None
    ]
    return sum(steps) / len(steps) if steps else 0.0


def by_kind(forecaster: Forecaster, cases: Iterable[Case], most: int) -> dict[str, Score]:
    """Scores by kind of series, each public series a kind, and of all in ``total``.

    In the total every kind weighs the same, whatever its number of values.
    """
    found: dict[str, Score] = defaultdict(Score)
    for case in cases:
        kind = case.name if case.kind == "public" else case.kind
        found[kind].add(back_test(forecaster, case, most))
    return dict(found)


Rows = dict[str, dict[str, float | int]]


def rows_of(scores: dict[str, Score]) -> Rows:
    return {kind: score.to_dict() for kind, score in scores.items() if score.values}


def total(scores: Rows) -> dict[str, float]:
    rows = scores.values()
    keys = ("coverage", "mase", "mase_naive", "mase_seasonal_naive", "smape", "ms_a_forecast")
    return {key: sum(row[key] for row in rows) / len(rows) for key in keys}


def table(results: dict[str, Rows]) -> str:
    lines = [
        "| series | forecaster | in the 90 % interval | MASE | naive | seasonal naive | sMAPE "
        "| CPU ms a forecast |",
        "|---|---|---|---|---|---|---|---|",
    ]
    kinds = list(dict.fromkeys(kind for scores in results.values() for kind in scores))
    for kind in kinds:
        for name, scores in results.items():
            if kind in scores:
                lines.append(_line(kind, name, scores[kind]))
    for name, scores in results.items():
        lines.append(_line("**all, each kind alike**", name, total(scores)))
    return "\n".join(lines)


def _line(kind: str, name: str, row: dict[str, float | int]) -> str:
    covered = f"{row['coverage']:.1%}".replace("%", " %")
    if not LOW <= row["coverage"] <= HIGH:
        covered = f"*{covered}*"
    error = f"{row['mase']:.2f}"
    if row["mase"] > min(row["mase_naive"], row["mase_seasonal_naive"]):
        error = f"*{error}*"
    return (
        f"| {kind} | {name} | {covered} | {error} | {row['mase_naive']:.2f} "
        f"| {row['mase_seasonal_naive']:.2f} | {row['smape']:.1f} | {row['ms_a_forecast']:.0f} |"
    )


def write_page(text: str) -> None:
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer seeds and origins")
    parser.add_argument("--forecasters", default="robust,statsmodels")
    parser.add_argument("--docs", action="store_true", help="write the table into the docs")
    parser.add_argument("--output", type=Path, default=RESULTS / "forecast.json")
    arguments = parser.parse_args(argv)
    seeds, most = (2, 4) if arguments.quick else (4, 10)
    results: dict[str, Rows] = {}
    if arguments.output.exists():
        results = json.loads(arguments.output.read_text())["results"]
    for name in arguments.forecasters.split(","):
        cases = [*made(seeds), *public()]
        results[name] = rows_of(by_kind(forecaster_of(name), cases, most))
        print(name, total(results[name]), file=sys.stderr, flush=True)
    text = table(results)
    print(text)
    if arguments.docs:
        write_page(text)
    content = {
        "machine": Machine.here().to_dict(),
        "seeds": seeds,
        "results": results,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
