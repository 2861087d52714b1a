from __future__ import annotations

import fcntl
import gzip
import json
import os
import stat
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from contexts import context
from snapshots import NOW, full
from test_json_document import VALIDATOR, document, events

from metalscope.errors import ConfigurationError
from metalscope.export.documents.json_document import Document, strict_json
from metalscope.export.documents.ndjson_file import NdjsonFileExporter
from metalscope.export.view import MetricView
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.snapshot import MetalTelemetrySnapshot
from small_files import files_of_at_most


def exporter(path: Path, **options: Any) -> NdjsonFileExporter:
    return NdjsonFileExporter(context(endpoint=path.as_uri(), **options))


def at(seconds: float, *numbers: int) -> MetalTelemetrySnapshot:
    return replace(full(), timestamp=NOW + timedelta(seconds=seconds), events=events(*numbers))


def line_of(snapshot: MetalTelemetrySnapshot) -> bytes:
    return strict_json(Document(snapshot, MetricView()).to_dict()).encode() + b"\n"


def read(path: Path) -> list[dict[str, Any]]:
    """The documents of a file, each of which must be whole and of the schema."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert not data or data.endswith(b"\n")
    found = [json.loads(line) for line in data.split(b"\n")[:-1]]
    for made in found:
        VALIDATOR.validate(made)
    return found


def seconds(path: Path) -> list[float]:
    """Of each document, how long after ``NOW`` it was."""
    times = [datetime.fromisoformat(made["timestamp"]) for made in read(path)]
    return [(time - NOW).total_seconds() for time in times]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.ndjson"


# -- lines ---------------------------------------------------------------------------------------


def test_each_snapshot_is_a_line_of_the_schema(path: Path) -> None:
    made = exporter(path)
    results = [made.export(at(0, 1)), made.export(at(10, 1, 2))]
    assert [result.ok for result in results] == [True, True]
    first, second = read(path)
    assert first == document(at(0, 1))
    assert second == document(at(10, 1, 2), since=at(0, 1))
    assert results[0].points == len(Document(at(0, 1), MetricView()).points)


def test_a_new_file_is_for_its_owner_only(path: Path) -> None:
    before = os.umask(0)
    try:
        exporter(path).export(full())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lines_are_added_to_what_is_there(path: Path) -> None:
    exporter(path).export(at(0))
    exporter(path).export(at(10))
    assert seconds(path) == [0, 10]


def test_the_name_may_have_any_character(tmp_path: Path) -> None:
    odd = tmp_path / "what is 50% of # ü?.ndjson"
    assert exporter(odd).export(full()).ok
    assert [entry.name for entry in tmp_path.iterdir()] == [odd.name]


def test_it_can_be_looked_up_whether_a_snapshot_arrived(path: Path) -> None:
    made = exporter(path)
    made.export(at(0))
    assert made.read_back(at(0)).arrived
    assert not made.read_back(at(10)).arrived


# -- no line twice -------------------------------------------------------------------------------


def test_a_snapshot_that_comes_again_is_not_written_again(path: Path) -> None:
    made = exporter(path)
    made.export(at(0))
    assert made.export(at(0)).ok
    assert seconds(path) == [0]


def test_nor_is_it_by_the_next_process(path: Path) -> None:
    exporter(path).export(at(0))
    assert exporter(path).export(at(0)).ok
    assert seconds(path) == [0]


# -- rotation ------------------------------------------------------------------------------------


def generations(path: Path) -> dict[str, list[float]]:
    return {entry.name: seconds(entry) for entry in path.parent.iterdir()}


def test_a_full_file_is_moved_away_and_so_many_are_kept(path: Path) -> None:
    size = len(line_of(at(0)))
    made = exporter(path, settings={"max_bytes": 2 * size + 10, "backups": 2})
    for number in range(9):
        assert made.export(at(number)).ok
    assert generations(path) == {
        "metrics.ndjson": [8],
        "metrics.ndjson.1": [6, 7],
        "metrics.ndjson.2": [4, 5],
    }


def test_moved_files_may_be_compressed(path: Path) -> None:
    settings = {"max_bytes": 2 * len(line_of(at(0))) + 10, "backups": 2, "compress": True}
    made = exporter(path, settings=settings)
    for number in range(9):
        assert made.export(at(number)).ok
    assert generations(path) == {
        "metrics.ndjson": [8],
        "metrics.ndjson.1.gz": [6, 7],
        "metrics.ndjson.2.gz": [4, 5],
    }
    assert stat.S_IMODE((path.parent / "metrics.ndjson.1.gz").stat().st_mode) == 0o600


def test_compression_may_be_turned_on_and_off(path: Path) -> None:
    for number, compress in enumerate([False, True, False, True, False, False]):
        settings = {"max_bytes": 4096, "backups": 3, "compress": compress}
        exporter(path, settings=settings).export(at(number))
    assert generations(path) == {
        "metrics.ndjson": [5],
        "metrics.ndjson.1": [4],
        "metrics.ndjson.2": [3],
        "metrics.ndjson.3.gz": [2],
    }


def test_with_no_backups_it_begins_anew(path: Path) -> None:
    made = exporter(path, settings={"max_bytes": 4096, "backups": 0})
    made.export(at(0))
    made.export(at(1))
    assert generations(path) == {"metrics.ndjson": [1]}


def test_a_file_that_logrotate_moved_is_begun_again(path: Path) -> None:
    made = exporter(path)
    made.export(at(0))
    moved = path.rename(path.with_name("metrics.ndjson-20260102"))
    made.export(at(10))
    assert seconds(moved) == [0]
    assert seconds(path) == [10]


def test_a_file_that_was_deleted_is_begun_again(path: Path) -> None:
    made = exporter(path)
    made.export(at(0))
    path.unlink()
    made.export(at(10))
    assert seconds(path) == [10]


# -- whole lines only ----------------------------------------------------------------------------


def test_a_line_for_which_there_is_no_room_is_taken_back_and_written_later(path: Path) -> None:
    made = exporter(path)
    made.export(at(0))
    size = path.stat().st_size
    with files_of_at_most(size + 1000):
        result = made.export(at(10))
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.DISK)
    assert path.stat().st_size == size
    assert seconds(path) == [0]
    assert made.export(at(10)).ok
    assert seconds(path) == [0, 10]


def test_when_there_is_no_room_to_compress_nothing_is_lost_or_left(path: Path) -> None:
    settings = {"max_bytes": 4096, "backups": 2, "compress": True}
    made = exporter(path, settings=settings)
    made.export(at(0))
    with files_of_at_most(100):
        assert made.export(at(1)).reason is Reason.DISK
    assert generations(path) == {"metrics.ndjson": [0]}
    assert made.export(at(1)).ok
    assert generations(path) == {"metrics.ndjson": [1], "metrics.ndjson.1.gz": [0]}


@pytest.mark.parametrize("left", [1, 40, 5000])
def test_a_line_a_killed_process_left_half_written_is_taken_back(path: Path, left: int) -> None:
    path.write_bytes(line_of(at(0)) + line_of(at(5))[:left])
    assert exporter(path).export(at(10)).ok
    assert seconds(path) == [0, 10]


def test_what_others_wrote_is_left_as_it_is(path: Path) -> None:
    path.write_bytes(b'{"of": "another program"}')
    assert exporter(path).export(at(10)).ok
    other, ours = path.read_bytes().splitlines(keepends=True)
    assert other == b'{"of": "another program"}\n'
    assert ours == line_of(at(10))


WRITER = """
    import sys
    sys.path[:0] = {path!r}
    from datetime import timedelta
    from dataclasses import replace
    from contexts import context
    from snapshots import full, NOW
    from metalscope.export.documents.ndjson_file import NdjsonFileExporter
    url, settings, number, lines = {url!r}, {settings!r}, int(sys.argv[1]), int(sys.argv[2])
    exporter = NdjsonFileExporter(context(endpoint=url, settings=settings, timeout=60))
    snapshot = full()
    snapshot = replace(snapshot, system=replace(snapshot.system, pid=number))
    print("ready", flush=True)
    sys.stdin.readline()
    for line in range(lines):
        later = replace(snapshot, timestamp=NOW + timedelta(seconds=line))
        result = exporter.export(later)
        assert result.ok, result
"""


def writers(path: Path, count: int, lines: int, **settings: Any) -> list[subprocess.Popen[bytes]]:
    program = textwrap.dedent(WRITER).format(
        path=[str(Path(__file__).parent), str(Path(__file__).parents[1])],
        url=path.as_uri(),
        settings=settings,
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(number), str(lines)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(1, count + 1)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    return started


def finish(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize("compress", [False, True])
def test_processes_that_share_a_file_lose_and_mix_no_line(path: Path, compress: bool) -> None:
    settings = {"max_bytes": 5 * len(line_of(at(0))), "backups": 100, "compress": compress}
    processes = writers(path, 3, 20, **settings)
    assert [finish(process) for process in processes] == [0, 0, 0]
    found = [
        (made["resource"]["service.instance.id"], made["timestamp"])
        for entry in path.parent.iterdir()
        for made in read(entry)
    ]
    assert len(found) == len(set(found)) == 60
    assert len(list(path.parent.iterdir())) > 10


def test_killing_a_process_leaves_whole_lines_only(path: Path) -> None:
    for _ in range(3):
        (process,) = writers(path, 1, 100_000, max_bytes=2**30)
        size = path.stat().st_size if path.exists() else 0
        deadline = time.monotonic() + 20
        while not path.exists() or path.stat().st_size < size + 100_000:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
        finish(process)
        exporter(path).export(at(-1))
        read(path)


def test_a_lock_somebody_keeps_is_waited_for_no_longer_than_an_export_may_take(path: Path) -> None:
    made = exporter(path, timeout=0.3)
    made.export(at(0))
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        began = time.monotonic()
        result = made.export(at(10))
        assert 0.25 < time.monotonic() - began < 5
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TIMEOUT)
    assert made.export(at(10)).ok
    assert seconds(path) == [0, 10]


# -- what goes wrong -----------------------------------------------------------------------------


def failed(result: ExportResult) -> tuple[Verdict, Reason | None]:
    return result.verdict, result.reason


def test_a_directory_that_went_away_is_waited_for(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    made = exporter(directory / "metrics.ndjson")
    directory.rmdir()
    result = made.export(full())
    assert failed(result) == (Verdict.RETRY, Reason.DISK)
    assert "No such file or directory" in result.detail
    directory.mkdir()
    assert made.export(full()).ok


def test_a_name_that_became_a_pipe_is_not_waited_on(path: Path) -> None:
    made = exporter(path)
    os.mkfifo(path)
    result = made.export(full())
    assert failed(result) == (Verdict.RETRY, Reason.DISK)
    assert "no regular file" in result.detail


@pytest.mark.parametrize(
    ("endpoint", "settings", "said"),
    [
        (None, {}, "needs an endpoint"),
        ("https://host/x.ndjson", {}, "needs an endpoint"),
        ("file:///", {}, "needs an endpoint"),
        ("file:///nowhere/at/all/x.ndjson", {}, "/nowhere/at/all, is not there"),
        ("file:///tmp", {}, "/tmp is no regular file"),
        ("file:///tmp/x", {"max_bytes": 1}, "max_bytes must be a whole number from 4096 to"),
        ("file:///tmp/x", {"max_bytes": True}, "max_bytes must be a whole number"),
        ("file:///tmp/x", {"max_bytes": "64MiB"}, "max_bytes must be a whole number"),
        ("file:///tmp/x", {"backups": -1}, "backups must be a whole number from 0"),
        ("file:///tmp/x", {"backup": 1}, "backup is unknown.*nearest is backups"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(
    endpoint: str | None, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"lines.*{said}"):
        NdjsonFileExporter(context(endpoint=endpoint, settings=settings, name="lines"))
