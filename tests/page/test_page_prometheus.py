"""The page's past read from a real Prometheus and a real VictoriaMetrics, against what happened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil, isclose

import pytest
from prometheus_at_hand import (
    ALWAYS,
    EVERY,
    FLEET,
    HOSTILE,
    LATE,
    RESTARTED,
    SERVERS,
    STEP,
    Fleet,
    a_fleet,
)

from metalscope.histogram import CLASSIC_BOUNDS_MS
from metalscope.page.prometheus import PrometheusSource
from metalscope.page.source import MEASURES, QUANTILES, PageSource, TimeRange, Wanted
from metalscope.page_options import PageSourceOptions
from metalscope.readings import ResourceKind

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return a_fleet()


@pytest.fixture(scope="module", params=SERVERS)
def address(
    request: pytest.FixtureRequest, fleet: Fleet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    with SERVERS[request.param](fleet, tmp_path_factory.mktemp("server")) as server:
        yield f"prometheus={server.url}"


@pytest.fixture(scope="module")
def source(address: str) -> Iterator[PrometheusSource]:
    one = PrometheusSource.of(PageSourceOptions(address=address))
    yield one
    one.close()


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def end_of(fleet: Fleet) -> int:
    """The last whole step that there is all of."""
    return int(fleet.last // STEP) * STEP


def within(fleet: Fleet, steps: int = 3, step: int = STEP) -> TimeRange:
    """The last whole steps."""
    end = end_of(fleet)
    return TimeRange(moment(end - steps * STEP), moment(end), timedelta(seconds=step))


def close(values: object, expected: object) -> bool:
    return values == pytest.approx(expected, rel=1e-9)


def test_it_is_a_source_of_the_page_and_names_its_hosts(
    source: PrometheusSource, fleet: Fleet, address: str
) -> None:
    asked: PageSource = source
    described = asked.describe()
    assert (described.source, described.address) == ("prometheus", address.partition("=")[2])
    assert described.hosts == tuple(sorted(FLEET))
    assert described.last == moment(fleet.last)
    assert described.first is None


# -- lines of operations -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["matmul", "copy", "*"])
def test_operations_a_second_are_those_that_happened_in_each_step(
    source: PrometheusSource, fleet: Fleet, name: str
) -> None:
    answer = source.lines(Wanted("operations", name=name), within(fleet))
    end = end_of(fleet)
    assert (answer.start, answer.step, answer.omitted) == (end - 3 * STEP, STEP, 0)
    (line,) = answer.lines
    assert (line.kind, line.name, line.device, line.host, line.unit) == ("", "", "", "", "/s")
    which = None if name == "*" else name
    expected = [fleet.count(at, at + STEP, which) / STEP for at in range(end - 3 * STEP, end, STEP)]
    assert close(line.values, expected)


def test_each_host_and_each_operation_has_its_line(source: PrometheusSource, fleet: Fleet) -> None:
    end = end_of(fleet)
    steps = range(end - 3 * STEP, end, STEP)
    by_host = source.lines(Wanted("operations", by="host"), within(fleet))
    assert {line.host for line in by_host.lines} == set(FLEET)
    for line in by_host.lines:
        assert close(
            line.values, [fleet.count(at, at + STEP, host=line.host) / STEP for at in steps]
        )
    each = source.lines(
        Wanted("operations", by="operation", kind="execute", host=LATE), within(fleet)
    )
    assert [(line.kind, line.name, line.device) for line in each.lines] == [
        ("execute", "matmul", "m1")
    ]


def test_of_many_lines_the_highest_are_given_and_the_rest_is_counted(
    source: PrometheusSource, fleet: Fleet
) -> None:
    all_time = TimeRange(moment(fleet.first), moment(fleet.last), timedelta(seconds=STEP))
    answer = source.lines(Wanted("operations", by="operation", limit=2), all_time)
    assert [line.name for line in answer.lines] == ["matmul", "copy"]
    assert answer.omitted == len(HOSTILE) + 1


def test_the_first_failure_of_a_kind_counts_though_its_series_begins_with_it(
    source: PrometheusSource, fleet: Fleet
) -> None:
    all_time = TimeRange(moment(fleet.first), moment(fleet.last), timedelta(seconds=STEP))
    (line,) = source.lines(Wanted("errors", kind="allocate"), all_time).lines
    assert close(sum(value or 0 for value in line.values) * STEP, 1)
    (rate,) = source.lines(Wanted("error_rate", kind="allocate"), all_time).lines
    # Where none ended there is no share.
    assert set(rate.values) == {1.0, None}


def test_what_never_failed_has_a_rate_of_failures_of_0(
    source: PrometheusSource, fleet: Fleet
) -> None:
    for measure, unit in (("errors", "/s"), ("error_rate", "ratio")):
        (line,) = source.lines(Wanted(measure, kind="transfer"), within(fleet)).lines
        assert (list(line.values), line.unit) == ([0, 0, 0], unit)


def test_the_share_of_failures_is_that_of_the_programs(
    source: PrometheusSource, fleet: Fleet
) -> None:
    (line,) = source.lines(Wanted("error_rate", host=ALWAYS), within(fleet)).lines
    end = end_of(fleet)
    for at, value in zip(range(end - 3 * STEP, end, STEP), line.values, strict=True):
        ended = fleet.count(at, at + STEP, host=ALWAYS)
        well = fleet.count(at, at + STEP, host=ALWAYS, outcome="ok")
        assert close(value, 1 - well / ended)


def test_the_mean_duration_is_of_all_and_quantiles_are_of_those_that_went_well(
    source: PrometheusSource, fleet: Fleet
) -> None:
    (line,) = source.lines(Wanted("duration_ms", name="matmul"), within(fleet)).lines
    end = end_of(fleet)
    for at, value in zip(range(end - 3 * STEP, end, STEP), line.values, strict=True):
        durations = fleet.durations(at, at + STEP, "matmul")
        assert close(value, sum(durations) / len(durations))
    for measure, share in QUANTILES.items():
        (line,) = source.lines(Wanted(measure, name="matmul"), within(fleet)).lines
        assert line.unit == "ms"
        for at, value in zip(range(end - 3 * STEP, end, STEP), line.values, strict=True):
            went_well = fleet.durations(at, at + STEP, "matmul", outcome="ok")
            true = went_well[ceil(round(share * len(went_well), 6)) - 1]
            # No nearer than the bucket that it is in.
            (bucket,) = (
                (low, high) for low, high in pairwise(CLASSIC_BOUNDS_MS) if low < true <= high
            )
            assert value is not None
            assert bucket[0] <= value <= bucket[1]


def test_a_step_that_is_not_over_is_of_the_part_that_is(address: str, fleet: Fleet) -> None:
    end = end_of(fleet) - STEP
    now = end + 4 * EVERY
    early = PrometheusSource.of(PageSourceOptions(address=address), now=lambda: now)
    times = TimeRange(moment(end - STEP), moment(end + 3 * STEP), timedelta(seconds=STEP))
    (line,) = early.lines(Wanted("operations", host=ALWAYS), times).lines
    # The server knows what comes later: so much of it would be told of the step's end.
    whole, part, *future = line.values
    assert close(whole, fleet.count(end - STEP, end, host=ALWAYS) / STEP)
    assert close(part, fleet.count(end, end + STEP, host=ALWAYS) / (4 * EVERY))
    assert future == [None, None]
    early.close()


def test_a_step_shorter_than_the_scrapes_is_of_four_of_them(
    source: PrometheusSource, fleet: Fleet
) -> None:
    (line,) = source.lines(Wanted("operations", name="copy"), within(fleet, 1, 10)).lines
    assert len(line.values) == STEP // 10
    assert all(value is not None and isclose(value, 3 / EVERY) for value in line.values)


def test_of_very_many_counters_and_steps_the_servers_own_increase_is_taken(
    source: PrometheusSource, fleet: Fleet
) -> None:
    seconds = within(fleet, 6, 1)
    (line,) = source.lines(Wanted("p50_ms"), seconds).lines
    known = [value for value in line.values[-2 * STEP :] if value is not None]
    assert len(known) == 2 * STEP
    # The buckets that half of them are in.
    assert min(known) >= 0.5
    assert max(known) <= 2.5
    answer = source.durations(Wanted("duration_ms", name="copy"), seconds)
    counted = sum(count for step, _, count in answer.cells if step >= 4 * STEP)
    end = end_of(fleet)
    assert counted == pytest.approx(fleet.count(end - 2 * STEP, end, "copy"), rel=0.1)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_found_by_itself_whatever_it_holds(
    source: PrometheusSource, fleet: Fleet, name: str
) -> None:
    all_time = TimeRange(moment(fleet.first), moment(fleet.last), timedelta(seconds=STEP))
    if "*" not in name and "?" not in name:
        answer = source.lines(Wanted("operations", by="operation", name=name), all_time)
        assert [line.name for line in answer.lines] == [name]
    # As a pattern: its first character is any, the rest is what it is.
    pattern = f"?{name[1:]}"
    answer = source.lines(Wanted("operations", by="operation", name=pattern), all_time)
    assert name in [line.name for line in answer.lines]


def test_nothing_but_star_and_question_mark_is_special_in_a_pattern(
    source: PrometheusSource, fleet: Fleet
) -> None:
    all_time = TimeRange(moment(fleet.first), moment(fleet.last), timedelta(seconds=STEP))

    def found(name: str) -> set[str]:
        wanted = Wanted("operations", by="operation", kind="compile", name=name)
        return {line.name for line in source.lines(wanted, all_time).lines}

    assert found("a.c") == {"a.c"}
    assert found("a?c") == found("a*c") == {"a.c", "abc", "a*c"}
    assert found(".*") == found('x"} or vector(1) #') == found("matmul|copy") == set()
    assert found("new?line") == found("*\n*li*") == {"new\nline"}


@pytest.mark.parametrize("of", ["host", "kind", "name", "device"])
def test_nothing_can_be_put_into_a_query(source: PrometheusSource, fleet: Fleet, of: str) -> None:
    for hostile in ('"', "\\", "\n", "\x00", "}", '"} or up{x="', '\\") or vector(1) # \n', "é🔩"):
        for text in (hostile, f"{hostile}*", f"*{hostile}?"):
            for measure in ("operations", "resource", "custom"):
                wanted = Wanted(measure, by="host", **{of: f"nobody{text}"})
                assert source.lines(wanted, within(fleet)).lines == ()
            assert source.operations(
                moment(fleet.first), moment(fleet.last), host=f"nobody{text}", limit=5
            ).rows == ()  # fmt: skip
    with pytest.raises(ValueError, match="UTF-8"):
        source.lines(Wanted("operations", **{of: "\ud800"}), within(fleet))


# -- readings ------------------------------------------------------------------------------------


def test_every_kind_of_reading_comes_back_with_its_name_unit_and_limit(
    source: PrometheusSource, fleet: Fleet
) -> None:
    found = {}
    for kind in ResourceKind:
        answer = source.lines(Wanted("resource", kind=kind.value, host=ALWAYS), within(fleet))
        for line in answer.lines:
            assert (line.kind, line.host, line.unit) == (kind.value, ALWAYS, kind.unit)
            found[kind.value, line.name, line.device] = (line.values[-1], line.ceiling)
    assert found.pop(("memory", "mlx_active", "m1"))[1] == 1 << 30
    assert found.pop(("energy", "gpu", "m1"))[1] is None
    assert found.pop(("thermal_state", "system", ""))[1] is None
    assert {key: (pytest.approx(value), ceiling) for key, (value, ceiling) in found.items()} == {
        ("memory", "mlx_cache", "m1"): (10, None),
        ("gpu_memory", "gpu_in_use", "m1"): (4096, None),
        ("host_memory", "used", ""): (5e9, 16e9),
        ("gpu_utilization", "device", "m1"): (14.5, None),
        ("cpu_utilization", "host", ""): (50, None),
        ("frequency", "gpu", "m1"): (1.2e9, 1.296e9),
        ("bandwidth", "total", "m1"): (5e10, 6.8e10),
        ("power", "gpu", "m1"): (7.25, None),
        ("power", "cpu", "m1"): (3, None),
        ("temperature", "gpu", "m1"): (61.5, None),
        ("fan_speed", "0", ""): (1200, 5800),
        ("memory_pressure", "system", ""): (1, None),
        ("low_power_mode", "system", ""): (0, None),
        ("recoveries", "gpu", "m1"): (1, None),
    }


def test_which_of_the_readings_of_a_step_can_be_chosen(
    source: PrometheusSource, fleet: Fleet
) -> None:
    end = end_of(fleet)
    ticks = [int((at - fleet.first) / EVERY) for at in range(end - STEP, end, EVERY)]
    for kind, expected in (
        ("memory", [1000.0 + tick for tick in ticks]),
        ("thermal_state", [float(tick % 4) for tick in ticks]),
    ):
        for reading, value in (
            ("mean", sum(expected) / len(expected)),
            ("low", min(expected)),
            ("high", max(expected)),
            ("last", expected[-1]),
        ):
            wanted = Wanted("resource", kind=kind, host=ALWAYS, reading=reading, limit=1)
            (line,) = source.lines(wanted, within(fleet, 1)).lines
            assert close(line.values, [value]), (kind, reading)


def test_a_reading_is_found_by_its_name_and_device(source: PrometheusSource, fleet: Fleet) -> None:
    def found(**patterns: str) -> set[tuple[str, str]]:
        wanted = Wanted("resource", host=LATE, limit=100, **patterns)
        return {(line.kind, line.name) for line in source.lines(wanted, within(fleet)).lines}

    assert found(name="mlx_*") == {("memory", "mlx_active"), ("memory", "mlx_cache")}
    assert found(kind="*memory", name="gpu_*") == {("gpu_memory", "gpu_in_use")}
    assert found(kind="*_state", name="sys?em") == {("thermal_state", "system")}
    assert found(kind="thermal_state", device="m1") == set()
    assert found(kind="power", device="m1") == {("power", "gpu"), ("power", "cpu")}
    assert len(found()) == 17


# -- what programs record themselves -------------------------------------------------------------


def test_what_programs_record_themselves_has_the_name_that_prometheus_writes(
    source: PrometheusSource, fleet: Fleet
) -> None:
    jobs = r'jobs_total{tenant="a\"b"}'
    answer = source.lines(Wanted("custom", host=ALWAYS, reading="last"), within(fleet, 1))
    assert [(line.kind, line.name) for line in answer.lines] == [
        ("custom", jobs), ("custom", "queue_depth"),
    ]  # fmt: skip
    last = int((end_of(fleet) - fleet.first) / EVERY) - 1
    assert [list(line.values) for line in answer.lines] == [[2.0 * (last + 1)], [last % 5]]
    assert dict(answer.lines[0].labels) == {"tenant": 'a"b'}
    for name in (jobs, "jobs_total", "jobs*", "jobs_total{*}"):
        found = source.lines(Wanted("custom", name=name, host=ALWAYS), within(fleet)).lines
        assert [line.name for line in found] == [jobs]
    assert source.lines(Wanted("custom", name="metal_*"), within(fleet)).lines == ()


# -- totals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [ALWAYS, LATE])
def test_totals_are_what_happened(source: PrometheusSource, fleet: Fleet, host: str) -> None:
    end = end_of(fleet)
    since = end - 4 * STEP
    answer = source.operations(moment(since), moment(end), host=host, limit=1)
    durations = fleet.durations(since, end, "matmul", host=host)
    well = fleet.count(since, end, "matmul", host=host, outcome="ok")
    (row,) = answer.rows
    assert (row.kind, row.name, row.device, row.host) == ("execute", "matmul", "m1", host)
    assert close(row.operations, len(durations))
    assert close(row.errors, len(durations) - well)
    assert close(dict(row.failures), {"timeout": len(durations) - well})
    assert close(row.mean_ms, sum(durations) / len(durations))
    # The device told of failed ones too, 1 ms each.
    assert close(row.gpu_ms, len(durations) / well)
    assert row.max_ms == 1000.0
    assert row.nbytes is None
    total = answer.total
    assert total is not None
    assert close(total.operations, fleet.count(since, end, host=host))
    assert close(total.nbytes, 4096 * fleet.count(since, end, "copy", host=host))
    assert answer.omitted == (len(HOSTILE) + 2 if host == ALWAYS else 1)
    assert answer.covered_seconds is None


def test_totals_of_a_program_that_was_restarted_are_near(
    source: PrometheusSource, fleet: Fleet
) -> None:
    end = end_of(fleet)
    since = end - 6 * STEP
    answer = source.operations(moment(since), moment(end), host=RESTARTED, limit=9)
    assert answer.total is not None
    expected = fleet.count(since, end, host=RESTARTED)
    assert answer.total.operations == pytest.approx(expected, rel=0.02)


def test_what_ran_before_the_first_scrape_is_not_counted(
    source: PrometheusSource, fleet: Fleet
) -> None:
    answer = source.operations(
        moment(fleet.first - 2 * STEP), moment(fleet.last), host=ALWAYS, limit=1
    )
    known = fleet.count(fleet.first, fleet.last, "matmul", host=ALWAYS)
    assert answer.rows[0].operations == pytest.approx(known, rel=0.05)


def test_quantiles_of_totals_are_those_of_a_line(source: PrometheusSource, fleet: Fleet) -> None:
    end = end_of(fleet)
    (row,) = source.operations(moment(end - STEP), moment(end), host=LATE, limit=1).rows
    for measure in QUANTILES:
        wanted = Wanted(measure, name="matmul", host=LATE)
        (line,) = source.lines(wanted, within(fleet, 1)).lines
        assert close([getattr(row, measure)], list(line.values))


def test_where_nothing_ran_there_is_nothing(source: PrometheusSource, fleet: Fleet) -> None:
    long_ago = fleet.first - 86400 * 3
    answer = source.operations(moment(long_ago), moment(long_ago + 600), host="", limit=5)
    assert (answer.total, answer.rows) == (None, ())
    times = TimeRange(moment(long_ago), moment(long_ago + 600), timedelta(seconds=60))
    for measure in MEASURES:
        assert source.lines(Wanted(measure), times).lines == ()
    assert source.durations(Wanted("duration_ms"), times).cells == ()


# -- durations -----------------------------------------------------------------------------------


def test_durations_are_counted_by_step_and_bucket(source: PrometheusSource, fleet: Fleet) -> None:
    answer = source.durations(Wanted("duration_ms", name="matmul", host=ALWAYS), within(fleet))
    end = end_of(fleet)
    assert (answer.start, answer.step, answer.steps) == (end - 3 * STEP, STEP, 3)
    assert answer.edges_ms == CLASSIC_BOUNDS_MS
    expected: dict[tuple[int, int], float] = {}
    for step in range(3):
        since = end - (3 - step) * STEP
        for ms in fleet.durations(since, since + STEP, "matmul", host=ALWAYS, outcome="ok"):
            cell = sum(edge < ms for edge in CLASSIC_BOUNDS_MS)
            expected[step, cell] = expected.get((step, cell), 0) + 1
    assert close({(step, cell): count for step, cell, count in answer.cells}, expected)


# -- hosts ---------------------------------------------------------------------------------------


def test_each_host_has_a_row_of_what_it_does_now(source: PrometheusSource, fleet: Fleet) -> None:
    rows = source.hosts()
    assert [row.host for row in rows] == sorted(FLEET)
    for row in rows:
        assert (row.health, dict(row.components)) == ("degraded", {"memory": "degraded"})
        assert row.alerts == (("MetalKernelFailures", "high"),)
        assert row.version
        assert (row.power_watts, row.gpu_percent) == (7.25, 19.0)
        # The largest of its own pools; what the driver holds is of all processes.
        assert row.memory_bytes == 1079
        assert row.operations == pytest.approx(6 / EVERY, rel=0.3)
        assert row.error_rate is not None
        assert 0 < row.error_rate < 0.05
        assert row.mean_ms is not None
        assert row.p99_ms is not None


# -- queries of one's own ------------------------------------------------------------------------


def test_a_query_of_ones_own_is_answered_for_the_end_of_each_step(
    source: PrometheusSource, fleet: Fleet
) -> None:
    query = 'metal_memory_usage_bytes{pool="mlx_active"}'
    answer = source.query(query, within(fleet), limit=2)
    assert (answer.omitted, len(answer.lines)) == (1, 2)
    last = int((end_of(fleet) - fleet.first) / EVERY) - 1
    for line in answer.lines:
        assert line.values[-1] == 1000 + last
        assert line.labels["__name__"] == "metal_memory_usage_bytes"
        assert line.host == line.labels["instance"]
    (line,) = source.query("42", within(fleet), limit=2).lines
    assert list(line.values) == [42, 42, 42]


def test_what_is_no_number_is_none(source: PrometheusSource, fleet: Fleet) -> None:
    for query in ("vector(NaN)", "vector(1) / 0", "-vector(1) / 0"):
        assert source.query(query, within(fleet), limit=2).lines == ()
    mixed = "1 / (floor(vector(time()) / 300) % 2)"
    answer = source.query(mixed, within(fleet, 4), limit=2)
    assert None in answer.lines[0].values
    assert any(value is not None for value in answer.lines[0].values)


def test_a_query_that_is_not_understood_is_refused_in_the_servers_own_words(
    source: PrometheusSource, fleet: Fleet
) -> None:
    with pytest.raises(ValueError, match=r"sum by \(|unclosed|parse|ident"):
        source.query("sum by (", within(fleet), limit=2)
    with pytest.raises(ValueError, match="PromQL"):
        source.query("  ", within(fleet), limit=2)
    # Longer than any URL.
    long = " + ".join(["vector(1)"] * 1000)
    (line,) = source.query(long, within(fleet), limit=2).lines
    assert line.values[0] == 1000


def test_a_time_that_makes_no_sense_is_refused(source: PrometheusSource, fleet: Fleet) -> None:
    now, second = moment(fleet.last), timedelta(seconds=1)
    for times, why in (
        (TimeRange(now, now, second), "after since"),
        (TimeRange(now, now + second, timedelta(0)), "longer than zero"),
        (TimeRange(now, now + 11_002 * second, second), "at most 11,000"),
    ):
        with pytest.raises(ValueError, match=why):
            source.lines(Wanted("operations"), times)
        with pytest.raises(ValueError, match=why):
            source.query("1", times, limit=1)
    with pytest.raises(ValueError, match="after since"):
        source.operations(now, now, host="", limit=1)
    most = TimeRange(now - 11_000 * second, now, second)
    assert len(source.lines(Wanted("operations"), most).lines[0].values) == 11_000
