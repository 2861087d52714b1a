"""The life of alerts: pending, firing, resolved, and what keeps them from making noise."""

from __future__ import annotations

from metalscope.alerts.engine.engine import AlertEngine, Evaluation

__all__ = ["AlertEngine", "Evaluation"]
