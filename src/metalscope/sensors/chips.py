"""What Apple says of its chips: the most memory traffic, and the family of the GPU."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["gpu_family", "peak_bandwidth"]

_GB: Final = 1e9

_BANDWIDTH: Final[dict[str, float]] = {
    # apple.com/newsroom/2021/10, “Introducing M1 Pro and M1 Max”
    "M1 Pro": 200 * _GB,
    "M1 Max": 400 * _GB,
    # Apple's announcement of 8 March 2022, after insanely-great.com/15499
    "M1 Ultra": 800 * _GB,
    # Apple's announcement of 6 June 2022, after macrumors.com/2022/06/06
    "M2": 100 * _GB,
    # Apple's announcement of 17 January 2023, after macrumors.com/2023/01/18
    "M2 Pro": 200 * _GB,
    "M2 Max": 400 * _GB,
    # apple.com/newsroom/2023/06, “Apple introduces M2 Ultra”
    "M2 Ultra": 800 * _GB,
    # Apple's specifications of 30 October 2023, after abachy.com/news/apples-m3-series-chips
    "M3": 100 * _GB,
    # Apple's specifications of the MacBook Pro, after gigazine.net/gsc_news/en/20231101
    "M3 Pro": 150 * _GB,
    # Apple's specifications of the Mac Studio (2025), after techpowerup.com/news-tags/Mac%20Studio
    "M3 Ultra": 819 * _GB,
    # Apple's announcement of 30 October 2024, after mactrast.com/?p=168123
    "M4": 120 * _GB,
    # Apple's announcement of 30 October 2024, after techmoran.com/2024/10/31
    "M4 Pro": 273 * _GB,
    # Apple's announcement of 15 October 2025, after lowyat.net/2025/369913
    "M5": 153 * _GB,
    # Apple's announcement of 3 March 2026, after lowyat.net/2026/385170
    "M5 Pro": 307 * _GB,
}
"""Bytes per second, of chips that come with one memory bus whatever their number of cores."""

_BANDWIDTH_BY_CORES: Final[dict[tuple[str, int], float]] = {
    # Apple's figures for the 40-core GPU, after macmegasite.com/2024/10/30
    ("M3 Max", 40): 400 * _GB,
    ("M4 Max", 40): 546 * _GB,
    # Apple's specifications of the Mac Studio (2025), after Macworld's announcement of it
    ("M4 Max", 32): 410 * _GB,
    # Apple's announcement of 3 March 2026, after lowyat.net/2026/385170
    ("M5 Max", 40): 614 * _GB,
}
"""The same, where a chip with fewer GPU cores has a narrower bus."""

# Apple, Metal Feature Set Tables (developer.apple.com/metal/Metal-Feature-Set-Tables.pdf) and
# MTLGPUFamily (developer.apple.com/documentation/metal/mtlgpufamily). None of them that could be
# read tells the M5's.
_FAMILIES: Final = {"M1": "Apple7", "M2": "Apple8", "M3": "Apple9", "M4": "Apple9"}
_CHIP: Final = re.compile(r"Apple ((M\d+)(?: (?:Pro|Max|Ultra))?)")


def peak_bandwidth(chip: str, gpu_cores: int | None) -> float | None:
    """Bytes per second between memory and chip at most, as Apple says it.

    Args:
        chip: what the system calls it, such as ``Apple M3 Max``.
        gpu_cores: how many cores its GPU has; ``None`` if not known.

    Returns:
        ``None`` for a chip not in the table, as the M1, of which Apple has named no figure.
    """
    match = _CHIP.fullmatch(chip)
    if match is None:
        return None
    name = match[1]
    if name in _BANDWIDTH:
        return _BANDWIDTH[name]
    return None if gpu_cores is None else _BANDWIDTH_BY_CORES.get((name, gpu_cores))


def gpu_family(chip: str) -> str | None:
    """The newest ``MTLGPUFamily`` a chip's GPU is of, such as ``Apple7``; ``None`` if not known."""
    match = _CHIP.fullmatch(chip)
    return None if match is None else _FAMILIES.get(match[2])
