"""``metalscope demo``: something to look at."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.formats import ReportFormat, render
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import colours_wanted, emit, is_terminal, say
from metalscope.cli.start import announce, server_options, start_telemetry

if TYPE_CHECKING:
    from metalscope.demo import DemoProgress, DemoResult
    from metalscope.manager import MetalTelemetryManager

__all__ = ["DemoCommand", "demo"]


SETTLE_SECONDS = 5.0
"""How long the end waits for work that is still under way."""


_TOLD: dict[str, dict[str, Any]] = {
    # For the page alone: standard error has the progress bar.
    "logging": {"enabled": True, "sinks": [{"type": "stderr", "enabled": False}]},
    "traces": {"enabled": True, "sample_ratio": 0.1},
}
"""What is told of single operations."""


class DemoCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope demo", "20 seconds, with a dashboard to watch"),
        ("metalscope demo --keep", "go on serving until Ctrl-C"),
        ("metalscope demo --headless --seconds 3 --port 0", "in a pipeline"),
    )


def demo(
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=86_400, help="How long to work.")
    ] = 20.0,
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
    headless: Annotated[
        bool, typer.Option("--headless", help="For a pipeline: no progress bar, no waiting.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Go on serving after the report, until Ctrl-C.")
    ] = False,
    report_format: Annotated[
        ReportFormat,
        typer.Option(metavar="|".join(ReportFormat), help="The form of the report at the end."),
    ] = ReportFormat.TEXT,
) -> int:
    """See it work: a small transformer on MLX.

    The model runs for a while with its operations recorded and shown live; then its report is
    printed. Now and then a step is slow or fails, on purpose: something to find.
    """
    if keep and headless:
        raise CommandFailed("--headless does not wait, so there is no --keep", ExitCode.USAGE)
    from metalscope.demo import require_mlx  # noqa: PLC0415 - loads MLX

    require_mlx()
    options = server_options(enabled=True, host=None, port=port, insecure_no_auth=False)
    # In this order, so that telemetry leaves SIGTERM to us.
    with _Stop().on_signals() as stop, start_telemetry(None, options, **_TOLD) as telemetry:
        result = _work(telemetry, seconds, stop, progress_bar=not headless and _can_animate())
        _conclude(result)
        written = emit(render(telemetry.generate_report(), report_format))
        if keep and not stop.requested.is_set() and written == ExitCode.OK:
            say("serving on; Ctrl-C ends it")
            stop.requested.wait()
            return ExitCode.OK
    return written or stop.code


class _Stop:
    """A request to stop, and the exit code it is answered with."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.code = ExitCode.OK

    @contextmanager
    def on_signals(self) -> Iterator[_Stop]:
        """Take Ctrl-C and SIGTERM as requests; a second Ctrl-C ends at once."""
        codes = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}

        def request(number: int, _frame: object) -> None:
            self.code = codes[signal.Signals(number)]
            self.requested.set()
            signal.signal(signal.SIGINT, signal.default_int_handler)

        before = {number: signal.signal(number, request) for number in codes}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _work(
    telemetry: MetalTelemetryManager, seconds: float, stop: _Stop, *, progress_bar: bool
) -> DemoResult:
    from metalscope.demo import run_demo  # noqa: PLC0415 - loads MLX
    from metalscope.instrument import instrument, settle  # noqa: PLC0415

    announce(telemetry)
    instrument("mlx", telemetry)
    try:
        with _progress_bar(seconds) if progress_bar else nullcontext() as on_progress:
            return run_demo(
                telemetry, seconds=seconds, stop=stop.requested, on_progress=on_progress
            )
    finally:
        # The hooks stay: the report reads MLX's memory, and so does the page where it is kept.
        settle(SETTLE_SECONDS)


def _can_animate() -> bool:
    return is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


@contextmanager
def _progress_bar(seconds: float) -> Iterator[Callable[[DemoProgress], None]]:
    from rich.console import Console  # noqa: PLC0415 - rich, for a person alone
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn  # noqa: PLC0415

    console = Console(stderr=True, color_system="auto" if colours_wanted(sys.stderr) else None)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:.0f}/{task.total:.0f} s"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=seconds)
        yield lambda progress: bar.update(
            task,
            description=f"{progress.doing:<18}",
            completed=min(progress.elapsed, seconds),
        )


def _conclude(result: DemoResult) -> None:
    loss = ""
    if result.first_loss is not None and result.last_loss is not None:
        loss = f", loss {result.first_loss:.2f} to {result.last_loss:.2f}"
    say(
        f"{result.steps} steps, {result.tokens} tokens in {result.seconds:.1f} s{loss}; "
        f"{result.failures} failed on purpose"
    )
