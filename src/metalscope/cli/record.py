"""``metalscope record``: a telemetry session as a file."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import say
from metalscope.cli.recording import Recording, open_recording
from metalscope.cli.report import DEFAULT_URL

if TYPE_CHECKING:
    from metalscope.session.format import SessionHeader, SessionSource

__all__ = ["RecordCommand", "record"]

TIMEOUT_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 5.0
"""For how long a process that answered may fail to, before the recording ends."""

STOP_SECONDS: Final = 5.0
"""How long the end waits for the last reading."""


class RecordCommand(HelpfulCommand):
    """The command's help."""

    usages = ("[OPTIONS] FILE",)
    examples = (
        ("metalscope record session.mscope", "the program that runs on this machine"),
        ("metalscope record --seconds 60 session.mscope", "for a minute"),
        ("metalscope run --record session.mscope train.py", "a program from its start to its end"),
        ("metalscope replay session.mscope", "look at it, anywhere"),
    )


def record(  # noqa: PLR0917 - typer passes them by name
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The recording to write.")],
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where the program serves its telemetry.",
            show_default=f"{DEFAULT_URL}; where nothing listens, this host's sensors",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="How long to record.",
            show_default="until Ctrl-C, or until the program ends",
        ),
    ] = None,
    interval: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, max=3600, help="Time between two frames."),
    ] = 1.0,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            min=65_536,
            help="End where the file would be larger.",
            show_default="1 GiB",
        ),
    ] = None,
    with_hostname: Annotated[
        bool,
        typer.Option("--with-hostname", help="Write the name of the machine into it."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
) -> int:
    """Record the telemetry of a running program, or of this host, to a file.

    Without --url it is the program at the usual address, or, where nothing listens there, this
    host's sensors alone. Ends with Ctrl-C or SIGTERM, and when the program ends.
    """
    from metalscope.cli.fetch import base_address  # noqa: PLC0415 - loads http, ssl
    from metalscope.session.format import SessionSource  # noqa: PLC0415

    if file.exists() and not force:
        raise CommandFailed(
            f"{file} is there already: name another, or write over it with --force",
            ExitCode.USAGE,
        )
    address = base_address(url or DEFAULT_URL).geturl().rstrip("/")
    host = _first_host(address, asked_for=url is not None)
    source = SessionSource.HOST if host is None else SessionSource.PROCESS
    header = _header(source, interval, _own_name() if host is None else host, with_hostname)
    recording = open_recording(file, header, max_bytes=max_bytes, overwrite=force)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: recording.over.set())
    if host is None:
        say(f"nothing listens at {address}: recording this host's sensors to {file}")
        running = _host(recording, interval)
    else:
        say(f"recording {address} to {file}")
        running = _process(recording, address, interval)
    with running:
        recording.over.wait(seconds)
    recording.close()
    say(f"recorded {recording.writer.frames} frames, {recording.writer.size} bytes: {file}")
    return ExitCode.FAILED if recording.failed else ExitCode.OK


def _first_host(address: str, *, asked_for: bool) -> str | None:
    """The host name that the process at the address gives; ``None`` where none listens there.

    Raises:
        CommandFailed: the address was asked for and nothing answers, or something else does.
    """
    from metalscope.session.watch import SourceUnavailableError, fetch_snapshot  # noqa: PLC0415

    try:
        system = fetch_snapshot(address, timeout=TIMEOUT_SECONDS).system
    except SourceUnavailableError as error:
        if error.refused and not asked_for:
            return None
        raise CommandFailed(str(error), ExitCode.UNREACHABLE) from error
    return system.host if system is not None else ""


def _own_name() -> str:
    import platform  # noqa: PLC0415

    return platform.node()


def _header(
    source: SessionSource, interval: float, host: str, with_hostname: bool
) -> SessionHeader:
    from metalscope.session.format import SessionHeader  # noqa: PLC0415

    return SessionHeader(datetime.now(UTC), source, interval, host=host if with_hostname else None)


@contextmanager
def _host(recording: Recording, interval: float) -> Iterator[None]:
    """Record a manager that no program records to."""
    from metalscope.config import load_options  # noqa: PLC0415 - loads pydantic
    from metalscope.errors import MetalscopeWarning  # noqa: PLC0415
    from metalscope.manager import MetalTelemetryManager  # noqa: PLC0415

    options = load_options(
        overrides={
            "tick_interval": interval,
            "server": {"enabled": False},
            "processes_directory": None,
        }
    )
    telemetry = MetalTelemetryManager(options)
    telemetry.subscribe(recording)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetalscopeWarning)  # of what needs a program
        telemetry.start()
    try:
        telemetry.export_now()
        yield
    finally:
        telemetry.shutdown(STOP_SECONDS)


@contextmanager
def _process(recording: Recording, address: str, interval: float) -> Iterator[None]:
    """Record what a process answers, asked on a thread that may wait for it."""
    from metalscope.session.watch import SourceUnavailableError, watch  # noqa: PLC0415

    def follow() -> None:
        try:
            for snapshot in watch(
                address, interval=interval, timeout=TIMEOUT_SECONDS, patience=PATIENCE_SECONDS
            ):
                if recording.over.is_set():
                    return
                recording(snapshot)
        except SourceUnavailableError as error:
            if not recording.over.is_set():
                recording.end(f"recording ended: {error}")

    threading.Thread(target=follow, name="metalscope-record", daemon=True).start()
    yield
