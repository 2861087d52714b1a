"""Grafana Cloud: its OTLP gateway, or remote write to its Mimir; both by instance id and token.

Source: Grafana Cloud documentation, "Send data using OpenTelemetry Protocol (OTLP)" and "Send data
with Prometheus remote write".
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from metalscope.errors import ConfigurationError

if TYPE_CHECKING:
    from metalscope.export.base import ExporterContext, MetricsExporter
    from metalscope.export_options import ExporterOptions

__all__ = ["grafana_cloud_exporter"]


def grafana_cloud_exporter(context: ExporterContext) -> MetricsExporter:
    """The exporter for a stack's endpoint.

    ``https://otlp-gateway-….grafana.net/otlp`` is sent OTLP, ``https://prometheus-….grafana.net/
    api/prom/push`` remote write; ``protocol`` decides where the path does not. The instance id is
    ``user``, or stands before a colon in the key: ``123456:glc_…``.

    Raises:
        ConfigurationError: the endpoint, the instance id or the key is missing.
        MissingExtraError: the libraries of the protocol are not installed.
    """
    options = _with_path(_with_user(context.options))
    if options is not context.options:
        context = context.with_options(options)
    if _protocol(options) == "remote_write":
        from metalscope.export.remote_write import RemoteWriteExporter  # noqa: PLC0415

        return RemoteWriteExporter(context)
    from metalscope.export.otlp.exporter import OtlpExporter  # noqa: PLC0415

    return OtlpExporter(context)


def _with_user(options: ExporterOptions) -> ExporterOptions:
    """The options with the instance id taken out of the key, where it stands there."""
    endpoint = options.endpoint or ""
    if not endpoint.startswith(("http://", "https://")):
        raise _wrong(
            options,
            "endpoint must be the URL of the stack, such as "
            "'https://otlp-gateway-prod-eu-west-2.grafana.net/otlp'",
        )
    if "authorization" in {name.lower() for name in options.headers}:
        return options
    key = options.api_key.get_secret_value() if options.api_key else ""
    if not key and options.api_key_from is None:
        raise _wrong(options, "api_key or api_key_from must give an access policy token")
    if options.user is not None:
        return options
    # A token is base64 after "glc_", and has no colon.
    user, colon, token = key.partition(":")
    if not (user and colon and token):
        raise _wrong(
            options, "user must be the instance id of the stack, a number such as '123456'"
        )
    return options.model_copy(update={"user": user, "api_key": SecretStr(token)})


def _with_path(options: ExporterOptions) -> ExporterOptions:
    """The options with the path of the protocol, where the endpoint is a host alone."""
    parts = urlsplit(options.endpoint or "")
    if parts.path.strip("/"):
        return options
    path = "/api/prom/push" if _protocol(options) == "remote_write" else "/otlp"
    return options.model_copy(update={"endpoint": f"{parts.scheme}://{parts.netloc}{path}"})


def _protocol(options: ExporterOptions) -> str:
    if options.protocol is not None:
        return options.protocol
    parts = urlsplit(options.endpoint or "")
    if not parts.path.strip("/"):
        return "remote_write" if parts.netloc.startswith("prometheus-") else "otlp"
    return "remote_write" if parts.path.rstrip("/").endswith(("/push", "/write")) else "otlp"


def _wrong(options: ExporterOptions, what: str) -> ConfigurationError:
    return ConfigurationError(f"exporter {options.name!r}: {what}")
