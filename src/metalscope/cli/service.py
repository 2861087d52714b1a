"""What starts ``metalscope serve`` with the machine: a systemd unit, a launchd property list."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

__all__ = ["UnitKind", "command_line", "hidden_home", "unit"]


class UnitKind(StrEnum):
    """The service managers there is a file for."""

    SYSTEMD = "systemd"
    LAUNCHD = "launchd"


PROCESSES: Final = "/run/metalscope"
"""The directory the systemd unit makes for programs that count together."""

_FILES: Final = {
    UnitKind.SYSTEMD: "metalscope.service",
    UnitKind.LAUNCHD: "metalscope.serve.plist",
}
_SYSTEMD_START: Final = f"/usr/local/bin/metalscope serve --processes {PROCESSES}"
_LAUNCHD_START: Final = (
    "        <string>/usr/local/bin/metalscope</string>\n        <string>serve</string>\n"
)
_LAUNCHD_LOG: Final = "/usr/local/var/log/metalscope.log"


def unit(kind: UnitKind, command: Sequence[str]) -> str:
    """The file for a service manager that starts ``command``.

    It ends in a newline and has comments that say where it goes.
    """
    from importlib.resources import files  # noqa: PLC0415 - not needed for the help

    text = (files("metalscope") / "assets" / "service" / _FILES[kind]).read_text(encoding="utf-8")
    if kind is UnitKind.SYSTEMD:
        return text.replace(_SYSTEMD_START, " ".join(map(_systemd_word, command)))
    words = "".join(f"        <string>{_as_xml(word)}</string>\n" for word in command)
    log = str(Path.home() / "Library" / "Logs" / "metalscope.log")
    return text.replace(_LAUNCHD_START, words).replace(_LAUNCHD_LOG, _as_xml(log))


def command_line(options: Sequence[str]) -> list[str]:
    """The command that serves with these options, by the absolute path of what runs now."""
    beside = Path(sys.executable).parent / "metalscope"
    found = str(beside) if beside.is_file() else shutil.which("metalscope")
    start = [found] if found else [sys.executable, "-m", "metalscope"]
    return [*start, "serve", *options]


def hidden_home(command: Sequence[str]) -> str | None:
    """What of the command, or of the Python that runs it, lies in a home.

    ``ProtectHome=`` of the unit would hide it from the service. A virtual environment may well lie
    elsewhere and its Python in a home.
    """
    for path in (Path(command[0]), Path(sys.executable).resolve()):
        if any(path.is_relative_to(home) for home in ("/home", "/root")):
            return str(path)
    return None


def _as_xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _systemd_word(word: str) -> str:
    """A word as systemd reads it back (systemd.service(5), "Command lines")."""
    plain = word.replace("%", "%%").replace("$", "$$")
    if plain and not any(char.isspace() or char in "\"'\\;" for char in plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
