"""Amounts as a person reads them."""

from __future__ import annotations

from typing import Final

from metalscope.readings import ReadingUnit

__all__ = ["ABSENT", "amount", "number"]

ABSENT: Final = "—"

_SYMBOLS: Final[dict[str, str]] = {
    "celsius": " °C",
    "count": "",
    "joules": " J",
    "level": "",
    "percent": " %",
    "rpm": " rpm",
    "watts": " W",
}


def amount(value: float | None, unit: ReadingUnit) -> str:
    """``value`` with its unit, at a size fit to read."""
    if value is None:
        return ABSENT
    if unit == "bytes":
        return _scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))
    if unit == "bytes_per_second":
        return _scaled(value, 1024, ("B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s"))
    if unit == "hertz":
        return _scaled(value, 1000, ("Hz", "kHz", "MHz", "GHz"))
    text = f"{value:.0f}" if unit in {"count", "level", "rpm"} else f"{value:.1f}"
    return text + _SYMBOLS[unit]


def number(value: float | None) -> str:
    """A plain number with two decimals."""
    return ABSENT if value is None else f"{value:,.2f}"


def _scaled(value: float, step: int, units: tuple[str, ...]) -> str:
    size, *larger = units
    scaled = float(value)
    if abs(scaled) < step:
        return f"{scaled:.0f} {size}"
    for name in larger:
        size = name
        scaled /= step
        if abs(scaled) < step:
            break
    return f"{scaled:.1f} {size}"
