"""Grafana dashboards: those that are shipped, those made with your thresholds, and the pushing.

The JSON of the defaults is in the package, so that writing and pushing it takes no library.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FOLDER", "FOLDER_TITLE"]

FOLDER: Final = "metalscope-dashboards"
"""The uid of the folder. No dashboard's: Grafana 11 keeps the uids of both in one table."""

FOLDER_TITLE: Final = "metalscope dashboards"
"""Its title. No dashboard's either, as both can be at the top."""
