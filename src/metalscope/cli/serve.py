"""``metalscope serve``: one address for several processes that count together."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from metalscope.cli.exit_codes import ExitCode
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import say

__all__ = ["ServeCommand", "serve"]


class ServeCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope serve --processes /run/my-service", "the workers of one service, added up"),
    )


def serve(
    processes: Annotated[
        Path,
        typer.Option(
            metavar="DIRECTORY",
            help="The processes_directory of the programs to serve.",
            show_default=False,
        ),
    ],
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
    """Serve the page and /metrics for several processes at once.

    The programs share a directory, given to each by METALSCOPE_PROCESSES_DIRECTORY. Ends with
    Ctrl-C or SIGTERM.
    """
    from metalscope.processes import ProcessGroup  # noqa: PLC0415 - loads pydantic
    from metalscope.server import start_server  # noqa: PLC0415 - loads starlette

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    group = ProcessGroup(processes)
    server = start_server(group, host=host, port=port, insecure_no_auth=insecure_no_auth)
    group.start()
    say(f"dashboard {server.url}/  metrics {server.url}/metrics")
    stop.wait()
    server.stop()
    group.stop()
    return ExitCode.OK
