"""What runs kernels: one module a driver, found by name.

A driver of another package joins through the entry point group ``metalscope.drivers``; see
:class:`metalscope.drivers.base.Driver` for what it has to offer.
"""

from __future__ import annotations

from metalscope.drivers.arguments import Grid, Layout
from metalscope.drivers.base import Driver
from metalscope.drivers.registry import ENTRY_POINT_GROUP, driver_names, open_driver

__all__ = ["ENTRY_POINT_GROUP", "Driver", "Grid", "Layout", "driver_names", "open_driver"]
