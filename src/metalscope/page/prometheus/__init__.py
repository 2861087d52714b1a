"""The past of a fleet, as a Prometheus or a VictoriaMetrics knows it."""

from metalscope.page.prometheus.source import PrometheusSource

__all__ = ["PrometheusSource"]
