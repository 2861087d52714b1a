"""``metalscope doctor``: what works here, what does not, and what to do about it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Final

import typer

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.help import HelpfulCommand
from metalscope.cli.output import Style, colours_wanted, emit, is_terminal, tell

if TYPE_CHECKING:
    from metalscope.doctor import Diagnosis, Examination, State

__all__ = ["DoctorCommand", "doctor"]

NARROWEST: Final = 60
WIDEST: Final = 100

_WORDS: Final = ("works", "absent", "broken")
_ERASE: Final = "\r\x1b[K"


class DoctorCommand(HelpfulCommand):
    """The command's help."""

    examples = (
        ("metalscope doctor", "of this machine, and of what runs on it"),
        ("metalscope doctor --url http://gpu-7:9464", "there should be a process at that address"),
        ("metalscope doctor --exporters", "do my metrics arrive? a probe is sent"),
        ("metalscope doctor --json | jq .healthy", "for a program"),
    )


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for a program.")] = False,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where a process should be serving its telemetry.",
            show_default="where the options say, if there is one",
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
    exporters: Annotated[
        bool,
        typer.Option(
            "--exporters",
            help="Have every exporter send a probe, and look for it where that is possible.",
        ),
    ] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=600, help="How long one check may take.")
    ] = 30.0,
) -> int:
    """Say what works here, what does not, and what to do about it.

    Sensors, drivers, instruments, extras, options, the server, and whether the metrics of a
    running process arrive. Exits 0 unless something is broken; what is absent is not.
    """
    from metalscope.cli.fetch import base_address  # noqa: PLC0415 - loads http, ssl
    from metalscope.doctor import examine  # noqa: PLC0415 - loads the rooms it looks at

    if url is not None:
        url = base_address(url).geturl()
    waiting = is_terminal(sys.stderr) and not as_json
    if waiting:
        tell("looking at everything, some seconds ...")
    try:
        found = examine(config=config, url=url, timeout=timeout, send=exporters)
    except KeyboardInterrupt:
        raise CommandFailed("interrupted", ExitCode.INTERRUPTED) from None
    finally:
        if waiting:
            tell(_ERASE)
    text = json.dumps(found.to_dict(), indent=2) if as_json else _as_text(found)
    return emit(text) or (ExitCode.OK if found.healthy else ExitCode.FAILED)


def _as_text(found: Examination) -> str:
    from metalscope.doctor import State  # noqa: PLC0415

    style = Style(colours_wanted(sys.stdout))
    width = max(NARROWEST, min(get_terminal_size().columns, WIDEST))
    lines: list[str] = []
    group = None
    for one in found.diagnoses:
        if one.group != group:
            group = one.group
            lines += ["", style.bold(group)] if lines else [style.bold(group)]
        lines += _lines(one, style, width)
    counts = ", ".join(f"{found.count(State(word))} {_counted(word)}" for word in _WORDS)
    return "\n".join([*lines, "", style.bold(counts) if found.healthy else style.alarm(counts)])


def _counted(word: str) -> str:
    return "work" if word == "works" else word


def _lines(one: Diagnosis, style: Style, width: int) -> Iterator[str]:
    state = _coloured(one.state, style)
    indent = " " * (2 + max(map(len, _WORDS)) + 2)
    said = ": ".join(filter(None, (one.name, "; ".join(filter(None, (one.what, one.why))))))
    first, *others = wrap(_printable(said), width - len(indent)) or [""]
    name = _printable(one.name)
    shown = style.bold(name) + first[len(name) :] if first.startswith(name) else first
    yield f"  {state}  {shown}"
    yield from (f"{indent}{line}" for line in others)
    if one.remedy:
        to_do = wrap(_printable(f"to do: {one.remedy}"), width - len(indent) - 2)
        yield from (f"{indent}  {style.accent(line)}" for line in to_do)


def _coloured(state: State, style: Style) -> str:
    word = state.value.ljust(max(map(len, _WORDS)))
    match state.value:
        case "broken":
            return style.alarm(word)
        case "absent":
            return style.dim(word)
    return word


def _printable(text: str) -> str:
    """What libraries say is foreign text: no control character reaches the terminal."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
