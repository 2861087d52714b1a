"""The page where a key is asked for: it asks once, is live, and keeps the key to itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from metalscope.access.key_changes import KeyChanges
from metalscope.access.roles import Role
from metalscope.access_options import AccessOptions
from metalscope.manager import MetalTelemetryManager
from metalscope.server import RunningServer, start_server

pytestmark = pytest.mark.browser

CONNECTION = "#connection"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture
def changes(tmp_path: Path) -> KeyChanges:
    return KeyChanges(tmp_path / "keys.json")


@pytest.fixture
def server(
    tel: MetalTelemetryManager, changes: KeyChanges, tmp_path: Path
) -> Iterator[RunningServer]:
    changes.create("another", Role.ADMIN)
    access = AccessOptions(keys_file=tmp_path / "keys.json")
    running = start_server(tel, host="127.0.0.1", port=0, access=access)
    yield running
    running.stop()


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")


def faults(watched) -> list[str]:
    """What the console complained of, but for the answers that the page asks for a key after."""
    return [text for text in watched.complaints if "401 (Unauthorized)" not in text]


def test_with_a_key_the_page_is_live_and_asks_no_more_until_it_is_revoked(
    watched, server: RunningServer, tel: MetalTelemetryManager, changes: KeyChanges, work
) -> None:
    page = watched.page
    key, given = changes.create("a person", Role.VIEWER)
    page.goto(server.url)
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    expect(dialog).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Escape")
        expect(dialog).to_be_visible()
    expect(page.get_by_label("Key", exact=True)).to_be_focused()

    almost = given.text[:-1] + ("A" if given.text[-1] != "A" else "B")
    for wrong in ("nonsense", "msk_ÄÖÜ", almost):
        sign_in(page, wrong)
        expect(dialog.get_by_role("alert")).to_contain_text("not known here")

    sign_in(page, given.text)
    expect(dialog).to_have_count(0)
    expect(page.locator(CONNECTION)).to_have_text("Live")
    expect(page.locator("table.operations tbody tr")).to_have_count(1)

    page.reload()
    expect(page.locator(CONNECTION)).to_have_text("Live")
    assert page.get_by_role("dialog").count() == 0
    # The key is in no address, and in no storage that outlives the tab.
    assert not [url for url in watched.requested if given.secret in url]
    kept = page.evaluate("JSON.stringify([localStorage, document.cookie])")
    assert given.secret not in kept
    assert watched.hosts() == {f"127.0.0.1:{server.port}"}
    assert faults(watched) == []

    changes.revoke(key.id)
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("alert")).to_contain_text("not known here, or has ended")
    sign_in(page, changes.create("again", Role.VIEWER)[1].text)
    expect(page.locator(CONNECTION)).to_have_text("Live")


def test_a_key_that_may_not_read_the_page_is_told_so_and_hostile_names_stay_text(
    watched, server: RunningServer, tel: MetalTelemetryManager, changes: KeyChanges
) -> None:
    page = watched.page
    page.on("dialog", lambda dialog: watched.complaints.append(dialog.message))
    tel.record("execute", HOSTILE, duration_ns=1_000_000, device=HOSTILE)
    tel.record_custom_event(HOSTILE, {HOSTILE: HOSTILE})
    tel.record_custom_metric("hostile_total", 1, {"label": HOSTILE})
    page.goto(server.url)
    sign_in(page, changes.create("a scraper", Role.SCRAPER)[1].text)
    expect(page.get_by_role("alert")).to_contain_text("needs the role viewer")
    sign_in(page, changes.create("a person", Role.VIEWER)[1].text)
    expect(page.locator("table.operations tbody th")).to_contain_text(HOSTILE)
    expect(page.locator("#events")).to_contain_text(HOSTILE)
    expect(page.locator("#custom")).to_contain_text(HOSTILE)
    assert page.locator("main img, main script").count() == 0
    assert [text for text in faults(watched) if "403 (Forbidden)" not in text] == []
