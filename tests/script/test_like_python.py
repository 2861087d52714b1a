"""Each program is run by Python and by run_script; nobody must be able to tell which was which."""

from __future__ import annotations

import os
import py_compile
import re
import signal
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("driver.py")
PYTHON = (sys.executable,)
OURS = (sys.executable, str(DRIVER))


@dataclass(frozen=True)
class Ended:
    status: int
    stdout: bytes
    stderr: str


def run(launcher: tuple[str, ...], *args: str, cwd: Path, timeout: float = 60) -> Ended:
    done = subprocess.run(
        [*launcher, *args], cwd=cwd, capture_output=True, timeout=timeout, check=False
    )
    return Ended(done.returncode, done.stdout, _comparable(done.stderr.decode()))


def _comparable(stderr: str) -> str:
    # Since 3.12 Python warns of a fork where there are threads, and ours are some: docs/cli.md.
    stderr = re.sub(r".*is multi-threaded, use of fork\(\).*\n.*\n", "", stderr)
    # Addresses and process ids differ from run to run.
    return re.sub(r"0x[0-9a-f]+|pid \d+", "…", stderr)


def both(cwd: Path, *args: str) -> tuple[Ended, Ended]:
    return run(PYTHON, *args, cwd=cwd), run(OURS, *args, cwd=cwd)


PROGRAMS: dict[str, tuple[str, int]] = {
    "ends": ("print('done')", 0),
    "exit 3": ("import sys; print('x'); sys.exit(3)", 3),
    "exit None": ("import sys; sys.exit(None)", 0),
    "exit True": ("import sys; sys.exit(True)", 1),
    "exit 256": ("import sys; sys.exit(256)", 0),
    "exit -2": ("import sys; sys.exit(-2)", 254),
    "exit text": ("import sys; print('out'); sys.exit('too bad')", 1),
    "exit object": ("import sys; sys.exit([1, 2])", 1),
    "raise SystemExit": ("raise SystemExit(5)", 5),
    "raise": ("def f():\n    raise ValueError('no')\nf()", 1),
    "raise from": (
        """
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise KeyError('x') from error
        """,
        1,
    ),
    "exception group": ("raise ExceptionGroup('g', [ValueError(1), TypeError(2)])", 1),
    "BaseException": ("class E(BaseException): pass\nraise E('base')", 1),
    "syntax error": ("x = = 1", 1),
    "not utf-8": ("# \\udcff", 0),
    "keyboard interrupt": ("raise KeyboardInterrupt", -signal.SIGINT),
    "interrupted": (
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)",
        -signal.SIGINT,
    ),
    "interrupt caught": (
        """
        import os, signal, time
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(20)
        except KeyboardInterrupt:
            print('caught')
        """,
        0,
    ),
    "own SIGINT handler": (
        """
        import os, signal, sys
        signal.signal(signal.SIGINT, lambda *_: sys.exit(9))
        os.kill(os.getpid(), signal.SIGINT)
        """,
        9,
    ),
    "terminated": (
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(20)",
        -signal.SIGTERM,
    ),
    "own SIGTERM handler": (
        """
        import os, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
        """,
        4,
    ),
    "SIGTERM ignored": (
        """
        import os, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(os.getpid(), signal.SIGTERM)
        print('still here')
        """,
        0,
    ),
    "asyncio SIGTERM handler": (
        """
        import asyncio, os, signal
        async def main():
            done = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(done.wait(), 20)
            print('asked to stop')
        asyncio.run(main())
        """,
        0,
    ),
    "asyncio interrupted": (
        """
        import asyncio, os, signal
        async def main():
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(20)
        asyncio.run(main())
        """,
        -signal.SIGINT,
    ),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "forked child terminated": (
        """
        import os, signal, time
        child = os.fork()
        if not child:
            time.sleep(20)
            os._exit(0)
        os.kill(child, signal.SIGTERM)
        print(os.waitpid(child, 0)[1])
        """,
        0,
    ),
    "forked child sees the default": (
        """
        import os, signal
        if not os.fork():
            os._exit(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
        print(os.wait()[1])
        """,
        0,
    ),
    "os._exit": ("import os; print('lost'); os._exit(7)", 7),
    "atexit": (
        """
        import atexit, sys
        atexit.register(print, 'first registered')
        atexit.register(print, 'last registered')
        sys.exit(2)
        """,
        2,
    ),
    "excepthook": (
        """
        import sys
        sys.excepthook = lambda kind, error, tb: print('hook', kind, error, tb.tb_lineno)
        raise ValueError('seen')
        """,
        1,
    ),
    "excepthook fails": (
        """
        import sys
        def hook(*_): raise TypeError('hook')
        sys.excepthook = hook
        raise ValueError('first')
        """,
        1,
    ),
    "excepthook exits": (
        """
        import sys
        sys.excepthook = lambda *_: sys.exit(6)
        raise ValueError('seen')
        """,
        6,
    ),
    "excepthook missing": ("import sys\ndel sys.excepthook\nraise ValueError('seen')", 1),
    "last exception": (
        """
        import atexit, sys, traceback
        atexit.register(lambda: traceback.print_last(file=sys.stdout))
        raise ValueError('last')
        """,
        1,
    ),
    "thread raises": (
        """
        import threading
        def work(): raise ValueError('in a thread')
        thread = threading.Thread(target=work, name='worker'); thread.start(); thread.join()
        """,
        0,
    ),
    "thread outlives main": (
        """
        import atexit, threading, time
        atexit.register(print, 'handlers')
        threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()
        print('main')
        """,
        0,
    ),
    "thread outlives a failure": (
        """
        import threading, time
        threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()
        raise ValueError('main')
        """,
        1,
    ),
    "executor nobody shut down": (
        """
        import atexit, concurrent.futures, time
        atexit.register(lambda: print('exit handler'))
        pool = concurrent.futures.ThreadPoolExecutor(2)
        print(pool.submit(lambda: 'done').result())
        pool.submit(lambda: (time.sleep(0.3), print('late')))
        """,
        0,
    ),
    "executor after the end": (
        """
        import concurrent.futures, threading, time
        def work():
            time.sleep(0.3)
            try: concurrent.futures.ThreadPoolExecutor(1).submit(print, 'never')
            except RuntimeError as error: print(error)
        threading.Thread(target=work).start()
        """,
        0,
    ),
    "what ends threads fails": (
        """
        import threading
        threading._register_atexit(lambda: print('first'))
        threading._register_atexit(lambda: 1 / 0)
        print('end')
        """,
        0,
    ),
    "daemon thread": (
        """
        import threading, time
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        """,
        0,
    ),
    "argv": ("import sys; print(sys.argv, sys.path[0], __file__)", 0),
    "own globals": ("print(sorted(globals())); print(__name__, __package__, __spec__, __doc__)", 0),
    "loader": ("print(type(__loader__), __loader__.name, __builtins__, __cached__)", 0),
    "annotations": ("x: int = 1\nprint(__annotations__)", 0),
    "reads itself": ("print(open(__file__).read())", 0),
    "inspects itself": (
        "import inspect, sys\ndef f(): return 1\n"
        "print(inspect.getsource(f), sys.modules['__main__'].f is f)",
        0,
    ),
    "docstring": ("'''words'''\nprint(__doc__)", 0),
    "future import": ("from __future__ import annotations\nx: nonsense = 1\nprint('ok')", 0),
    "no future import": ("x: nonsense = 1", 1),
    "imports a neighbour": ("import neighbour; print(neighbour.__file__)", 0),
    "pickles of main": (
        """
        import pickle
        class Thing:
            def __init__(self, x): self.x = x
        data = pickle.dumps(Thing(4)); print(data); print(pickle.loads(data).x)
        """,
        0,
    ),
    "warns": ("import warnings; warnings.warn('old', DeprecationWarning)", 0),
    "binary output": ("import sys; sys.stdout.buffer.write(bytes(range(256)))", 0),
    "spawn pool": (
        """
        import multiprocessing as mp
        class Double:
            def __init__(self, x): self.x = x * 2
        def work(x): return Double(x)
        if __name__ == '__main__':
            with mp.get_context('spawn').Pool(2) as pool:
                print([one.x for one in pool.map(work, range(4))])
        """,
        0,
    ),
    "fork pool": (
        """
        import multiprocessing as mp
        def work(x): return x * 3
        with mp.get_context('fork').Pool(2) as pool:
            print(pool.map(work, range(4)))
        """,
        0,
    ),
    "fork terminate": (
        """
        import multiprocessing as mp, time
        process = mp.get_context('fork').Process(target=time.sleep, args=(60,))
        process.start(); process.terminate(); process.join(); print(process.exitcode)
        """,
        0,
    ),
    "subprocess terminate": (
        """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, '-c', 'import time; print(1, flush=True); '
            'time.sleep(60)'], stdout=subprocess.PIPE)
        child.stdout.read(1); child.terminate(); print(child.wait())
        """,
        0,
    ),
    "recursion": ("def f(): f()\ntry:\n    f()\nexcept RecursionError: print('deep')", 0),
    "closes stdout": ("import sys; print('x', flush=True); sys.stdout.close()", 0),
    "closes stderr": ("import sys; sys.stderr.close(); sys.exit('text')", 1),
    "no stderr": ("import sys; sys.stderr = None; sys.exit('text')", 1),
    "object left to the end": (
        "import gc\nclass D:\n    def __del__(self): print('deleted')\nd = D()",
        0,
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("")
    return tmp_path


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_script_behaves_as_under_python(name: str, folder: Path) -> None:
    source, status = PROGRAMS[name]
    (folder / "program.py").write_text(textwrap.dedent(source))
    python, ours = both(folder, "program.py", "one", "--two=3", "-x")
    assert python.status == status, "the expectation itself"
    assert ours == python


@pytest.mark.parametrize(
    "how",
    [
        "program.py",
        "./program.py",
        "././program.py",
        "./sub/../program.py",
        "link.py",
        "sub/other.py",
    ],
)
def test_paths_are_what_python_makes_of_them(how: str, folder: Path) -> None:
    source = "import sys; print(__file__, sys.argv, sys.path[0]); 1 / 0"
    (folder / "sub").mkdir()
    (folder / "sub" / "other.py").write_text(source)
    (folder / "program.py").write_text(source)
    (folder / "link.py").symlink_to("sub/other.py")
    python, ours = both(folder, how)
    assert python.status == 1
    assert b".py" in python.stdout
    assert ours == python


def test_a_compiled_script_behaves_as_under_python(folder: Path) -> None:
    source = folder / "source.py"
    source.write_text("import sys; print(__file__, __loader__.__class__); 1 / 0")
    py_compile.compile(str(source), cfile=str(folder / "program.pyc"))
    python, ours = both(folder, "program.pyc")
    assert python.status == 1
    assert ours == python


@pytest.mark.parametrize("form", ["folder", "folder/", "archive.zip"])
def test_a_folder_or_archive_runs_its_main(form: str, folder: Path) -> None:
    source = textwrap.dedent(
        """
        import sys, helper
        print(__file__, __name__, __package__, __spec__.name, sys.argv, sys.path[0])
        helper.fail()
        """
    )
    helper = "def fail(): raise ValueError('inside')\n"
    (folder / "folder").mkdir()
    (folder / "folder" / "__main__.py").write_text(source)
    (folder / "folder" / "helper.py").write_text(helper)
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", source)
        archive.writestr("helper.py", helper)
    python, ours = both(folder, form, "a")
    assert python.status == 1
    assert "inside" in python.stderr
    assert ours == python


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("import sys; print(__file__, __name__, __spec__.name, sys.argv, sys.path[0])", 0),
        ("print(sorted(globals()), __builtins__)", 0),
        ("from . import sibling; raise sibling.Error('in a module')", 1),
        ("import sys; sys.exit('text')", 1),
        ("import sys; sys.exit(12)", 12),
        ("x = = 1", 1),
    ],
)
def test_a_module_behaves_as_under_python(source: str, status: int, folder: Path) -> None:
    package = folder / "package"
    package.mkdir()
    (package / "__init__.py").write_text("print('package')")
    (package / "__main__.py").write_text(source)
    (package / "sibling.py").write_text("class Error(Exception): pass\n")
    for module in ("package", "package.__main__"):
        python, ours = both(folder, "-m", module, "one", "-x")
        assert python.status == status
        assert ours == python


def test_a_module_ended_by_ctrl_c_ends_as_under_python(folder: Path) -> None:
    (folder / "program.py").write_text("raise KeyboardInterrupt")
    python, ours = both(folder, "-m", "program")
    assert ours == python


def test_a_broken_pipe_ends_as_under_python(folder: Path) -> None:
    (folder / "program.py").write_text("print('x' * 100)")

    def into_nothing(launcher: tuple[str, ...]) -> tuple[int, str]:
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run(
            [*launcher, "program.py"],
            cwd=folder,
            stdout=write_end,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
        os.close(write_end)
        return done.returncode, _comparable(done.stderr.decode())

    status, stderr = into_nothing(PYTHON)
    assert "BrokenPipeError" in stderr
    assert into_nothing(OURS) == (status, stderr)


def test_python_safe_path_is_respected(folder: Path) -> None:
    (folder / "program.py").write_text("import neighbour")
    python = run((sys.executable, "-P"), "program.py", cwd=folder)
    ours = run((sys.executable, "-P", str(DRIVER)), "program.py", cwd=folder)
    assert python.status == 1
    assert ours == python
