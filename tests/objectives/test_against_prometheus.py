"""The same work and the SRE Workbook's expressions, evaluated by Prometheus' promtool."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from counted_work import Shift

from metalscope.operation import ErrorSeverity
from peers import require_peer

TARGET = 0.999
OPERATIONS = 10_000
"""A minute."""

FAILED = [
    # (minutes, failed operations a minute): 3.2 days, as quiet and as broken as days are.
    (1500, 0),
    (12, 1000),
    (300, 0),
    (300, 100),
    (1300, 0),
    (1150, 40),
    (300, 10),
    (400, 0),
    (62, 137),  # an hour just below the most urgent rule
    (2, 250),
]

WORKBOOK = {
    # SRE Workbook, chapter 5, "6: Multiwindow, Multi-Burn-Rate Alerts", and 3 over a day.
    ErrorSeverity.CRITICAL: (14.4, "1h", "5m"),
    ErrorSeverity.HIGH: (6, "6h", "30m"),
    ErrorSeverity.MEDIUM: (3, "1d", "2h"),
    ErrorSeverity.LOW: (1, "3d", "6h"),
}
SECONDS = {
    "5m": 300,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "6h": 21_600,
    "1d": 86_400,
    "3d": 259_200,
}


def burn(window: str) -> str:
    return (
        f"sum(rate(metal_errors_total[{window}])) / sum(rate(metal_operations_total[{window}]))"
        f" / (1 - {TARGET})"
    )


def speaks(severity: ErrorSeverity) -> str:
    factor, long, short = WORKBOOK[severity]
    return f"({burn(long)} > bool {factor}) * ({burn(short)} > bool {factor})"


def test_burn_rates_and_severities_are_those_of_prometheus(tmp_path: Path):
    promtool = require_peer("promtool")
    shift = Shift(target=TARGET)
    series = {"metal_operations_total": "0", "metal_errors_total": "0"}
    failed_so_far = minute = 0
    expressions = []
    lived: list[int] = []
    seen = set()
    for minutes, failed in FAILED:
        for metric, each in (
            ("metal_operations_total", OPERATIONS),
            ("metal_errors_total", failed),
        ):
            begin = minute * OPERATIONS if each == OPERATIONS else failed_so_far
            series[metric] += f" {begin + each}+{each}x{minutes - 1}"
        for step in range(minutes):
            shift.work(OPERATIONS - failed, failed)
            minute += 1
            failed_so_far += failed
            lived.append(failed)
            # Not before the longest window of a rule is full, and mostly just after a change.
            if minute < 400 or not (step in (1, 3, 6, 11, 31, 60, 270) or minute % 331 == 0):
                continue
            at = f"{minute}m"
            for window, seconds in SECONDS.items():
                if seconds > minute * 60:
                    continue
                rate = shift.rates[float(seconds)]
                # A window is up to 4 parts in 128 longer: by what failed in that stretch at most.
                first = minute - seconds // 60
                edge = sum(lived[max(0, int(first - seconds / 60 * 4 / 128) - 1) : first + 1])
                excess = edge / (seconds / 60 * OPERATIONS) / (1 - TARGET)
                allowed = 4 / 128 * rate + excess + 1e-9
                expressions.append((at, f"abs({burn(window)} - {rate!r}) <= bool {allowed!r}", 1))
            burning = shift.status.burning
            seen.add(burning)
            for severity in WORKBOOK:
                if severity is burning:
                    expressions.append((at, speaks(severity), 1))
                    break
                expressions.append((at, speaks(severity), 0))
    assert seen == {*ErrorSeverity, None}
    tests = {
        "rule_files": [],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": text} for name, text in series.items()],
                "promql_expr_test": [
                    {
                        "expr": expr,
                        "eval_time": at,
                        "exp_samples": [{"labels": "{}", "value": value}],
                    }
                    for at, expr, value in expressions
                ],
            }
        ],
    }
    file = tmp_path / "objective.json"  # JSON is YAML
    file.write_text(json.dumps(tests))
    done = subprocess.run(
        [promtool, "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(expressions) > 200
