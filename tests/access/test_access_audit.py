"""The audit beside the server: never in the way, bounded, and what it lost is recorded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from access_at_hand import Errors

from metalscope.access import audit as audit_module
from metalscope.access.audit import AuditEntry, AuditLog
from metalscope.access.audit_chain import Chain
from metalscope.access.audit_verify import Verified, verify
from metalscope.access.decision import Decision
from metalscope.access.principal import Principal
from metalscope.access.roles import Role
from metalscope.access_options import AccessOptions
from metalscope.errors import ConfigurationError

ANN = Principal("key", "0123456789ab", "ann", Role.OPERATOR)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def audit_of(path: Path, errors: Errors | None = None, **more: Any) -> AuditLog:
    on_error = Errors() if errors is None else errors
    audit = AuditLog.of(AccessOptions(audit_file=path, **more), on_error=on_error)
    assert audit is not None
    return audit


def entry(number: int = 0) -> AuditEntry:
    return AuditEntry("access", "allowed", who=ANN, target=str(number), status=200)


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def whole(*paths: Path, key: bytes | None = None) -> Verified:
    return verify(paths, Chain(key))


def test_who_what_from_where_and_the_result_are_recorded(path: Path):
    audit = audit_of(path)
    let = Decision(True, ANN, route="/api/v1/silences/{id}", target="s1", changes=True)
    audit.record(let, method="DELETE", address="10.0.0.7", status=200)
    no = Decision(False, None, 401, "a key is asked for", route="/metrics")
    audit.record(no, method="GET", address="10.0.0.8", status=401)
    late = Decision(True, ANN, route="/api/v1/report")
    audit.record(late, method="GET", address="10.0.0.7", status=503)
    audit.close()
    _, change, refused, failed = records(path)
    assert change | {"time": "", "prev": "", "hash": ""} == {
        "seq": 2, "time": "", "event": "change", "result": "allowed",
        "who": {"kind": "key", "id": "0123456789ab", "name": "ann", "role": "operator"},
        "from": "10.0.0.7", "method": "DELETE", "route": "/api/v1/silences/{id}", "target": "s1",
        "status": 200, "reason": "", "prev": "", "hash": "",
    }  # fmt: skip
    assert (refused["result"], refused["who"], refused["status"]) == ("refused", None, 401)
    assert refused["reason"] == "a key is asked for"
    assert failed["result"] == "failed"
    assert whole(path).records == 4
    assert path.stat().st_mode & 0o777 == 0o600


def test_probes_and_pages_are_not_recorded_and_reads_only_where_that_is_wanted(path: Path):
    reads, changes = audit_of(path), audit_of(path, audit_reads=False)
    probe = Decision(True, route="/livez", is_open=True)
    read = Decision(True, ANN, route="/metrics")
    refused = Decision(False, status=403)
    change = Decision(True, ANN, changes=True)
    assert [reads.wants(one) for one in (probe, read, refused, change)] == [False, True, True, True]
    assert [changes.wants(one) for one in (probe, read, refused, change)] == [
        False, False, True, True,
    ]  # fmt: skip


def test_threads_at_once_make_one_whole_chain(path: Path):
    audit = audit_of(path)

    def some(begin: int) -> None:
        for number in range(begin, begin + 50):
            audit.write(entry(number))

    threads = [threading.Thread(target=some, args=(n * 50,)) for n in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert audit.flush(10)
    audit.close()
    assert {one["target"] for one in records(path)[1:]} == {str(n) for n in range(300)}
    assert whole(path).records == 301


def test_what_does_not_fit_is_counted_and_the_count_recorded(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audit_module, "MOST_WAITING", 10)
    audit = audit_of(path)
    import fcntl

    with path.open("rb") as other:  # another process holds the file
        fcntl.flock(other, fcntl.LOCK_EX)
        begin = time.monotonic()
        for number in range(100):
            audit.write(entry(number))
        assert time.monotonic() - begin < 1
        assert audit.dropped == 90
    assert audit.flush(20)
    audit.close(10)
    told = [one for one in records(path) if one["event"] == "dropped"]
    assert sum(one["count"] for one in told) == 90
    found = whole(path)
    assert found.dropped == 90
    assert found.records == 1 + 10 + len(told)


def test_strangers_cannot_make_the_files_roll_on_for_ever(path: Path):
    audit = audit_of(path)
    for _ in range(1000):
        audit.write(AuditEntry("access", "refused", address="10.0.0.9", status=401))
    audit.write(AuditEntry("access", "refused", who=ANN, status=403))
    audit.close()
    found = records(path)
    assert 100 <= sum(one["event"] == "access" for one in found) <= 105
    assert found[-1]["who"] or found[-2]["who"]
    assert (
        whole(path).dropped
        == audit.dropped
        == 1000 - (sum(one["event"] == "access" for one in found) - 1)
    )


def test_a_disk_that_fails_is_told_of_and_what_waits_is_written_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audit_module, "_PAUSE_SECONDS", 0.01)
    errors = Errors()
    audit = audit_of(path, errors)
    path.unlink()
    path.mkdir()
    audit.write(entry(1))
    deadline = time.monotonic() + 10
    while not errors and time.monotonic() < deadline:
        time.sleep(0.005)
    assert isinstance(errors[0], OSError)
    path.rmdir()
    assert audit.flush(10)
    audit.close()
    assert records(path)[1]["target"] == "1"


def test_after_the_close_nothing_is_written_and_what_could_not_be_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    errors = Errors()
    audit = audit_of(path, errors)
    path.unlink()
    path.mkdir()
    audit.write(entry(1))
    audit.close(5)
    audit.close()
    audit.write(entry(2))
    assert any("1 records of the audit" in str(error) for error in errors)


def test_a_forked_child_goes_on_with_the_same_chain(path: Path):
    audit = audit_of(path)
    audit.write(entry(1))
    assert audit.flush(10)
    pid = os.fork()
    if pid == 0:
        audit.write(entry(2))
        done = audit.flush(10)
        audit.close()
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    audit.write(entry(3))
    audit.close()
    assert [one.get("target") for one in records(path)] == [None, "1", "2", "3"]
    assert whole(path).records == 4


@pytest.mark.parametrize("sync", ["always", "second", "never"])
def test_each_way_of_syncing_writes_all(path: Path, sync: str):
    audit = audit_of(path, audit_sync=sync)
    for number in range(5):
        audit.write(entry(number))
    assert audit.flush(10)
    audit.close()
    assert whole(path).records == 6


def test_a_key_is_taken_from_where_the_options_say(path: Path, tmp_path: Path):
    secret = tmp_path / "key"
    secret.write_text("sixteen characters\n")
    audit = audit_of(path, audit_key_from=f"file:{secret}")
    audit.write(entry())
    audit.close()
    assert whole(path, key=b"sixteen characters").records == 2
    secret.write_text("short")
    with pytest.raises(ConfigurationError, match="at least 16 characters"):
        audit_of(path, audit_key_from=f"file:{secret}")
    secret.unlink()
    with pytest.raises(ConfigurationError, match="audit_key_from"):
        audit_of(path, audit_key_from=f"file:{secret}")


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path):
    for bad in (tmp_path, tmp_path / "no" / "audit.jsonl"):
        with pytest.raises(ConfigurationError, match=r"server\.access\.audit_file"):
            audit_of(bad)


WRITER = """
import sys, pathlib
from metalscope.access.audit import AuditEntry, AuditLog
from metalscope.access_options import AccessOptions
path = pathlib.Path(sys.argv[1])
options = AccessOptions(audit_file=path, audit_max_bytes=65536, audit_backups=10000)
audit = AuditLog.of(options, on_error=print)
number = 0
while True:
    audit.write(AuditEntry("access", "allowed", target=str(number), status=200))
    number += 1
    if number % 200 == 0:
        audit.flush(10)
        print(number, flush=True)
"""


def test_a_writer_that_is_killed_leaves_a_prefix_that_can_be_verified_and_gone_on_from(path: Path):
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(2):
            flushed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        process.stdout.close()
        files = list(path.parent.iterdir())
        assert whole(*files).records > flushed
    audit = audit_of(path)
    audit.write(entry())
    audit.close()
    found = whole(*path.parent.iterdir())
    assert found.first == 1
    assert found.last == found.records
