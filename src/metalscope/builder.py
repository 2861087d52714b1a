"""MetalTelemetryBuilder: options written as a sentence, and the started manager at its end."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from metalscope.config import load_options
from metalscope.durations import DurationLike
from metalscope.errors import ConfigurationError
from metalscope.export.prometheus_endpoint import meaning
from metalscope.export_options import ExporterOptions
from metalscope.option_types import endpoint_host, is_loopback, shown_endpoint
from metalscope.options import ExporterType, MetalTelemetryOptions

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["MetalTelemetryBuilder"]


class MetalTelemetryBuilder:
    """Say step by step what telemetry is to do, then :meth:`build` it.

    ::

        tel = (
            MetalTelemetryBuilder()
            .add_prometheus()
            .with_performance_thresholds(50, 80, 75)
            .build()
        )

    Every step returns the builder. What is said here wins over ``METALSCOPE_*`` variables and the
    file that ``METALSCOPE_CONFIG`` names, which fill in the rest; exporters added here take the
    place of those of the file. Values are checked all at once, by :meth:`options` and
    :meth:`build`. A builder can be built from again, and said more to in between.
    """

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {}
        self._exporters: list[dict[str, Any]] = []
        self._objectives: list[dict[str, Any]] = []
        self._rules: list[dict[str, Any]] = []
        self._channels: list[dict[str, Any]] = []
        self._sinks: list[dict[str, Any]] = []

    def add_prometheus(
        self,
        endpoint: str | None = None,
        headers: Mapping[str, str | SecretStr] | None = None,
        *,
        name: str = "Prometheus",
        host: str | None = None,
        port: int | None = None,
        **more: Any,
    ) -> Self:
        """Let a Prometheus scrape this program's ``/metrics``, or push to one.

        Without an endpoint, or with one on this machine such as
        ``http://127.0.0.1:9464/metrics``, this turns the HTTP server on, there or at ``host`` and
        ``port``. To an endpoint elsewhere, or with a path such as ``/api/v1/write``, metrics are
        pushed, by remote write or to a Pushgateway; ``protocol`` says which where the endpoint
        does not (see :func:`~metalscope.export.prometheus_endpoint.meaning`).

        Raises:
            ConfigurationError: The endpoint is on this machine, and is not one that the server
                can serve, or contradicts ``host`` or ``port``.
        """
        own = endpoint is None or is_loopback(endpoint_host(endpoint))
        if own and not _pushes(endpoint, more.get("protocol")):
            if endpoint is not None:
                host, port = _bind_address(endpoint, host, port)
            self.with_server(host=host, port=port)
        return self._add(name, ExporterType.PROMETHEUS, endpoint, headers=headers, **more)

    def add_opentelemetry(
        self,
        endpoint: str | None = None,
        headers: Mapping[str, str | SecretStr] | None = None,
        *,
        name: str = "OpenTelemetry",
        **more: Any,
    ) -> Self:
        """Send metrics to an OpenTelemetry collector by OTLP.

        Without an endpoint the ``OTEL_EXPORTER_OTLP_*`` variables say it. ``more`` is any other
        option of :class:`~metalscope.options.ExporterOptions`, such as ``protocol="grpc"``; this
        holds for all exporters below.
        """
        return self._add(name, ExporterType.OPENTELEMETRY, endpoint, headers=headers, **more)

    def add_application_insights(
        self,
        endpoint: str | None = None,
        key: str | SecretStr | None = None,
        *,
        name: str = "ApplicationInsights",
        **more: Any,
    ) -> Self:
        """Send metrics to Azure Application Insights.

        ``key`` is the connection string, or the instrumentation key for the ``endpoint``; without
        one ``APPLICATIONINSIGHTS_CONNECTION_STRING`` says it.
        """
        return self._add(name, ExporterType.APPLICATION_INSIGHTS, endpoint, api_key=key, **more)

    def add_datadog(
        self,
        endpoint: str | None = None,
        api_key: str | SecretStr | None = None,
        *,
        name: str = "DataDog",
        **more: Any,
    ) -> Self:
        """Send metrics to Datadog; without arguments ``DD_SITE`` and ``DD_API_KEY`` say where."""
        return self._add(name, ExporterType.DATADOG, endpoint, api_key=api_key, **more)

    def add_grafana_cloud(
        self,
        endpoint: str,
        api_key: str | SecretStr,
        *,
        user: str | None = None,
        name: str = "GrafanaCloud",
        **more: Any,
    ) -> Self:
        """Send metrics to Grafana Cloud, by OTLP or remote write as the endpoint's path says.

        ``user`` is the instance id of the stack; it may also stand before the token:
        ``"123456:glc_…"``.
        """
        return self._add(
            name, ExporterType.GRAFANA_CLOUD, endpoint, api_key=api_key, user=user, **more
        )

    def add_custom(
        self,
        name: str,
        endpoint: str | None = None,
        headers: Mapping[str, str | SecretStr] | None = None,
        *,
        type: str = "custom",  # noqa: A002 - the option's own name
        **more: Any,
    ) -> Self:
        """Send metrics as JSON to a URL or a ``file:///``, or by another package's ``type``."""
        return self._add(name, type, endpoint, headers=headers, **more)

    def with_spool(
        self,
        directory: str | PathLike[str],
        *,
        max_bytes: int | None = None,
        max_age: DurationLike | None = None,
    ) -> Self:
        """Keep on disk, in ``directory``, what could not be sent yet.

        ``max_bytes`` is for each exporter; what is older than ``max_age`` is let go.
        """
        return self._set(
            export__spool__directory=str(directory),
            export__spool__max_bytes=max_bytes,
            export__spool__max_age=max_age,
        )

    def with_performance_thresholds(
        self,
        slow_ms: float | None = None,
        gpu_percent: float | None = None,
        memory_percent: float | None = None,
    ) -> Self:
        """From where on the report calls an operation slow, and a utilisation high.

        ``slow_ms`` is in ms; the others are percentages, 0 to 100.
        """
        return self._set(
            slow_operation_threshold_ms=slow_ms,
            high_gpu_utilization_threshold=gpu_percent,
            high_memory_utilization_threshold=memory_percent,
        )

    def enable_alerts(self, *targets: str | SecretStr) -> Self:
        """Raise alerts and tell these webhook URLs and e-mail addresses.

        Targets of several calls add up.
        """
        said_before = self._settings.get("alerts__notification_endpoints", ())
        return self._set(
            alerts__enable_notifications=True,
            alerts__notification_endpoints=(*said_before, *map(_secret, targets)) or None,
        )

    def add_alert_channel(
        self,
        name: str,
        target: str | SecretStr | None = None,
        *,
        kind: str | None = None,
        **more: Any,
    ) -> Self:
        """Tell one more place of alerts, with options of its own.

        Args:
            name: its name in logs and metrics.
            target: the webhook's URL, e-mail addresses, or a key.
            kind: what it is, such as ``slack``; where ``None``, the target tells.
            more: more options of a channel, such as ``min_severity="high"``.
        """
        self._channels.append(
            {
                "name": name,
                "type": kind,
                "target": None if target is None else _secret(target),
                **more,
            }
        )
        return self._set(alerts__enable_notifications=True)

    def add_alert_rule(
        self,
        name: str,
        expr: str,
        *,
        hold: DurationLike | None = None,
        severity: str | None = None,
        **more: Any,
    ) -> Self:
        """Raise an alert of this name while an expression gives something.

        Args:
            name: the alert's name.
            expr: in the language of rules, see docs/alert-rules.md.
            hold: how long it must hold first; ``for`` in files.
            severity: low, medium, high or critical.
            more: more options of a rule, such as ``summary``.
        """
        said = {"for": hold, "severity": severity}
        self._rules.append(
            {
                "name": name,
                "expr": expr,
                **{option: value for option, value in said.items() if value is not None},
                **more,
            }
        )
        return self

    def set_intervals(
        self,
        reporting: DurationLike | None = None,
        cleanup: DurationLike | None = None,
        *,
        tick: DurationLike | None = None,
        retention: DurationLike | None = None,
        history: DurationLike | None = None,
        auto_export: DurationLike | None = None,
    ) -> Self:
        """How often what is done, as timedeltas, seconds, or text such as ``"5m"``.

        ``retention`` is how long metrics are kept, ``history`` how much recent activity is.
        """
        return self._set(
            reporting_interval=reporting,
            cleanup_interval=cleanup,
            tick_interval=tick,
            metrics_retention_period=retention,
            history_window=history,
            export__auto_export_interval=auto_export,
        )

    def enable_production_logging(
        self,
        *,
        json: bool = True,
        correlation: bool = True,
        stack_traces: bool = False,
        endpoints: tuple[str, ...] = (),
    ) -> Self:
        """Log for machines to read: JSON lines, correlation ids, to these systems as well."""
        return self._set(
            logging__enabled=True,
            logging__use_json_format=json,
            logging__enable_correlation_tracking=correlation,
            logging__enable_stack_trace_logging=stack_traces,
            logging__external_log_endpoints=tuple(endpoints) or None,
        )

    def add_log_sink(
        self,
        type: str | None = None,  # noqa: A002 - the option's own name
        endpoint: str | None = None,
        *,
        api_key: str | SecretStr | None = None,
        **more: Any,
    ) -> Self:
        """Log to one place: a file, Elasticsearch, Splunk, Loki, an OTLP collector, syslog.

        Args:
            type: what it is; where none is given, the endpoint tells.
            endpoint: the URL.
            api_key: its key, token or password.
            more: further options of a sink, such as ``name``, ``format`` or ``settings``.
        """
        self._sinks.append(
            {
                "type": type,
                "endpoint": endpoint,
                "api_key": None if api_key is None else _secret(api_key),
                **more,
            }
        )
        return self

    def enable_tracing(
        self,
        *endpoints: str,
        sample_ratio: float | None = None,
        file: str | PathLike[str] | None = None,
    ) -> Self:
        """Make spans of operations, and send them to these OTLP endpoints.

        Args:
            endpoints: the collectors' URLs.
            sample_ratio: the share of traces kept whole, 0 to 1.
            file: a file in Chrome's trace event format, with all spans that are kept.
        """
        names = ["otlp", *(f"otlp-{number}" for number in range(2, len(endpoints) + 1))]
        exporters = [
            {"name": name, "endpoint": endpoint}
            for name, endpoint in zip(names, endpoints, strict=False)
        ]
        return self._set(
            traces__enabled=True,
            traces__exporters=exporters or None,
            traces__sample_ratio=sample_ratio,
            traces__file=None if file is None else str(file),
        )

    def with_server(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        keys_file: str | PathLike[str] | None = None,
        cert_file: str | PathLike[str] | None = None,
        key_file: str | PathLike[str] | None = None,
        insecure_no_auth: bool | None = None,
    ) -> Self:
        """Start the HTTP server; port 0 takes a free one.

        A host that other machines can reach is refused without keys and a certificate, or
        ``insecure_no_auth=True``.

        Args:
            host: the address to listen on.
            port: the TCP port.
            keys_file: the keys of those who may ask; see ``metalscope keys``.
            cert_file: the server's certificate, in PEM.
            key_file: the key of that certificate.
            insecure_no_auth: serve beyond this machine although no key is asked for.
        """
        return self._set(
            server__access__keys_file=None if keys_file is None else str(keys_file),
            server__tls__cert_file=None if cert_file is None else str(cert_file),
            server__tls__key_file=None if key_file is None else str(key_file),
            server__enabled=True,
            server__host=host,
            server__port=port,
            server__insecure_no_auth=insecure_no_auth,
        )

    def with_history(
        self,
        path: str | PathLike[str],
        *,
        keep_ticks: DurationLike | None = None,
        keep_minutes: DurationLike | None = None,
        keep_hours: DurationLike | None = None,
    ) -> Self:
        """Keep the past in this SQLite file, for predictions and objectives that span restarts."""
        return self._set(
            history__path=str(path),
            history__keep_ticks=keep_ticks,
            history__keep_minutes=keep_minutes,
            history__keep_hours=keep_hours,
        )

    def add_objective(
        self,
        name: str,
        target: float,
        *,
        operation: str = "*",
        within_ms: float | None = None,
        window: DurationLike = "30d",
    ) -> Self:
        """Promise that a share of operations goes well, over a window.

        Args:
            name: its name in metrics, reports and events.
            target: the share, above 0 and below 1.
            operation: which ones, as ``kind:name`` with ``*`` and ``?``.
            within_ms: what takes longer did not go well.
            window: the time it is promised over.
        """
        self._objectives.append(
            {
                "name": name,
                "target": target,
                "operation": operation,
                "within_ms": within_ms,
                "window": window,
            }
        )
        return self

    def options(self) -> MetalTelemetryOptions:
        """The options as they would be built from now.

        Raises:
            ConfigurationError: Some value is wrong; the text says which.
        """
        settings = dict(self._settings)
        if self._exporters:
            settings["export__exporters"] = [dict(exporter) for exporter in self._exporters]
        if self._objectives:
            settings["health_monitor__objectives"] = [dict(one) for one in self._objectives]
        if self._rules:
            settings["alerts__rules"] = [dict(one) for one in self._rules]
        if self._sinks:
            settings["logging__sinks"] = [
                {option: value for option, value in one.items() if value is not None}
                for one in self._sinks
            ]
        if self._channels:
            settings["alerts__channels"] = [dict(one) for one in self._channels]
        return load_options(overrides=settings)

    def build(self) -> MetalTelemetryManager:
        """Start telemetry and make it the default of the process.

        A default there was before is shut down first.

        Raises:
            ConfigurationError: Some value is wrong, or the server's address cannot be used.
            MissingExtraError: An enabled part needs a library that is not installed.
        """
        from metalscope.default import add_metal_telemetry  # noqa: PLC0415 - only now is it needed

        return add_metal_telemetry(self.options())

    def _set(self, **settings: Any) -> Self:
        self._settings |= {key: value for key, value in settings.items() if value is not None}
        return self

    def _add(
        self,
        name: str,
        kind: str,
        endpoint: str | None,
        *,
        headers: Mapping[str, str | SecretStr] | None = None,
        api_key: str | SecretStr | None = None,
        **more: Any,
    ) -> Self:
        self._exporters.append(
            {
                "name": name,
                "type": kind,
                "endpoint": endpoint,
                "headers": {key: _secret(value) for key, value in (headers or {}).items()},
                "api_key": None if api_key is None else _secret(api_key),
                **{option: value for option, value in more.items() if value is not None},
            }
        )
        return self


def _secret(text: str | SecretStr) -> SecretStr:
    return text if isinstance(text, SecretStr) else SecretStr(text)


def _pushes(endpoint: str | None, protocol: str | None) -> bool:
    try:
        options = ExporterOptions(
            type=ExporterType.PROMETHEUS, endpoint=endpoint, protocol=protocol
        )
        return meaning(options).protocol != "scrape"
    except ConfigurationError:
        return False


def _bind_address(endpoint: str, host: str | None, port: int | None) -> tuple[str, int]:
    try:
        url = urlsplit(endpoint)
        url_host, url_port = url.hostname or "", url.port or 80
    except ValueError:
        raise ConfigurationError(
            f"add_prometheus: {shown_endpoint(endpoint)} is not a URL"
        ) from None
    if url.scheme != "http" or url.path.rstrip("/") not in {"", "/metrics"} or url.query:
        raise ConfigurationError(
            f"add_prometheus: this machine serves http://{url_host}:{url_port}/metrics, "
            f"not {shown_endpoint(endpoint)}"
        )
    if (host is not None and host != url_host) or (port is not None and port != url_port):
        raise ConfigurationError(
            f"add_prometheus: the endpoint says {url_host} and port {url_port}, "
            f"the arguments {host or url_host} and port {url_port if port is None else port}"
        )
    return url_host, url_port
