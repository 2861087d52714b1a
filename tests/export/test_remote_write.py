"""Remote write to real servers: what they say they have is what the snapshot has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from faulty_server import answer, answer_by, faulty_server
from forwarding import forwarding
from remote_runs import (
    EXPONENTIAL,
    Run,
    exposed,
    hostile,
    many,
    now,
    plain,
    receiving_prometheus,
    taken,
)
from snapshots import full
from victoria_metrics import running_victoria_metrics

from metalscope import semconv
from metalscope.export.prometheus import render
from metalscope.sending.result import Reason, Verdict
from prometheus_server import PrometheusServer, Target, running_prometheus


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with receiving_prometheus(tmp_path_factory.mktemp("prometheus")) as server:
        yield server


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with running_victoria_metrics(tmp_path_factory.mktemp("victoria")) as server:
        yield server


@pytest.mark.server
def test_prometheus_has_every_series_of_the_snapshot(prometheus: PrometheusServer) -> None:
    run, at = Run(prometheus.url), now()
    snapshot = taken(at)
    result = run.exporter.export(snapshot)
    expected = exposed(snapshot)
    assert (result.ok, result.points) == (True, len(expected)), result
    assert run.found(prometheus, at) == expected


@pytest.mark.server
def test_victoria_metrics_has_every_series_of_the_snapshot(victoria: PrometheusServer) -> None:
    run, at = Run(victoria.url), now()
    snapshot = taken(at)
    assert run.exporter.export(snapshot).ok
    read_back = run.exporter.read_back(snapshot)
    assert read_back is not None
    assert read_back.arrived, read_back
    answer = victoria.get(
        "query", {"query": run.selector(), "time": f"{at.timestamp():.3f}", "nocache": "1"}
    )
    found = [(one["metric"], float(one["value"][1])) for one in answer["result"]]
    assert plain(found, "run", "job", "instance") == exposed(snapshot)


@pytest.mark.server
def test_a_scrape_and_a_write_give_the_same_series(
    prometheus: PrometheusServer, tmp_path: Path
) -> None:
    at = now()
    snapshot = hostile(at)
    content = answer_by(lambda _: (200, {"Content-Type": "text/plain"}, render(snapshot)[0]))
    with faulty_server(content) as page:
        target = Target("scraped", f"127.0.0.1:{page.port}")
        with running_prometheus(target, directory=tmp_path) as scraping:
            scraping.wait_for('up{job="scraped"} == 1')
            answer = scraping.query(
                '{job="scraped",__name__!~"up|scrape_.*"}', datetime.now(UTC).timestamp()
            )
            scraped = plain(answer, "job", "instance")
    assert page.requests
    run = Run(prometheus.url)
    assert run.exporter.export(snapshot).ok
    written = run.found(prometheus, at)
    # The target of the scrape has no label "run"; nothing else differs.
    assert written == scraped
    assert ("exported_instance", "mine") in {pair for labels in written for pair in labels}


@pytest.mark.server
def test_job_and_instance_are_those_of_the_resource(prometheus: PrometheusServer) -> None:
    run, at = Run(prometheus.url), now()
    run.exporter.export(taken(at))
    answer = prometheus.query(run.selector("metalscope_build_info"), at.timestamp())
    [(labels, value)] = answer
    assert value == 1
    assert labels["job"] == "metalscope"
    assert labels["instance"] == "box:1"


@pytest.mark.server
def test_thousands_of_series_arrive_in_several_requests(prometheus: PrometheusServer) -> None:
    at = now()
    snapshot = many(at)
    with faulty_server(forwarding(prometheus.url)) as proxy:
        run = Run(proxy.url)
        assert run.exporter.export(snapshot).ok
    assert len(proxy.requests) > 2
    assert run.found(prometheus, at) == exposed(snapshot)


# -- again, and too late --------------------------------------------------------------------------


@pytest.mark.server
@pytest.mark.parametrize("options", [{}, EXPONENTIAL], ids=["classic", "native"])
def test_the_same_snapshot_again_changes_nothing(
    prometheus: PrometheusServer, options: dict[str, str]
) -> None:
    run, at = Run(prometheus.url, **options), now()
    snapshot = taken(at)
    assert run.exporter.export(snapshot).ok
    before = run.found(prometheus, at) if not options else None
    assert run.exporter.export(snapshot).ok
    assert run.another().export(snapshot).ok
    if before is not None:
        assert run.found(prometheus, at) == before
    moment = {"query": f"{run.selector()}[5m]", "time": f"{at.timestamp():.3f}"}
    all_points = [
        one.get("values", []) + one.get("histograms", [])
        for one in prometheus.get("query", moment)["result"]
    ]
    assert {len(points) for points in all_points} == {1}


@pytest.mark.server
def test_an_older_snapshot_is_refused_for_good_and_the_newer_values_stay(
    prometheus: PrometheusServer,
) -> None:
    run, at = Run(prometheus.url), now()
    assert run.exporter.export(taken(at)).ok
    result = run.another().export(taken(at - timedelta(seconds=10), retired_operations=9))
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
    assert "newer" in result.detail
    assert run.found(prometheus, at) == exposed(taken(at))


@pytest.mark.server
def test_another_value_at_the_same_time_is_refused_for_good(prometheus: PrometheusServer) -> None:
    run, at = Run(prometheus.url), now()
    assert run.exporter.export(taken(at)).ok
    result = run.another().export(taken(at, retired_operations=11))
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
    [(_, kept)] = prometheus.query(run.selector(semconv.RETIRED_OPERATIONS.name), at.timestamp())
    assert kept == 10


@pytest.mark.server
def test_a_refused_snapshot_does_not_hold_up_the_next(prometheus: PrometheusServer) -> None:
    run, at = Run(prometheus.url), now() - timedelta(seconds=5)
    run.exporter.export(taken(at))
    assert not run.exporter.export(taken(at - timedelta(seconds=10))).ok
    later = at + timedelta(seconds=5)
    assert run.exporter.export(taken(later)).ok
    assert run.found(prometheus, later) == exposed(taken(later))


# -- servers that do not take it ------------------------------------------------------------------


@pytest.mark.server
def test_a_prometheus_that_is_not_to_be_written_to_says_which_flag_it_lacks(
    tmp_path: Path,
) -> None:
    with running_prometheus(directory=tmp_path) as server:
        result = Run(server.url).exporter.export(taken(now()))
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.NOT_FOUND)
    assert "--web.enable-remote-write-receiver" in result.detail


@pytest.mark.server
def test_another_path_of_prometheus_is_not_found(prometheus: PrometheusServer) -> None:
    result = Run(prometheus.url, path="/api/v9/write").exporter.export(taken(now()))
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.NOT_FOUND)


def test_a_server_that_is_away_is_tried_again() -> None:
    with faulty_server() as server:
        run = Run(server.url)
    result = run.exporter.export(full())
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.REFUSED)


# -- the end --------------------------------------------------------------------------------------


@pytest.mark.server
@pytest.mark.parametrize("options", [{}, EXPONENTIAL], ids=["classic", "native"])
def test_series_end_with_the_program_where_that_is_asked_for(
    prometheus: PrometheusServer, options: dict[str, Any]
) -> None:
    run, at = Run(prometheus.url, settings={"stale_markers": True}, **options), now()
    run.exporter.export(taken(at))
    before = len(prometheus.query(f"last_over_time({run.selector()}[1m])", at.timestamp()))
    run.exporter.shutdown()
    after = (at + timedelta(seconds=1)).timestamp()
    assert not prometheus.query(run.selector(), after)
    # What was there stays in the history.
    kept = prometheus.query(f"last_over_time({run.selector()}[1m])", after)
    assert len(kept) == before > 0


@pytest.mark.server
def test_the_last_values_are_still_found_after_the_end_where_nothing_is_asked_for(
    prometheus: PrometheusServer,
) -> None:
    run, at = Run(prometheus.url), now()
    run.exporter.export(taken(at))
    run.exporter.shutdown()
    after = (at + timedelta(seconds=1)).timestamp()
    assert len(prometheus.query(run.selector(), after)) == len(exposed(taken(at)))


# -- reading back ---------------------------------------------------------------------------------


@pytest.mark.server
def test_what_was_written_is_read_back(prometheus: PrometheusServer) -> None:
    run, snapshot = Run(prometheus.url), taken(now())
    run.exporter.export(snapshot)
    read_back = run.exporter.read_back(snapshot)
    assert read_back is not None
    assert read_back.arrived, read_back


@pytest.mark.server
def test_what_was_not_written_is_not_read_back(
    prometheus: PrometheusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metalscope.export.remote_write.READ_BACK_SECONDS", 0.5)
    run, at = Run(prometheus.url), now()
    run.exporter.export(taken(at))
    read_back = run.exporter.read_back(taken(at + timedelta(milliseconds=20)))
    assert read_back is not None
    assert not read_back.arrived, read_back


def test_a_server_of_another_kind_is_not_asked_back() -> None:
    with faulty_server(path="/somewhere/write") as server:
        run = Run(server.url, path="")
        assert run.exporter.export(full()).ok
        assert run.exporter.read_back(full()) is None
    assert [request.path for request in server.requests] == ["/somewhere/write"]


def test_a_server_that_is_written_to_and_not_read_is_not_said_to_lack_anything() -> None:
    with faulty_server(answer(204), answer(403)) as server:
        run = Run(server.url)
        assert run.exporter.export(full()).ok
        assert run.exporter.read_back(full()) is None
    assert [request.path.partition("?")[0] for request in server.requests] == [
        "/api/v1/write",
        "/api/v1/query",
    ]
