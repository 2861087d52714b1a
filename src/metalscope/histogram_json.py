"""A duration histogram as JSON-able data, and back, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final
from zlib import crc32

from metalscope.histogram import EDGES_NS, SCALE, DurationHistogram

__all__ = ["DURATION_EDGES", "histogram_from_dict", "histogram_to_dict"]

DURATION_EDGES: Final = (
    f"base2-scale{SCALE}-{len(EDGES_NS)}-{crc32(','.join(map(str, EDGES_NS)).encode()):08x}"
)
"""Names :data:`~metalscope.histogram.EDGES_NS`: the index of a cell means something only by them.

The base and scale of the exponential bounds among them, how many edges there are, and the CRC-32
of the edges in ns, as decimal text with commas between. Other edges have another name.
"""


def histogram_to_dict(histogram: DurationHistogram) -> dict[str, Any]:
    """``cells`` as ``[index, count]`` pairs, ascending; ``sum_ns``, ``min_ns``, ``max_ns``."""
    return {
        "cells": [[index, count] for index, count in histogram.cells],
        "sum_ns": histogram.sum_ns,
        "min_ns": histogram.min_ns,
        "max_ns": histogram.max_ns,
    }


def histogram_from_dict(data: Mapping[str, Any]) -> DurationHistogram:
    """What :func:`histogram_to_dict` was made of, under the edges of this version.

    Raises:
        ValueError, TypeError, KeyError: it is no such data.
    """
    cells = tuple((_whole(index), _whole(count)) for index, count in data["cells"])
    indices = [index for index, _ in cells]
    if any(low >= high for low, high in pairwise(indices)) or any(count < 1 for _, count in cells):
        raise ValueError("cells must ascend and hold counts of 1 or more")
    if indices and not 0 <= indices[0] <= indices[-1] <= len(EDGES_NS):
        raise ValueError(f"cells must have an index of 0 to {len(EDGES_NS)}")
    low, high = data.get("min_ns"), data.get("max_ns")
    return DurationHistogram(
        cells,
        _whole(data["sum_ns"]),
        None if low is None else _whole(low),
        None if high is None else _whole(high),
    )


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value
