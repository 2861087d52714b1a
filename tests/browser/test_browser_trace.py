"""What Perfetto itself makes of a trace file of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from perfetto_page import opened_in_perfetto
from playwright.sync_api import Browser

from metalscope.traces.chrome import ChromeTraceFile
from span_samples import MS, START, a_span, full_span

PROBLEMS = "select name || ' ' || value as row from stats where value > 0 and severity != 'info'"
SPANS = """
    select thread.name || ' > ' || slice.depth || ' ' || slice.name || ' ' || slice.dur as row
    from slice join thread_track on slice.track_id = thread_track.id join thread using (utid)
    order by thread.tid, slice.ts, slice.depth
"""
ARGUMENTS = """
    select args.key || '=' || args.display_value as row
    from slice join args using (arg_set_id) where slice.name = 'execute matmul ∇'
"""


def write(path: Path) -> ChromeTraceFile:
    def unexpected(room: str, error: BaseException) -> None:
        raise AssertionError(room) from error

    file = ChromeTraceFile(path, on_error=unexpected)
    # Two tasks of one thread, each with a kernel, and a span on another thread.
    for name, trace, start, end in (
        ("kernel of one", 1, 2, 3),
        ("kernel of two", 2, 4, 5),
        ("one", 1, 0, 10),
        ("two", 2, 1, 12),
    ):
        begins, ends = START + start * MS, START + end * MS
        file.take(a_span(trace, trace_id=trace, name=name, start_ns=begins, end_ns=ends))
    file.take(full_span())
    return file


EXPECTED = [
    "MainThread > 0 one 10000000",
    "MainThread > 1 kernel of one 1000000",
    "worker-1 > 0 execute matmul ∇ 12345625",
    "MainThread (2) > 0 two 11000000",
    "MainThread (2) > 1 kernel of two 1000000",
]


@pytest.mark.browser
def test_perfetto_shows_each_span_on_its_row_with_what_is_known_of_it(
    browser: Browser, tmp_path: Path
) -> None:
    write(tmp_path / "t.json").close(10)
    with opened_in_perfetto(browser, tmp_path / "t.json") as perfetto:
        assert perfetto.query(PROBLEMS) == []
        found = perfetto.query(SPANS)
        assert sorted(one for one in found if "waited" not in one and "bare" not in one) == sorted(
            EXPECTED
        )
        assert sum("waited" in one or "bare" in one for one in found) == 2
        arguments = perfetto.query(ARGUMENTS)
        assert {
            "args.text=äöü ✓",
            "args.trace_id=0af7651916cd43dd8448eb211c80319c",
            "args.correlation_id=order-17",
            "args.error=out_of_memory: no room",
            "args.mapping.inner=1.5",
        } <= set(arguments)


@pytest.mark.browser
def test_perfetto_opens_a_file_that_lacks_its_end(browser: Browser, tmp_path: Path) -> None:
    file = write(tmp_path / "t.json")
    assert file.flush(10)
    assert not (tmp_path / "t.json").read_bytes().endswith(b"]\n")
    with opened_in_perfetto(browser, tmp_path / "t.json") as perfetto:
        assert perfetto.query(PROBLEMS) == []
        assert len(perfetto.query(SPANS)) == len(EXPECTED) + 2
    file.close(10)
