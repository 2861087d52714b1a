"""Records made where nothing may wait: in signal handlers, finalizers, children, at the end."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import children_of_the_log
import pytest
from logger_kit import logged

HERE = Path(__file__).parent


def test_a_signal_handler_may_log_while_its_thread_logs() -> None:
    kept = logged(max_buffer_size=5)
    caught = 0

    def handle(_number: int, _frame: Any) -> None:
        nonlocal caught
        caught += 1
        kept.log.error("from the handler")

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    logged_here = 0
    try:
        while caught < 50:
            kept.log.info("said")
            kept.log.counts  # noqa: B018 - takes the lock
            logged_here += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert kept.log.flush(30)
    assert kept.log.counts == {"info": logged_here, "error": caught}
    assert len(kept.shipper.lines) + kept.log.dropped == logged_here + caught


def test_a_finalizer_may_log_wherever_it_runs() -> None:
    kept = logged(max_buffer_size=3)
    finalized = 0

    class Held:
        def __str__(self) -> str:
            return "held"

        def __del__(self) -> None:
            nonlocal finalized
            finalized += 1
            kept.log.warning("finalized")

    for _ in range(300):
        held = Held()
        held.itself = held  # type: ignore[attr-defined]
        kept.log.info("said", held=held)
    del held
    gc.collect()
    while finalized < 300:  # the last ones are held by what the flusher is at
        assert kept.log.flush(30)
        gc.collect()
    assert kept.log.flush(30)
    assert kept.log.counts == {"info": 300, "warning": 300}
    assert len(kept.shipper.lines) + kept.log.dropped == 600
    assert not kept.errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_begins_with_nothing_and_has_a_thread_of_its_own() -> None:
    kept = logged(buffer_flush_interval="1h")
    kept.log.info("the first one starts the thread")
    assert kept.log.flush(30)
    kept.log.info("of the parent")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            kept.shipper.lines.clear()
            assert kept.log.counts == {}
            kept.log.info("of the child")
            assert kept.messages() == ["of the child"]
            assert kept.log.counts == {"info": 1}
            code = 0
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert kept.messages() == ["the first one starts the thread", "of the parent"]


def test_a_child_may_be_forked_while_all_threads_log() -> None:
    kept = logged(max_buffer_size=10)
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            kept.log.info("said")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for one in threads:
        one.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                kept.log.error("of the child")
                os._exit(0 if kept.log.flush(30) else 1)
            _, status = os.waitpid(child, 0)
            assert status == 0
    finally:
        ended.set()
        for one in threads:
            one.join()


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_of_multiprocessing_flush_at_their_end(method: str) -> None:
    """They run no exit handlers of the interpreter, but for those that are spawned."""
    context = multiprocessing.get_context(method)
    reading, writing = context.Pipe(duplex=False)
    child = context.Process(target=children_of_the_log.work, args=(writing,))
    child.start()
    writing.close()
    child.join(60)
    assert child.exitcode == 0
    assert reading.poll(0), "nothing was handed over"
    assert b"of the child" in reading.recv_bytes()


PROGRAM = """
import atexit, sys, threading
sys.path.insert(0, {here!r})
from logger_kit import logged

kept = logged(buffer_flush_interval="1h", max_buffer_size=100_000)

class Tells:
    def put(self, records, *, urgent=False):
        sys.stdout.write("".join(line.decode() + "\\n" for line in records))
    def flush(self, timeout):
        sys.stdout.flush()
        return True
    def close(self, timeout):
        pass

kept.log._flusher._sinks = tuple(
    type(one)(one.options, one.sink, Tells(), one.audience, one.severity) for one in kept.log._sinks
)
kept.log._sinks = kept.log._flusher._sinks

def work():
    for number in range(500):
        kept.log.info("from a thread")
    sys.exit(3)

threading.Thread(target=work).start()
for number in range(500):
    kept.log.info("from the main thread")
{end}
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("sys.exit(7)", 7),
        ("raise ValueError", 1),
        ("atexit.register(kept.log.info, 'from another')", 0),
        ("kept.log.close()", 0),
    ],
)
def test_all_that_was_logged_goes_out_at_the_end_of_the_program(end: str, code: int) -> None:
    program = textwrap.dedent(PROGRAM).format(here=str(HERE), end=end)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    lines = done.stdout.splitlines()
    assert sum("from the main thread" in line for line in lines) == 500
    if "close" not in end:  # which may come before the thread is through
        assert sum("from a thread" in line for line in lines) == 500
    assert sum("from another" in line for line in lines) == end.count("from another")
