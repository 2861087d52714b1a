"""A check in a process of its own: whatever it does, something is said of it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from metalscope.doctor import Diagnosis, State
from metalscope.doctor.child import Check, run_check

Write = Callable[[str], Check]

PLENTY = 60.0


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a check, with ``Diagnosis`` and ``State`` at hand."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(body: str, **arguments: object) -> Check:
        (tmp_path / "a_check.py").write_text(
            "import os, sys, time, subprocess\n"
            "from metalscope.doctor import Diagnosis, State\n"
            f"def check({', '.join(arguments)}):\n{textwrap.indent(textwrap.dedent(body), '    ')}"
        )
        return Check("group", "thing", "a_check:check", arguments, remedy="do this")

    return write  # type: ignore[return-value]


GOOD = "yield Diagnosis('group', 'thing', State.WORKS, what='fine', facts={'n': 1})\n"


def test_what_a_check_finds_comes_back_as_it_was(check):
    expected = Diagnosis("group", "thing", State.WORKS, what="fine", facts={"n": 1})
    assert run_check(check(GOOD), PLENTY) == [expected]


def test_a_check_is_given_its_arguments(check):
    found = run_check(
        check("yield Diagnosis('g', name, State.ABSENT, why=why)", name="x", why="ünder"), PLENTY
    )
    assert found == [Diagnosis("g", "x", State.ABSENT, why="ünder")]


def test_a_check_that_hangs_is_cut_and_said(check):
    (found,) = run_check(check("time.sleep(600); yield"), 1.0)
    assert found == Diagnosis(
        "group", "thing", State.BROKEN, why="no answer within 1 s", remedy="do this"
    )


def test_a_check_that_cannot_be_interrupted_is_cut_too(check):
    code = """
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)
        yield
    """
    (found,) = run_check(check(code), 1.0)
    assert found.why == "no answer within 1 s"


def test_a_check_that_raises_is_broken_with_its_exception_and_keeps_what_it_found(check):
    found = run_check(check(GOOD + "raise RuntimeError('out of luck')"), PLENTY)
    assert [one.state for one in found] == [State.WORKS, State.BROKEN]
    assert found[1].why == "RuntimeError: out of luck"
    assert "Traceback" not in found[1].why


def test_a_check_that_exits_is_broken(check):
    (found,) = run_check(check("sys.exit(3); yield"), PLENTY)
    assert (found.state, found.why) == (State.BROKEN, "SystemExit: 3")


def test_a_check_that_ends_its_process_in_c_is_said_with_its_signal_and_last_words(check):
    code = "os.write(2, b'panicked at wgpu-core\\n\\n'); os.abort(); yield"
    (found,) = run_check(check(code), PLENTY)
    assert found.state is State.BROKEN
    assert found.why == "its process ended with SIGABRT: panicked at wgpu-core"
    assert found.remedy == "do this"


def test_a_check_that_ends_its_process_with_a_code_is_said(check):
    (found,) = run_check(check("os._exit(7); yield"), PLENTY)
    assert found.why == "its process ended with exit code 7"


def test_what_a_library_prints_does_not_spoil_the_answer(check):
    noise = "print('hello'); os.write(1, b'from C'); print('and', file=sys.stderr)\n"
    assert [one.what for one in run_check(check(noise + GOOD), PLENTY)] == ["fine"]


def test_what_a_check_leaves_running_ends_with_it(check, tmp_path):
    left = tmp_path / "left"
    code = f"""
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", {str(left)!r}])
    """
    assert [one.what for one in run_check(check(textwrap.dedent(code) + GOOD), PLENTY)] == ["fine"]

    def is_it(process: psutil.Process) -> bool:
        try:
            return str(left) in process.cmdline()
        except psutil.Error:
            return False

    # It was killed; the system may take a moment to be done with it.
    found = [one for one in psutil.process_iter() if is_it(one)]
    _, alive = psutil.wait_procs(found, timeout=60)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_a_check_whose_asker_is_killed_ends_all_the_same(check, tmp_path, monkeypatch):
    there = tmp_path / "there"
    hanging = check(f"open({str(there)!r}, 'w').write(str(os.getpid())); time.sleep(600); yield")
    asker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
            "from metalscope.doctor import child\n"
            "child.ALARM_SECONDS = 1\n"
            f"child.run_check(child.Check('g', 'n', {hanging.target!r}), 2.0)\n",
        ]
    )
    while not (there.exists() and there.read_text()):
        time.sleep(0.01)
    process = psutil.Process(int(there.read_text()))
    asker.kill()
    asker.wait()
    process.wait(60)
    assert not process.is_running()


def test_a_check_sees_the_path_of_who_asks(check):
    found = run_check(
        check("yield Diagnosis('g', 'n', State.WORKS, facts={'path': sys.path})"), PLENTY
    )
    assert found[0].facts["path"] == sys.path


def test_a_check_that_is_not_there_is_broken():
    (found,) = run_check(Check("g", "n", "no_such_module:check"), PLENTY)
    assert found.state is State.BROKEN
    assert "no_such_module" in found.why
