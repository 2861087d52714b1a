"""The files that are in the package: dashboards of the default options, and what runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from metalscope.errors import ConfigurationError
from metalscope.spelling import nearest

__all__ = ["NAMES", "chosen", "shipped", "stack"]

NAMES: Final = (
    "metalscope",
    "metalscope-fleet",
    "metalscope-alerts",
    "metalscope-delivery",
    "metalscope-slo",
)
"""The dashboards, each by its uid, which is the name of its file too."""

_ASSETS: Final = Path(__file__).parents[1] / "assets"
_GRAFANA: Final = _ASSETS / "grafana"
_PROMETHEUS: Final = _ASSETS / "prometheus"

_FROM_RULES: Final = {
    "prometheus/metalscope.rules.yml": _PROMETHEUS / "metalscope.rules.yml",
    "alertmanager/alertmanager.yml": _PROMETHEUS / "alertmanager.example.yml",
}


def chosen(names: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The dashboards of these names, all where none is given.

    Raises:
        ConfigurationError: there is none of that name.
    """
    for name in names:
        if name not in NAMES:
            near = nearest(name, NAMES)
            hint = f"; did you mean {near}?" if near else ""
            raise ConfigurationError(
                f"--name: there is no dashboard {name!r}, only {', '.join(NAMES)}{hint}"
            )
    return tuple(name for name in NAMES if name in names) if names else NAMES


def shipped(name: str) -> str:
    """The JSON of a dashboard, with the thresholds of the default options."""
    return (_GRAFANA / f"{name}.json").read_text("utf-8")


def stack() -> dict[str, str]:
    """What runs Prometheus, Alertmanager, Grafana and a collector: paths with their texts.

    The dashboards, which Grafana finds in ``grafana/dashboards``, are not among them.
    """
    root = _GRAFANA / "stack"
    files = {
        path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.y*ml"))
    } | _FROM_RULES
    return {name: path.read_text("utf-8") for name, path in files.items()}
