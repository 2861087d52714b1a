"""``metalscope top`` as it is started: what it refuses, and how it says so."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest


def top(*args: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Start it with no terminal."""
    return subprocess.run(
        [sys.executable, "-m", "metalscope", "top", *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, **(env or {})},
        check=False,
    )


def test_without_textual_it_says_what_to_install(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['textual'] = None\n")
    done = top(env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 3
    assert "metalscope top needs an extra" in done.stderr
    assert "pip install 'metalscope[top]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_terminal_it_says_what_prints_without_one():
    done = top()
    assert (done.returncode, done.stdout) == (2, "")
    assert "top needs a terminal; `metalscope report` prints without one" in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["none.mscope"], "cannot read none.mscope: No such file or directory"),
        (["http://127.0.0.1:9464"], "an address goes after --url"),
        (["--url", "ftp://x"], "--url must be like"),
        (["--url", "http://u:p@x"], "must not hold a user or password"),
        (["--interval", "0"], "--interval"),
        (["--theme", "pink"], "--theme"),
    ],
)
def test_what_cannot_be_is_bad_usage_in_one_line(args: list[str], words: str):
    done = top(*args)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert ":p@" not in done.stderr


def test_a_file_and_an_address_together_are_refused(tmp_path: Path):
    done = top(tmp_path / "a", "--url", "http://127.0.0.1:1")
    assert (done.returncode, "not both" in done.stderr) == (2, True)


def test_a_file_that_is_no_recording_is_said_to_be_none(tmp_path: Path):
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    done = top(file)
    assert (done.returncode, "this is no recording" in done.stderr) == (2, True)


def test_importing_metalscope_and_its_command_loads_no_textual():
    code = "import sys, metalscope.cli; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_ends_with_0_at_q_and_puts_the_terminal_back():
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "metalscope", "top", "--url", "http://127.0.0.1:1"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(slave)
    seen = b""
    while b"nothing listens" not in seen:
        seen += os.read(master, 65_536)
    os.write(master, b"q")
    while b"\x1b[?1049l" not in seen:  # the screen from before is back
        seen += os.read(master, 65_536)
    assert process.wait(60) == 0
    os.close(master)
