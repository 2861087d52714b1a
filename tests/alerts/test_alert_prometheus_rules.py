"""How rules, their expressions and their texts are written for Prometheus."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from prometheus_rules import exported, own, promtool

from metalscope.alerts.prometheus.wording import template
from metalscope.errors import ConfigurationError


def alert_of(expr: str, **more: object) -> str:
    """The expression of an alert with this one of ours."""
    (group,) = yaml.safe_load(exported(own("Mine", expr, **more)))["groups"]
    found: str = group["rules"][-1]["expr"]
    return found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("sum(depth) > 1", "sum by (job, instance) (depth) > 1"),
        ("sum by (a) (depth) > 1", "sum by (a, job, instance) (depth) > 1"),
        ("sum without (a) (depth) > 1", "sum without (a) (depth) > 1"),
        ("topk(2, depth) > 1", "topk by (job, instance) (2, depth) > 1"),
        ("depth > on (a) full", "depth > on (a, job, instance) full"),
        ("depth and on () full", "depth and on (job, instance) full"),
        ("depth > ignoring (a) full", "depth > ignoring (a) full"),
        ("depth > scalar(full)", "depth > on (job, instance) group_left () full"),
        ("depth - 2 * scalar(full) > 1",
         "depth - on (job, instance) group_left () 2 * full > 1"),
        ("scalar(full) < depth", "depth > on (job, instance) group_left () full"),
        ("scalar(full) - depth > 1", "full - on (job, instance) group_right () depth > 1"),
        ("vector(scalar(full)) > 1", "max by (job, instance) (full) > 1"),
        ("vector(1) > 0", "0 * group by (job, instance) (metalscope_start_time_seconds) + 1 > 0"),
        ("absent(depth)",
         "group by (job, instance) (metalscope_start_time_seconds)"
         " unless on (job, instance) depth"),
        ('absent(depth{a="b",c!="d"})',
         "label_replace(group by (job, instance) (metalscope_start_time_seconds)"
         ' unless on (job, instance) depth{a="b",c!="d"}, "a", "b", "", "")'),
        ("increase(jobs_total[5m]) > 1", "instance:jobs:increase5m > 1"),
        ('rate(jobs_total{a="b"}[5m] offset 1h) > 1',
         'instance:jobs:increase5m_offset1h{a="b"} / 300 > 1'),
        ("delta(depth[5m]) > 1", "(depth - depth offset 5m or delta(depth[5m])) > 1"),
    ],
)  # fmt: skip
def test_each_process_is_looked_at_by_itself(ours: str, theirs: str) -> None:
    assert alert_of(ours) == theirs


def test_where_processes_cannot_be_kept_apart_the_rule_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^rule Mine: scalar\(\) can be exported beside"):
        alert_of("clamp_max(depth, scalar(full)) > 1")


def test_an_increase_is_recorded_once_with_what_all_uses_ask_for() -> None:
    text = exported(
        own("One", 'increase(jobs_total{a="b",c="d"}[5m]) > 1'),
        own("Two", 'increase(jobs_total{a="b",e="f"}[5m]) > 1'),
        own("Other", "increase(jobs_total[10m]) > 1"),
    )
    (group,) = yaml.safe_load(text)["groups"]
    recorded = {one["record"]: one["expr"] for one in group["rules"] if "record" in one}
    assert list(recorded) == ["instance:jobs:increase5m", "instance:jobs:increase10m"]
    assert 'jobs_total{a="b"} offset 5m' in recorded["instance:jobs:increase5m"]
    assert "jobs_total offset 10m" in recorded["instance:jobs:increase10m"]


def test_what_keeps_an_alert_firing_looks_at_whether_it_fires() -> None:
    text = alert_of("depth > 9", keep_firing_while="depth > 7", labels={"team": "x"})
    assert text == (
        "depth > 9\nor (\n  depth > 7\n  and ignoring (alertname, alertstate, severity, team)\n"
        '  ALERTS{alertname="Mine",alertstate="firing",severity="medium"}\n)'
    )


def test_a_graver_alert_fires_where_the_rules_own_expression_does() -> None:
    graver = alert_of("depth > 9", severities={"high": "pressure > 1"})
    assert graver.startswith("pressure > 1\nand depth > 9\nor (\n  depth > 9\n  and ignoring")
    # What is plain needs no telling.
    assert alert_of("depth > 9", severities={"high": "depth > 20"}).startswith("depth > 20\nor (")


def test_a_label_of_the_series_stands_above_the_rules_component() -> None:
    text = exported(
        own("Series", "metal_health_status > 0", component="kernel"),
        own("Rule", "metal_low_power_mode > 0", component="kernel"),
    )
    (group,) = yaml.safe_load(text)["groups"]
    assert [one["labels"].get("component") for one in group["rules"]] == [None, "kernel"]


# -- texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("{value} of {name}", '{{ printf "%.5g" $value }} of {{ $labels.name }}'),
        ("{value:percent}", '{{ printf "%.3g" $value }} %'),
        ("{value:ratio}", "{{ $value | humanizePercentage }}"),
        ("{value:bytes}", "{{ $value | humanize1024 }}B"),
        ("{value:duration}", "{{ $value | humanizeDuration }}"),
        ("it{device| on }", "it{{ with $labels.device }} on {{ . }}{{ end }}"),
        ("{{name}} {", '{{ "{" }}name} {{ "{" }}'),
    ],
)
def test_placeholders_are_those_of_prometheus(ours: str, theirs: str) -> None:
    assert template(ours) == theirs


def test_prometheus_fills_texts_in_as_metalscope_does(tmp_path: Path) -> None:
    text = exported(
        own(
            "Mine",
            "depth > 1",
            summary="{{{a}}} {value} {value:bytes}{a| of }{c| in }",
            labels={"team": "{{x}}"},
        )
    )
    (tmp_path / "rules.yml").write_text(text)
    alert = {
        "exp_labels": {"severity": "medium", "team": "{{x}}", "a": "{{b}}"},
        "exp_annotations": {"summary": "{{{b}}} 2048 2kiB of {{b}}"},
    }
    document = {
        "rule_files": ["rules.yml"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": 'depth{a="{{b}}"}', "values": "2048x3"}],
                "alert_rule_test": [
                    {"eval_time": "1m", "alertname": "Mine", "exp_alerts": [alert]}
                ],
            }
        ],
    }
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(document))
    done = promtool("test", "rules", "tests.yml", directory=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
