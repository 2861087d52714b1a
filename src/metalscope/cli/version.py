"""``metalscope version``: what is installed here."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from typing import Annotated, Any, Final

import typer

from metalscope._version import __version__
from metalscope.cli.output import emit

__all__ = ["version"]

EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "server": ("starlette", "uvicorn"),
    "mlx": ("mlx",),
    "webgpu": ("wgpu",),
    "metal": ("pyobjc-framework-Metal",),
    "torch": ("torch",),
    "top": ("textual",),
}
"""The distributions each extra brings, as pyproject.toml declares them."""


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
        "extras": {
            extra: {
                "installed": all(_version_of(name) is not None for name in names),
                "libraries": {name: _version_of(name) for name in names},
            }
            for extra, names in EXTRAS.items()
        },
    }


def _version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


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
        lines.append(f"  {name:<7}  {what}")
    return "\n".join(lines)
