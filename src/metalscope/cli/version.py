"""``metalscope version``: what is installed here."""

from __future__ import annotations

import json
import platform
from typing import Annotated, Any

import typer

from metalscope._version import __version__
from metalscope.cli.output import emit
from metalscope.doctor.extras import extras, requirements_of
from metalscope.doctor.requirements import Requirement, distribution_of

__all__ = ["version"]


def version(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for a program.")] = False,
) -> int:
    """Show the versions of metalscope, Python and the libraries it can work with."""
    facts = _facts()
    return emit(json.dumps(facts, indent=2) if as_json else _as_text(facts))


def _facts() -> dict[str, Any]:
    return {
        "metalscope": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "extras": {extra: _extra(requirements_of(extra)) for extra in extras()},
    }


def _extra(requirements: list[Requirement]) -> dict[str, Any]:
    found = {one.name: distribution_of(one.name) for one in requirements}
    return {
        "installed": None not in found.values(),
        "libraries": {name: one and one.version for name, one in found.items()},
    }


def _as_text(facts: dict[str, Any]) -> str:
    lines = [
        f"metalscope {facts['metalscope']}",
        f"python     {facts['python']}",
        f"platform   {facts['platform']}",
        "",
        "extras",
    ]
    for name, extra in facts["extras"].items():
        if extra["installed"]:
            what = ", ".join(f"{library} {found}" for library, found in extra["libraries"].items())
        else:
            what = f"not installed: pip install 'metalscope[{name}]'"
        lines.append(f"  {name:<10}  {what}")
    return "\n".join(lines)
