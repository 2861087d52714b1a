"""Help, bad options, colours, completion, version."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from re import match

import pytest
from command import environment, metalscope, python

from metalscope import __version__

COMMANDS = [
    "run", "demo", "report", "health", "alerts", "rules", "dashboards", "keys", "audit", "record",
    "replay", "export", "serve", "doctor", "top", "version",
]  # fmt: skip
ESCAPE = b"\x1b"
ROOT = Path(__file__).parents[2]


def in_a_terminal(*args: str, env: dict[str, str] | None = None) -> bytes:
    """What a command writes when a terminal shows both of its streams."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "metalscope", *args],
        stdout=theirs,
        stderr=theirs,
        env=environment(env),
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    process.wait(60)
    return shown


def test_help_names_the_commands_examples_and_exit_codes():
    done = metalscope("--help")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    for command in COMMANDS:
        assert f"\n  {command} " in text
    for word in ("Usage", "Examples", "metalscope run train.py", "Exit codes", "130"):
        assert word in text


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_that_fits_an_eighty_column_terminal(command: str):
    done = metalscope(command, "--help")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0
    assert any(line.startswith(f"  metalscope {command} [OPTIONS]") for line in lines)
    assert max(len(line) for line in lines) <= 80
    assert len(lines) <= 45


def test_run_groups_its_options():
    text = metalscope("run", "--help").stdout.decode()
    assert text.index("Recording\n") < text.index("  --config FILE")
    assert text.index("Server\n") < text.index("  --port PORT") < text.index("Report\n")
    assert "metalscope run [OPTIONS] -m MODULE [ARGS]..." in text


def test_without_a_command_the_help_is_shown_and_the_exit_code_says_that_nothing_was_done():
    done = metalscope()
    assert done.returncode == 2
    assert b"Usage" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run", "--prot", "1", "x.py"], "no such option: --prot; did you mean --port?"),
        (["run", "--no-sever", "x.py"], "no such option: --no-sever; did you mean --no-server?"),
        (["demo", "--headles"], "no such option: --headles; did you mean --headless?"),
        (["report", "--qqq"], "no such option: --qqq (see metalscope report --help)"),
        (["rport"], "Did you mean 'report'"),
        (["demo", "--seconds", "soon"], "'--seconds'"),
        (["demo", "--seconds", "-1"], "'--seconds'"),
        (["demo", "--port", "70000"], "'--port'"),
        (["demo", "--keep", "--headless"], "no --keep"),
        (["run"], "name a script, or a module after -m"),
        (["run", "-m"], "-m"),
        (["run", "--report-format", "json", "x.py"], "x.py"),
        (["report", "--format", "yaml"], "'--format'"),
    ],
)
def test_bad_usage_is_one_clear_line_and_exit_code_2(args: list[str], said: str):
    done = metalscope(*args)
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert text.startswith("metalscope: error: ")
    assert text.count("\n") == 1
    assert said in text


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["version"], ["demo", "--bad"]])
def test_what_goes_to_no_terminal_has_no_escape_sequences(args: list[str]):
    done = metalscope(*args)
    assert done.stdout + done.stderr
    assert ESCAPE not in done.stdout + done.stderr


@pytest.mark.parametrize("args", [["--help"], ["demo", "--bad"]])
def test_a_terminal_shows_colours(args: list[str]):
    assert ESCAPE in in_a_terminal(*args)


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["demo", "--bad"]])
@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_shows_none_where_they_are_not_wanted(args: list[str], env: dict[str, str]):
    shown = in_a_terminal(*args, env=env)
    assert b"metalscope" in shown
    assert ESCAPE not in shown


@pytest.mark.parametrize("args", [["--help"], ["demo", "--bad"]])
def test_colours_can_be_forced_and_no_color_is_stronger(args: list[str]):
    forced = metalscope(*args, env={"FORCE_COLOR": "1"})
    assert ESCAPE in forced.stdout + forced.stderr
    both = metalscope(*args, env={"FORCE_COLOR": "1", "NO_COLOR": "1"})
    assert both.stdout + both.stderr
    assert ESCAPE not in both.stdout + both.stderr


@pytest.mark.parametrize(
    ("shell", "words"),
    [("bash", b"complete -o default"), ("zsh", b"#compdef metalscope"), ("fish", b"complete --")],
)
def test_a_completion_script_is_printed_for_a_shell(shell: str, words: bytes):
    done = metalscope(env={"_METALSCOPE_COMPLETE": f"source_{shell}"})
    assert done.returncode == 0
    assert words in done.stdout


def test_completion_knows_the_commands_and_their_options():
    def complete(line: str) -> list[str]:
        words = line.split(" ")
        done = metalscope(
            env={
                "_METALSCOPE_COMPLETE": "complete_bash",
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(words) - 1),
            }
        )
        return done.stdout.decode().split()

    assert sorted(complete("metalscope ")) == sorted(COMMANDS)
    assert complete("metalscope run --no-s") == ["--no-server"]
    assert complete("metalscope report --format m") == ["markdown"]


def test_version_is_said_in_each_way():
    assert metalscope("--version").stdout.decode() == f"metalscope {__version__}\n"
    text = metalscope("version").stdout.decode()
    assert text.startswith(f"metalscope {__version__}\n")
    assert f"starlette {version('starlette')}" in text


def test_version_as_json_names_each_extra_with_its_libraries():
    facts = json.loads(metalscope("version", "--json").stdout)
    assert facts["metalscope"] == __version__
    assert facts["python"].endswith(".".join(map(str, sys.version_info[:3])))
    assert facts["extras"]["mlx"] == {"installed": True, "libraries": {"mlx": version("mlx")}}
    absent = facts["extras"]["metal"]
    assert absent["installed"] is (absent["libraries"]["pyobjc-framework-Metal"] is not None)


def test_version_knows_the_extras_of_the_package():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    libraries = {
        extra: {match(r"[\w-]+", requirement)[0] for requirement in requirements}
        for extra, requirements in declared["optional-dependencies"].items()
    }
    said = json.loads(metalscope("version", "--json").stdout)["extras"]
    assert {extra: set(one["libraries"]) for extra, one in said.items()} == {
        extra: names for extra, names in libraries.items() if names != {"metalscope"}
    }


def test_help_and_version_load_nothing_heavy():
    # Typer reads options with pydantic, so that one is there.
    heavy = "{'rich', 'numpy', 'starlette', 'uvicorn', 'mlx', 'wgpu', 'ssl'}"
    for args in (["--help"], ["run", "--help"], ["version"], ["--version"]):
        code = (
            "import sys, atexit, metalscope.cli\n"
            f"sys.argv = ['metalscope', *{args!r}]\n"
            f"atexit.register(lambda: print('loaded:', {heavy} & set(sys.modules)))\n"
            "metalscope.cli.main()\n"
        )
        assert python("-c", code).stdout.decode().splitlines()[-1] == "loaded: set()"


def test_a_reader_that_goes_away_is_no_error_to_show():
    script = "{ sleep 1; exec %s -m metalscope version; } | true; exit ${PIPESTATUS[0]}"
    done = subprocess.run(
        ["bash", "-c", script % sys.executable],
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_locale_that_knows_no_dashes_still_gets_its_help():
    done = metalscope("run", "--help", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.returncode == 0
    assert b"Usage" in done.stdout
