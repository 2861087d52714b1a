"""``metalscope top`` in a real terminal, over ``metalscope run`` of a real MLX program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from telling import START, operation, snapshot
from terminal import TOP, Terminal, terminal

from metalscope.session import SessionWriter
from metalscope.session.format import SessionHeader, SessionSource
from peers import free_port

PROGRAM = """
import mlx.core as mx

weights = mx.random.normal((64, 64))
attend = mx.compile(lambda x: mx.softmax(x @ weights, axis=-1))
x = mx.random.normal((64, 64))
while True:
    mx.eval(attend(x))
"""
ENV = {"TERM": "screen-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


@pytest.fixture
def window() -> Iterator[Terminal]:
    with terminal() as one:
        yield one


@contextmanager
def running(program: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "metalscope", "run", "--port", str(port), "--quiet", program]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def calls(window: Terminal) -> str:
    return window.wait_for(r"^exec +eval .*?(\d[\d,.]*k?) +\d")[1]


def test_it_shows_a_running_program_and_finds_it_again(window: Terminal, tmp_path: Path):
    program = tmp_path / "attention.py"
    program.write_text(PROGRAM)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    window.open(*TOP, "--url", url, env=ENV, size=(100, 30))
    window.wait_for(f"{url}: .*nothing listens there")

    with running(program, port) as first:
        window.wait_for(r"metalscope +live")
        window.wait_for(rf"pid {first.pid}\b")
        before = calls(window)
        window.wait_for(rf"^exec +eval (?!.* {before} )")  # it moves
        window.wait_for(r"Calls/s +[1-9]")

        window.keys("Space")
        window.wait_for(r"frozen, [1-9]\d* newer")
        window.keys("Space")
        window.wait_for(r"metalscope +live")  # before anything else is typed
        window.keys("/", "nothing-is-called-this")
        window.wait_for(r"Operations 0 of [1-9]")
        window.keys("Escape")
        window.wait_for(r"^exec +eval ")

    window.wait_for(r"no connection")
    window.wait_for(r"✖ lost .*trying again")
    with running(program, port) as second:
        window.wait_for(rf"pid {second.pid}\b")
        window.wait_for(r"process +started anew")
        assert "✖ lost" not in window.screen()

    window.keys("q")
    window.wait_for("^ended with 0$")


def test_it_plays_a_recorded_session(window: Terminal, tmp_path: Path):
    file = tmp_path / "session.mscope"
    writer = SessionWriter(file, SessionHeader(START, SessionSource.PROCESS, 60.0))
    for minute in range(4):
        writer.write(snapshot(60 * minute, operation("attention", 600 * minute)))
    writer.close()
    window.open(*TOP, file, env=ENV, size=(100, 30))
    window.wait_for(r"playing 1× 0:00 / 3:00")
    window.keys("Right")
    window.wait_for(r"playing 1× 1:00 / 3:00")
    window.wait_for(r"^exec +attention +600 +10\.0 ")
    window.keys(",")
    window.wait_for(r"halted 1× 0:00 / 3:00")
    window.keys("C-c")
    window.wait_for("^ended with 0$")


def test_sigterm_leaves_the_terminal_as_it_was(window: Terminal):
    window.open(*TOP, "--url", f"http://127.0.0.1:{free_port()}", env=ENV, size=(80, 24))
    window.wait_for("nothing listens there")
    (top,) = psutil.Process(window.pid()).children()
    os.kill(top.pid, signal.SIGTERM)
    window.wait_for("^ended with 143$")
    assert "metalscope" not in window.screen()
