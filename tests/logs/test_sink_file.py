"""A file of log lines, each whole and there once."""

from __future__ import annotations

import fcntl
import gzip
import os
import stat
import subprocess
import sys
import textwrap
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from remote_sinks import record, sink_context

from metalscope.errors import ConfigurationError
from metalscope.logs.sinks.file import FileSink
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Batch, Shipment
from metalscope.sending.shipping.shipper import Shipper
from metalscope.shipping_options import DeliveryOptions
from small_files import files_of_at_most


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def sink(path: Path, **options: Any) -> FileSink:
    return FileSink(sink_context("file", path.as_uri(), **options))


def lines(count: int, first: int = 0, width: int = 0) -> list[bytes]:
    return [
        f"line {number}".ljust(width, ".").encode() + b"\n"
        for number in range(first, first + count)
    ]


def batch(records: list[bytes], name: str = "1") -> Batch:
    return Batch(name, tuple(records))


# -- lines ---------------------------------------------------------------------------------------


def test_records_are_lines_at_the_end_of_the_file(path: Path) -> None:
    path.write_bytes(b"before\n")
    made = sink(path, format="json")
    said = [made.encode(record(body)) for body in ("one", "two\nlines")]
    assert made.send(batch(said)) is None
    assert path.read_bytes() == b"before\n" + b"".join(said)
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize(("mode", "bits"), [(None, 0o600), ("0640", 0o640), ("666", 0o666)])
def test_a_new_file_is_for_its_owner_only_unless_it_is_said_otherwise(
    path: Path, mode: str | None, bits: int
) -> None:
    before = os.umask(0)
    try:
        sink(path, settings={} if mode is None else {"mode": mode}).send(batch(lines(1)))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == bits


@pytest.mark.parametrize(
    ("endpoint", "settings", "said"),
    [
        ("http://x", {}, "log sink file: a file needs an endpoint such as 'file:///var"),
        (None, {}, "a file needs an endpoint"),
        ("file:///not/there/a.log", {}, "the directory of endpoint, /not/there, is not there"),
        ("file:///dev/null", {}, "endpoint /dev/null is no regular file"),
        ("", {"mode": "rw"}, "settings.mode must be text such as '0640', not 'rw'"),
        ("", {"every": "week"}, "settings.every must be one of never, hour, day, not 'week'"),
        ("", {"max_bytes": 10}, "settings.max_bytes must be a whole number from 4096"),
        ("", {"max_byte": 10}, "settings.max_byte is unknown"),
    ],
)
def test_what_is_wrong_is_said(
    path: Path, endpoint: str | None, settings: dict[str, Any], said: str
) -> None:
    context = sink_context("file", path.as_uri() if endpoint == "" else endpoint, settings=settings)
    with pytest.raises(ConfigurationError) as raised:
        FileSink(context)
    assert said in str(raised.value)


# -- moved away ----------------------------------------------------------------------------------


def read(path: Path) -> list[int]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert not data or data.endswith(b"\n")
    return [int(line.split(b".")[0][5:]) for line in data.splitlines()]


def generations(path: Path) -> dict[str, list[int]]:
    return {entry.name: read(entry) for entry in path.parent.iterdir()}


@pytest.mark.parametrize("compress", [False, True])
def test_a_full_file_is_moved_away_within_a_batch_too(path: Path, compress: bool) -> None:
    made = sink(path, settings={"max_bytes": 4096, "backups": 2, "compress": compress})
    for first in range(0, 27, 9):
        assert made.send(batch(lines(9, first, width=1000))) is None
    end = ".gz" if compress else ""
    assert generations(path) == {
        "app.log": list(range(24, 27)),
        f"app.log.1{end}": list(range(20, 24)),
        f"app.log.2{end}": list(range(16, 20)),
    }


def test_a_line_that_is_longer_than_a_file_may_be_has_one_of_its_own(path: Path) -> None:
    made = sink(path, settings={"max_bytes": 4096})
    long = b"line 1".ljust(5000, b".") + b"\n"
    assert made.send(batch([*lines(1), long, *lines(1, 2)])) is None
    assert generations(path) == {"app.log": [2], "app.log.1": [1], "app.log.2": [0]}


def test_a_file_is_moved_at_the_first_line_of_a_new_day(path: Path) -> None:
    made = sink(path, settings={"every": "day"})
    made.send(batch(lines(2)))
    made.send(batch(lines(1, 2)))
    assert generations(path) == {"app.log": [0, 1, 2]}
    yesterday = time.time() - 86_400
    os.utime(path, (yesterday, yesterday))
    made.send(batch(lines(1, 3)))
    assert generations(path) == {"app.log": [3], "app.log.1": [0, 1, 2]}


def test_a_file_that_logrotate_moved_or_somebody_deleted_is_begun_again(path: Path) -> None:
    made = sink(path)
    made.send(batch(lines(1)))
    moved = path.rename(path.with_name("app.log-20260102"))
    made.send(batch(lines(1, 1)))
    assert (read(moved), read(path)) == ([0], [1])
    path.unlink()
    made.send(batch(lines(1, 2)))
    assert read(path) == [2]


# -- a disk that is full ---------------------------------------------------------------------------


def test_on_a_full_disk_lines_are_kept_and_none_is_cut(path: Path) -> None:
    made = sink(path)
    made.send(batch(lines(5)))
    size = path.stat().st_size
    with files_of_at_most(size + 20):
        result = made.send(batch(lines(100, 5)))
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.DISK)
    assert "cannot be written" in result.detail
    assert read(path) == list(range(5))
    assert made.send(batch(lines(100, 5))) is None
    assert read(path) == list(range(105))


def test_what_was_written_before_the_disk_was_full_is_not_written_again(path: Path) -> None:
    made = sink(path, settings={"max_bytes": 4096, "backups": 1})
    made.send(batch(lines(3, width=1000)))
    blocker = path.with_name("app.log.1")
    blocker.mkdir()
    (blocker / "x").touch()
    result = made.send(batch(lines(4, 3, width=1000)))
    assert isinstance(result, Shipment)
    assert list(result.again) == [1, 2, 3]
    (blocker / "x").unlink()
    blocker.rmdir()
    assert made.send(batch(lines(3, 4, width=1000))) is None
    assert generations(path) == {"app.log": [4, 5, 6], "app.log.1": [0, 1, 2, 3]}


def test_the_same_lines_said_twice_are_there_twice(path: Path) -> None:
    made = sink(path)
    for _ in range(2):
        assert made.send(batch(lines(3))) is None
    with files_of_at_most(path.stat().st_size + 5):
        made.send(batch(lines(3)))
    assert made.send(batch(lines(3))) is None
    assert read(path) == [0, 1, 2] * 3


def test_lines_wait_while_the_disk_is_full_and_arrive_when_it_is_not(path: Path) -> None:
    moment = timedelta(milliseconds=1)
    options = DeliveryOptions.model_validate(
        {
            "retry": {
                "first_delay": moment,
                "max_delay": moment,
                "circuit_breaker_timeout": moment,
            },
            "spool": {"replay_interval": 0},
        }
    )
    shipper = Shipper(
        "file", "file", "logs", sink(path), delivery=options, batch_size=10, batch_bytes=65_536,
        timeout=timedelta(seconds=5), option="x", on_error=lambda room, error: None,
    )  # fmt: skip
    with files_of_at_most(100):
        shipper.put(lines(50), urgent=True)
        until = time.monotonic() + 10
        while not shipper.status().failures and time.monotonic() < until:
            time.sleep(0.002)
        assert shipper.status().waiting > 0
    assert shipper.flush(5)
    assert (shipper.status().delivered, shipper.status().dropped) == (50, {})
    shipper.close(1)
    assert read(path) == list(range(50))


# -- after a process that was killed -------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 20, 63, 64, 65, 150, 10_000])
def test_what_a_killed_process_had_written_of_a_batch_is_not_there_twice(
    path: Path, cut: int
) -> None:
    whole = b"".join(lines(200, 10))
    path.write_bytes(b"".join(lines(10)) + whole[:cut])
    assert sink(path).send(batch(lines(200, 10))) is None
    assert read(path) == list(range(210))


def test_a_file_without_an_end_of_another_is_left_and_a_new_line_begun(path: Path) -> None:
    path.write_bytes(b"something else")
    assert sink(path).send(batch(lines(1))) is None
    assert path.read_bytes() == b"something else\nline 0\n"


# -- several processes ---------------------------------------------------------------------------


def test_lines_of_several_processes_are_whole_and_each_there_once(path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from test_sink_file import batch, sink
        made = sink(Path(sys.argv[1]), settings={"max_bytes": 20_000, "backups": 100})
        for first in range(0, 200, 5):
            said = [f"{sys.argv[2]} {number} " for number in range(first, first + 5)]
            records = [one.encode() + b"x" * 300 + b"\\n" for one in said]
            assert made.send(batch(records)) is None
        """
    )
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path), name],
            env={**os.environ, "PYTHONPATH": paths},
        )
        for name in "ab"
    ]
    assert [child.wait(30) for child in children] == [0, 0]
    found = [line for entry in path.parent.iterdir() for line in entry.read_bytes().splitlines()]
    assert all(line.endswith(b" " + b"x" * 300) for line in found)
    counts = Counter(line.rsplit(b" ", 1)[0].decode() for line in found)
    assert counts == Counter(f"{name} {number}" for name in "ab" for number in range(200))


def test_another_process_that_keeps_the_file_is_waited_for_no_longer_than_the_timeout(
    path: Path,
) -> None:
    path.touch()
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = sink(path, timeout=timedelta(milliseconds=50)).send(batch(lines(1)))
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TIMEOUT)


def test_it_may_wait_for_the_disk_itself(path: Path) -> None:
    made = sink(path, settings={"sync": True})
    assert made.send(batch(lines(1))) is None
    made.close()
    assert read(path) == [0]
