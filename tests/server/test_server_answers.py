from __future__ import annotations

import json
import logging
import posixpath
import re
from importlib.resources import files

import httpx
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from metalscope.manager import MetalTelemetryManager
from metalscope.server import RunningServer
from metalscope.server.files import load_assets
from metalscope.server.negotiation import preferred

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def sample(families: object, name: str) -> float:
    values = [s.value for family in families for s in family.samples if s.name == name]  # type: ignore[attr-defined]
    assert values, f"no sample of {name}"
    return sum(values)


def test_metrics_come_in_the_format_the_scraper_asks_for(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    for _ in range(3):
        tel.record("execute", "matmul", duration_ns=2_000_000)

    classic = http.get("/metrics")
    open_metrics = http.get("/metrics", headers={"accept": OPENMETRICS})

    assert classic.headers["content-type"].startswith("text/plain; version=")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert sample(parse_classic(classic.text), "metal_operations_total") == 3
    assert sample(parse_openmetrics(open_metrics.text), "metal_operations_total") == 3


def test_the_snapshot_holds_what_was_recorded_before_the_request(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    tel.record("execute", "matmul", duration_ns=2_000_000)
    tel.record("compile", "kernel", duration_ns=5_000_000, error="compilation_error")

    answer = http.get("/api/v1/snapshot")

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["total_operations"] == 2
    assert answer.json()["errors"] == {"compilation_error": 1}


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("", "*/*", "application/json"),
        ("", "text/markdown", "text/markdown"),
        ("", "text/plain;q=0.9, application/json;q=0.1", "text/plain"),
        ("?format=markdown", "application/json", "text/markdown"),
        ("?format=text", "*/*", "text/plain"),
        ("?format=json", "text/plain", "application/json"),
    ],
)
def test_the_report_comes_as_asked_for(
    query: str, accept: str, media_type: str, tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    tel.record("execute", "named_in_the_report", duration_ns=2_000_000)

    answer = http.get(f"/api/v1/report{query}", headers={"accept": accept})

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media_type)
    # Markdown escapes the underscores of a name.
    assert "named_in_the_report" in answer.text.replace("\\_", "_")
    if media_type == "application/json":
        assert answer.json()["schema_version"] == 1


def test_an_unknown_report_format_is_named_with_those_that_are_known(http: httpx.Client) -> None:
    answer = http.get("/api/v1/report?format=pdf")
    assert answer.status_code == 400
    assert "json, markdown, text" in answer.json()["detail"]


def test_a_report_no_one_can_read_is_not_acceptable(http: httpx.Client) -> None:
    answer = http.get("/api/v1/report", headers={"accept": "image/png"})
    assert answer.status_code == 406


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        (None, "a/x"),
        ("", "a/x"),
        ("b/y", "b/y"),
        ("a/*;q=0.2, b/y;q=0.3", "b/y"),
        ("*/*, a/x;q=0", "b/y"),
        ("A/X", "a/x"),
        ("c/z", None),
        ("a/x;q=wrong", None),
    ],
)
def test_accept_headers_are_read_by_quality_and_by_how_exact_they_are(
    accept: str | None, best: str | None
) -> None:
    assert preferred(accept, ["a/x", "b/y"]) == best


def test_every_file_the_page_names_is_served_with_its_type(http: httpx.Client) -> None:
    page = http.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="([\w./-]+\.(?:js|css|svg))"', page.text)
    assert {"js/main.js", "css/parts.css", "vendor/uPlot.min.css", "icon.svg"} <= set(named)

    imported = {"js/main.js"}
    unread = ["js/main.js"]
    while unread:
        path = unread.pop()
        source = http.get("/" + path).text
        for module in re.findall(r'(?:from |import\()"(\.{1,2}/[\w./-]+\.js)"', source):
            found = posixpath.normpath(posixpath.join(posixpath.dirname(path), module))
            if found not in imported:
                imported.add(found)
                unread.append(found)
    scripts = {path for path in load_assets() if path.endswith(".js")}
    # The one that is no module: it sets the theme before anything is drawn.
    assert scripts - imported == {"js/theme-early.js"}

    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for path in {*named, *imported}:
        answer = http.get("/" + path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith(types[path[path.rindex(".") :]])


def test_a_browser_that_has_the_file_is_not_sent_it_again(http: httpx.Client) -> None:
    first = http.get("/js/main.js")
    again = http.get("/js/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_names_no_other_host_and_carries_no_inline_code() -> None:
    web = files("metalscope").joinpath("assets", "web")
    checked = 0
    js = web.joinpath("js")
    for folder in (web, js, js.joinpath("views"), js.joinpath("draw"), web.joinpath("css")):
        for file in folder.iterdir():
            if not file.is_file():
                continue
            text = file.read_text()
            checked += 1
            for url in re.findall(r"https?://[^\s\"')]+", text):
                assert url == "http://www.w3.org/2000/svg", f"{file.name}: {url}"
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", text)
            assert not re.search(r"\beval\(|new Function", text)
    assert checked > 60
    page = web.joinpath("index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", page)
    vendored = web.joinpath("vendor", "uPlot.esm.js").read_text()
    assert "innerHTML" not in vendored
    assert "XMLHttpRequest" not in vendored
    assert "fetch(" not in vendored


def test_nothing_of_requests_reaches_the_programs_output_or_its_log_handlers(
    tel: MetalTelemetryManager,
    http: httpx.Client,
    server: RunningServer,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    assert http.get("/metrics").status_code == 200
    assert http.get("/nowhere").status_code == 404
    assert http.post("/metrics").status_code == 405
    http.close()
    server.stop()

    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    ours = [r for r in caplog.records if not r.name.startswith(("httpx", "httpcore"))]
    assert ours == []


def test_a_host_programs_own_uvicorn_records_pass_untouched(
    server: RunningServer, http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    logging.getLogger("uvicorn.error").info("the program's own")
    assert "the program's own" in caplog.text


def test_the_recent_activity_is_there_for_a_page_that_opens_late(
    tel: MetalTelemetryManager, http: httpx.Client
) -> None:
    points: list[list[float | None]] = []
    while len(points) < 3:
        tel.record("execute", "matmul", duration_ns=1_000_000)
        points = http.get("/api/v1/recent").json()["points"]
    times = [point[0] for point in points]
    assert times == sorted(times)
    assert any(point[1] for point in points)


def test_json_answers_are_strict(tel: MetalTelemetryManager, http: httpx.Client) -> None:
    tel.record("execute", "matmul", duration_ns=1)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path in ("/api/v1/snapshot", "/api/v1/report", "/api/v1/recent", "/health"):
        json.loads(http.get(path).text, parse_constant=refuse)
