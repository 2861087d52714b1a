"""The name, unit, labels and meaning of every metric, decided once.

Exporters take names from here and nowhere else, so a metric is called the same on every path.
The five metrics every dashboard is built on are :data:`OPERATIONS`, :data:`ERRORS`,
:data:`OPERATION_DURATION`, :data:`MEMORY_USAGE` and :data:`GPU_UTILIZATION`; their names never
change. The others follow the Prometheus naming conventions: base units, the unit last, ``_total``
on counters and ``_info`` on facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "ALERTS",
    "ANOMALY",
    "BREAKER_CALLS",
    "BREAKER_OPENED",
    "BREAKER_REJECTED",
    "BREAKER_STATE",
    "BUILD_INFO",
    "BUILT_IN",
    "CHANNEL_STATE",
    "DEVICE_INFO",
    "DEVICE_MAX_BUFFER",
    "DEVICE_MEMORY",
    "DEVICE_WORKING_SET",
    "DROPPED",
    "ENERGY",
    "ERRORS",
    "EXPORTER_STATE",
    "EXPORT_DELIVERED",
    "EXPORT_DROPPED",
    "EXPORT_FAILURES",
    "EXPORT_LAST_SUCCESS",
    "EXPORT_POINTS",
    "EXPORT_QUEUED",
    "EXPORT_REJECTED_POINTS",
    "EXPORT_TIME",
    "EXPORT_WAITING",
    "EXPORT_WAITING_BYTES",
    "FAILURE_RISK",
    "FAN_SPEED",
    "FAN_SPEED_LIMIT",
    "GPU_FREQUENCY",
    "GPU_FREQUENCY_LIMIT",
    "GPU_RECOVERIES",
    "GPU_UTILIZATION",
    "HEALTH_STATUS",
    "HOST_CPU_UTILIZATION",
    "HOST_MEMORY_LIMIT",
    "HOST_MEMORY_USAGE",
    "INTERNAL_ERRORS",
    "LOW_POWER_MODE",
    "MEMORY_BANDWIDTH",
    "MEMORY_BANDWIDTH_LIMIT",
    "MEMORY_LIMIT",
    "MEMORY_PEAK",
    "MEMORY_PRESSURE",
    "MEMORY_USAGE",
    "NOTIFICATIONS_DELIVERED",
    "NOTIFICATIONS_DROPPED",
    "NOTIFICATIONS_WAITING",
    "NOTIFICATION_FAILURES",
    "NOTIFICATION_LAST_SUCCESS",
    "OBJECTIVE_ATTAINED",
    "OBJECTIVE_BUDGET",
    "OBJECTIVE_BURNING",
    "OBJECTIVE_BURN_RATE",
    "OBJECTIVE_TARGET",
    "OPERATIONS",
    "OPERATIONS_BY_CATEGORY",
    "OPERATION_BYTES",
    "OPERATION_DURATION",
    "OPERATION_GPU_TIME",
    "OVERALL",
    "POWER",
    "PREDICTED_TIME",
    "RETIRED_ERRORS",
    "RETIRED_OPERATIONS",
    "SERIES_OVERFLOW",
    "START_TIME",
    "TEMPERATURE",
    "THERMAL_STATE",
    "Metric",
    "MetricType",
    "Unit",
]

MetricType = Literal["counter", "gauge", "histogram", "info"]
Unit = Literal[
    "", "bytes", "bytes_per_second", "celsius", "hertz", "joules", "ms", "percent", "ratio", "rpm",
    "seconds", "watts",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    ``name`` is what a query says: a counter ends in ``_total``, an info in ``_info``, a histogram
    has ``_bucket``, ``_sum`` and ``_count`` put after it. ``labels`` are in the order in which
    values are given. ``from_boot`` is true of a counter that began before telemetry did, so that
    its first value says nothing of what happened since.
    """

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()
    unit: Unit = ""
    from_boot: bool = False

    @property
    def stem(self) -> str:
        """The name without ``_total`` or ``_info``: what OpenMetrics calls the family."""
        if self.type == "counter":
            return self.name.removesuffix("_total")
        if self.type == "info":
            return self.name.removesuffix("_info")
        return self.name


_SERIES: Final = ("kind", "name", "device")

OPERATIONS: Final = Metric(
    "metal_operations_total",
    "counter",
    "Metal operations that ended, by outcome: ok or the error.",
    (*_SERIES, "outcome"),
)
ERRORS: Final = Metric(
    "metal_errors_total",
    "counter",
    "Metal operations that failed, by type of error.",
    (*_SERIES, "type"),
)
OPERATION_DURATION: Final = Metric(
    "metal_operation_duration_ms",
    "histogram",
    "Wall-clock duration of Metal operations in milliseconds.",
    (*_SERIES, "outcome"),
    "ms",
)
MEMORY_USAGE: Final = Metric(
    "metal_memory_usage_bytes",
    "gauge",
    "Device memory in use, by pool.",
    ("device", "pool"),
    "bytes",
)
GPU_UTILIZATION: Final = Metric(
    "metal_gpu_utilization_percent",
    "gauge",
    "How busy the GPU is, 0 to 100, by engine. Absent where no sensor says.",
    ("device", "engine"),
    "percent",
)

OPERATION_BYTES: Final = Metric(
    "metal_operation_bytes_total",
    "counter",
    "Bytes that Metal operations moved or allocated. Absent for operations that gave none.",
    _SERIES,
    "bytes",
)
OPERATION_GPU_TIME: Final = Metric(
    "metal_operation_gpu_seconds_total",
    "counter",
    "Time the device itself says it was busy with operations. Absent where it says nothing.",
    _SERIES,
    "seconds",
)
OPERATIONS_BY_CATEGORY: Final = Metric(
    "metal_operations_by_category_total",
    "counter",
    "Metal operations by speed: fast < 1 ms <= normal < 10 ms <= slow <= 100 ms < very_slow.",
    (*_SERIES, "category"),
)
MEMORY_PEAK: Final = Metric(
    "metal_memory_peak_bytes",
    "gauge",
    "Most device memory in use at one time, by pool.",
    ("device", "pool"),
    "bytes",
)
MEMORY_LIMIT: Final = Metric(
    "metal_memory_limit_bytes",
    "gauge",
    "Device memory that cannot be passed, by pool.",
    ("device", "pool"),
    "bytes",
)
HOST_MEMORY_USAGE: Final = Metric(
    "metal_host_memory_usage_bytes",
    "gauge",
    "Memory of the host or of this process in use, by pool.",
    ("pool",),
    "bytes",
)
HOST_MEMORY_LIMIT: Final = Metric(
    "metal_host_memory_limit_bytes",
    "gauge",
    "Memory of the host that cannot be passed, by pool.",
    ("pool",),
    "bytes",
)
HOST_CPU_UTILIZATION: Final = Metric(
    "metal_host_cpu_utilization_ratio",
    "gauge",
    "Load of all processors together, 0 to 1.",
    ("scope",),
    "ratio",
)
GPU_FREQUENCY: Final = Metric(
    "metal_gpu_frequency_hertz",
    "gauge",
    "Mean clock of the GPU while it was busy.",
    ("device", "engine"),
    "hertz",
)
GPU_FREQUENCY_LIMIT: Final = Metric(
    "metal_gpu_frequency_limit_hertz",
    "gauge",
    "The highest clock the GPU has.",
    ("device", "engine"),
    "hertz",
)
MEMORY_BANDWIDTH: Final = Metric(
    "metal_memory_bandwidth_bytes_per_second",
    "gauge",
    "Traffic between memory and the chip, by channel.",
    ("device", "channel"),
    "bytes_per_second",
)
MEMORY_BANDWIDTH_LIMIT: Final = Metric(
    "metal_memory_bandwidth_limit_bytes_per_second",
    "gauge",
    "The most traffic the chip can have, by what its maker says.",
    ("device", "channel"),
    "bytes_per_second",
)
POWER: Final = Metric(
    "metal_power_watts",
    "gauge",
    "Electrical power, by rail.",
    ("device", "rail"),
    "watts",
)
ENERGY: Final = Metric(
    "metal_energy_joules_total",
    "counter",
    "Energy used since the sensor was opened, by rail.",
    ("device", "rail"),
    "joules",
)
TEMPERATURE: Final = Metric(
    "metal_temperature_celsius",
    "gauge",
    "Temperature, by sensor.",
    ("device", "sensor"),
    "celsius",
)
FAN_SPEED: Final = Metric(
    "metal_fan_speed_rpm",
    "gauge",
    "Turns of a fan a minute.",
    ("fan",),
    "rpm",
)
FAN_SPEED_LIMIT: Final = Metric(
    "metal_fan_speed_limit_rpm",
    "gauge",
    "The most turns a minute a fan makes.",
    ("fan",),
    "rpm",
)
THERMAL_STATE: Final = Metric(
    "metal_thermal_state",
    "gauge",
    "1 for the thermal state the system is in, 0 for the others.",
    ("state",),
)
MEMORY_PRESSURE: Final = Metric(
    "metal_memory_pressure",
    "gauge",
    "1 for the level of memory pressure the system is at, 0 for the others.",
    ("level",),
)
LOW_POWER_MODE: Final = Metric(
    "metal_low_power_mode",
    "gauge",
    "1 where the system saves power, else 0.",
)
GPU_RECOVERIES: Final = Metric(
    "metal_gpu_recoveries_total",
    "counter",
    "How often the system restarted the GPU since boot.",
    ("device",),
    from_boot=True,
)
HEALTH_STATUS: Final = Metric(
    "metal_health_status",
    "gauge",
    "1 for the status each component has, 0 for those it has not; overall sums them up.",
    ("component", "status"),
)
ANOMALY: Final = Metric(
    "metal_anomaly_active",
    "gauge",
    "1 for each anomaly that goes on now, by kind and by what it was found in.",
    ("kind", "component", "subject"),
)
BREAKER_STATE: Final = Metric(
    "metal_circuit_breaker_state",
    "gauge",
    "1 for the state a circuit breaker is in: closed, half_open or open; 0 for the others.",
    ("breaker", "state"),
)
BREAKER_OPENED: Final = Metric(
    "metal_circuit_breaker_opened_total",
    "counter",
    "How often a circuit breaker has opened.",
    ("breaker",),
)
BREAKER_CALLS: Final = Metric(
    "metal_circuit_breaker_calls_total",
    "counter",
    "Calls a circuit breaker let through.",
    ("breaker",),
)
BREAKER_REJECTED: Final = Metric(
    "metal_circuit_breaker_rejected_calls_total",
    "counter",
    "Calls a circuit breaker refused.",
    ("breaker",),
)
OBJECTIVE_TARGET: Final = Metric(
    "metal_objective_target_ratio",
    "gauge",
    "Share of operations that a service level objective promises to go well, 0 to 1.",
    ("objective",),
    "ratio",
)
OBJECTIVE_ATTAINED: Final = Metric(
    "metal_objective_attained_ratio",
    "gauge",
    "Share of operations that went well over the objective's window, 0 to 1.",
    ("objective",),
    "ratio",
)
OBJECTIVE_BUDGET: Final = Metric(
    "metal_objective_error_budget_left_ratio",
    "gauge",
    "Share of the error budget left over the objective's window; below 0 where overdrawn.",
    ("objective",),
    "ratio",
)
OBJECTIVE_BURN_RATE: Final = Metric(
    "metal_objective_burn_rate_ratio",
    "gauge",
    "How many times faster than allowed the error budget goes, by window.",
    ("objective", "window"),
    "ratio",
)
OBJECTIVE_BURNING: Final = Metric(
    "metal_objective_burning",
    "gauge",
    "1 for how urgently the error budget burns: low, medium, high, critical; 0 for the others.",
    ("objective", "severity"),
)
PREDICTED_TIME: Final = Metric(
    "metal_predicted_timestamp_seconds",
    "gauge",
    "When something is predicted to run out, in seconds since the Unix epoch.",
    ("prediction", "subject"),
    "seconds",
)
FAILURE_RISK: Final = Metric(
    "metal_failure_risk_ratio",
    "gauge",
    "Probability that a component fails within the prediction horizon, 0 to 1.",
    ("subject",),
    "ratio",
)
ALERTS: Final = Metric(
    "metal_alerts",
    "gauge",
    "Alerts that are pending or fire now, by rule.",
    ("alertname", "severity", "state"),
)
DEVICE_INFO: Final = Metric(
    "metal_device_info",
    "info",
    "A device this program uses. An empty label is a fact not known.",
    ("device", "backend", "unified_memory"),
)
DEVICE_MEMORY: Final = Metric(
    "metal_device_memory_bytes",
    "gauge",
    "Memory the device has.",
    ("device", "backend"),
    "bytes",
)
DEVICE_WORKING_SET: Final = Metric(
    "metal_device_recommended_working_set_bytes",
    "gauge",
    "Memory the device recommends to use at most.",
    ("device", "backend"),
    "bytes",
)
DEVICE_MAX_BUFFER: Final = Metric(
    "metal_device_max_buffer_bytes",
    "gauge",
    "Size of the largest buffer the device allows.",
    ("device", "backend"),
    "bytes",
)

BUILD_INFO: Final = Metric(
    "metalscope_build_info",
    "info",
    "The metalscope that speaks, and what it runs on.",
    ("version", "python", "os", "architecture"),
)
START_TIME: Final = Metric(
    "metalscope_start_time_seconds",
    "gauge",
    "When telemetry started, in seconds since the Unix epoch.",
    unit="seconds",
)
RETIRED_OPERATIONS: Final = Metric(
    "metalscope_retired_operations_total",
    "counter",
    "Operations of series that are no longer kept apart because they were idle past the retention.",
)
RETIRED_ERRORS: Final = Metric(
    "metalscope_retired_errors_total",
    "counter",
    "Failed operations of series that are no longer kept apart.",
)
INTERNAL_ERRORS: Final = Metric(
    "metalscope_internal_errors_total",
    "counter",
    "What went wrong inside metalscope, by room.",
    ("room",),
)
SERIES_OVERFLOW: Final = Metric(
    "metalscope_series_overflow_total",
    "counter",
    "Recordings counted under other because the cap on distinct names was reached.",
)
DROPPED: Final = Metric(
    "metalscope_dropped_total",
    "counter",
    "What a full queue let go, by queue.",
    ("queue",),
)

EXPORT_QUEUED: Final = Metric(
    "metalscope_export_queued_snapshots_total",
    "counter",
    "Snapshots handed to an exporter.",
    ("exporter",),
)
EXPORT_DELIVERED: Final = Metric(
    "metalscope_export_delivered_snapshots_total",
    "counter",
    "Snapshots that arrived.",
    ("exporter",),
)
EXPORT_DROPPED: Final = Metric(
    "metalscope_export_dropped_snapshots_total",
    "counter",
    "Snapshots that will never arrive, by reason.",
    ("exporter", "reason"),
)
EXPORT_POINTS: Final = Metric(
    "metalscope_export_points_total",
    "counter",
    "Points that arrived.",
    ("exporter",),
)
EXPORT_REJECTED_POINTS: Final = Metric(
    "metalscope_export_rejected_points_total",
    "counter",
    "Points that the peer refused while it took the others.",
    ("exporter",),
)
EXPORT_FAILURES: Final = Metric(
    "metalscope_export_failures_total",
    "counter",
    "Exports that failed, each try counted, by reason.",
    ("exporter", "reason"),
)
EXPORT_TIME: Final = Metric(
    "metalscope_export_seconds_total",
    "counter",
    "Time that exports took, the failed ones too.",
    ("exporter",),
    "seconds",
)
EXPORT_WAITING: Final = Metric(
    "metalscope_export_queue_snapshots",
    "gauge",
    "Snapshots that wait for an exporter.",
    ("exporter",),
)
EXPORT_WAITING_BYTES: Final = Metric(
    "metalscope_export_queue_bytes",
    "gauge",
    "Size of what waits for an exporter.",
    ("exporter",),
    "bytes",
)
EXPORT_LAST_SUCCESS: Final = Metric(
    "metalscope_export_last_success_timestamp_seconds",
    "gauge",
    "When an export last arrived, in seconds since the Unix epoch. Absent before one did.",
    ("exporter",),
    "seconds",
)
EXPORTER_STATE: Final = Metric(
    "metalscope_exporter_state",
    "gauge",
    "1 for the state of the circuit breaker: closed, half_open or open; 0 for the others.",
    ("exporter", "type", "state"),
)

NOTIFICATIONS_DELIVERED: Final = Metric(
    "metalscope_notifications_delivered_total",
    "counter",
    "Messages about alerts that arrived.",
    ("channel",),
)
NOTIFICATIONS_DROPPED: Final = Metric(
    "metalscope_notifications_dropped_total",
    "counter",
    "Messages about alerts that will never arrive, by reason.",
    ("channel", "reason"),
)
NOTIFICATION_FAILURES: Final = Metric(
    "metalscope_notification_failures_total",
    "counter",
    "Messages about alerts that failed, each try counted, by reason.",
    ("channel", "reason"),
)
NOTIFICATIONS_WAITING: Final = Metric(
    "metalscope_notifications_queue",
    "gauge",
    "Messages about alerts that wait for a channel.",
    ("channel",),
)
NOTIFICATION_LAST_SUCCESS: Final = Metric(
    "metalscope_notification_last_success_timestamp_seconds",
    "gauge",
    "When a message last arrived, in seconds since the Unix epoch. Absent before one did.",
    ("channel",),
    "seconds",
)
CHANNEL_STATE: Final = Metric(
    "metalscope_notification_channel_state",
    "gauge",
    "1 for the state of the circuit breaker: closed, half_open or open; 0 for the others.",
    ("channel", "type", "state"),
)

LOG_RECORDS: Final = Metric(
    "metalscope_log_records_total",
    "counter",
    "Records that were logged, by severity.",
    ("severity",),
)
SPANS: Final = Metric(
    "metalscope_spans_total",
    "counter",
    "Spans that were kept: sampled, or for being slow, failed, or around one that was.",
    ("decision",),
)
SINK_DELIVERED: Final = Metric(
    "metalscope_sink_delivered_records_total",
    "counter",
    "Log records and spans that arrived.",
    ("signal", "sink"),
)
SINK_DROPPED: Final = Metric(
    "metalscope_sink_dropped_records_total",
    "counter",
    "Log records and spans that will never arrive, by reason.",
    ("signal", "sink", "reason"),
)
SINK_FAILURES: Final = Metric(
    "metalscope_sink_failures_total",
    "counter",
    "Sendings that failed, each try counted, by reason.",
    ("signal", "sink", "reason"),
)
SINK_WAITING: Final = Metric(
    "metalscope_sink_queue_records",
    "gauge",
    "Log records and spans that wait for a sink.",
    ("signal", "sink"),
)
SINK_WAITING_BYTES: Final = Metric(
    "metalscope_sink_queue_bytes",
    "gauge",
    "Size of what waits for a sink.",
    ("signal", "sink"),
    "bytes",
)
SINK_LAST_SUCCESS: Final = Metric(
    "metalscope_sink_last_success_timestamp_seconds",
    "gauge",
    "When records last arrived, in seconds since the Unix epoch. Absent before any did.",
    ("signal", "sink"),
    "seconds",
)
SINK_STATE: Final = Metric(
    "metalscope_sink_state",
    "gauge",
    "1 for the state of the circuit breaker: closed, half_open or open; 0 for the others.",
    ("signal", "sink", "type", "state"),
)

OVERALL: Final = "overall"
"""The component label of the status of the whole."""

BUILT_IN: Final[tuple[Metric, ...]] = (
    OPERATIONS,
    ERRORS,
    OPERATION_DURATION,
    MEMORY_USAGE,
    GPU_UTILIZATION,
    OPERATION_BYTES,
    OPERATION_GPU_TIME,
    OPERATIONS_BY_CATEGORY,
    MEMORY_PEAK,
    MEMORY_LIMIT,
    HOST_MEMORY_USAGE,
    HOST_MEMORY_LIMIT,
    HOST_CPU_UTILIZATION,
    GPU_FREQUENCY,
    GPU_FREQUENCY_LIMIT,
    MEMORY_BANDWIDTH,
    MEMORY_BANDWIDTH_LIMIT,
    POWER,
    ENERGY,
    TEMPERATURE,
    FAN_SPEED,
    FAN_SPEED_LIMIT,
    THERMAL_STATE,
    MEMORY_PRESSURE,
    LOW_POWER_MODE,
    GPU_RECOVERIES,
    HEALTH_STATUS,
    ANOMALY,
    BREAKER_STATE,
    BREAKER_OPENED,
    BREAKER_CALLS,
    BREAKER_REJECTED,
    OBJECTIVE_TARGET,
    OBJECTIVE_ATTAINED,
    OBJECTIVE_BUDGET,
    OBJECTIVE_BURN_RATE,
    OBJECTIVE_BURNING,
    PREDICTED_TIME,
    FAILURE_RISK,
    ALERTS,
    DEVICE_INFO,
    DEVICE_MEMORY,
    DEVICE_WORKING_SET,
    DEVICE_MAX_BUFFER,
    BUILD_INFO,
    START_TIME,
    RETIRED_OPERATIONS,
    RETIRED_ERRORS,
    INTERNAL_ERRORS,
    SERIES_OVERFLOW,
    DROPPED,
    EXPORT_QUEUED,
    EXPORT_DELIVERED,
    EXPORT_DROPPED,
    EXPORT_POINTS,
    EXPORT_REJECTED_POINTS,
    EXPORT_FAILURES,
    EXPORT_TIME,
    EXPORT_WAITING,
    EXPORT_WAITING_BYTES,
    EXPORT_LAST_SUCCESS,
    EXPORTER_STATE,
    NOTIFICATIONS_DELIVERED,
    NOTIFICATIONS_DROPPED,
    NOTIFICATION_FAILURES,
    NOTIFICATIONS_WAITING,
    NOTIFICATION_LAST_SUCCESS,
    CHANNEL_STATE,
    LOG_RECORDS,
    SPANS,
    SINK_DELIVERED,
    SINK_DROPPED,
    SINK_FAILURES,
    SINK_WAITING,
    SINK_WAITING_BYTES,
    SINK_LAST_SUCCESS,
    SINK_STATE,
)
"""Every metric of metalscope's own, in the order in which they are exposed."""
