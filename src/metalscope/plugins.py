"""What other packages add to metalscope, by entry points."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalscope.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["entry_points_of", "load_entry_point"]


def entry_points_of(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group, by name.

    The library that reads them takes 2 MB and every distribution's files apart. Most programs have
    no package that adds anything to us, so first it is looked whether any names the group at all.
    """
    if not _is_named(group):
        return {}
    from importlib.metadata import entry_points  # noqa: PLC0415 - see above

    return {point.name: point for point in entry_points(group=group)}


def load_entry_point(entry_point: EntryPoint, wanted_by: str) -> Any:
    """What an entry point stands for.

    Args:
        entry_point: of :func:`entry_points_of`.
        wanted_by: who asked for it, for the error.

    Raises:
        ConfigurationError: it cannot be loaded.
    """
    try:
        return entry_point.load()
    except Exception as error:
        raise ConfigurationError(
            f"{wanted_by}: {entry_point.value} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _is_named(group: str) -> bool:
    others = (finder for finder in sys.meta_path if finder is not PathFinder)
    if "importlib.metadata" in sys.modules or any(
        hasattr(finder, "find_distributions") for finder in others
    ):
        return True
    section = f"[{group}]".encode()
    for place in sys.path:
        directory = Path(place)
        if directory.is_file():  # an archive, which only the library can look into
            return True
        for pattern in ("*.dist-info/entry_points.txt", "*.egg-info/entry_points.txt"):
            for file in directory.glob(pattern):
                try:
                    if section in file.read_bytes():
                        return True
                except OSError:
                    # Unreadable for the library as well.
                    continue
    return False
