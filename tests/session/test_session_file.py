"""A recording: what is written is read again, as far as the file is whole."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import zlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from any_snapshot import BEGAN, HEADER, a_session, sessions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metalscope.session import (
    Damage,
    Session,
    SessionFormatError,
    SessionFullError,
    SessionWriter,
    open_session,
)
from metalscope.session.format import MAGIC, RecordKind, compact_json, record
from metalscope.session.frames import NO_NAME
from metalscope.session.replay import EmptySessionError, Replay
from metalscope.session.writer import FRAMES_TO_A_KEY, LEAST_MAX_BYTES
from metalscope.snapshot import MetalTelemetrySnapshot, ResourceKind, ResourceMetrics

PROGRAMS = Path(__file__).parent / "programs"

Frames = list[MetalTelemetrySnapshot]


def written(path: Path, frames: Frames, *, close: bool = True) -> bytes:
    """The bytes of a recording of these frames."""
    writer = SessionWriter(path, HEADER, overwrite=True)
    for frame in frames:
        writer.write(frame)
    if close:
        writer.close()
    data = path.read_bytes()
    writer.close()
    return data


def read(path: Path, data: bytes | None = None) -> tuple[Frames, Session]:
    """All frames that can be read, and the session at its end."""
    if data is not None:
        path.write_bytes(data)
    with open_session(path) as session:
        return list(session), session


@given(sessions())
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_session_is_read_as_it_was_written(frames: Frames):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.mscope"
        written(path, frames)
        found, session = read(path)
    assert found == frames
    assert session.header == HEADER
    assert (session.frames, session.ended, session.damage) == (len(frames), "closed", None)


def test_a_session_longer_than_a_key_frames_reach_is_too(tmp_path: Path):
    frames = [
        replace(frame, timestamp=BEGAN + timedelta(seconds=at))
        for at, frame in enumerate(a_session(20) * 40)
    ]
    assert len(frames) > 2 * FRAMES_TO_A_KEY
    written(tmp_path / "a", frames)
    assert read(tmp_path / "a")[0] == frames


def test_it_can_be_read_again_from_the_beginning(tmp_path: Path):
    frames = a_session(4)
    written(tmp_path / "a", frames)
    with open_session(tmp_path / "a") as session:
        assert next(iter(session)) == frames[0]
        assert list(session) == frames
        assert list(session) == frames


def test_it_can_be_read_while_it_is_written(tmp_path: Path):
    frames = a_session(5)
    writer = SessionWriter(tmp_path / "a", HEADER)
    for number, frame in enumerate(frames, 1):
        writer.write(frame)
        found, session = read(tmp_path / "a")
        assert found == frames[:number]
        assert (session.ended, session.damage) == (None, None)
    writer.close()


def test_cut_at_any_byte_it_is_read_up_to_there(tmp_path: Path):
    frames = a_session(6)
    data = written(tmp_path / "a", frames)
    ends = record_ends(data)
    for length in range(len(data)):
        cut = tmp_path / "cut"
        whole = [end for end in ends if end <= length]
        if not whole:
            with pytest.raises(SessionFormatError):
                read(cut, data[:length])
            continue
        found, session = read(cut, data[:length])
        assert found == frames[: len(whole) - 1]
        assert session.ended is None
        if length == whole[-1]:
            assert session.damage is None
        else:
            assert session.damage == Damage(whole[-1], len(found), "a record is cut off")


def record_ends(data: bytes) -> list[int]:
    """Where each record ends, by the description in docs/recording.md."""
    ends, at = [], len(MAGIC)
    while at < len(data):
        at += 9 + int.from_bytes(data[at + 1 : at + 5], "little")
        ends.append(at)
    return ends


def test_a_changed_byte_anywhere_ends_reading_at_its_record(tmp_path: Path):
    frames = a_session(4)
    data = written(tmp_path / "a", frames)
    ends = record_ends(data)
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x41
        before = [end for end in ends if end <= at]
        if not before:
            with pytest.raises(SessionFormatError):
                read(tmp_path / "b", bytes(changed))
            continue
        found, session = read(tmp_path / "b", bytes(changed))
        assert found == frames[: len(before) - 1]
        assert session.damage is not None
        assert session.damage.position == before[-1]
        assert str(session.damage.position) in str(session.damage)


@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes):
    with TemporaryDirectory() as folder, pytest.raises(SessionFormatError):
        read(Path(folder) / "a", garbage)


@given(st.binary(max_size=200))
def test_garbage_after_the_header_is_damage_and_no_frame(garbage: bytes):
    head = MAGIC + record(RecordKind.HEADER, compact_json(HEADER.to_dict()))
    with TemporaryDirectory() as folder:
        found, session = read(Path(folder) / "a", head + garbage)
    assert found == []
    assert (session.damage is not None) == bool(garbage)


@given(st.sampled_from([RecordKind.KEY, RecordKind.CHANGES, RecordKind.END]), st.binary())
def test_a_record_that_is_whole_and_holds_garbage_is_damage(kind: bytes, garbage: bytes):
    head = MAGIC + record(RecordKind.HEADER, compact_json(HEADER.to_dict()))
    with TemporaryDirectory() as folder:
        found, session = read(Path(folder) / "a", head + record(kind, garbage))
    assert found == []
    assert session.damage == Damage(len(head), 0, session.damage.why if session.damage else "")


def test_what_follows_the_end_is_damage(tmp_path: Path):
    frames = a_session(2)
    data = written(tmp_path / "a", frames)
    found, session = read(tmp_path / "b", data + data[len(MAGIC) :])
    assert found == frames
    assert session.damage == Damage(len(data), 2, "something follows the end")


def test_a_record_of_a_kind_of_a_later_version_is_passed_over(tmp_path: Path):
    frames = a_session(2)
    data = written(tmp_path / "a", frames, close=False)
    found, session = read(tmp_path / "b", data + record(b"Z", b"later"))
    assert (found, session.damage) == (frames, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "format 2; this metalscope .* reads format 1"),
        ({"format": None}, "format None"),
        ({"duration_edges": "base10-7"}, "durations in cells 'base10-7', by metalscope"),
        ({"started_at": "noon"}, "header is not whole"),
        ({"source": "elsewhere"}, "header is not whole"),
    ],
)
def test_another_version_or_other_cells_are_refused_in_words(
    tmp_path: Path, changes: dict[str, object], words: str
):
    header = compact_json({**HEADER.to_dict(), **changes})
    with pytest.raises(SessionFormatError, match=words):
        read(tmp_path / "a", MAGIC + record(RecordKind.HEADER, header))


def test_a_frame_in_other_cells_is_damage_and_not_misread(tmp_path: Path):
    (frame,) = a_session(1)
    data = frame.to_dict()
    data["duration_edges"] = "base10-7"
    deflate = zlib.compressobj(wbits=-15)
    content = deflate.compress(json.dumps(data).encode()) + deflate.flush(zlib.Z_SYNC_FLUSH)
    head = MAGIC + record(RecordKind.HEADER, compact_json(HEADER.to_dict()))
    found, session = read(tmp_path / "a", head + record(RecordKind.KEY, content[:-4]))
    assert found == []
    assert session.damage is not None
    assert "'base10-7'" in session.damage.why


def test_readings_that_are_not_finite_are_kept(tmp_path: Path):
    (frame,) = a_session(1)
    readings = tuple(
        ResourceMetrics(ResourceKind.POWER, name, "", value)
        for name, value in (("a", math.nan), ("b", math.inf), ("c", -math.inf))
    )
    written(tmp_path / "a", [replace(frame, resources=readings)])
    ((again,), _) = read(tmp_path / "a")
    assert [str(one.current) for one in again.resources] == ["nan", "inf", "-inf"]


def test_the_name_of_the_machine_is_left_out_by_default(tmp_path: Path):
    writer = SessionWriter(tmp_path / "a", replace(HEADER, host=None))
    (frame,) = a_session(1)
    assert frame.system is not None
    named = replace(frame, system=replace(frame.system, host="secret-box"))
    writer.write(named)
    writer.close()
    ((again,), session) = read(tmp_path / "a")
    assert again == replace(frame, system=replace(frame.system, host=NO_NAME))
    assert session.header.host is None


def test_a_frame_that_is_no_newer_is_let_go(tmp_path: Path):
    first, second = a_session(2)
    written(tmp_path / "a", [first, second, first, second])
    assert read(tmp_path / "a")[0] == [first, second]


def test_a_file_that_is_there_stays(tmp_path: Path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(FileExistsError):
        SessionWriter(tmp_path / "a", HEADER)
    assert (tmp_path / "a").read_text() == "mine"


def test_it_ends_before_it_is_too_large_and_says_so(tmp_path: Path):
    writer = SessionWriter(tmp_path / "a", HEADER, max_bytes=LEAST_MAX_BYTES)
    frames: Frames = []

    def write_all() -> None:
        for frame in a_session(2000):
            writer.write(frame)
            frames.append(frame)

    with pytest.raises(SessionFullError, match="has reached 65536 bytes"):
        write_all()
    writer.write(replace(frames[-1], timestamp=BEGAN + timedelta(days=1)))  # is let go
    found, session = read(tmp_path / "a")
    assert LEAST_MAX_BYTES / 2 < (tmp_path / "a").stat().st_size <= LEAST_MAX_BYTES
    assert found == frames
    assert (session.ended, session.damage) == ("max_bytes", None)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_raised():
    with pytest.raises(OSError, match="No space left"):
        SessionWriter(Path("/dev/full"), HEADER, overwrite=True)
    assert Path("/dev/full").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_a_disk_that_fills_up_leaves_whole_frames(tmp_path: Path):
    program = PROGRAMS / "fill_up.py"
    done = subprocess.run(
        [sys.executable, program, tmp_path / "a"], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("File too large after "), done.stderr
    frames = int(done.stdout.rpartition(" ")[2])
    found, session = read(tmp_path / "a")
    assert len(found) == frames > 3
    assert (session.ended, session.damage) == (None, None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_leaves_the_file_to_its_parent(tmp_path: Path):
    program = PROGRAMS / "fork_while_writing.py"
    subprocess.run([sys.executable, program, tmp_path / "a"], check=True)
    found, session = read(tmp_path / "a")
    assert found == a_session(4)
    assert (session.ended, session.damage) == ("closed", None)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("after", range(10))
def test_killed_in_the_middle_it_has_every_frame_that_was_written(tmp_path: Path, after: int):
    program = PROGRAMS / "write_for_ever.py"
    with subprocess.Popen(
        [sys.executable, program, tmp_path / "a"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for _ in range(40 + 13 * after):
            process.stdout.readline()
        process.kill()
        said = [line for line in process.stdout.read().splitlines() if line.isdecimal()]
    found, session = read(tmp_path / "a")
    # It says a frame when it is written; the kill may come between the two, or within a write.
    assert len(found) >= 40 + 13 * after + len(said)
    assert [frame.total_operations for frame in found] == list(range(1, len(found) + 1))
    assert session.ended is None
    if session.damage is not None:
        assert session.damage.frames == len(found)
        assert session.damage.position < (tmp_path / "a").stat().st_size


def test_a_replay_shows_each_frame_and_stays_at_the_last(tmp_path: Path):
    frames = a_session(5)
    written(tmp_path / "a", frames)
    seen: Frames = []
    ended: Frames = []
    with open_session(tmp_path / "a") as session:
        replay = Replay(session, speed=1e6, on_end=ended.append)
        assert replay.get_snapshot() == frames[0]
        replay.subscribe(seen.append)
        replay.start()
        replay._thread.join(60)
        assert seen == frames[1:]
        assert ended == [frames[-1]]
        assert replay.get_snapshot() == frames[-1]
        assert replay.generate_report().snapshot == frames[-1]
        replay.stop()


def test_a_replay_is_stopped_while_it_waits_for_the_next_frame(tmp_path: Path):
    first, second = a_session(2)
    frames = [first, replace(second, timestamp=BEGAN + timedelta(days=1))]
    written(tmp_path / "a", frames)
    with open_session(tmp_path / "a") as session:
        replay = Replay(session)
        replay.start()
        replay.stop()
        assert replay.get_snapshot() == first


def test_a_recording_without_frames_cannot_be_replayed(tmp_path: Path):
    written(tmp_path / "a", [])
    with (
        open_session(tmp_path / "a") as session,
        pytest.raises(EmptySessionError, match="no frame"),
    ):
        Replay(session)
