"""What the commands write: words to standard error, results to standard output.

Nothing here loads rich: ``metalscope run`` writes from inside the user's process.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Final, TextIO

__all__ = [
    "BROKEN_PIPE",
    "Style",
    "colours_wanted",
    "complain",
    "emit",
    "is_terminal",
    "printable",
    "say",
    "tell",
]

BROKEN_PIPE: Final = 141
"""128 + SIGPIPE: what a shell reports for a program whose reader went away."""


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads the stream as it is written."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def colours_wanted(stream: TextIO | None) -> bool:
    """Whether the stream may carry escape sequences.

    ``NO_COLOR`` forbids them, whatever else is set; ``FORCE_COLOR`` asks for them where there is
    no terminal; each counts where it is not empty (https://no-color.org, https://force-color.org).
    Otherwise it takes a terminal that is not ``TERM=dumb``.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return os.environ.get("TERM") != "dumb" and is_terminal(stream)


def say(message: str) -> None:
    """Write a message to standard error, each of its lines after ``metalscope:``."""
    _say(message, "")


def complain(message: str) -> None:
    """Write what went wrong to standard error, each line after ``metalscope: error:``."""
    _say(message, f"{Style(colours_wanted(sys.stderr)).alarm('error:')} ")


def tell(text: str) -> None:
    """Write text to standard error as it is; a closed or full one is no reason to fail."""
    with suppress(OSError, ValueError, AttributeError):
        _write(sys.stderr, text)
        sys.stderr.flush()


def emit(text: str) -> int:
    """Write a result to standard output; return the exit code, 0 unless its reader is gone."""
    try:
        _write(sys.stdout, text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes standard output once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return 0


def printable(text: str) -> str:
    """No control character of a foreign text reaches the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class Style:
    """Escape sequences around text, or none."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted

    def bold(self, text: str) -> str:
        """A heading, or what the eye should find."""
        return self._in("1", text)

    def dim(self, text: str) -> str:
        """What the eye may pass over."""
        return self._in("2", text)

    def accent(self, text: str) -> str:
        """What can be typed."""
        return self._in("36", text)

    def alarm(self, text: str) -> str:
        """What went wrong."""
        return self._in("1;31", text)

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._wanted else text


def _say(message: str, label: str) -> None:
    prefix = Style(colours_wanted(sys.stderr)).dim("metalscope:")
    tell("".join(f"{prefix} {label}{line}\n" for line in message.splitlines()))


def _write(stream: TextIO, text: str) -> None:
    # A report has dashes and names of any script; not every locale can write them.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
