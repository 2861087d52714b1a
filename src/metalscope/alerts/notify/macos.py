"""Notifications on the screen of this Mac, by the system's own ``osascript``.

After Apple's "Mac Automation Scripting Guide", "Displaying Notifications", and osascript(1).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from metalscope.alerts.notification import NotificationKind
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.phrases import lines, one_line, shortened
from metalscope.errors import ConfigurationError
from metalscope.operation import ErrorSeverity
from metalscope.sending.http.masking import Mask
from metalscope.sending.result import ExportResult, Reason

if TYPE_CHECKING:
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.base import NotifierContext

__all__ = ["MacosNotifier"]

# The texts are arguments, never a part of the script: whatever they hold, they are not run. The
# first argument is no text, so that none can be taken for an option of osascript.
_SCRIPT: Final = (
    "on run argv",
    "if (count of argv) > 4 then",
    "display notification (item 2 of argv) with title (item 3 of argv) "
    "subtitle (item 4 of argv) sound name (item 5 of argv)",
    "else",
    "display notification (item 2 of argv) with title (item 3 of argv) subtitle (item 4 of argv)",
    "end if",
    "end run",
)
_SOUND: Final = "Basso"
"""Of those in /System/Library/Sounds the one that tells of trouble."""

# Characters; the screen shows fewer.
_LONGEST_TITLE: Final = 100
_LONGEST_BODY: Final = 500


class MacosNotifier(Notifier):
    """Shows each message in the Notification Center of who runs this program.

    Raises:
        ConfigurationError: this is no Mac, or it has no ``osascript``.
    """

    def __init__(self, context: NotifierContext, *, system: str = sys.platform) -> None:
        if system != "darwin":
            raise ConfigurationError(f"{context.options.who}: macos is for macOS; this is {system}")
        program = shutil.which("osascript")
        if program is None:
            raise ConfigurationError(f"{context.options.who}: osascript is not on PATH")
        self._program = program
        self._wording = context.wording
        self._seconds = context.options.timeout.total_seconds()

    def send(self, notification: Notification) -> ExportResult:
        """Show it."""
        arguments = [
            "metalscope",
            shortened(lines(self._wording.body(notification)), _LONGEST_BODY),
            shortened(one_line(self._wording.title(notification)), _LONGEST_TITLE),
            shortened(one_line(notification.source), _LONGEST_TITLE),
        ]
        if _is_loud(notification):
            arguments.append(_SOUND)
        script = [part for line in _SCRIPT for part in ("-e", line)]
        try:
            done = subprocess.run(  # noqa: S603 - no shell, and all that varies is an argument
                [self._program, *script, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return ExportResult.retry(
                Reason.TIMEOUT, f"osascript did not end within {self._seconds:.3g} s"
            )
        except OSError as error:
            return ExportResult.retry(
                Reason.CONFIGURATION, f"osascript cannot be run: {error.strerror}"
            )
        if done.returncode == 0:
            return ExportResult.delivered(1)
        said = Mask().shown(done.stderr.decode("utf-8", "replace"))
        return ExportResult.retry(
            Reason.EXPORTER_ERROR, f"osascript ended with {done.returncode}: {said}"
        )


def _is_loud(notification: Notification) -> bool:
    quiet = {NotificationKind.RESOLVED, NotificationKind.TEST}
    return notification.kind not in quiet and notification.severity.rank >= ErrorSeverity.HIGH.rank
