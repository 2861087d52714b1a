"""``metalscope run``: the program's output, exit code and tracebacks are its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from urllib.request import urlopen

import pytest
from command import Running, environment, metalscope, python

from missing import without

START_LINE = re.compile(rb"metalscope: dashboard (http://127\.0\.0\.1:\d+)/  metrics \1/metrics\n")
END_LINE = re.compile(rb"metalscope: (\d+) operations, (\d+) errors in \d+\.\d s; health \w+\n")


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    """Writes a program."""

    def write(text: str, name: str = "app.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return write


SHOW_ARGUMENTS = """
    import sys
    print(__name__, sys.argv[1:])
"""

MATMUL = """
    import mlx.core as mx
    total = mx.zeros((4, 4))
    for _ in range(7):
        total = total @ mx.ones((4, 4)) + 1
        mx.eval(total)
    print("done")
"""


def test_standard_output_is_the_same_bytes_as_under_plain_python(script):
    path = script(
        """
        import sys, os
        sys.stdout.buffer.write(bytes(range(256)))
        sys.stdout.flush()
        os.write(1, b"raw")
        print("é", __name__, __file__, sys.argv, sys.path[0])
        """
    )
    args = [str(path), "--port", "7", "--help", "-m", "--", "x y"]
    plain = python(*args)
    ours = metalscope("run", "--port", "0", "--report", "-", *args)
    assert plain.returncode == ours.returncode == 0
    assert ours.stdout == plain.stdout
    assert len(plain.stdout) > 256


def test_the_first_and_the_last_line_are_metalscopes_and_go_to_standard_error(script):
    path = script("import sys; print('mine', file=sys.stderr)")
    done = metalscope("run", "--port", "0", path)
    first, mine, last = done.stderr.splitlines(keepends=True)
    assert START_LINE.fullmatch(first)
    assert mine == b"mine\n"
    assert END_LINE.fullmatch(last)


def test_quiet_says_nothing_at_all(script):
    done = metalscope("run", "--quiet", "--port", "0", script(SHOW_ARGUMENTS))
    assert (done.stdout, done.stderr) == (b"__main__ []\n", b"")


@pytest.mark.parametrize(
    ("before", "given"),
    [
        ([], ["--help"]),
        ([], ["-m", "nothing", "--port", "x"]),
        (["--"], ["--version"]),
        ([], ["--", "-x"]),
        ([], ["a", "", "b c", "-"]),
    ],
)
def test_all_after_the_script_is_the_scripts(script, before: list[str], given: list[str]):
    path = script(SHOW_ARGUMENTS)
    done = metalscope("run", "--no-server", *before, path, *given)
    assert done.stdout.decode() == f"__main__ {given}\n"


@pytest.mark.parametrize("given", [["--help"], ["--no-server"], ["--", "-m", "x"], []])
@pytest.mark.parametrize(
    "before", [["-m", "pack.tool"], ["-mpack.tool"], ["--", "-m", "pack.tool"]]
)
def test_a_module_runs_as_with_python_m(script, before: list[str], given: list[str]):
    folder = script("", "pack/__init__.py").parent
    script("import sys\nprint(__name__, __package__, sys.argv, sys.path[0])\n", "pack/tool.py")
    plain = python("-m", "pack.tool", *given, cwd=folder.parent)
    ours = metalscope("run", "--no-server", *before, *given, cwd=folder.parent)
    assert plain.returncode == 0
    assert ours.stdout == plain.stdout


def test_a_folder_with_a_main_runs(script):
    folder = script(SHOW_ARGUMENTS, "app/__main__.py").parent
    done = metalscope("run", "--no-server", folder, "a")
    assert done.stdout == b"__main__ ['a']\n"


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("import sys; sys.exit(7)", 7),
        ("import sys; sys.exit()", 0),
        ("import sys; sys.exit('said why')", 1),
        ("import os; os._exit(9)", 9),
        ("1 / 0", 1),
        ("def f(:", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_the_exit_code_and_the_traceback_are_the_scripts(script, ending: str, code: int):
    path = script(ending)
    plain = python(path)
    ours = metalscope("run", "--quiet", "--port", "0", path)
    assert plain.returncode == code
    assert (ours.returncode, ours.stderr) == (plain.returncode, plain.stderr)


def test_operations_of_an_unchanged_script_are_counted_and_served(script, start):
    path = script(MATMUL + "    input()\n")
    running: Running = start("run", "--port", "0", path)
    url = running.url()
    assert running.process.stdin
    reads = 0
    while True:
        with urlopen(f"{url}/metrics", timeout=10) as response:
            text = response.read().decode()
        evals = sum(
            int(float(line.rsplit(" ", 1)[1]))
            for line in text.splitlines()
            if line.startswith("metal_operations_total{") and 'kind="execute"' in line
        )
        reads += 1
        if evals >= 7 or reads > 300:
            break
    assert evals == 7
    running.process.stdin.write(b"\n")
    running.process.stdin.flush()
    assert running.end() == 0
    assert running.stdout == b"done\n"
    found = END_LINE.search(running.stderr.encode())
    assert found
    assert int(found[1]) >= 7


def test_the_summary_counts_what_threads_and_exit_handlers_still_do(script):
    path = script(
        """
        import atexit, threading, time
        import metalscope
        def work():
            with metalscope.get_telemetry().operation("execute", "late"):
                pass
        def later():
            time.sleep(0.3)
            work()
        atexit.register(work)
        threading.Thread(target=later).start()
        """
    )
    done = metalscope("run", "--port", "0", path)
    found = END_LINE.search(done.stderr)
    assert found
    assert int(found[1]) == 2


def test_a_fork_of_the_script_has_no_last_word(script):
    path = script(
        """
        import os, sys
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        """
    )
    done = metalscope("run", "--port", "0", path)
    assert done.returncode == 0
    assert len(END_LINE.findall(done.stderr)) == 1


@pytest.mark.parametrize(
    ("name", "begins"),
    [("r.md", "# Metal production report"), ("r.txt", "Metal production report"), ("r.json", "{")],
)
def test_the_report_is_written_in_the_form_of_its_suffix(script, tmp_path, name: str, begins: str):
    target = tmp_path / name
    code = "import os, sys; os.chdir('/'); sys.exit(5)"
    done = metalscope("run", "--no-server", "--report", name, script(code), cwd=tmp_path)
    assert done.returncode == 5
    assert target.read_text().startswith(begins)


def test_the_report_goes_to_standard_error_in_the_form_asked_for(script):
    done = metalscope(
        "run", "--quiet", "--no-server", "--report", "-", "--report-format", "json", script(MATMUL)
    )
    report = json.loads(done.stderr)
    assert done.stdout == b"done\n"
    assert report["snapshot"]["total_operations"] >= 7


def test_only_the_libraries_named_are_recorded(script):
    def operations(*options: str) -> int:
        done = metalscope("run", "--no-server", *options, script(MATMUL))
        found = END_LINE.search(done.stderr)
        assert found
        return int(found[1])

    assert operations("--instrument", "mlx") >= 7
    assert operations("--no-instrument") == 0


def test_a_config_file_counts_and_the_command_line_wins_over_it(script, tmp_path):
    config = tmp_path / "options.toml"
    config.write_text("[server]\nport = 1\n")
    done = metalscope("run", "--config", config, "--port", "0", script(SHOW_ARGUMENTS))
    assert done.returncode == 0
    assert START_LINE.search(done.stderr)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nothing.py"], "cannot open script nothing.py: No such file or directory"),
        (["-m", "no_such_module_here"], "no module named 'no_such_module_here'"),
        (["-m", ""], "no module named ''"),
        (["-m", ".app"], "no module named '.app'"),
        (["empty"], "folder empty has no __main__.py"),
        (["--config", "none.toml", "app.py"], "none.toml"),
        (["--config", "bad.toml", "app.py"], "repoting_interval"),
        (["--report", "r.pdf", "app.py"], ".md"),
        (["--report", "none/r.md", "app.py"], "cannot write none/r.md"),
        (["--report", "empty", "--report-format", "text", "app.py"], "cannot write empty"),
        (["--report-format", "text", "app.py"], "--report-format needs --report"),
        (["--instrument", "mxl", "app.py"], "mlx"),
        (["--instrument", "mlx", "--no-instrument", "app.py"], "--no-instrument"),
        (["--no-server", "--port", "0", "app.py"], "--no-server"),
        (["--host", "0.0.0.0", "app.py"], "0.0.0.0"),
        (["--host", "256.1.1.1", "app.py"], "256.1.1.1"),
    ],
)
def test_bad_input_is_told_before_the_script_has_run(script, args: list[str], said: str):
    path = script("open('it-ran', 'w').close()")
    (path.parent / "empty").mkdir()
    script('repoting_interval = "5m"\n', "bad.toml")
    before = sorted(path.parent.iterdir())
    done = metalscope("run", *args, cwd=path.parent)
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert text.startswith("metalscope: error: ")
    assert text.count("\n") == 1
    assert said in text
    assert sorted(path.parent.iterdir()) == before


def test_a_module_missing_from_its_package_is_one_line_at_the_end():
    done = metalscope("run", "--port", "0", "--report", "-", "-m", "json.nothing")
    first, last = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (2, b"")
    assert first.startswith("metalscope: dashboard")
    assert last == "metalscope: error: No module named json.nothing"


def test_terminated_it_says_its_last_words_and_dies_of_the_signal(script, start, tmp_path):
    path = script(MATMUL + "    import time; time.sleep(60)\n")
    report = tmp_path / "report.json"
    running: Running = start("run", "--port", "0", "--report", report, path)
    url = running.url()
    while b"eval" not in (body := urlopen(f"{url}/metrics", timeout=10).read()):
        assert body
    running.process.terminate()
    assert running.end() == -signal.SIGTERM
    assert END_LINE.search(running.stderr.encode())
    assert json.loads(report.read_text())["snapshot"]["total_operations"] >= 1


def test_a_used_port_is_named_before_anything_starts(script):
    path = script("open('it-ran', 'w').close()")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = metalscope("run", "--port", str(port), path, cwd=path.parent)
    assert done.returncode == 2
    assert str(port) in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert not (path.parent / "it-ran").exists()


def test_a_missing_server_extra_is_named_with_its_pip_line(script):
    path = script(SHOW_ARGUMENTS)
    env = without("starlette", "uvicorn")
    done = metalscope("run", "--port", "0", path, env=env)
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"pip install 'metalscope[server]'" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert metalscope("run", "--no-server", path, env=env).stdout == b"__main__ []\n"


def test_a_library_asked_for_by_name_must_be_installed(script):
    path = script("open('it-ran', 'w').close()")
    done = metalscope(
        "run", "--port", "0", "--instrument", "mlx", path, env=without("mlx"), cwd=path.parent
    )
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"pip install 'metalscope[mlx]'" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert not (path.parent / "it-ran").exists()


def test_processes_that_the_script_spawns_hand_its_own_classes_back(script):
    path = script(
        """
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        class Thing:
            def __init__(self, number):
                self.number = number

        if __name__ == "__main__":
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                print([thing.number for thing in pool.map(Thing, [1, 2])])
        """
    )
    done = metalscope("run", "--port", "0", path)
    assert (done.returncode, done.stdout) == (0, b"[1, 2]\n"), done.stderr.decode()


def test_little_is_in_the_process_that_is_not_the_scripts(script):
    path = script(
        """
        import sys
        print(*sorted({name.partition(".")[0] for name in sys.modules}))
        """
    )
    loaded = set(metalscope("run", "--no-server", path).stdout.decode().split())
    assert "metalscope" in loaded
    assert not loaded & {"rich", "numpy", "mlx", "torch", "wgpu", "starlette", "uvicorn", "ssl"}


def test_a_script_from_a_pipe_runs(script):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m metalscope run --no-server <(echo 'print(6 * 7)')"],
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert done.stdout == b"42\n"


def test_ctrl_c_reaches_the_script(script, start):
    path = script(
        """
        import sys, time
        try:
            print("ready", file=sys.stderr, flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("caught")
            sys.exit(3)
        """
    )
    running: Running = start("run", "--port", "0", path)
    running.wait_for("ready")
    os.kill(running.process.pid, signal.SIGINT)
    assert running.end() == 3
    assert running.stdout == b"caught\n"
    assert END_LINE.search(running.stderr.encode())


def test_what_is_asked_for_in_vain_is_said_on_a_line_each(script):
    path = script("print('done')")
    config = path.parent / "options.toml"
    config.write_text("[traces]\nfile = 't.json'\n")
    done = metalscope("run", "--no-server", "--config", str(config), path)
    assert (done.returncode, done.stdout) == (0, b"done\n")
    first = done.stderr.decode().splitlines()[0]
    assert first.startswith("metalscope: warning: traces.file: traces.enabled is false")
