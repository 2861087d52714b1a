"""Starting telemetry for a command, and saying where it can be seen."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.output import Style, colours_wanted, say
from metalscope.errors import ConfigurationError, MetalscopeWarning

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager
    from metalscope.options import MetalTelemetryOptions
    from metalscope.server import RunningServer

__all__ = [
    "announce",
    "announce_server",
    "log_options",
    "server_options",
    "source_options",
    "start_telemetry",
    "summarise",
    "trace_options",
]


def server_options(
    *, enabled: bool, host: str | None, port: int | None, insecure_no_auth: bool
) -> dict[str, Any]:
    """The server's options, as far as the command line sets them."""
    options: dict[str, Any] = {"enabled": enabled}
    if host is not None:
        options["host"] = host
    if port is not None:
        options["port"] = port
    if insecure_no_auth:
        options["insecure_no_auth"] = True
    return options


def source_options(source: str | None) -> dict[str, Any]:
    """The option of where the page reads its past from, within those of the server.

    Raises:
        CommandFailed: it is none.
    """
    if source is None:
        return {}
    from metalscope.page_options import PageSourceOptions  # noqa: PLC0415 - loads pydantic

    try:
        PageSourceOptions(address=source)
    except ConfigurationError as error:
        problem = str(error).removeprefix(f"{PageSourceOptions.__name__}: address")
        raise CommandFailed(f"--source{problem}", ExitCode.USAGE) from None
    return {"page": {"source": {"address": source}}}


def trace_options(file: Path | None, ratio: float | None) -> dict[str, Any]:
    """The options of traces, as far as the command line sets them."""
    if file is None:
        return {}
    # The program may change its working folder, and a file is to show all that ran.
    return {
        "enabled": True,
        "file": file.absolute(),
        "sample_ratio": 1.0 if ratio is None else ratio,
    }


def log_options(file: Path | None) -> dict[str, Any]:
    """The options of logging, as far as the command line sets them; ``-`` is standard error."""
    if file is None:
        return {}
    if str(file) == "-":
        return {"enabled": True, "sinks": [{"type": "stderr"}]}
    endpoint = file.absolute().as_uri()
    return {
        "enabled": True,
        "sinks": [{"type": "file", "endpoint": endpoint, "format": "json"}],
    }


def start_telemetry(
    config: Path | None, server: dict[str, Any], **more: dict[str, Any]
) -> MetalTelemetryManager:
    """Start the process's default telemetry; where that fails, nothing is left started.

    What the options ask for and this version does not do is said on standard error, a line each.

    Args:
        config: the file with the options.
        server: the server's options that go before those of the file.
        more: other groups of options that do, by their names.

    Raises:
        ConfigurationError: an option is wrong, or the address cannot be used.
        MissingExtraError: the server's libraries are not installed.
    """
    from metalscope.default import add_metal_telemetry  # noqa: PLC0415 - loads pydantic

    with warnings.catch_warnings():
        warnings.simplefilter("always", MetalscopeWarning)
        warnings.showwarning = _showing(warnings.showwarning)
        return add_metal_telemetry(config, server=server, **more)


def _showing(others: Callable[..., None]) -> Callable[..., None]:
    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, MetalscopeWarning):
            say(f"warning: {message}")
        else:
            others(message, category, *place, **more)

    return show


def announce(telemetry: MetalTelemetryManager) -> None:
    """Say on one line of standard error where the telemetry can be seen."""
    if telemetry.server is not None:
        announce_server(telemetry.server, telemetry.options)


def announce_server(server: RunningServer, options: MetalTelemetryOptions) -> None:
    """The same of a server, and where its page reads the past from where that is elsewhere."""
    style = Style(colours_wanted(sys.stderr))
    page, metrics = style.bold(f"{server.url}/"), style.bold(f"{server.url}/metrics")
    source = options.server.page.source.address
    say(f"dashboard {page}  metrics {metrics}" + (f"  source {source}" if source else ""))


def summarise(telemetry: MetalTelemetryManager) -> None:
    """Say on one line of standard error what was recorded."""
    snapshot = telemetry.get_snapshot()
    say(
        f"{snapshot.total_operations} operations, {snapshot.total_errors} errors "
        f"in {snapshot.uptime_seconds:.1f} s; health {snapshot.health_status.value}"
    )
