from __future__ import annotations

import re
from pathlib import Path

from metalscope import semconv
from metalscope.operation import Component

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"

# Prometheus naming conventions: https://prometheus.io/docs/practices/naming/
FIXED_BY_DASHBOARDS = {semconv.OPERATION_DURATION, semconv.GPU_UTILIZATION}


def table() -> str:
    rows = ["| metric | type | unit | labels | meaning |", "|---|---|---|---|---|"]
    rows += [
        f"| `{m.name}` | {m.type} | {m.unit or '-'} | "
        f"{', '.join(f'`{label}`' for label in m.labels) or '-'} | {m.help} |"
        for m in semconv.BUILT_IN
    ]
    return "\n".join(rows)


def test_the_catalogue_document_has_the_table_of_the_code() -> None:
    assert table() in DOCUMENT.read_text(), f"put this into {DOCUMENT.name}:\n{table()}"


def test_every_metric_of_the_module_is_in_the_catalogue_once() -> None:
    defined = [value for value in vars(semconv).values() if isinstance(value, semconv.Metric)]
    assert sorted(semconv.BUILT_IN, key=lambda m: m.name) == sorted(defined, key=lambda m: m.name)
    assert len({metric.stem for metric in semconv.BUILT_IN}) == len(semconv.BUILT_IN)


def test_names_follow_the_prometheus_conventions() -> None:
    for metric in semconv.BUILT_IN:
        assert re.fullmatch(r"(metal|metalscope)_[a-z_]+[a-z]", metric.name)
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric.name
        assert metric.name.endswith("_info") == (metric.type == "info"), metric.name
        if metric.unit:
            assert metric.stem.endswith(f"_{metric.unit}"), metric.name
        assert (metric.unit in {"ms", "percent"}) == (metric in FIXED_BY_DASHBOARDS), metric.name
        assert not {"le", "quantile", "job", "instance"} & set(metric.labels), metric.name
        assert metric.help.endswith("."), metric.name
        # Both would need escaping in HELP, by rules that differ between the formats.
        assert not set(metric.help) & {"\\", "\n", '"'}, metric.name


def test_no_component_is_called_overall() -> None:
    assert semconv.OVERALL not in set(Component)
