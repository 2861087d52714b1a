"""``metalscope alerts test``: whether messages arrive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import emit, say

if TYPE_CHECKING:
    from metalscope.sending.result import ExportResult

__all__ = ["TestCommand", "test_channels"]


class TestCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope alerts test", "a test to every channel of the options"),
        ("metalscope alerts test slack --config metal.toml", "to this one"),
    )


def test_channels(
    channel: Annotated[
        str | None,
        typer.Argument(metavar="[CHANNEL]", help="Only this channel.", show_default="all"),
    ] = None,  # noqa: PT028 - it is no test
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Options file that names the channels.",
            show_default="METALSCOPE_CONFIG",
        ),
    ] = None,  # noqa: PT028
) -> int:
    """Send a marked test to the channels of the options.

    Says for each what became of it. Ends with 1 where one did not take it.
    """
    from metalscope.alerts.notify.testing import send_test  # noqa: PLC0415 - loads pydantic
    from metalscope.config import load_options  # noqa: PLC0415 - loads pydantic

    options = load_options(config).alerts
    results = send_test(options, channel)
    if not results:
        raise CommandFailed(
            "the options name no channel that is enabled; add one under alerts.channels, or its "
            "target under alerts.notification_endpoints",
            ExitCode.USAGE,
        )
    for name, result in results:
        emit(f"{name}: {_said(result)}")
    if not options.enable_notifications:
        say("alerts.enable_notifications is false: a program with these options tells nobody")
    return ExitCode.OK if all(result.ok for _, result in results) else ExitCode.FAILED


def _said(result: ExportResult) -> str:
    if result.ok:
        return f"delivered, but {result.detail}" if result.detail else "delivered"
    reason = result.reason.value if result.reason else result.verdict.value
    return f"{reason}: {result.detail}"
