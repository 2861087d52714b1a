"""From what ranges shapes draw: an open set, and a closed one that no detector was tuned on.

The closed set has other programs, other sizes, other times and softer edges besides other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from incidents.timeline import Work
from metalscope.operation import MetalError, OperationKind

Range = tuple[float, float]
"""The least and the most, drawn from evenly by the logarithm."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Of the incidents' sizes. Factors and shares are plain numbers, times are as named."""

    name: str
    first_seed: int
    work: Sequence[Work]
    spike_factor: Range
    spike_seconds: Range
    step_factor: Range
    step_minutes: Range
    edge_seconds: Range
    """How long a change takes until it is whole."""
    drift_factor: Range
    drift_hours: Range
    leak_share: Range
    """Of the memory limit."""
    leak_hours: Range
    collection_share: Range
    collection_minutes: Range
    throttled_clock: Range
    throttle_minutes: Range
    cold_factor: Range
    cold_minutes: Range
    season_depth: Range
    season_slowing: Range
    error_share: Range
    error_minutes: Range
    burst_errors: Range
    burst_seconds: Range
    pressure_minutes: Range
    mix_factor: Range
    flap_factor: Range
    flap_seconds: Range
    flap_minutes: Range


_EXECUTE = OperationKind.EXECUTE

OPEN = Ranges(
    name="open",
    first_seed=1000,
    work=(
        Work(_EXECUTE, "matmul", 8.0, 2.0, 0.25),
        Work(_EXECUTE, "attention", 3.0, 12.0, 0.35, 0.002, MetalError.TIMEOUT),
        Work(_EXECUTE, "softmax", 6.0, 0.4, 0.4),
        Work(OperationKind.ALLOCATE, "buffer", 4.0, 0.08, 0.6, 0.0005, MetalError.OUT_OF_MEMORY),
        Work(OperationKind.TRANSFER, "weights", 0.5, 30.0, 0.5),
        Work(OperationKind.COMPILE, "kernel", 0.02, 80.0, 0.5, 0.001, MetalError.COMPILATION_ERROR),
    ),
    spike_factor=(4.0, 12.0),
    spike_seconds=(60.0, 180.0),
    step_factor=(1.5, 3.0),
    step_minutes=(30.0, 120.0),
    edge_seconds=(1.0, 10.0),
    drift_factor=(1.6, 2.5),
    drift_hours=(1.5, 3.0),
    leak_share=(0.2, 0.45),
    leak_hours=(2.0, 5.0),
    collection_share=(0.05, 0.2),
    collection_minutes=(3.0, 20.0),
    throttled_clock=(0.5, 0.75),
    throttle_minutes=(10.0, 40.0),
    cold_factor=(3.0, 10.0),
    cold_minutes=(1.0, 4.0),
    season_depth=(0.4, 0.8),
    season_slowing=(0.1, 0.3),
    error_share=(0.08, 0.4),
    error_minutes=(10.0, 40.0),
    burst_errors=(10.0, 40.0),
    burst_seconds=(5.0, 30.0),
    pressure_minutes=(15.0, 60.0),
    mix_factor=(2.0, 5.0),
    flap_factor=(2.0, 4.0),
    flap_seconds=(60.0, 240.0),
    flap_minutes=(30.0, 80.0),
)

CLOSED = Ranges(
    name="closed",
    first_seed=770_000,
    work=(
        Work(_EXECUTE, "conv2d", 2.5, 5.5, 0.45, 0.0005),
        Work(_EXECUTE, "layernorm", 12.0, 0.15, 0.3),
        Work(_EXECUTE, "rope", 5.0, 0.9, 0.2, 0.003, MetalError.INVALID_ARGUMENT),
        Work(_EXECUTE, "sampling", 1.0, 45.0, 0.3, 0.001, MetalError.INTERNAL_ERROR),
        Work(OperationKind.SYNCHRONIZE, "queue", 6.0, 1.2, 0.7),
        Work(OperationKind.ALLOCATE, "heap", 1.5, 0.3, 0.5, 0.002, MetalError.OUT_OF_MEMORY),
        Work(OperationKind.TRANSFER, "tokens", 0.2, 8.0, 0.6),
    ),
    spike_factor=(3.5, 8.0),
    spike_seconds=(45.0, 240.0),
    step_factor=(1.4, 2.5),
    step_minutes=(20.0, 90.0),
    edge_seconds=(10.0, 90.0),
    drift_factor=(1.5, 3.0),
    drift_hours=(1.0, 4.0),
    leak_share=(0.15, 0.5),
    leak_hours=(1.5, 6.0),
    collection_share=(0.03, 0.25),
    collection_minutes=(2.0, 35.0),
    throttled_clock=(0.45, 0.78),
    throttle_minutes=(8.0, 60.0),
    cold_factor=(2.0, 15.0),
    cold_minutes=(0.5, 6.0),
    season_depth=(0.3, 0.9),
    season_slowing=(0.05, 0.35),
    error_share=(0.05, 0.5),
    error_minutes=(6.0, 60.0),
    burst_errors=(8.0, 60.0),
    burst_seconds=(2.0, 45.0),
    pressure_minutes=(12.0, 90.0),
    mix_factor=(1.7, 8.0),
    flap_factor=(1.8, 5.0),
    flap_seconds=(45.0, 300.0),
    flap_minutes=(25.0, 90.0),
)
