"""The chain of the audit: any byte that differs, and any record that is not in its place."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metalscope.access.audit_chain import BEGINNING, Chain, Link
from metalscope.access.audit_entry import LONGEST_TEXT, AuditEntry
from metalscope.access.audit_file import AuditFile
from metalscope.access.audit_verify import AuditFault, Verified, verify
from metalscope.access.principal import Principal
from metalscope.access.roles import Role

ANN = Principal("key", "0123456789ab", "ann", Role.OPERATOR)
KEY = b"a key of the audit's chain"
FIXTURES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def file_of(path: Path, chain: Chain | None = None, **more: Any) -> AuditFile:
    wanted: dict[str, Any] = {"max_bytes": 2**20, "backups": 5, "sync": "never"} | more
    return AuditFile(path, chain or Chain(), **wanted)


def entries(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        AuditEntry("access", "allowed", who=ANN, target=f"a{start + n}", status=200).fields()
        for n in range(count)
    ]


def written(path: Path, count: int = 4, chain: Chain | None = None) -> bytes:
    file_of(path, chain).append(entries(count))
    return path.read_bytes()


def fault(*paths: Path, chain: Chain | None = None, expect: str | None = None) -> AuditFault:
    with pytest.raises(AuditFault) as caught:
        verify(paths, chain or Chain(), expect=expect)
    return caught.value


def whole(*paths: Path, chain: Chain | None = None, expect: str | None = None) -> Verified:
    return verify(paths, chain or Chain(), expect=expect)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_what_was_written_is_found_whole(path: Path):
    lines = written(path).splitlines(keepends=True)
    found = whole(path)
    assert (found.records, found.first, found.last, found.dropped) == (5, 1, 5, 0)
    assert found.head == json.loads(lines[-1])["hash"]


def test_the_hash_is_the_documented_one(path: Path):
    previous = BEGINNING
    for line in written(path).splitlines():
        record = json.loads(line)
        assert record["prev"] == previous
        signed = line.partition(b',"hash":')[0]
        assert hashlib.sha256(signed).hexdigest() == record["hash"]
        previous = record["hash"]


@pytest.mark.parametrize("key", [None, KEY])
def test_every_flip_of_every_bit_of_a_small_file_is_found(path: Path, key: bytes | None):
    chain = Chain(key)
    data = written(path, 1, chain)
    # In place: some file systems wait for the disk where a file is cut to nothing and written.
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(data):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), place)
                assert fault(path, chain=chain)
            os.pwrite(file.fileno(), bytes([byte]), place)
    assert whole(path, chain=chain)


@FIXTURES
@given(st.data())
def test_any_other_byte_at_any_place_is_found(path: Path, data: st.DataObject):
    path.unlink(missing_ok=True)
    content = bytearray(written(path, 12))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    path.write_bytes(content)
    assert fault(path)


@FIXTURES
@given(st.data())
def test_any_change_of_the_records_but_a_cut_at_the_end_is_found(path: Path, data: st.DataObject):
    path.unlink(missing_ok=True)
    lines = written(path, 6).splitlines(keepends=True)
    changed = data.draw(
        st.lists(st.sampled_from(lines), max_size=9).filter(lambda some: some != lines[: len(some)])
    )
    path.write_bytes(b"".join(changed))
    assert fault(path)


def test_a_removed_a_repeated_and_a_reordered_record_are_named(path: Path):
    lines = written(path).splitlines(keepends=True)
    for changed, said in (
        ([*lines[:2], *lines[3:]], "records 3 to 3 are missing"),
        (lines[1:], "records before 2 are missing"),
        ([*lines[:3], lines[2], *lines[3:]], "record 3 comes after record 3"),
        ([lines[0], lines[2], lines[1]], "records 2 to 2 are missing"),
        ([*lines, lines[0]], "another chain begins after record 5"),
    ):
        path.write_bytes(b"".join(changed))
        assert said in str(fault(path))


def test_a_file_cut_within_a_record_is_found_and_an_empty_one(path: Path):
    data = written(path)
    for cut in range(1, len(data.splitlines(keepends=True)[-1])):
        path.write_bytes(data[:-cut])
        assert fault(path).what == "the last record has no end"
    path.write_bytes(b"")
    assert fault(path).what == "holds no record"


def test_records_cut_off_at_the_end_show_against_a_head_that_was_kept(path: Path):
    file = file_of(path)
    file.append(entries(3))
    kept = whole(path).head
    file.append(entries(3))
    assert whole(path, expect=kept).records == 7
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    assert whole(path)  # nothing in the file itself says so
    assert "cut off" in fault(path, expect=kept).what


def test_a_chain_made_anew_is_found_where_there_is_a_key_or_a_kept_head(path: Path):
    written(path, 3, Chain(KEY))
    kept = whole(path, chain=Chain(KEY)).head
    path.unlink()
    written(path, 3, Chain(b"the key of somebody else"))
    assert "not as it was written" in fault(path, chain=Chain(KEY)).what
    path.unlink()
    written(path, 3)
    assert "without a key" in fault(path, chain=Chain(KEY)).what
    assert fault(path, expect=kept)


def test_a_file_with_a_key_says_that_it_needs_it(path: Path):
    written(path, 1, Chain(KEY))
    assert fault(path).what == "the file needs its key"


def test_rotation_carries_the_chain_on_and_bounds_the_files(path: Path):
    file = file_of(path, max_bytes=4000, backups=3)
    for number in range(40):
        file.append(entries(2, number))
    files = sorted(path.parent.iterdir())
    assert [one.name for one in files] == [
        "audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3",
    ]  # fmt: skip
    assert all(one.stat().st_size <= 4000 for one in files)
    found = whole(*files)
    assert whole(*reversed(files)) == found
    assert found.first > 1
    assert "missing" in fault(files[0], files[2]).what


def test_two_processes_write_one_chain(path: Path):
    one, other = file_of(path), file_of(path)
    for number in range(6):
        (one, other)[number % 2].append(entries(1, number))
    assert whole(path).records == 7
    # And a new one goes on where they ended.
    file_of(path).append(entries(1))
    assert whole(path).records == 8


def test_a_new_process_goes_on_from_the_file_that_was_moved_away(path: Path):
    written(path, 2)
    moved = path.rename(path.with_name("audit.jsonl.1"))
    file_of(path).append(entries(1))
    found = whole(moved, path)
    assert (found.first, found.last, found.records) == (1, 5, 5)


def test_half_a_record_left_by_a_killed_process_is_cut_off_and_that_is_recorded(path: Path):
    data = written(path, 2)
    path.write_bytes(data[:-30])
    file_of(path).append(entries(1))
    found = whole(path)
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [record["event"] for record in records] == ["file", "access", "unfinished", "access"]
    lost = data.splitlines(keepends=True)[-1][:-30]
    assert f"{len(lost)} bytes" in records[2]["reason"]
    assert hashlib.sha256(lost).hexdigest() in records[2]["reason"]
    assert found.records == 4


def test_a_cut_or_deleted_file_is_not_healed_by_the_process_that_goes_on(path: Path):
    file = file_of(path)
    file.append(entries(4))
    data = path.read_bytes()
    path.write_bytes(b"".join(data.splitlines(keepends=True)[:2]))
    file.append(entries(1))
    assert "records 3 to 5 are missing" in fault(path).what
    path.unlink()
    file.append(entries(1))
    found = whole(path)
    assert found.first == 7  # and not 1


def test_a_file_that_ends_in_no_record_of_ours_is_kept_and_a_new_one_begun(path: Path):
    data = written(path, 2)
    path.write_bytes(data + b"what a person wrote\n")
    file_of(path, backups=0).append(entries(1))
    assert path.with_name("audit.jsonl.1").read_bytes() == data + b"what a person wrote\n"
    assert whole(path).records == 2
    assert "cannot be gone on from" in path.read_text()


@given(
    st.text(max_size=2000), st.text(max_size=2000), st.none() | st.text(max_size=300), st.integers()
)
def test_whatever_is_recorded_is_one_bounded_line_of_ascii(
    target: str, route: str, reason: str | None, status: int
):
    who = Principal("jwt", target, route, Role.VIEWER)
    entry = AuditEntry(
        "access", "refused", who, target, route, target, route, status, reason=reason or ""
    )
    line, own = Chain().seal(1, entry.fields(), BEGINNING)
    assert line.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])
    assert len(line) < 40_000
    link = Link.parse(line)
    assert link is not None
    assert (link.seq, link.hash) == (1, own)
    said = json.loads(line)["target"]
    assert said == target or len(said) <= LONGEST_TEXT or "…" in said


@pytest.mark.parametrize(
    "attack",
    ['a"},"hash":"0"}\n{"seq":2', "a\r\nX-Injected: 1", "\x1b[2J", "\x7f\x00", "\u2028", "\ud800"],
)
def test_nothing_that_is_recorded_can_begin_a_record_of_its_own(path: Path, attack: str):
    fields = AuditEntry("access", "refused", target=attack, reason=attack).fields()
    file_of(path).append([fields])
    assert path.read_bytes().count(b"\n") == 2
    assert whole(path).records == 2
    assert json.loads(path.read_bytes().splitlines()[1])["target"] == attack


def test_secrets_in_an_address_are_not_recorded(path: Path):
    secret = "A" * 43
    entry = AuditEntry("access", "refused", target=f"msk_0123456789ab_{secret}", reason="x" * 500)
    fields = entry.fields()
    assert fields["target"] == "msk_0123456789ab_…"
    assert len(fields["reason"]) == LONGEST_TEXT
    long = AuditEntry("access", "refused", target="y" * 190 + f"msk_0123456789ab_{secret}").fields()
    assert "AAAA" not in long["target"]
