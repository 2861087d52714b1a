"""One process writes a file; a child of it does not, and another is told who does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pasts import HOUR, SECOND, START, Program, asked, opened

from metalscope.errors import ConfigurationError

HERE = Path(__file__).parent


def test_a_second_writer_is_told_which_process_writes(tmp_path: Path):
    path = tmp_path / "past.db"
    with opened(path):
        with pytest.raises(ConfigurationError, match=rf"history\.path = .*process {os.getpid()} "):
            opened(path)
        again = (
            "import sys; from pasts import opened; from pathlib import Path\n"
            "try: opened(Path(sys.argv[1]))\n"
            "except Exception as error: print(error)"
        )
        other = subprocess.run(
            [sys.executable, "-c", again, path],
            cwd=HERE,
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"(process {os.getpid()} writes to it)" in other.stdout
    opened(path).close()


def test_a_writer_that_was_killed_leaves_no_lock(tmp_path: Path):
    path = tmp_path / "past.db"
    die = (
        "import sys, os, signal; from pasts import opened; from pathlib import Path\n"
        "history = opened(Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", die, path], cwd=HERE, check=False)
    assert path.with_name("past.db.lock").exists()
    opened(path).close()


FORK = """
import os, sys
from pathlib import Path
from pasts import *
path = Path(sys.argv[1])
program = Program()
history = opened(path, program)
program.ran("matmul", [1.0])
program.passes(SECOND)
keep(history, program.snapshot())
child = os.fork()
if not child:
    for _ in range(20):
        program.ran("of the child", [1.0])
        program.passes(SECOND)
        history.append(program.snapshot())
    assert history.flush(1)
    try:
        history.keys()
    except HistoryError as error:
        assert "forked from" in str(error)
    else:
        raise AssertionError("it read")
    history.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
try:
    opened(path)
except ValueError:
    pass
else:
    raise AssertionError("the child let go of the lock")
program.ran("matmul", [1.0])
program.passes(SECOND)
keep(history, program.snapshot())
history.close()
"""


def test_a_forked_child_neither_writes_nor_reads_nor_lets_go_of_the_lock(tmp_path: Path):
    path = tmp_path / "past.db"
    subprocess.run(
        [sys.executable, "-c", "from metalscope.history import HistoryError\n" + FORK, path],
        cwd=HERE,
        check=True,
        timeout=60,
    )
    names = asked(path, "SELECT name FROM series WHERE what = 'operation'")
    assert names == [("matmul",)]
    assert asked(path, "SELECT SUM(operations) FROM operation_ticks") == [(4,)]
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(tmp_path: Path):
    path = tmp_path / "past.db"
    leave = (
        "import os, sys, time; from pasts import opened; from pathlib import Path\n"
        "history = opened(Path(sys.argv[1]))\n"
        "if not os.fork(): os.write(1, b'up'); sys.stdin.read(); sys.exit(0)\n"
        "os._exit(0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", leave, path],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.wait(60) == 0
        assert process.stdout.read(2) == b"up"  # the child has let go of what it got by the fork
        opened(path).close()
    finally:
        process.stdin.close()
        process.stdout.close()


def test_nothing_of_sqlite_is_loaded_before_a_history_is_kept():
    ask = (
        "import sys, metalscope, metalscope.history\n"
        "assert not {'sqlite3', 'pydantic', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", ask], check=True)


def test_what_waits_is_written_when_it_is_closed(tmp_path: Path):
    path = tmp_path / "past.db"
    program = Program()
    history = opened(path, program)
    for _ in range(5):
        program.ran("matmul", [1.0])
        program.passes(SECOND)
        history.append(program.snapshot())
    history.close()
    with opened(path) as again:
        assert again.operations(START, START + HOUR)[0].operations == 5
    assert sorted(one.name for one in tmp_path.iterdir()) == ["past.db", "past.db.lock"]


def test_a_file_of_a_writer_that_was_killed_is_read_with_what_is_in_its_log(tmp_path: Path):
    path = tmp_path / "past.db"
    die = (
        "import sys, os, signal; from pasts import *; from pathlib import Path\n"
        "program = Program(); history = opened(Path(sys.argv[1]), program)\n"
        "program.ran('matmul', [1.0]); program.passes(SECOND)\n"
        "keep(history, program.snapshot()); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", die, path], cwd=HERE, check=False)
    from metalscope.history import History

    reader = History.open_readonly(path)
    assert reader.operations(START, START + HOUR)[0].operations == 1
    path.with_name("past.db-shm").unlink()
    assert reader.operations(START, START + HOUR)[0].operations == 1
