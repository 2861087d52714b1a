"""``metalscope serve``: this host's sensors, and the processes that count together on it."""

from __future__ import annotations

import signal
import threading
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metalscope.cli.exit_codes import ExitCode
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import emit, say
from metalscope.cli.service import PROCESSES, UnitKind, command_line, hidden_home, unit
from metalscope.cli.start import (
    announce,
    announce_server,
    server_options,
    source_options,
    start_telemetry,
)

if TYPE_CHECKING:
    from metalscope.options import MetalTelemetryOptions
    from metalscope.server import RunningServer

__all__ = ["ServeCommand", "serve"]

STOP_SECONDS = 5.0
"""How long the end waits for the last tick."""


class ServeCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope serve", "this host's sensors, with no program of yours"),
        ("metalscope serve --processes /run/my-service", "the workers of a service besides"),
        ("metalscope serve --source prometheus=http://db:9090", "a fleet, as Prometheus has it"),
        ("metalscope serve --print-unit launchd", "to have it started with the machine"),
    )


def serve(  # noqa: PLR0917 - typer passes them by name
    processes: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY",
            help="Show the programs of this processes_directory too.",
            show_default="none",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Options file in TOML, YAML or JSON.",
            show_default="METALSCOPE_CONFIG",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="The address to serve on.", show_default="127.0.0.1"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="The port to serve on; 0 takes a free one.",
            show_default="9464",
            min=0,
            max=65_535,
        ),
    ] = None,
    insecure_no_auth: Annotated[
        bool,
        typer.Option(
            "--insecure-no-auth",
            help="Serve to other machines although no key is asked for.",
        ),
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="prometheus=URL",
            help="Show all that this Prometheus or VictoriaMetrics scrapes.",
            show_default="none",
        ),
    ] = None,
    print_unit: Annotated[
        UnitKind | None,
        typer.Option(
            metavar="|".join(UnitKind),
            help="Print the file that has a service manager start this.",
        ),
    ] = None,
) -> int:
    """Serve the page and /metrics of this host: GPU, memory, heat.

    No program need run. Programs that share a directory, given to each by
    METALSCOPE_PROCESSES_DIRECTORY, are added up and shown with it. With --source the page shows
    what a Prometheus has of many hosts. Ends with Ctrl-C or SIGTERM.
    """
    server = server_options(enabled=True, host=host, port=port, insecure_no_auth=insecure_no_auth)
    server |= source_options(source)
    if print_unit is not None:
        return _print_unit(print_unit, processes, config, server, source)
    from metalscope.config import load_options  # noqa: PLC0415 - loads pydantic

    overrides: dict[str, Any] = {"server": server}
    if processes is not None:
        overrides["processes_directory"] = processes
    options = load_options(config, overrides=overrides)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as running:
        if options.processes_directory is None:
            telemetry = start_telemetry(config, server)
            running.callback(telemetry.shutdown, STOP_SECONDS)
            announce(telemetry)
        else:
            _serve_processes(options, options.processes_directory, running)
        stop.wait()
    return ExitCode.OK


def _serve_processes(options: MetalTelemetryOptions, directory: Path, running: ExitStack) -> None:
    from metalscope.config import override, unavailable_features  # noqa: PLC0415 - loads pydantic
    from metalscope.errors import MetalscopeWarning  # noqa: PLC0415
    from metalscope.manager import MetalTelemetryManager  # noqa: PLC0415
    from metalscope.processes.host import HostWithProcesses  # noqa: PLC0415
    from metalscope.server.from_options import server_of  # noqa: PLC0415 - loads starlette
    from metalscope.tails import Tails  # noqa: PLC0415

    for sentence in unavailable_features(options):
        say(f"warning: {sentence}")
    # It reads the sensors and no more: the server is of all processes, and this is none of them.
    alone = override(
        options,
        {
            "processes_directory": None,
            "server": {"enabled": False},
            "alerts": {"enabled": False},
            "logging": {"enabled": False},
            "traces": {"enabled": False},
        },
    )
    host = MetalTelemetryManager(alone)
    source = HostWithProcesses(host, directory)
    source.tails = Tails.of_all(options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetalscopeWarning)  # said above
        host.start()
    running.callback(host.shutdown, STOP_SECONDS)
    server: RunningServer | None = None
    if options.logging.is_on:
        from metalscope.logs.starting import log_events, logger_of  # noqa: PLC0415 - where wanted

        source.log = logger_of(options, on_error=source.internal_error, tails=source.tails)
        running.callback(source.log.close)
        log_events(source, source.log, options, at_end=running.callback)
    if options.alerts.enabled:
        from metalscope.alerts.starting import raise_alerts  # noqa: PLC0415 - where wanted

        raise_alerts(
            source,
            options,
            on_error=source.internal_error,
            server=lambda: server,
            at_end=running.callback,
        )
    server = server_of(source, options)
    running.callback(server.stop)
    source.start()
    running.callback(source.stop)
    announce_server(server, options)


def _print_unit(
    kind: UnitKind,
    processes: Path | None,
    config: Path | None,
    server: dict[str, Any],
    source: str | None,
) -> int:
    options: list[str] = []
    if processes is None and kind is UnitKind.SYSTEMD:
        processes = Path(PROCESSES)
    if processes is not None:
        options += ["--processes", str(processes.absolute())]
    if config is not None:
        options += ["--config", str(config.absolute())]
    for name in ("host", "port"):
        if name in server:
            options += [f"--{name}", str(server[name])]
    if "insecure_no_auth" in server:
        options.append("--insecure-no-auth")
    if source is not None:
        options += ["--source", source]
    command = command_line(options)
    hidden = hidden_home(command) if kind is UnitKind.SYSTEMD else None
    if hidden is not None:
        say(
            f"warning: the unit hides homes from the service by ProtectHome=, and {hidden} lies in "
            "one; install metalscope, and its Python, elsewhere, such as in /opt"
        )
    return emit(unit(kind, command))
