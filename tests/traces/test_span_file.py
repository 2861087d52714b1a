from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from metalscope.errors import ConfigurationError
from metalscope.sanitizing.sanitizer import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions
from metalscope.traces.chrome import ChromeTraceFile
from metalscope.traces.chrome_events import TraceEvents
from metalscope.traces.chrome_rows import MOST_ROWS
from metalscope.traces.span import Decision, FinishedSpan
from span_samples import MS, START, TRACE, a_span, full_span, spans

NUMBER, TEXT = {"type": "number", "minimum": 0}, {"type": "string"}
COMMON = {"name": TEXT, "pid": {"type": "integer"}, "tid": {"type": "integer"}}
SPAN = {**COMMON, "cat": TEXT, "ts": NUMBER, "args": {"type": "object"}, "cname": TEXT}


def event(phase: str, names: dict[str, Any], *optional: str) -> dict[str, Any]:
    return {
        "properties": {"ph": {"const": phase}, **names},
        "required": ["ph", *(name for name in names if name not in optional)],
        "additionalProperties": False,
    }


# What the Trace Event Format says of each phase, as far as there are any here.
SCHEMA = {
    "type": "array",
    "items": {
        "oneOf": [
            event("X", {**SPAN, "dur": NUMBER}, "cname"),
            event("i", {**SPAN, "s": {"enum": ["t", "g"]}}, "cname"),
            event("b", {**SPAN, "id": TEXT}, "cname"),
            event("e", {**SPAN, "id": TEXT}, "cname", "args"),
            event("M", {**COMMON, "args": {"type": "object"}}),
        ]
    },
}

VALIDATOR = Draft202012Validator(SCHEMA)


def unexpected(room: str, error: BaseException) -> None:
    raise AssertionError(room) from error


def a_file(path: Path, **more: Any) -> ChromeTraceFile:
    return ChromeTraceFile(path, **{"on_error": unexpected, **more})


def written(path: Path, *some: FinishedSpan, **more: Any) -> list[dict[str, Any]]:
    file = a_file(path, **more)
    for span in some:
        file.take(span)
    file.close(10)
    return read(path)


def read(path: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)
    VALIDATOR.validate(events)
    return events


def of(events: list[dict[str, Any]], phase: str) -> list[dict[str, Any]]:
    return [one for one in events if one["ph"] == phase]


def test_a_span_is_a_complete_event_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    events = written(tmp_path / "t.json", full_span())
    [span] = of(events, "X")
    assert span["name"] == "execute matmul ∇"
    assert span["pid"] == os.getpid()
    assert span["dur"] == pytest.approx(12_345.678, abs=0.125)
    assert (span["cat"], span["cname"]) == ("metalscope,failed", "terrible")
    assert span["args"] == {
        **full_span().attributes,
        "trace_id": f"{TRACE:032x}",
        "span_id": "b7ad6b7169203331",
        "parent_id": "00f067aa0ba902b7",
        "start_unix_ns": str(START),
        "duration_ns": 12_345_678,
        "correlation_id": "order-17",
        "kind": "server",
        "kept_for": "failed",
        "error": "out_of_memory: no room",
        "links": [f"{TRACE + 1:032x}-{17:016x}", f"{TRACE + 2:032x}-{18:016x}"],
    }
    assert [(one["name"], one["args"]) for one in of(events, "i")] == [
        ("waited", {"queue": "gpu 0"}),
        ("bare", {}),
    ]


def test_processes_and_threads_have_their_names(tmp_path: Path) -> None:
    events = written(
        tmp_path / "t.json", a_span(1), a_span(2, thread=9, thread_name="worker"), a_span(3)
    )
    named = {(one["name"], one["tid"]): one["args"] for one in of(events, "M")}
    assert named["process_name", 0]["name"]
    assert named["thread_name", 1] == {"name": "MainThread"}
    assert named["thread_name", 2] == {"name": "worker"}
    assert [one["tid"] for one in of(events, "X")] == [1, 2, 1]


def test_slow_and_failed_ones_are_marked(tmp_path: Path) -> None:
    kept = (a_span(1), a_span(2, decision=Decision.SLOW), a_span(3, failed=True))
    events = of(written(tmp_path / "t.json", *kept), "X")
    assert [one.get("cname") for one in events] == [None, "bad", "terrible"]
    assert [one["cat"] for one in events] == [
        "metalscope",
        "metalscope,slow",
        "metalscope,failed",
    ]


def test_spans_of_two_tasks_that_cross_are_on_two_rows_of_their_thread(tmp_path: Path) -> None:
    one = a_span(1, name="one", start_ns=START, end_ns=START + 10 * MS)
    two = a_span(2, name="two", start_ns=START + 5 * MS, end_ns=START + 15 * MS, trace_id=9)
    inner = a_span(3, name="in one", start_ns=START + MS, end_ns=START + 2 * MS)
    events = written(tmp_path / "t.json", inner, one, two)
    row = {one["name"]: one["tid"] for one in of(events, "X")}
    assert row["in one"] == row["one"] != row["two"]
    names = [one["args"]["name"] for one in of(events, "M") if one["name"] == "thread_name"]
    assert names == ["MainThread", "MainThread (2)"]


def test_a_span_is_drawn_around_a_child_that_seems_to_be_a_little_past_it(tmp_path: Path) -> None:
    parent = a_span(1, name="parent", start_ns=START, end_ns=START + MS)
    ends = START + MS + 5_000
    child = a_span(2, name="child", parent_id=1, start_ns=START + MS + 1_000, end_ns=ends)
    inner = a_span(3, name="inner", parent_id=2, start_ns=START + MS + 2_000, end_ns=ends)
    begins = START + MS - 100_000
    late = a_span(4, name="late", parent_id=1, start_ns=begins, end_ns=START + 2 * MS)
    events = of(written(tmp_path / "t.json", inner, child, late, parent), "X")
    drawn = {one["name"]: (one["tid"], one["ts"], one["ts"] + one["dur"]) for one in events}
    row, start, end = drawn["parent"]
    assert end - start == 1005.0
    assert [one["name"] for one in events if one["tid"] == row] == ["parent", "child", "inner"]
    assert drawn["child"][2] == drawn["inner"][2] == end
    assert drawn["late"][0] != row, "which is no matter of clocks"
    assert {one["args"]["duration_ns"] for one in events if one["name"] == "parent"} == {MS}


def crossing_pairs(events: list[dict[str, Any]]) -> int:
    rows: dict[int, list[tuple[float, float]]] = {}
    for one in of(events, "X"):
        rows.setdefault(one["tid"], []).append((one["ts"], one["ts"] + one["dur"]))
    return sum(
        start < other_start < end < other_end
        for row in rows.values()
        for start, end in row
        for other_start, other_end in row
    )


@settings(max_examples=60)
@given(st.lists(spans(), max_size=12))
def test_any_spans_make_json_in_which_none_cross(some: list[FinishedSpan]) -> None:
    made = TraceEvents(1, "test", START)
    in_order = made.plan(some)
    texts = [*made.header(), *(text for span in in_order for text in made.of(span))]
    events = json.loads(f"[{','.join(texts)}]", parse_constant=pytest.fail)
    VALIDATOR.validate(events)
    assert len(of(events, "X")) == len(some)
    assert crossing_pairs(events) == 0
    assert all("\n" not in text for text in texts)


def test_more_crossing_spans_than_rows_are_asynchronous_events(tmp_path: Path) -> None:
    count = MOST_ROWS + 5
    crossing = [a_span(n, start_ns=START + n * MS, end_ns=START + 999 * MS + n * MS)
                for n in range(1, count + 1)]  # fmt: skip
    events = written(tmp_path / "t.json", *crossing)
    assert len(of(events, "X")) == MOST_ROWS
    begins, ends = of(events, "b"), of(events, "e")
    assert len(begins) == len(ends) == 5
    assert [one["id"] for one in begins] == [one["id"] for one in ends]
    assert crossing_pairs(events) == 0


def test_the_file_is_read_while_it_grows_and_nothing_is_written_by_who_takes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.json"
    file = a_file(path, flush_interval=timedelta(hours=1))
    file.take(a_span(1))
    assert path.read_bytes() == b"[\n"
    assert file.flush(10)
    assert len(of(json.loads(path.read_text() + "]"), "X")) == 1
    file.take(a_span(2))
    assert file.flush(10)
    assert len(of(json.loads(path.read_text() + "]"), "X")) == 2
    file.close(10)
    file.close(10)
    assert [one["name"] for one in of(read(path), "X")] == ["span 1", "span 2"]


def test_without_a_span_it_is_an_empty_array(tmp_path: Path) -> None:
    assert written(tmp_path / "t.json") == []


def test_a_trace_that_was_there_is_overwritten_and_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    written(path, *(a_span(n) for n in range(100)))
    assert len(of(written(path, a_span()), "X")) == 1
    path.write_text("import mlx.core as mx\n")
    with pytest.raises(ConfigurationError, match="what is there is no trace of ours"):
        a_file(path)
    assert path.read_text() == "import mlx.core as mx\n"


def test_past_its_bytes_spans_are_counted_and_the_file_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    file = a_file(path, max_bytes=3000)
    for n in range(100):
        file.take(a_span(n))
    file.close(10)
    events = read(path)
    kept = len(of(events, "X"))
    assert 0 < kept < 100
    assert path.stat().st_size <= 3000
    assert events[-1]["name"] == f"{100 - kept} spans are left out", "as the viewer shows it"
    [status] = file.status()
    assert (status.delivered, dict(status.dropped)) == (kept, {"disk": 100 - kept})
    assert "max_file_bytes" in status.last_error
    assert file.dropped == 100 - kept


def test_a_full_buffer_is_counted(tmp_path: Path) -> None:
    file = a_file(tmp_path / "t.json", max_spans=1)
    with file._buffer._changed:  # so that nothing is written meanwhile
        file.take(a_span(1))
        file.take(a_span(2))
    file.close(10)
    [status] = file.status()
    assert (status.delivered, dict(status.dropped)) == (1, {"queue_full": 1})


def test_a_disk_that_fails_is_told_and_counted_and_what_was_written_stays_whole(
    tmp_path: Path,
) -> None:
    program = """
import json, resource, signal, sys
sys.path[:0] = sys.argv[2:]
from test_span_file import ChromeTraceFile, Path, a_span
told = []
file = ChromeTraceFile(Path(sys.argv[1]), on_error=lambda _, error: told.append(str(error)))
file.take(a_span(1))
assert file.flush(10)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = Path(sys.argv[1]).stat().st_size
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
for n in range(2, 12):
    file.take(a_span(n))
assert file.flush(10)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
file.take(a_span(12))
file.close(10)
[status] = file.status()
print(json.dumps([len(told), status.delivered, dict(status.dropped), dict(status.failures)]))
"""
    path = tmp_path / "t.json"
    command = [sys.executable, "-c", program, str(path), *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, 2, {"disk": 10}, {"disk": 1}]
    assert [one["name"] for one in of(read(path), "X")] == ["span 1", "span 12"]


def test_a_span_that_cannot_be_written_is_counted_and_the_others_are(tmp_path: Path) -> None:
    class Spiteful:
        def __str__(self) -> str:
            raise ZeroDivisionError

    told: list[BaseException] = []
    file = a_file(tmp_path / "t.json", on_error=lambda _, error: told.append(error))
    for span in (a_span(1), a_span(2, attributes={"x": Spiteful()}), a_span(3)):
        file.take(span)
    file.close(10)
    assert [one["name"] for one in of(read(tmp_path / "t.json"), "X")] == ["span 1", "span 3"]
    [status] = file.status()
    assert dict(status.dropped) == {"exporter_error": 1}
    assert [type(error) for error in told] == [ZeroDivisionError]


def test_a_file_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"traces\.file = .*missing.* must be a file"):
        a_file(tmp_path / "missing" / "t.json")


def test_secrets_are_taken_out_before_they_are_written(tmp_path: Path) -> None:
    sanitizer = Sanitizer(SanitizingOptions(), secrets=["sk-not-to-be-seen"])
    said = {"api_key": "hush-hush-1234", "note": "it is sk-not-to-be-seen", "batch": 5}
    [span] = of(written(tmp_path / "t.json", a_span(attributes=said), sanitizer=sanitizer), "X")
    assert span["args"]["batch"] == 5
    text = (tmp_path / "t.json").read_text()
    assert "hush-hush" not in text
    assert "not-to-be-seen" not in text


PROGRAM = """
import os, signal, sys, time
sys.path[:0] = sys.argv[3:]
from test_span_file import a_file, a_span, Path
path, what = Path(sys.argv[1]), sys.argv[2]
file = a_file(path)
file.take(a_span(1))
assert file.flush(10)
if what == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "fork":
    child = os.fork()
    file.take(a_span(2, name="of the child" if not child else "of the parent"))
    if not child:
        file.close(10)
        print(file.path, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
if what == "wait":
    print("ready", flush=True)
    sys.stdin.read()
file.close(10)
"""


def command(path: Path, what: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(path), what, *sys.path]


def test_of_a_program_that_is_killed_the_file_lacks_no_more_than_its_end(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    done = subprocess.run(command(path, "kill"), check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert len(of(json.loads(path.read_text() + "]"), "X")) == 1


def test_a_forked_child_writes_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    done = subprocess.run(
        command(path, "fork"), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    own = Path(done.stdout.strip())
    assert own.parent == tmp_path
    assert own.name.startswith("t.")
    assert [one["name"] for one in of(read(path), "X")] == ["span 1", "of the parent"]
    assert [one["name"] for one in of(read(own), "X")] == ["of the child"]


def test_a_file_that_another_process_writes_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    with subprocess.Popen(
        command(path, "wait"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        file = a_file(path)
        assert file.path == tmp_path / f"t.{os.getpid()}.json"
        file.take(a_span(5))
        file.close(10)
        other.communicate("", timeout=30)
    assert [one["name"] for one in of(read(path), "X")] == ["span 1"]
    assert [one["name"] for one in of(read(file.path), "X")] == ["span 5"]
