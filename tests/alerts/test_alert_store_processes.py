"""One process writes a file, killed or not; a child of it does not; another may read."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from alert_stores import alert, aside, asked, directory, message, opened

from alert_samples import FIRING, PENDING
from metalscope.alerts.sqlite_store import SqliteStore
from metalscope.alerts.storing import Change
from metalscope.errors import ConfigurationError

HERE = Path(__file__).parent
WRITER = HERE / "programs" / "alert_store_writer.py"


def test_killed_at_any_moment_it_has_what_was_said_to_be_written_and_each_change_whole():
    rng = random.Random(7)
    with directory() as folder:
        path = folder / "alerts.db"
        number = 0
        for _ in range(5):
            command = [sys.executable, str(WRITER), str(path), str(number)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                pid = int(process.stdout.readline())
                said = [int(process.stdout.readline()) for _ in range(rng.randrange(1, 6))]
                time.sleep(rng.random() * 0.02)
                os.kill(pid, signal.SIGKILL)
                said += map(int, process.stdout.read().split())
            kept = SqliteStore.open_readonly(path).load()
            number = kept.documents["n"]
            assert said[-1] <= number
            assert [one.id for one in kept.alerts] == [alert(n + 1).id for n in range(number)]
            assert len(kept.silences) == len(kept.samples) == number
            assert kept.messages == (message(number),)
        with opened(path) as store:
            assert len(store.load().alerts) == number
        assert asked(path, "PRAGMA integrity_check") == [("ok",)]
        assert aside(path) == []


def test_a_second_writer_is_told_which_process_writes(tmp_path: Path):
    path = tmp_path / "alerts.db"
    with opened(path) as store:
        with pytest.raises(ConfigurationError, match=rf"alerts\.path = .*process {os.getpid()} "):
            opened(path)
        store.keep(Change(alerts=[FIRING]))
        assert store.flush(30)
        again = (
            "import sys; from alert_stores import *; from pathlib import Path\n"
            "path = Path(sys.argv[1])\n"
            "print(SqliteStore.open_readonly(path).history()[0].id)\n"
            "try: opened(path)\n"
            "except Exception as error: print(error)"
        )
        other = subprocess.run(
            [sys.executable, "-c", again, path],
            cwd=HERE,
            capture_output=True,
            text=True,
            check=True,
        )
        assert other.stdout.startswith(f"{FIRING.id}\nalerts.path = {path}: must be a file ")
        assert f"(process {os.getpid()} writes to it)" in other.stdout
    opened(path).close()


FORK = """
import os, sys
from pathlib import Path
from alert_stores import *
from alert_samples import PENDING
from metalscope.alerts.storing import Change, Kept
path = Path(sys.argv[1])
store = opened(path)
store.keep(Change(alerts=[FIRING]))
assert store.flush(30)
with closing(sqlite3.connect(path, isolation_level=None)) as other:
    # Forked while the thread writes, and something waits.
    other.execute("BEGIN IMMEDIATE")
    store.keep(Change(alerts=[PENDING]))
    child = os.fork()
    if not child:
        for _ in range(20):
            store.keep(Change(alerts=[alert(1)]))
        store.forget(NOW)
        assert store.flush(1)
        assert (store.load(), store.history(), store.find(FIRING.id)) == (Kept(), (), None)
        assert store.waiting == store.dropped == 0
        store.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
try:
    opened(path)
except ValueError:
    pass
else:
    raise AssertionError("the child let go of the lock")
assert store.flush(30)
store.close()
"""


def test_a_forked_child_neither_writes_nor_reads_nor_lets_go_of_the_lock(tmp_path: Path):
    path = tmp_path / "alerts.db"
    subprocess.run([sys.executable, "-c", FORK, path], cwd=HERE, check=True, timeout=60)
    assert SqliteStore.open_readonly(path).load().alerts == (FIRING, PENDING)
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_program_that_ends_without_closing_it_ends(tmp_path: Path):
    path = tmp_path / "alerts.db"
    forget = (
        "import sys; from alert_stores import *; from pathlib import Path\n"
        "from metalscope.alerts.storing import Change\n"
        "store = opened(Path(sys.argv[1])); store.keep(Change(alerts=[FIRING]))\n"
        "assert store.flush(30)"
    )
    subprocess.run([sys.executable, "-c", forget, path], cwd=HERE, check=True, timeout=30)
    assert SqliteStore.open_readonly(path).load().alerts == (FIRING,)
    opened(path).close()
