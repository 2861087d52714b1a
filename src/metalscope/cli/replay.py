"""``metalscope replay``: a recording, served as the program was that it is of."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.formats import ReportFormat, render
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import Style, colours_wanted, emit, say

if TYPE_CHECKING:
    from metalscope.session.reader import Session
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["ReplayCommand", "replay"]


class ReplayCommand(HelpfulCommand):
    """The command's help."""

    usages = ("[OPTIONS] FILE",)
    examples = (
        ("metalscope replay session.mscope", "the page, /metrics and the report, as they were"),
        ("metalscope replay --speed 60 session.mscope", "an hour in a minute"),
        ("metalscope replay --info session.mscope", "what it holds"),
        ("metalscope replay --report session.mscope", "the report at its end"),
    )


def replay(  # noqa: PLR0917 - typer passes them by name
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording.")],
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it: what is done where nothing else is asked.")
    ] = False,
    info: Annotated[bool, typer.Option("--info", help="Print what it holds instead.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Print the report at its end instead.")
    ] = False,
    report_format: Annotated[
        ReportFormat,
        typer.Option("--format", metavar="|".join(ReportFormat), help="The form of the report."),
    ] = ReportFormat.TEXT,
    speed: Annotated[
        float,
        typer.Option(
            metavar="X", min=0.001, max=1e6, help="So many seconds of the recording in one."
        ),
    ] = 1.0,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="The address to serve on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT", help="The port to serve on; 0 takes a free one.", min=0, max=65_535
        ),
    ] = 9464,
    insecure_no_auth: Annotated[
        bool,
        typer.Option(
            "--insecure-no-auth",
            help="Serve to other machines although no key is asked for.",
        ),
    ] = False,
) -> int:
    """Replay a recording through the HTTP server: the page, /metrics, the snapshot, the report.

    Times are those of the recording. At its end the last frame stays. Ends with Ctrl-C or SIGTERM.
    """
    if serve + info + report > 1:
        raise CommandFailed("--serve, --info and --report exclude each other", ExitCode.USAGE)
    with closing(_open(file)) as session:
        if info:
            return _info(session)
        if report:
            return _report(session, report_format)
        return _serve(session, speed, host, port, insecure_no_auth=insecure_no_auth)


def _open(file: Path) -> Session:
    from metalscope.session.format import SessionFormatError  # noqa: PLC0415 - not for the help
    from metalscope.session.reader import open_session  # noqa: PLC0415

    try:
        return open_session(file)
    except OSError as error:
        raise CommandFailed(
            f"cannot open {file}: {error.strerror or error}", ExitCode.USAGE
        ) from error
    except SessionFormatError as error:
        raise CommandFailed(f"{file}: {error}", ExitCode.USAGE) from error


def _serve(session: Session, speed: float, host: str, port: int, *, insecure_no_auth: bool) -> int:
    from metalscope.page_options import PageOptions  # noqa: PLC0415 - loads pydantic
    from metalscope.server import start_server  # noqa: PLC0415 - loads starlette
    from metalscope.session.replay import EmptySessionError, Replay  # noqa: PLC0415

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        source = Replay(session, speed=speed, on_end=lambda last: _say_end(session, last))
    except EmptySessionError as error:
        raise CommandFailed(str(error), ExitCode.FAILED) from error
    # What is replayed was at another time than what the page calls the last minutes.
    without_past = PageOptions(keep_past=False)
    server = start_server(
        source, host=host, port=port, insecure_no_auth=insecure_no_auth, page=without_past
    )
    try:
        style = Style(colours_wanted(sys.stderr))
        page, metrics = style.bold(f"{server.url}/"), style.bold(f"{server.url}/metrics")
        say(f"dashboard {page}  metrics {metrics}")
        say(f"replaying from {source.get_snapshot().timestamp.isoformat()}")
        source.start()
        stop.wait()
    finally:
        source.stop()
        server.stop()
    return ExitCode.OK


def _say_end(session: Session, last: MetalTelemetrySnapshot) -> None:
    if session.damage is not None:
        say(f"warning: {session.damage}")
    say(f"the recording ends at {last.timestamp.isoformat()}; its last frame stays until Ctrl-C")


def _report(session: Session, form: ReportFormat) -> int:
    from metalscope.report import MetalProductionReport  # noqa: PLC0415 - not for the help

    _, last = _ends(session)
    if session.damage is not None:
        say(f"warning: {session.damage}")
    return emit(render(MetalProductionReport.of(last), form))


def _ends(session: Session) -> tuple[MetalTelemetrySnapshot, MetalTelemetrySnapshot]:
    """The first frame and the last.

    Raises:
        CommandFailed: there is none.
    """
    first = last = None
    for last in session:
        first = first or last
    if first is None or last is None:
        damage = f": {session.damage}" if session.damage is not None else ""
        raise CommandFailed(f"{session.path} has no frame{damage}", ExitCode.FAILED)
    return first, last


def _info(session: Session) -> int:
    first, last = _ends(session)
    header, size = session.header, session.path.stat().st_size
    seconds = (last.timestamp - first.timestamp).total_seconds()
    rows = [
        ("file", str(session.path)),
        ("format", f"{header.format}, by metalscope {header.metalscope}"),
        ("source", header.source.value),
        ("host", header.host or "left out"),
        ("begins", first.timestamp.isoformat()),
        ("ends", last.timestamp.isoformat()),
        ("lasts", f"{seconds:.1f} s"),
        ("frames", f"{session.frames}, one every {header.interval_seconds:g} s asked for"),
        ("size", f"{size} bytes, {size / session.frames:.0f} a frame"),
        ("operations", f"{last.total_operations}, {last.total_errors} failed"),
        ("readings", str(len(last.resources))),
        ("health", last.health_status.value),
        ("ended", _ended(session)),
    ]
    code = emit("".join(f"{name:<12}{value}\n" for name, value in rows))
    return code or (ExitCode.OK if session.damage is None else ExitCode.FAILED)


def _ended(session: Session) -> str:
    if session.damage is not None:
        return str(session.damage)
    match session.ended:
        case "closed":
            return "closed"
        case "max_bytes":
            return "at its largest size"
        case None:
            return "not closed: what recorded was stopped; every frame is whole"
        case other:
            return other
