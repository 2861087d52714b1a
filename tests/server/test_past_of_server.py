"""Where the past of a server comes from: the history, a temporary file, or nowhere."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
import schemathesis
from past_at_hand import OwnPast, page_of

from health_source import Source
from metalscope.errors import ConfigurationError
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.page.data import PageData
from metalscope.page_options import PageOptions
from metalscope.processes import ProcessGroup
from metalscope.server import start_server
from metalscope.server.app import create_app
from metalscope.server.source import TelemetrySource

DESCRIPTION = json.loads(files("metalscope").joinpath("assets", "openapi.json").read_text())
PAGE = """
title: Own
panels:
  - title: Runs
    series: [{measure: operations, by: operation}]
  - title: Durations
    type: heatmap
    series: [{}]
"""
TICK = timedelta(milliseconds=50)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def options(**more: Any) -> MetalTelemetryOptions:
    return MetalTelemetryOptions(
        tick_interval=TICK, server={"enabled": True, "port": 0, **more.pop("server", {})}, **more
    )


@pytest.fixture
def run() -> Iterator[Callable[..., MetalTelemetryManager]]:
    """Starts managers that serve, and ends them."""
    started: list[MetalTelemetryManager] = []

    def begin(**more: Any) -> MetalTelemetryManager:
        started.append(MetalTelemetryManager(options(**more)))
        return started[-1].start()

    yield begin
    for one in started:
        one.shutdown()


def url_of(manager: MetalTelemetryManager) -> str:
    assert manager.server is not None
    return manager.server.url


def ask(url: str, address: str) -> httpx.Response:
    return httpx.get(f"{url}/api/v1{address}", trust_env=False, timeout=20)


def once(url: str, address: str, is_so: Callable[[Any], bool]) -> Any:
    """The answer, as soon as it is so."""
    until = monotonic() + 20
    while True:
        answer = ask(url, address)
        assert answer.status_code == 200, answer.text
        if is_so(answer.json()):
            return answer.json()
        assert monotonic() < until, answer.text
        sleep(0.1)


def total_is(count: int) -> Callable[[Any], bool]:
    return lambda told: (told["total"] or {"operations": 0})["operations"] == count


def test_without_a_history_the_last_hours_are_kept_and_removed_at_the_end(
    run: Callable[..., MetalTelemetryManager], temporary: Path
) -> None:
    manager = run()
    url = url_of(manager)
    for _ in range(3):
        manager.record("execute", "matmul", duration_ns=2_000_000)
    told = once(url, "/past/operations", total_is(3))
    assert [(one["name"], one["mean_ms"]) for one in told["operations"]] == [("matmul", 2.0)]
    about = ask(url, "/past").json()
    assert (about["source"], about["why"], about["live"]) == ("history", "", True)
    assert about["first"] < about["last"]
    assert list(temporary.iterdir()) != []
    manager.shutdown()
    assert list(temporary.iterdir()) == []
    assert manager.get_snapshot().internals.errors == {}


def test_where_a_history_is_kept_the_past_is_that(
    run: Callable[..., MetalTelemetryManager], temporary: Path
) -> None:
    kept = temporary / "kept"
    kept.mkdir()
    history = {"path": kept / "past.db"}
    first = run(history=history, server={"enabled": False})
    first.record("execute", "before", duration_ns=1_000_000)
    first.shutdown()
    second = run(history=history)
    told = once(url_of(second), "/past/operations", total_is(1))
    assert [one["name"] for one in told["operations"]] == ["before"]
    assert [one.name for one in temporary.iterdir()] == ["kept"]


def test_where_none_is_wanted_none_is_kept(
    run: Callable[..., MetalTelemetryManager], temporary: Path
) -> None:
    url = url_of(run(server={"page": {"keep_past": False}}))
    about = ask(url, "/past").json()
    assert (about["source"], "keep_past is false" in about["why"]) == (None, True)
    assert ask(url, "/past/hosts").status_code == 404
    assert list(temporary.iterdir()) == []


def test_what_cannot_be_kept_costs_the_past_and_not_the_server(
    run: Callable[..., MetalTelemetryManager], temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "none"))
    manager = run()
    about = ask(url_of(manager), "/past").json()
    assert (about["source"], about["why"].startswith("no past could be kept")) == (None, True)
    assert ask(url_of(manager), "/snapshot").status_code == 200
    assert sum(manager.get_snapshot().internals.errors.values()) == 1


def test_a_group_of_processes_has_a_past_of_its_own(temporary: Path) -> None:
    group = ProcessGroup(temporary / "shared", tick=TICK)
    server = start_server(group, host="127.0.0.1", port=0)
    group.start()
    try:
        about = once(server.url, "/past", lambda told: told["last"] is not None)
        assert about["source"] == "history"
    finally:
        server.stop()
        group.stop()
    assert [one.name for one in temporary.iterdir()] == ["shared"]


@pytest.mark.parametrize("given", [None, "options", "data"])
def test_what_is_handed_in_is_closed_with_the_server(given: str | None, temporary: Path) -> None:
    closed: list[str] = []
    page: PageOptions | PageData | None = None
    if given == "options":
        page = PageOptions(keep_past=False)
    elif given == "data":
        page = page_of(OwnPast(), close=lambda: closed.append("closed"))
    server = start_server(Source(), host="127.0.0.1", port=0, page=page)
    about = ask(server.url, "/past").json()
    server.stop()
    server.stop()
    assert about["source"] == (None if given == "options" else "history")
    assert closed == (["closed"] if given == "data" else [])
    assert list(temporary.iterdir()) == []


def test_a_page_that_cannot_be_read_keeps_the_server_from_starting(temporary: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"server\.page\.descriptions.*none\.yml"):
        MetalTelemetryManager(
            options(server={"page": {"descriptions": [temporary / "none.yml"]}})
        ).start()
    assert list(temporary.iterdir()) == []


def test_a_forecaster_is_the_one_that_the_options_name(
    run: Callable[..., MetalTelemetryManager], temporary: Path
) -> None:
    url = url_of(run())
    told = once(
        url, "/past/forecast?measure=operations&step=1", lambda told: told["past"]["values"]
    )
    assert (told["forecast"], told["why"] != "") == (None, True)
    broken = PageData.of(Source(), PageOptions(keep_past=False), forecaster="oracle")
    with pytest.raises(ConfigurationError, match="oracle"):
        broken.forecaster()


def test_what_a_program_has_is_told_as_it_is_described(
    run: Callable[..., MetalTelemetryManager], temporary: Path
) -> None:
    (temporary / "own.yml").write_text(PAGE)
    log = temporary / "log.jsonl"
    manager = run(
        server={"page": {"descriptions": [temporary / "own.yml"]}},
        traces={"enabled": True, "sample_ratio": 1.0},
        logging={"enabled": True, "sinks": [{"type": "file", "endpoint": log.as_uri()}]},
    )
    with manager.span("request"):
        manager.record("execute", "matmul", duration_ns=2_000_000)
        try:
            raise LookupError("none")
        except LookupError:
            manager.log.exception("lost", where={"deep": [1, None]})
    url = url_of(manager)
    once(url, "/past/operations", total_is(1))
    known = once(url, "/traces", lambda told: told["traces"])["traces"]
    assert [one["name"] for one in known] == ["request"]
    once(url, "/logs", lambda told: told["records"])

    schema = schemathesis.openapi.from_dict(DESCRIPTION)
    asked: dict[str, list[dict[str, Any]]] = {
        "/past": [{}],
        "/past/lines": [
            {"measure": "operations", "by": "operation"},
            {"measure": "resource", "reading": "high"},
            {"measure": "p99_ms"},
        ],
        "/past/operations": [{"limit": 3}],
        "/past/durations": [{"name": "mat*"}],
        "/past/hosts": [{}],
        "/past/forecast": [{"measure": "operations"}],
        "/pages": [{}],
        "/pages/{id}": [{}],
        "/pages/{id}/values": [{"panel": 0}, {"panel": 1}],
        "/logs": [{}],
        "/traces": [{"name": "req"}],
        "/traces/{id}": [{}],
    }
    ids = {"/traces/{id}": known[0]["trace_id"]}
    for path, queries in asked.items():
        for query in queries:
            case = schema[f"/api/v1{path}"]["GET"].Case(
                query=query, path_parameters={"id": ids.get(path, "own")} if "{" in path else {}
            )
            answer = case.call(base_url=url)
            assert answer.status_code == 200, (path, answer.text)
            case.validate_response(answer)


def test_an_application_by_itself_keeps_nothing(temporary: Path) -> None:
    source: TelemetrySource = Source()
    app = create_app(source)
    app.state.hub.close()
    assert list(temporary.iterdir()) == []
