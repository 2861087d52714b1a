"""Run somebody's program inside this process as ``python`` itself would run it.

What the program sees and what is seen of it are what they would be without us: ``__main__``,
``sys.argv``, ``sys.path[0]``, output, tracebacks, exit status. It can tell by these alone: there
are frames of ours below its own, modules and daemon threads of ours beside its own;
``sys.orig_argv`` is our command line, and ``signal.getsignal(SIGTERM)`` is a handler of ours until
it sets its own.
"""

from __future__ import annotations

import contextlib
import io
import os
import pkgutil
import runpy
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, Final

from metalscope._termination import FlushOnTermination
from metalscope.default import leave_sigterm
from metalscope.errors import MetalscopeError

__all__ = ["ScriptNotFoundError", "flush_default", "run_module", "run_script"]

FLUSH_SECONDS: Final = 5.0
"""How long a process that got SIGTERM goes on for the sake of its telemetry."""


class ScriptNotFoundError(MetalscopeError, FileNotFoundError):
    """There is no such script or module, or it cannot be read. Python's exit status for it is 2."""


def flush_default() -> None:
    """Hand the last telemetry of the process's default to its consumers.

    Asynchronous work under way is given half of the time to become complete.
    """
    from metalscope.default import get_telemetry  # noqa: PLC0415 - after all that may replace it

    instruments = sys.modules.get("metalscope.instrument")
    if instruments is not None:
        instruments.settle(FLUSH_SECONDS / 2)
    telemetry = get_telemetry()
    if telemetry is not None:
        telemetry.shutdown(FLUSH_SECONDS / 2)


def run_script(
    path: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    flush: Callable[[], None] = flush_default,
) -> int:
    """Run a file as ``python path args`` does: source, ``.pyc``, or a folder or zip archive.

    Call it from the main thread, as the last thing the process does: ``__main__``, ``sys.argv``
    and ``sys.path[0]`` stay the program's, for its threads and exit handlers.

    Args:
        path: what to run.
        args: ``sys.argv[1:]`` of the program.
        flush: what to do before the process dies of SIGTERM. Called only where the program left
            SIGTERM alone; given 5 s.

    Returns:
        The status to exit with. What the program raised has been printed.

    Raises:
        ScriptNotFoundError: there is nothing to run; nothing has been changed.
        KeyboardInterrupt: the program was ended by Ctrl-C, and its traceback has been printed. Let
            it pass: the interpreter then ends the process by SIGINT, as it would have.
    """
    name = os.fspath(path)
    if not _is_archive(name):
        code = _Deferred(name)
        main = _main_of(name, compiled=code.compiled)
        folder = str(Path(os.path.realpath(name)).parent)
        return _run(code.run, main, [name, *args], folder, flush)
    _check_archive(name)
    return _run(_run_archive, _empty_main(), [name, *args], _absolute(name), flush)


def run_module(
    name: str, args: Sequence[str] = (), *, flush: Callable[[], None] = flush_default
) -> int:
    """Run a module or package as ``python -m name args`` does; for the rest see run_script.

    Raises:
        ScriptNotFoundError: there is no such module, or it cannot be run.
        KeyboardInterrupt: as in :func:`run_script`.
    """

    def execute(_main: ModuleType) -> None:
        runpy._run_module_as_main(name)  # type: ignore[attr-defined]

    # "-m" stands in argv[0] until the module is found.
    return _run(execute, _empty_main(), ["-m", *args], str(Path.cwd()), flush)


class _Deferred:
    """A script's content, read at once, compiled when it runs: a syntax error is the program's."""

    def __init__(self, name: str) -> None:
        self._file = _absolute(name)
        try:
            with io.open_code(self._file) as file:
                self._content = file.read()
        except OSError as error:
            raise ScriptNotFoundError(
                f"cannot open script {name}: {error.strerror or error}"
            ) from None
        self._code: CodeType | None = pkgutil.read_code(io.BytesIO(self._content))
        self.compiled = self._code is not None

    def run(self, main: ModuleType) -> None:
        code = self._code
        if code is None:
            code = compile(self._content, self._file, "exec", dont_inherit=True)
        exec(code, main.__dict__)  # noqa: S102 - what this module is for


def _main_of(name: str, *, compiled: bool) -> ModuleType:
    file = _absolute(name)
    loader: Any = SourcelessFileLoader if compiled else SourceFileLoader
    main = _empty_main()
    vars(main).update(__file__=file, __cached__=None, __loader__=loader("__main__", file))
    return main


def _empty_main() -> ModuleType:
    main = ModuleType("__main__")
    vars(main).update(__builtins__=sys.modules["builtins"])
    if sys.version_info < (3, 14):
        vars(main).update(__annotations__={})
    return main


def _absolute(name: str) -> str:
    # Python puts the two together as they are: not pathlib, which would tidy the path.
    return name if Path(name).is_absolute() else f"{Path.cwd()}/{name}"


def _is_archive(name: str) -> bool:
    """Whether Python would look for a ``__main__`` in it: a folder, a zip archive, the like."""
    return pkgutil.get_importer(name) is not None


def _check_archive(name: str) -> None:
    importer: Any = pkgutil.get_importer(name)
    if importer.find_spec("__main__") is None:
        raise ScriptNotFoundError(f"there is no __main__ module in {name}")


def _run_archive(_main: ModuleType) -> None:
    runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]


def _run(
    execute: Callable[[ModuleType], None],
    main: ModuleType,
    argv: list[str],
    path0: str,
    flush: Callable[[], None],
) -> int:
    before = (sys.modules["__main__"], sys.argv, list(sys.path))
    _set_aside.append(before[0])
    _set_main(main)
    sys.argv = argv
    if not sys.flags.safe_path:
        sys.path[0:1] = [path0]
    leave_sigterm()
    termination = FlushOnTermination(flush, timeout=FLUSH_SECONDS)
    termination.install()
    try:
        return _outcome(execute, main)
    except ScriptNotFoundError:
        _set_main(before[0])
        sys.argv, sys.path[:] = before[1:]
        raise
    finally:
        termination.remove()


def _set_main(main: ModuleType) -> None:
    sys.modules["__main__"] = main
    # multiprocessing, if it is loaded already, took our own for what spawned processes call so.
    if "__mp_main__" in sys.modules:
        sys.modules["__mp_main__"] = main


_set_aside: list[ModuleType] = []
"""The ``__main__`` there was before; its functions are still running."""


def _outcome(execute: Callable[[ModuleType], None], main: ModuleType) -> int:
    """Run the program and end it as the interpreter does; return its exit status."""
    status = 0
    try:
        try:
            execute(main)
        except SystemExit as request:
            not_found = _not_found(request)
            if not_found is not None:
                raise ScriptNotFoundError(not_found) from None
            status = _exit_status(request)
        except BaseException as error:
            error.__traceback__ = _without_ours(error.__traceback__)
            status = _report(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        _end_threads()
    except KeyboardInterrupt:
        # Printed already; the interpreter would print it again.
        sys.excepthook = _say_nothing
        raise
    return status


def _not_found(request: SystemExit) -> str | None:
    """Python's words, where runpy asked to exit because it found no module to run."""
    frames = request.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    main = runpy._run_module_as_main.__code__  # type: ignore[attr-defined]
    if frames is None or frames.tb_frame.f_code is not main:
        return None
    return str(request.code).removeprefix(f"{sys.executable}: ")


def _exit_status(request: SystemExit) -> int:
    """The status SystemExit asks for; text goes to standard error, and is status 1."""
    code = request.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    if sys.stderr is None:
        _to_stderr(str(code))
    else:
        with contextlib.suppress(Exception):
            sys.stderr.write(str(code))
    _to_stderr("\n")
    return 1


def _report(error: BaseException) -> int:
    """Print an uncaught exception through the program's own hook, as the interpreter does."""
    sys.last_type, sys.last_value = type(error), error
    sys.last_traceback = error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    hook: Any = getattr(sys, "excepthook", None)
    sys.audit("sys.excepthook", hook, type(error), error, error.__traceback__)
    if hook is None:
        _to_stderr("sys.excepthook is missing\n")
        hook = sys.__excepthook__
    try:
        hook(type(error), error, error.__traceback__)
    except SystemExit as request:
        return _exit_status(request)
    except BaseException as failure:  # noqa: BLE001 - the hook is the program's
        failure.__traceback__ = _without_ours(failure.__traceback__)
        failure.__context__ = None
        _to_stderr("Error in sys.excepthook:\n")
        sys.__excepthook__(type(failure), failure, failure.__traceback__)
        _to_stderr("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, error.__traceback__)
    return 1


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return traceback


def _to_stderr(text: str) -> None:
    """Write where the interpreter would: to its descriptor where the stream is gone."""
    try:
        sys.stderr.write(text)
    except Exception:  # noqa: BLE001 - the stream is whatever the program made of it
        with contextlib.suppress(OSError):
            os.write(2, text.encode(errors="backslashreplace"))


def _say_nothing(*_: object) -> None: ...


def _end_threads() -> None:
    """Wait for the program's threads, as the interpreter does before its exit handlers.

    Here, so that SIGTERM is still watched for while they work. The interpreter first calls what
    tells threads to end that wait for work, such as those of an executor nobody shut down.
    """
    python: Any = threading
    python._SHUTTING_DOWN = True
    calls = python._threading_atexits
    while calls:
        try:
            calls[-1]()
        except Exception:  # noqa: BLE001 - whatever the program's libraries registered
            # The interpreter finds it still there, calls it again, and says what it says of it.
            return
        calls.pop()
    current = threading.current_thread()
    while True:
        waiting = [one for one in threading.enumerate() if one is not current and not one.daemon]
        if not waiting:
            return
        waiting[0].join()
