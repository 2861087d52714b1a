"""Service level objectives: what was promised, what was kept, how fast the error budget goes."""

from __future__ import annotations

from metalscope.objectives.tracker import ObjectiveTracker

__all__ = ["ObjectiveTracker"]
