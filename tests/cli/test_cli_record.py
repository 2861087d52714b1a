"""``metalscope record``, ``run --record`` and ``replay``: a session as a file, and back."""

from __future__ import annotations

import json
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from urllib.request import urlopen

import pytest
from command import Running, metalscope

import metalscope as package
from metalscope.session import open_session
from metalscope.session.frames import NO_NAME
from metalscope.snapshot import MetalTelemetrySnapshot

Start = Callable[..., Running]

MLX_PROGRAM = """
import sys, time
from pathlib import Path
import mlx.core as mx
import metalscope
from metalscope.export.prometheus import render

def keep(snapshot):
    Path(sys.argv[1]).write_bytes(render(snapshot, None)[0])
    Path(sys.argv[2]).write_text(snapshot.to_json())

metalscope.get_telemetry().subscribe(keep)
metalscope.get_telemetry().record_custom_event("begin", {"size": 64})
end = time.monotonic() + 2.5
while time.monotonic() < end:
    a = mx.random.normal((64, 64))
    mx.eval(mx.softmax(a @ a))
metalscope.get_telemetry().record("execute", "own", duration_ns=5, error="out_of_memory")
print("done")
"""

WAITING_PROGRAM = """
import sys, time
import metalscope
number = 0
print("working", file=sys.stderr, flush=True)
while True:
    number += 1
    metalscope.get_telemetry().record("execute", f"kernel {number % 9}", duration_ns=number)
    time.sleep(0.001)
"""


def get(url: str) -> bytes:
    with urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def frames_of(path: Path) -> list[MetalTelemetrySnapshot]:
    with open_session(path) as session:
        return list(session)


@contextmanager
def served(kernels: int = 3) -> Iterator[package.MetalTelemetryManager]:
    """Telemetry that serves, of a program that works."""
    options = package.MetalTelemetryOptions(server={"enabled": True, "port": 0})
    over = threading.Event()
    with package.MetalTelemetryManager(options) as telemetry:

        def work() -> None:
            number = 0
            while not over.wait(0.01):
                for kernel in range(kernels):
                    number += 7919
                    telemetry.record(
                        "execute", f"kernel {kernel}", duration_ns=number**3 % 10**9, nbytes=number
                    )

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield telemetry
        finally:
            over.set()
            worker.join()


def url_of(telemetry: package.MetalTelemetryManager) -> str:
    assert telemetry.server
    return telemetry.server.url


def has_frames(path: Path, count: int) -> None:
    """Wait until a recording has so many frames."""
    for _ in range(600):
        if path.exists() and path.stat().st_size and len(frames_of(path)) >= count:
            return
        sleep(0.1)
    pytest.fail(f"{path} never had {count} frames")


@pytest.fixture(scope="module")
def mlx_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording of a program on MLX, and what telemetry said at its end."""
    folder = tmp_path_factory.mktemp("mlx")
    (folder / "app.py").write_text(MLX_PROGRAM)
    done = metalscope(
        "run", "--no-server", "--record", "a.mscope", "app.py", "metrics", "snapshot", cwd=folder
    )
    assert (done.returncode, done.stdout) == (0, b"done\n"), done.stderr.decode()
    return folder


def test_the_end_of_a_replay_is_that_of_the_program(mlx_recording: Path, start: Start):
    replay = start("replay", "--port", "0", "--speed", "1000", mlx_recording / "a.mscope")
    url = replay.url()
    replay.wait_for("the recording ends at ")
    assert get(f"{url}/metrics") == (mlx_recording / "metrics").read_bytes()
    original = json.loads((mlx_recording / "snapshot").read_text())
    original["system"]["host"] = NO_NAME
    del original["system"]["resource"]["host.name"]
    assert json.loads(get(f"{url}/api/v1/snapshot")) == original
    assert original["total_operations"] > 100
    assert original["total_errors"] == 1
    assert b"out_of_memory" in get(f"{url}/api/v1/report?format=markdown")
    assert b"<html" in get(f"{url}/")
    replay.process.send_signal(signal.SIGTERM)
    assert replay.end() == 0


def test_the_live_page_is_sent_the_frames_with_their_own_times(mlx_recording: Path, start: Start):
    frames = frames_of(mlx_recording / "a.mscope")
    replay = start("replay", "--serve", "--port", "0", mlx_recording / "a.mscope")
    url = replay.url()
    shown = []
    with urlopen(f"{url}/api/v1/events", timeout=60) as stream:
        for line in stream:
            if line.startswith(b'data: {"schema_version"'):
                shown.append(json.loads(line[6:])["timestamp"])
                if len(shown) == 2:
                    break
    times = [frame.to_dict()["timestamp"] for frame in frames]
    assert shown == [one for one in times if one in shown]
    assert len(set(shown)) == 2


def test_the_report_at_its_end_is_printed(mlx_recording: Path):
    done = metalscope("replay", "--report", "--format", "json", mlx_recording / "a.mscope")
    report = json.loads(done.stdout)
    original = json.loads((mlx_recording / "snapshot").read_text())
    assert done.returncode == 0
    assert report["snapshot"]["operations"] == original["operations"]


def test_what_it_holds_is_printed(mlx_recording: Path):
    done = metalscope("replay", "--info", mlx_recording / "a.mscope")
    text = done.stdout.decode()
    original = json.loads((mlx_recording / "snapshot").read_text())
    assert done.returncode == 0
    assert "source      run\n" in text
    assert "host        left out\n" in text
    assert f"operations  {original['total_operations']}, 1 failed\n" in text
    assert text.endswith("ended       closed\n")


def test_the_file_names_neither_machine_nor_folder_nor_user(mlx_recording: Path):
    names = {socket.gethostname(), str(mlx_recording), str(Path.home()), "app.py"}
    for frame in frames_of(mlx_recording / "a.mscope"):
        text = frame.to_json()
        assert not [name for name in names if name in text]


def test_a_cut_file_is_reported_and_said_to_be_cut(mlx_recording: Path, tmp_path: Path):
    data = (mlx_recording / "a.mscope").read_bytes()
    cut = tmp_path / "cut.mscope"
    cut.write_bytes(data[:-50])  # in the last frame: the closing record is shorter
    with open_session(cut) as session:
        count = len(list(session))
        damage = session.damage
    assert damage is not None
    info = metalscope("replay", "--info", cut)
    assert info.returncode == 1
    said = f"damaged at byte {damage.position}, after {count} frames"
    assert said in info.stdout.decode()
    report = metalscope("replay", "--report", cut)
    assert report.returncode == 0
    assert report.stdout.startswith(b"Metal production report")
    assert f"warning: {said}" in report.stderr.decode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "this is no recording of metalscope"),
        (b"hello, world\n", "this is no recording of metalscope"),
        (None, "No such file or directory"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes | None, words: str):
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)
    done = metalscope("replay", path)
    assert done.returncode == 2
    assert words in done.stderr.decode()


def test_a_running_program_is_followed_until_sigterm(start: Start, tmp_path: Path):
    path = tmp_path / "a.mscope"
    with served() as telemetry:
        recording = start("record", "--url", url_of(telemetry), "--interval", "0.2", path)
        has_frames(path, 5)
        recording.process.send_signal(signal.SIGTERM)
        assert recording.end() == 0
        now = telemetry.get_snapshot()
    with open_session(path) as session:
        frames = list(session)
    assert (session.ended, session.damage) == ("closed", None)
    assert f"recorded {len(frames)} frames" in recording.stderr
    counts = [frame.total_operations for frame in frames]
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[-1] <= now.total_operations
    assert frames[-1].started_at == now.started_at
    assert [one.name for one in frames[-1].operations] == ["kernel 0", "kernel 1", "kernel 2"]


def test_ctrl_c_ends_it_as_well(start: Start, tmp_path: Path):
    with served() as telemetry:
        recording = start("record", "--url", url_of(telemetry), tmp_path / "a")
        has_frames(tmp_path / "a", 1)
        recording.process.send_signal(signal.SIGINT)
        assert recording.end() == 0
    with open_session(tmp_path / "a") as session:
        assert list(session)
        assert session.ended == "closed"


def test_it_ends_when_the_program_does_and_says_so(start: Start, tmp_path: Path):
    with served() as telemetry:
        recording = start("record", "--url", url_of(telemetry), tmp_path / "a")
        has_frames(tmp_path / "a", 2)
    assert recording.end() == 0
    assert "recording ended: cannot fetch from" in recording.stderr
    with open_session(tmp_path / "a") as session:
        assert len(list(session)) >= 2
        assert session.ended == "closed"


def test_it_ends_after_its_seconds(tmp_path: Path):
    with served() as telemetry:
        done = metalscope(
            "record", "--url", url_of(telemetry), "--seconds", "0.5", "--with-hostname",
            tmp_path / "a",
        )  # fmt: skip
    assert done.returncode == 0
    with open_session(tmp_path / "a") as session:
        frames = list(session)
    assert session.header.host == socket.gethostname()
    assert frames[0].system is not None
    assert frames[0].system.host == socket.gethostname()


def test_it_ends_before_it_is_too_large_and_says_so(tmp_path: Path):
    with served(kernels=300) as telemetry:
        done = metalscope(
            "record", "--url", url_of(telemetry), "--interval", "0.1", "--max-bytes", "65536",
            tmp_path / "a",
        )  # fmt: skip
    assert done.returncode == 0
    assert "has reached 65536 bytes" in done.stderr.decode()
    assert (tmp_path / "a").stat().st_size <= 65536
    with open_session(tmp_path / "a") as session:
        assert list(session)
        assert session.ended == "max_bytes"


def test_nobody_listening_at_the_address_asked_for_is_said_and_leaves_no_file(tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    done = metalscope("record", "--url", url, tmp_path / "a")
    assert done.returncode == 4
    assert "nothing listens there" in done.stderr.decode()
    assert not (tmp_path / "a").exists()


def test_without_a_program_the_sensors_of_this_host_are_recorded(tmp_path: Path):
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 9464)) == 0:
            pytest.skip("something listens at the usual address")
    done = metalscope("record", "--seconds", "1.5", "--interval", "0.5", tmp_path / "a")
    assert done.returncode == 0
    assert "recording this host's sensors" in done.stderr.decode()
    frames = frames_of(tmp_path / "a")
    assert len(frames) >= 3
    assert {one.kind for one in frames[-1].resources} >= {"host_memory", "cpu_utilization"}
    assert frames[-1].operations == ()


@pytest.mark.parametrize("command", [["record"], ["run", "--no-server", "--record"]])
def test_a_file_that_is_there_is_not_written_over(tmp_path: Path, command: list[str]):
    (tmp_path / "a").write_text("mine")
    (tmp_path / "app.py").write_text("print('ran')")
    script = ["app.py"] if command[0] == "run" else []
    done = metalscope(*command, "a", *script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "is there already" in done.stderr.decode()
    assert (tmp_path / "a").read_text() == "mine"


def test_with_force_it_is(tmp_path: Path):
    (tmp_path / "a").write_text("x" * 100_000)
    with served() as telemetry:
        done = metalscope(
            "record", "--force", "--url", url_of(telemetry), "--seconds", "0.5", tmp_path / "a"
        )
    assert done.returncode == 0
    with open_session(tmp_path / "a") as session:
        assert list(session)
        assert session.damage is None


# Compiled code cut short, which no import could read, must not be left behind.
NO_COMPILED_CODE = {"PYTHONDONTWRITEBYTECODE": "1"}


def small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))


def test_a_disk_that_fills_up_is_said_and_the_program_goes_on(tmp_path: Path):
    (tmp_path / "app.py").write_text(
        "import metalscope, time\n"
        "for number in range(400):\n"
        "    metalscope.get_telemetry().record('execute', f'k{number}', duration_ns=number)\n"
        "    time.sleep(0.01)\n"
        "print('to the end')\n"
        "raise SystemExit(7)\n"
    )
    done = metalscope(
        *("run", "--no-server", "--record", "a", "app.py"),
        cwd=tmp_path,
        preexec_fn=small_files,
        env=NO_COMPILED_CODE,
    )
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (7, b"to the end\n")
    assert said.count("recording ended: cannot write") == 1
    assert "File too large" in said
    assert "400 operations, 0 errors" in said
    with open_session(tmp_path / "a") as session:
        assert list(session)
        assert session.damage is None


def test_a_disk_that_fills_up_ends_record_with_1(tmp_path: Path):
    with served(kernels=50) as telemetry:
        done = metalscope(
            "record", "--url", url_of(telemetry), "--interval", "0.1", tmp_path / "a",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)),
            env=NO_COMPILED_CODE,
        )  # fmt: skip
    assert done.returncode == 1
    assert "File too large" in done.stderr.decode()
    assert frames_of(tmp_path / "a")


def test_a_folder_that_is_not_there_is_said_before_the_program_starts(tmp_path: Path):
    (tmp_path / "app.py").write_text("print('ran')")
    done = metalscope("run", "--no-server", "--record", "no/a", "app.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "cannot write" in done.stderr.decode()


def test_a_program_that_is_killed_leaves_all_frames(start: Start, tmp_path: Path):
    (tmp_path / "app.py").write_text(WAITING_PROGRAM)
    run = start("run", "--no-server", "--record", "a", "app.py", cwd=tmp_path)
    run.wait_for("working")
    has_frames(tmp_path / "a", 2)
    run.process.kill()
    assert run.end() == -signal.SIGKILL
    with open_session(tmp_path / "a") as session:
        frames = list(session)
    assert len(frames) >= 2
    assert session.damage is None
    assert session.ended is None
    info = metalscope("replay", "--info", tmp_path / "a")
    assert info.returncode == 0
    assert "not closed" in info.stdout.decode()


def test_sigterm_closes_the_recording_of_a_program(start: Start, tmp_path: Path):
    (tmp_path / "app.py").write_text(WAITING_PROGRAM)
    run = start("run", "--no-server", "--record", "a", "app.py", cwd=tmp_path)
    run.wait_for("working")
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == -signal.SIGTERM
    with open_session(tmp_path / "a") as session:
        assert list(session)
        assert (session.ended, session.damage) == ("closed", None)


def test_telemetry_of_the_programs_own_ends_the_recording_and_that_is_said(tmp_path: Path):
    (tmp_path / "app.py").write_text(
        "import metalscope\nmetalscope.add_metal_telemetry(sample_rate=0.5)\nprint('ran')\n"
    )
    done = metalscope("run", "--no-server", "--record", "a", "app.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"ran\n")
    assert "the program started telemetry of its own" in done.stderr.decode()
    with open_session(tmp_path / "a") as session:
        assert list(session)
        assert session.ended == "closed"
