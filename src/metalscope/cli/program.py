"""The program of ``metalscope run``: where its arguments begin, and whether it is there."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from metalscope.cli.exit_codes import CommandFailed, ExitCode

__all__ = ["Program", "closed", "find_program"]

Program = Callable[[Callable[[], None]], int]
"""Runs the program and returns its exit status. Takes what to do before SIGTERM ends it."""


def closed(args: list[str], takes_value: set[str]) -> list[str]:
    """The arguments with a ``--`` where metalscope's end: before a script, after ``-m MODULE``.

    ``run -- -m MODULE`` means the same as ``run -m MODULE``.
    """
    at = 0
    while at < len(args):
        arg = args[at]
        if arg == "--":
            if args[at + 1 : at + 2] != ["-m"]:
                return args
            args = [*args[:at], *args[at + 1 :]]
        elif arg.startswith("-m"):
            end = at + 2 if arg == "-m" else at + 1
            return [*args[:end], "--", *args[end:]] if end <= len(args) else args
        elif not arg.startswith("-") or arg == "-":
            return [*args[:at], "--", *args[at:]]
        else:
            at += 2 if arg in takes_value else 1
    return args


def find_program(module: str | None, program: list[str]) -> Program:
    """What runs the user's program, once it is known to be there.

    Raises:
        CommandFailed: there is no such script or module, or none was named.
    """
    if module is not None:
        _check_module(module)
        return lambda flush: _run_module(module, program, flush)
    if not program:
        raise CommandFailed(
            "name a script, or a module after -m (see metalscope run --help)", ExitCode.USAGE
        )
    path, *arguments = program
    _check_script(Path(path))
    return lambda flush: _run_script(path, arguments, flush)


def _run_module(name: str, arguments: list[str], flush: Callable[[], None]) -> int:
    from metalscope.script import run_module  # noqa: PLC0415 - not needed for the help

    return run_module(name, arguments, flush=flush)


def _run_script(path: str, arguments: list[str], flush: Callable[[], None]) -> int:
    from metalscope.script import run_script  # noqa: PLC0415 - not needed for the help

    return run_script(path, arguments, flush=flush)


def _check_script(path: Path) -> None:
    # What Python runs: a file, or a folder or zip archive with a __main__ in it.
    if path.is_dir() and not (path / "__main__.py").is_file():
        raise CommandFailed(f"folder {path} has no __main__.py", ExitCode.USAGE)
    try:
        # A pipe, as `<(...)` gives one, can be opened only once.
        if path.is_file() or not path.exists():
            path.open("rb").close()
    except OSError as error:
        raise CommandFailed(
            f"cannot open script {path}: {error.strerror or error}", ExitCode.USAGE
        ) from error


def _check_module(name: str) -> None:
    """Look for the outermost package alone: to look further would import what has to be watched."""
    package = name.partition(".")[0]
    path = sys.path.copy()
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.util.find_spec(package) if package else None
    except ValueError:  # a module without a spec, such as __main__
        found = None
    finally:
        sys.path[:] = path
    if found is None:
        raise CommandFailed(f"no module named {name!r}", ExitCode.USAGE)
