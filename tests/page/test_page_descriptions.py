"""Pages of one's own: their files, what is told of wrong ones, and what their panels show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from metalscope.errors import ConfigurationError
from metalscope.page.descriptions import load_descriptions
from metalscope.page.panels import Panel
from metalscope.page.source import (
    Described,
    Durations,
    HostState,
    Line,
    Lines,
    Operations,
    SourceError,
    TimeRange,
    Wanted,
)

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("page-*.yml"))
SCHEMA = json.loads((DOCS / "schema" / "page.schema.json").read_text())
START = datetime(2026, 11, 28, 12, tzinfo=UTC)
WITHIN = TimeRange(START, START + timedelta(seconds=40), timedelta(seconds=10))


@dataclass
class Table:
    """A source that has what it is given: lines by measure, durations by name, answers by query."""

    known: Mapping[str, list[Line]] = field(default_factory=dict)
    lasting: Mapping[str, Durations] = field(default_factory=dict)
    answers: Mapping[str, list[Line]] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)

    def describe(self) -> Described:
        return Described("history")

    def lines(self, wanted: Wanted, within: TimeRange) -> Lines:
        fitting = [
            line
            for line in self.known.get(wanted.measure, [])
            if fnmatchcase(line.kind, wanted.kind)
            and fnmatchcase(line.name, wanted.name)
            and fnmatchcase(line.device, wanted.device)
            and wanted.host in {"", line.host}
        ]
        step = self.steps.get(wanted.measure, within.step.total_seconds())
        return _first(fitting, within, wanted.limit, step)

    def operations(self, since: datetime, until: datetime, *, host: str, limit: int) -> Operations:
        return Operations()

    def durations(self, wanted: Wanted, within: TimeRange) -> Durations:
        return self.lasting[wanted.name]

    def hosts(self) -> tuple[HostState, ...]:
        return ()

    def query(self, text: str, within: TimeRange, *, limit: int) -> Lines:
        if text not in self.answers:
            raise ValueError(f"there is no query {text!r}")
        return _first(self.answers[text], within, limit, within.step.total_seconds())


def _first(lines: list[Line], within: TimeRange, limit: int, step: float) -> Lines:
    omitted = max(0, len(lines) - limit)
    return Lines(within.since.timestamp(), step, tuple(lines[:limit]), omitted)


Write = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Writes a file with a page, from text or data, and gives its path."""

    def write(content: str | Mapping[str, Any], name: str = "page.yml") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(dict(content)))
        return path

    return write


def told(*paths: Path) -> list[str]:
    """The problems, each without the option they all begin with."""
    with pytest.raises(ConfigurationError) as caught:
        load_descriptions(paths)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("server.page.descriptions: ") for line in lines)
    return [line.removeprefix("server.page.descriptions: ") for line in lines]


def panel(**what: Any) -> Panel:
    return Panel.model_validate({"title": "A panel"} | what)


def shown(source: Table, **what: Any) -> dict[str, list[float | None]]:
    """What a panel shows: values by label."""
    lines, labels = panel(**what).lines(source, WITHIN)
    return {label: list(line.values) for label, line in zip(labels, lines.lines, strict=True)}


TEXT = {"title": "Notes", "type": "text", "text": "x"}


# Files


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_read_fits_the_schema_and_becomes_json(path: Path):
    (page,) = load_descriptions([path])
    data = yaml.safe_load(path.read_text())
    Draft202012Validator(SCHEMA).validate(data)
    drawn = json.loads(json.dumps(page.to_dict()))
    assert [one["title"] for one in drawn["panels"]] == [one["title"] for one in data["panels"]]
    assert "query" not in json.dumps(drawn)


def test_the_docs_show_an_example_as_it_is():
    (shown_there,) = re.findall(
        r"```yaml\n(.*?panels:.*?)```", (DOCS / "pages.md").read_text(), re.DOTALL
    )
    assert shown_there == (DOCS / "examples" / "page-my-service.yml").read_text()


def test_the_schema_is_current_and_refuses_what_is_refused(written: Write):
    ran = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "page_schema.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    validator = Draft202012Validator(SCHEMA)
    for wrong in (
        {"id": "A b"}, {"colour": 1}, {"panels": []}, {"panels": [TEXT | {"type": "pie"}]},
        {"panels": [TEXT | {"width": 5}]}, {"panels": [TEXT] * 41}, {"title": ""},
    ):  # fmt: skip
        page = {"title": "x", "panels": [TEXT]} | wrong
        assert not validator.is_valid(page)
        assert told(written(page))


def test_pages_come_in_the_order_named_and_those_of_a_directory_by_name(tmp_path: Path):
    folder = tmp_path / "pages"
    folder.mkdir()
    page = yaml.safe_dump({"title": "x", "panels": [TEXT]})
    for name in ("b.yml", "a.yaml", "c.txt", ".hidden.yml"):
        (folder / name).write_text(page)
    (tmp_path / "z.yml").write_text(page)
    pages = load_descriptions([tmp_path / "z.yml", folder, folder / "a.yaml"])
    assert [one.id for one in pages] == ["z", "a", "b"]
    assert load_descriptions([]) == ()


def test_two_pages_of_one_id_are_refused_with_both_files(written: Write):
    page = {"id": "same", "title": "x", "panels": [TEXT]}
    first, second = written(page, "a.yml"), written(page, "b.yml")
    assert told(first, second) == [f"{second}: id = 'same': must be another one; {first} has it"]


def test_a_files_name_that_is_no_id_asks_for_one(written: Write):
    path = written({"title": "x", "panels": [TEXT]}, "My Page.yml")
    assert told(path) == [
        f"{path}: id (the file's name) = 'My Page': must be 1 to 40 of the characters a-z, "
        "0-9 and -"
    ]


def test_problems_of_all_files_are_told_at_once_with_key_value_and_what_is_expected(
    written: Write, tmp_path: Path
):
    one = written(
        {
            "titel": "x",
            "panels": [
                TEXT,
                {
                    "title": "a",
                    "type": "lines",
                    "series": [
                        {"measure": "p9_ms", "by": "operatoin", "lable": "x"},
                        {"measure": "custom", "kind": "memory", "by": "host"},
                        {"measure": "p99_ms", "kind": "exceute", "rate": True},
                    ],
                },
                {"title": 5, "width": 9, "series": [{"measure": "errors", "label": "{nam}"}]},
            ],
        },
        "one.yml",
    )
    two = written({"title": "x", "panels": "none"}, "two.yml")
    none = written({"title": "x", "panels": []}, "none.yml")
    wrong = written({"title": "x", "panels": [1]}, "wrong.yml")
    missing = tmp_path / "three.yml"
    assert told(one, two, none, wrong, missing) == [
        f"{one}: title: is required",
        f"{one}: panels[1].type = 'lines': must be one of line, stat, heatmap, histogram, table, "
        "text; the nearest is line",
        f"{one}: panels[1].series[0].measure = 'p9_ms': must be one of operations, errors, "
        "error_rate, duration_ms, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, resource, custom; "
        "the nearest is p90_ms",
        f"{one}: panels[1].series[0].by = 'operatoin': must be one of all, operation, host; "
        "the nearest is operation",
        f"{one}: panels[1].series[0].lable: unknown option; the nearest is "
        "panels[1].series[0].label",
        f"{one}: panels[1].series[1].by = 'host': is of operations; each line of custom is given "
        "anyway",
        f"{one}: panels[1].series[1].kind = 'memory': must be a pattern, or one of custom",
        f"{one}: panels[1].series[2].rate = true: is only for the measure custom",
        f"{one}: panels[1].series[2].kind = 'exceute': must be a pattern, or one of allocate, "
        "compile, execute, synchronize, transfer; the nearest is execute",
        f"{one}: panels[2].title = 5: must be text",
        f"{one}: panels[2].width = 9: must be at most 4",
        f"{one}: panels[2].series[0].label = '{{nam}}': may have {{kind}}, {{name}}, {{device}}, "
        "{host}, {measure}, as they stand here; the nearest to {nam} is {name}",
        f"{one}: titel: unknown option; the nearest is title",
        f"{two}: panels = 'none': must be a list",
        f"{none}: panels: must not be empty",
        f"{wrong}: panels[0] = 1: must be a group of options",
        f"{missing}: cannot be read: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"type": "text"}, "text: is required in a panel of the type text"),
        (
            {"type": "text", "text": "x", "limit": 3},
            "limit = 3: is not for a panel of the type text",
        ),
        ({"text": "x", "query": "up"}, "text = 'x': is not for a panel of the type line"),
        ({}, "series: is required, or query in its place"),
        ({"series": [{}]}, "series[0].measure: is required in a panel of the type line"),
        (
            {"series": [{"measure": "errors"}], "query": "up"},
            "query = 'up': stands in place of series; give one of them",
        ),
        ({"type": "heatmap"}, "series: is required in a panel of the type heatmap"),
        (
            {"type": "histogram", "query": "up"},
            "query = 'up': is not for a panel of the type histogram",
        ),
        (
            {"type": "heatmap", "series": [{"measure": "errors"}]},
            "series[0].measure = 'errors': must be left out: a heatmap is of durations",
        ),
        (
            {"type": "heatmap", "series": [{"by": "host"}]},
            "series[0].by = 'host': is not for a panel of the type heatmap",
        ),
        (
            {"series": [{"measure": "errors", "reading": "low"}]},
            "series[0].reading = 'low': is only for the measures resource and custom",
        ),
        (
            {"series": [{"measure": "custom", "rate": True, "reading": "low"}]},
            "series[0].reading = 'low': is the last of each step where rate is true",
        ),
        ({"series": [{"measure": "errors", "scale": 0}]}, "series[0].scale = 0: must not be 0"),
        (
            {"series": [{"measure": "errors", "scale": float("inf")}]},
            "series[0].scale = inf: must be a finite number",
        ),
        (
            {"series": [{"measure": "errors", "label": "{name!r:>9}"}]},
            "series[0].label = '{name!r:>9}': may have {kind}, {name}, {device}, {host}, "
            "{measure}, as they stand here",
        ),
        (
            {"series": [{"measure": "errors", "label": "{name"}]},
            "series[0].label = '{name': must have each brace in a pair; {{ and }} stand for braces",
        ),
        ({"query": "up", "thresholds": {}}, "thresholds: must have warn, bad, or both"),
        ({"series": [{"measure": "errors"} for _ in range(21)]}, "series: must have at most 20"),
        (
            {"query": "up", "unit": "°" * 21},
            f"unit = '{'°' * 21}': must have at most 20 characters",
        ),
    ],
)  # fmt: skip
def test_a_panel_that_contradicts_itself_says_where(
    wrong: dict[str, Any], problem: str, written: Write
):
    path = written({"title": "x", "panels": [TEXT, {"title": "y"} | wrong]})
    assert told(path) == [f"{path}: panels[1].{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "title: [x",
            " line 1, column 10: is not YAML: expected ',' or ']', but got '<stream end>'",
        ),
        ("title: x\ntitle: y", " line 2, column 1: the key 'title' stands twice in one mapping"),
        (
            "title: x\npanels: [{series: [{name: *}]}]",
            " line 2, column 28: is not YAML: a name is expected behind *; text that begins with * "
            "stands in quotes",
        ),
        (
            "title: &a x\nid: *a",
            " line 2, column 5: has an alias, which is not allowed here; text that begins with * "
            "stands in quotes",
        ),
        ("a: !!python/name:os.system x", " line 1, column 4: is not YAML: a tag or a key that "
         "cannot be used here"),
        ("", ": must be a table with title and panels; it is empty"),
        ("- x", ": must be a table with title and panels; it is a list"),
        ("x", ": must be a table with title and panels; it is a single value"),
        ("[" * 1500, ": is nested too deeply"),
        ("#" * (256 * 1024 + 1), ": must have at most 256 KiB"),
    ],
    ids=["syntax", "twice", "star", "alias", "tag", "empty", "list", "value", "deep", "large"],
)  # fmt: skip
def test_text_that_is_no_page_is_refused_with_its_place(text: str, problem: str, written: Write):
    path = written(text)
    assert told(path) == [f"{path}{problem}"]


def test_a_page_made_of_aliases_costs_nothing(written: Write):
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)
    )
    (problem,) = told(written(bomb))
    assert "line 2, column 10: has an alias" in problem


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path, written: Write):
    pipe = tmp_path / "pipe.yml"
    os.mkfifo(pipe)
    other = written("x", "page.toml")
    binary = tmp_path / "binary.yml"
    binary.write_bytes(b"title: \xff")
    assert told(pipe, other, binary) == [
        f"{pipe}: is no file",
        f"{other}: the description of a page ends in .yml or .yaml; this one does not",
        f"{binary}: is not UTF-8 text: byte 7 is 0xff",
    ]


def test_many_problems_of_one_file_are_counted_and_many_pages_refused(
    written: Write, tmp_path: Path
):
    problems = told(written({f"k{n}": 1 for n in range(100)} | {"title": "x", "panels": [TEXT]}))
    assert len(problems) == 21
    assert problems[-1].endswith(": and 80 more")
    assert told(*(tmp_path / f"{n}.yml" for n in range(51))) == [
        "there must be at most 50 pages, there are 51"
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "title",
                    "panels",
                    "type",
                    "series",
                    "measure",
                    "label",
                    "thresholds",
                    "kind",
                ]
            )
            | st.integers(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(["id", "title", "panels"]), json_values, min_size=1))
def test_whatever_a_file_holds_there_is_a_page_or_a_configuration_error(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
):
    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_text(yaml.dump(data, Dumper=_WithoutAliases))
    with suppress(ConfigurationError):
        (page,) = load_descriptions([path])
        json.dumps(page.to_dict(), allow_nan=False)


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


# Lines


def test_each_series_gives_its_lines_and_each_line_has_a_label():
    source = Table(
        {
            "operations": [Line([1, 2, 3, 4], unit="/s")],
            "p99_ms": [
                Line([5, 5, 5, 5], "execute", "attention", "gpu0", unit="ms"),
                Line([1, 1, None, 1], "execute", "softmax", "gpu0", unit="ms"),
            ],
            "resource": [Line([7, 7, 7, 7], "memory", "active", "gpu0", unit="By", ceiling=9)],
        }
    )
    made = panel(
        series=[
            {"measure": "operations", "kind": "execute"},
            {"measure": "operations", "label": "{measure} in all"},
            {"measure": "p99_ms", "by": "operation", "name": "att*"},
            {"measure": "p99_ms", "by": "operation", "label": "{{{name}}} on {device}{host}"},
            {"measure": "resource", "kind": "memory"},
        ]
    )
    lines, labels = made.lines(source, WITHIN)
    assert (lines.start, lines.step, lines.omitted) == (START.timestamp(), 10, 0)
    assert labels == (
        "operations in all",
        "p99 of execute attention on gpu0",
        "{attention} on gpu0",
        "{softmax} on gpu0",
        "memory active on gpu0",
    )
    assert [line.unit for line in lines.lines] == ["/s", "ms", "ms", "ms", "By"]
    assert lines.lines[-1].ceiling == 9


@pytest.mark.parametrize(
    ("line", "series", "label"),
    [
        (Line([1]), {"measure": "p999_ms"}, "p99.9"),
        (Line([1], host="a:1"), {"measure": "errors", "by": "host"}, "errors at a:1"),
        (Line([1], "compile", "f"), {"measure": "errors", "by": "operation"}, "compile f"),
        (Line([1], "custom", 'q{device="b"}', "b"), {"measure": "custom"}, 'q{device="b"}'),
        (Line([1], "power", "cpu"), {"measure": "resource", "label": "{host}"}, "power cpu"),
        (Line([1], name="{kind}"), {"measure": "custom", "label": "{name}"}, "{kind}"),
    ],
)
def test_a_line_is_called_by_what_tells_it_apart(line: Line, series: dict[str, Any], label: str):
    assert list(shown(Table({series["measure"]: [line]}), series=[series])) == [label]


def test_a_host_of_a_fleet_is_asked_for():
    source = Table({"errors": [Line([1], host="a"), Line([2], host="b")]})
    made = panel(series=[{"measure": "errors"}])
    assert made.lines(source, WITHIN, host="b")[1] == ("errors at b",)
    assert made.lines(source, WITHIN)[1] == ("errors at a", "errors at b")


def test_the_growth_of_a_counter_is_a_second_and_survives_gaps_and_restarts():
    totals = Line([100, 130, None, 190, 20, 20], "custom", "tokens_total")
    values = shown(Table({"custom": [totals]}), series=[{"measure": "custom", "rate": True}])
    assert values == {"tokens_total": [None, 3, None, 3, 2, 0]}


def test_of_counters_those_that_grow_fastest_are_shown():
    counters = [
        Line([1000, 1000, 1000], "custom", "large_total", ceiling=5),
        Line([0, 10, 20], "custom", "slow_total"),
        Line([0, 20, 40], "custom", "quick_total"),
    ]
    made = panel(series=[{"measure": "custom", "rate": True}], limit=2)
    lines, labels = made.lines(Table({"custom": counters}), WITHIN)
    assert labels == ("quick_total", "slow_total")
    assert (lines.omitted, lines.lines[0].unit, lines.lines[0].ceiling) == (1, "/s", None)


def test_values_are_scaled_and_then_have_the_unit_that_the_panel_says():
    memory = [Line([2e9, None, 1e300], "memory", "active", unit="By", ceiling=4e9)]
    source = Table({"resource": memory})
    for unit in ("", "GB"):
        made = panel(series=[{"measure": "resource", "scale": 1e-9}], unit=unit)
        (line,) = made.lines(source, WITHIN)[0].lines
        assert (line.unit, line.ceiling) == (unit, pytest.approx(4))
        assert list(line.values) == [pytest.approx(2), None, pytest.approx(1e291)]
    (line,) = panel(series=[{"measure": "resource", "scale": 1e10}]).lines(source, WITHIN)[0].lines
    assert list(line.values) == [2e19, None, None]


def test_a_panel_has_the_highest_lines_of_each_series_and_200_of_all():
    many = [Line([n], "custom", f"m{n}") for n in range(150, 0, -1)]
    few = [Line([n], "power", f"p{n}") for n in range(3, 0, -1)]
    source = Table({"custom": many, "resource": few})
    both = [{"measure": "custom"}, {"measure": "resource"}]
    lines, labels = panel(series=both).lines(source, WITHIN)
    assert (len(labels), lines.omitted) == (23, 130)
    assert labels[0] == "m150"
    lines, labels = panel(series=[both[0], both[0], both[1]], limit=200).lines(source, WITHIN)
    assert (len(labels), lines.omitted) == (200, 103)
    assert labels[-3:] == ("power p3", "power p2", "power p1")


def test_a_query_is_asked_as_it_is_written_and_named_by_its_labels():
    source = Table(
        answers={
            "up": [
                Line([1], labels={"__name__": "up", "job": "a", "instance": 'q"\n'}),
                Line([2], labels={"job": "b"}),
                Line([3]),
            ]
        }
    )
    lines, labels = panel(query="up", unit="hosts", limit=2).lines(source, WITHIN)
    assert labels == (r'up{instance="q\"\n",job="a"}', '{job="b"}')
    assert (lines.omitted, {line.unit for line in lines.lines}) == (1, {"hosts"})
    assert panel(query="up").lines(source, WITHIN)[1][2] == "A panel"
    with pytest.raises(ValueError, match="no query 'down'"):
        panel(query="down").lines(source, WITHIN)


def test_where_nothing_is_known_there_are_no_lines():
    lines, labels = panel(series=[{"measure": "errors"}] * 2).lines(Table(), WITHIN)
    assert (lines, labels) == (Lines(START.timestamp(), 10), ())


def test_answers_in_different_steps_are_not_put_into_one_panel():
    known = {"errors": [Line([1])], "operations": [Line([1])]}
    made = panel(series=[{"measure": "errors"}, {"measure": "operations"}])
    with pytest.raises(SourceError, match="different steps"):
        made.lines(Table(known, steps={"errors": 60}), WITHIN)


# Durations


def test_durations_of_several_series_are_added_up():
    same = (1.0, 2.0, 4.0)
    source = Table(
        lasting={
            "a": Durations(0, 10, 4, same, ((0, 1, 5), (2, 3, 1))),
            "b": Durations(0, 10, 4, same, ((0, 1, 2), (0, 0, 1))),
        }
    )
    made = panel(type="heatmap", series=[{"name": "a"}, {"name": "b"}])
    together = Durations(0, 10, 4, same, ((0, 0, 1), (0, 1, 7), (2, 3, 1)))
    assert made.durations(source, WITHIN) == together


def test_no_duration_is_put_into_a_cell_that_it_may_not_be_in():
    source = Table(
        lasting={
            "fine": Durations(0, 10, 1, (1.0, 2.0, 3.0, 4.0), ((0, 2, 5), (0, 4, 1))),
            "coarse": Durations(0, 10, 1, (2.0, 4.0, 8.0), ((0, 1, 3),)),
            "none": Durations(0, 10, 1),
        }
    )
    made = panel(type="histogram", series=[{"name": "fine"}, {"name": "coarse"}, {"name": "none"}])
    # Those of the coarse lie between 2 and 4, so 3 is no edge; 1 of the fine is above 4.
    together = Durations(0, 10, 1, (1.0, 2.0, 4.0), ((0, 2, 8), (0, 3, 1)))
    assert made.durations(source, WITHIN) == together


def test_a_panel_is_asked_only_for_what_it_shows():
    with pytest.raises(ValueError, match="'A panel' is of the type text: it has no lines"):
        panel(type="text", text="x").lines(Table(), WITHIN)
    with pytest.raises(ValueError, match="is of the type line: it has no durations"):
        panel(query="up").durations(Table(), WITHIN)
    with pytest.raises(ValueError, match="is of the type heatmap: it has no lines"):
        panel(type="heatmap", series=[{}]).lines(Table(), WITHIN)


def test_what_draws_a_panel_is_told_all_it_needs():
    made = panel(
        type="stat", series=[{"measure": "errors", "label": "x"}], thresholds={"bad": 3}, width=1
    )
    assert made.to_dict() == {
        "title": "A panel",
        "type": "stat",
        "width": 1,
        "unit": "",
        "about": "",
        "text": "",
        "thresholds": {"warn": None, "bad": 3.0},
        "labels": ["x"],
    }
