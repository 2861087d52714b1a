"""Pages of one's own over HTTP: how they are drawn, and the values of their panels."""

from __future__ import annotations

from pathlib import Path

import pytest
from past_at_hand import HOSTILE, OwnPast, asking, page_of

from metalscope.page.data import PageData
from metalscope.page.descriptions import PageDescription, load_descriptions
from metalscope.page.source import SourceError, Wanted

PAGES = "/api/v1/pages"
VALUES = f"{PAGES}/service/values"
HOUR = "since=1800000000&until=1800003600&step=60"

SERVICE = """
title: My service
panels:
  - title: Runs
    series:
      - measure: operations
        by: operation
        name: "a*"
        label: "runs of {kind}"
  - title: Durations
    type: heatmap
    series:
      - kind: execute
  - title: About
    type: text
    text: Ask ada.
  - title: Asked
    query: up
"""
OTHER = "title: Other\npanels:\n  - {title: A, type: text, text: b}\n"


@pytest.fixture
def past() -> OwnPast:
    return OwnPast()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[PageDescription, ...]:
    folder: Path = tmp_path_factory.mktemp("pages")
    (folder / "service.yml").write_text(SERVICE)
    (folder / "other.yml").write_text(OTHER)
    return load_descriptions([folder])


async def test_pages_are_told_as_they_are_drawn(
    past: OwnPast, pages: tuple[PageDescription, ...]
) -> None:
    async with asking(page_of(past, descriptions=pages)) as http:
        known = (await http.get("/api/v1/past")).json()["pages"]
        everything = (await http.get(PAGES)).json()["pages"]
        one = await http.get(f"{PAGES}/service")
    assert known == [{"id": "other", "title": "Other"}, {"id": "service", "title": "My service"}]
    assert everything == [page.to_dict() for page in pages]
    assert one.json() == everything[1]
    assert one.headers["cache-control"] == "no-store"
    assert past.asked == []


async def test_lines_of_a_panel_have_a_label_each(
    past: OwnPast, pages: tuple[PageDescription, ...]
) -> None:
    async with asking(page_of(past, descriptions=pages)) as http:
        told = (await http.get(f"{VALUES}?{HOUR}&host=m1")).json()
    ((wanted, within),) = past.asked
    assert wanted == Wanted("operations", "operation", name="a*", host="m1")
    assert (within.since.timestamp(), within.step.total_seconds()) == (1_800_000_000, 60)
    (line,) = told["lines"]
    assert (line["label"], line["name"]) == ("runs of execute", HOSTILE)
    assert (line["values"], told["omitted"]) == ([1.0, None, 2.5], 3)


async def test_a_heat_map_has_durations(past: OwnPast, pages: tuple[PageDescription, ...]) -> None:
    async with asking(page_of(past, descriptions=pages)) as http:
        told = (await http.get(f"{VALUES}?panel=1&{HOUR}")).json()
    assert (told["edges_ms"], told["cells"]) == ([1.0, 10.0], [[0, 1, 2.0], [2, 0, 1.0]])


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        (f"{PAGES}?x=1", 400, '"x" is not known'),
        (f"{PAGES}/service?x=1", 400, '"x" is not known'),
        (f"{PAGES}/nothing", 404, "no page has this id"),
        (f"{PAGES}/nothing/values", 404, "no page has this id"),
        (f"{VALUES}?panel=4", 400, "panel must be a number from 0 to 3"),
        (f"{VALUES}?panel=-1", 400, "panel must be a number from 0 to 3"),
        (f"{VALUES}?panel=2", 400, "panel 2 is text, which has no values"),
        (f"{VALUES}?panel=3", 400, "a history has no language of its own"),
        (f"{VALUES}?step=x", 400, "step must be seconds"),
        (f"{VALUES}?kind=x", 400, '"kind" is not known'),
    ],
)
async def test_what_is_not_there_is_refused_by_name(
    address: str, status: int, said: str, past: OwnPast, pages: tuple[PageDescription, ...]
) -> None:
    async with asking(page_of(past, descriptions=pages)) as http:
        answer = await http.get(address)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


async def test_without_a_past_a_page_is_there_and_its_values_are_not(
    past: OwnPast, pages: tuple[PageDescription, ...]
) -> None:
    async with asking(PageData(None, "no room", descriptions=pages)) as http:
        assert (await http.get(f"{PAGES}/service")).status_code == 200
        answer = await http.get(VALUES)
    assert (answer.status_code, answer.json()["detail"]) == (404, "no room")
    past.error = SourceError("the database is gone")
    async with asking(page_of(past, descriptions=pages)) as http:
        answer = await http.get(VALUES)
    assert (answer.status_code, answer.json()["detail"]) == (502, "the database is gone")
    async with asking(None) as http:
        assert (await http.get(PAGES)).json() == {"pages": []}
