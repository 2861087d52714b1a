"""What ``metalscope run`` says and writes when the program is over."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.formats import ReportFormat, check_writable, format_of, render, write
from metalscope.cli.output import complain, tell
from metalscope.cli.start import summarise

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["LastWords", "ReportWriter", "report_writer"]

ReportWriter = Callable[["MetalTelemetryManager"], None]

STANDARD_ERROR: Final = Path("-")

SETTLE_SECONDS: Final = 2.0
"""How long the end waits for work that the program submitted and did not wait for."""


def report_writer(target: Path | None, form: ReportFormat | None) -> ReportWriter | None:
    """What writes the report at the end, once it is known that it can.

    Raises:
        CommandFailed: the file cannot be written, or its suffix stands for no format.
    """
    if target is None:
        if form is not None:
            raise CommandFailed("--report-format needs --report", ExitCode.USAGE)
        return None
    if target == STANDARD_ERROR:
        chosen = form or ReportFormat.TEXT
        return lambda telemetry: tell(render(telemetry.generate_report(), chosen))
    chosen = form or format_of(target)
    check_writable(target)
    # The program may change its working folder.
    path = target.absolute()
    return lambda telemetry: write(path, render(telemetry.generate_report(), chosen))


class LastWords:
    """The summary and the report, said once, when the program is over.

    They are registered before the program registers anything, so they come after its threads and
    its exit handlers; and after telemetry's own shutdown was, so they come before that.
    """

    def __init__(
        self,
        telemetry: MetalTelemetryManager,
        write_report: ReportWriter | None,
        *,
        quiet: bool,
    ) -> None:
        self._telemetry = telemetry
        self._write_report = write_report
        self._quiet = quiet
        self._owner = os.getpid()
        self._once = threading.Lock()
        atexit.register(self.say)

    def say(self) -> None:
        """Say them, unless that was done; a fork of the program has its own end and no say."""
        if os.getpid() != self._owner or not self._once.acquire(blocking=False):
            return
        from metalscope.default import get_telemetry  # noqa: PLC0415 - not needed for the help
        from metalscope.instrument import settle  # noqa: PLC0415 - as above

        try:
            settle(SETTLE_SECONDS)
            # The program may have put another in the place of the one it was started with.
            telemetry = get_telemetry() or self._telemetry
            if not self._quiet:
                summarise(telemetry)
            if self._write_report is not None:
                self._write_report(telemetry)
        except Exception as error:  # noqa: BLE001 - law: the program's exit stays its own
            complain(str(error))

    def say_before_termination(self) -> None:
        """Say them, and hand the last telemetry to its consumers: SIGTERM leaves no exit."""
        from metalscope.script import flush_default  # noqa: PLC0415 - as above

        self.say()
        flush_default()

    def forget(self) -> None:
        """There is nothing to say: the program was not there."""
        atexit.unregister(self.say)
