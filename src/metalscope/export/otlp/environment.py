"""What OpenTelemetry's environment variables say of where and how metrics are sent.

OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Metrics SDK, OTLP metrics
exporter". They hold where the options are silent; a variable of the metrics alone
(``OTEL_EXPORTER_OTLP_METRICS_…``) goes before that of all signals (``OTEL_EXPORTER_OTLP_…``). An
empty variable counts as none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote

from pydantic import SecretStr, TypeAdapter, ValidationError

from metalscope.errors import ConfigurationError
from metalscope.export_options import ExporterOptions, ExporterType, HistogramForm, Temporality
from metalscope.option_types import ExporterEndpoint, SecretHeaders
from metalscope.sending.otlp.address import GRPC_PORT, HTTP_PORT, PROTOCOLS, protocol_of

__all__ = ["METRICS_PATH", "completed"]

METRICS_PATH: Final = "/v1/metrics"
"""What is put after a base endpoint of OTLP/HTTP (OTLP specification, "OTLP/HTTP Request")."""

_PROTOCOLS: Final = {name: name for name in PROTOCOLS}
_TEMPORALITIES: Final = {
    "cumulative": Temporality.CUMULATIVE,
    "delta": Temporality.DELTA,
    # Delta for what is counted as it happens, which all of ours but a few readings is.
    "lowmemory": Temporality.DELTA,
}
_HISTOGRAMS: Final = {
    "explicit_bucket_histogram": HistogramForm.CLASSIC,
    "base2_exponential_bucket_histogram": HistogramForm.EXPONENTIAL,
}

T = TypeVar("T")


def completed(options: ExporterOptions, environment: Mapping[str, str]) -> ExporterOptions:
    """The options with what the environment says where they say nothing, and OTLP's defaults.

    Afterwards ``endpoint``, ``protocol``, ``temporality``, ``histograms`` and the settings
    ``compression`` and ``path`` are set. Options of another type of exporter come back as they
    are: a platform's own endpoint and key have nothing to do with these variables.

    Raises:
        ConfigurationError: a variable has a value it cannot have; the text names the variable.
    """
    if options.type is not ExporterType.OPENTELEMETRY:
        return options
    said = _Variables(environment)
    endpoint, as_is = _endpoint(options, said)
    protocol = options.protocol or said.choice("PROTOCOL", _PROTOCOLS) or protocol_of(endpoint)
    settings = dict(options.settings)
    if protocol != "grpc" and as_is:
        settings.setdefault("path", "")
    settings.setdefault("path", METRICS_PATH)
    if "compression" not in settings:
        compressions = {"gzip": "gzip", "none": "none"}
        settings["compression"] = said.choice("COMPRESSION", compressions) or "gzip"
    preferred = said.choice("METRICS_TEMPORALITY_PREFERENCE", _TEMPORALITIES)
    form = said.choice("METRICS_DEFAULT_HISTOGRAM_AGGREGATION", _HISTOGRAMS)
    update: dict[str, Any] = {
        "endpoint": endpoint
        or f"http://localhost:{GRPC_PORT if protocol == 'grpc' else HTTP_PORT}",
        "protocol": protocol,
        "timeout": options.timeout or said.timeout(),
        # A key for the collector that the environment names is not for another.
        "headers": options.headers or (_headers(said) if options.endpoint is None else {}),
        "tls": options.tls.model_copy(update=_tls(options, said)),
        "temporality": options.temporality or preferred or Temporality.CUMULATIVE,
        "histograms": options.histograms or form or HistogramForm.CLASSIC,
        "settings": settings,
    }
    if options.api_key is not None or options.api_key_from is not None:
        # Two keys would be sent; that of the options is meant for this endpoint.
        update["headers"] = {
            name: value
            for name, value in update["headers"].items()
            if name in options.headers or name.lower() != "authorization"
        }
    return options.model_copy(update=update)


class _Said(NamedTuple):
    variable: str
    value: str


class _Variables:
    """The variables of OTLP, each by what comes after ``OTEL_EXPORTER_OTLP_``."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> _Said | None:
        for variable in (f"OTEL_EXPORTER_OTLP_METRICS_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
            said = self.exactly(variable)
            if said is not None:
                return said
        return None

    def exactly(self, variable: str) -> _Said | None:
        value = self._environment.get(variable, "").strip()
        return _Said(variable, value) if value else None

    def choice(self, name: str, choices: Mapping[str, T]) -> T | None:
        own = name.startswith("METRICS_")
        said = self.exactly(f"OTEL_EXPORTER_OTLP_{name}") if own else self.text(name)
        if said is None:
            return None
        if said.value.lower() not in choices:
            raise _wrong(said, f"must be one of {', '.join(choices)}, not {said.value!r}")
        return choices[said.value.lower()]

    def timeout(self) -> timedelta | None:
        """Milliseconds, as the specification has it; some SDKs take them for seconds."""
        said = self.text("TIMEOUT") or self.exactly("OTEL_METRIC_EXPORT_TIMEOUT")
        if said is None:
            return None
        if not re.fullmatch(r"\d{1,12}", said.value, re.ASCII) or int(said.value) == 0:
            raise _wrong(said, f"must be a number of milliseconds above 0, not {said.value!r}")
        return timedelta(milliseconds=int(said.value))


def _wrong(said: _Said, expected: str) -> ConfigurationError:
    return ConfigurationError(f"{said.variable} {expected}")


def _endpoint(options: ExporterOptions, said: _Variables) -> tuple[str | None, bool]:
    """The endpoint, and whether it is already that of the metrics, to be used as it is."""
    if options.endpoint is not None:
        return options.endpoint, False
    endpoint = said.text("ENDPOINT")
    if endpoint is None:
        return None, False
    url = endpoint.value
    if "://" not in url:
        # A target as gRPC has them, host:port, which does not say whether TLS is meant.
        protocol = options.protocol or said.choice("PROTOCOL", _PROTOCOLS)
        if (protocol or protocol_of(f"//{url}")) != "grpc":
            raise _wrong(endpoint, "must be a URL such as 'http://localhost:4318'")
        insecure = said.choice("INSECURE", {"true": True, "false": False})
        url = f"{'http' if insecure else 'https'}://{url}"
    try:
        TypeAdapter(ExporterEndpoint).validate_python(url)
    except ValidationError as error:
        text = str(error.errors()[0]["ctx"]["error"])
        raise _wrong(endpoint, text) from None
    return url, endpoint.variable == "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"


def _headers(said: _Variables) -> dict[str, SecretStr]:
    # "Specifying headers via environment variables": W3C Baggage without properties.
    headers = said.text("HEADERS")
    if headers is None:
        return {}
    found: dict[str, SecretStr] = {}
    for pair in filter(None, (part.strip() for part in headers.value.split(","))):
        name, equals, value = pair.partition("=")
        if not equals:
            raise _wrong(headers, "must be 'name=value' pairs with commas between them")
        found[unquote(name.strip()).lower()] = SecretStr(unquote(value.strip()))
    try:
        TypeAdapter(SecretHeaders).validate_python(found)
    except ValidationError as error:
        raise _wrong(headers, str(error.errors()[0]["ctx"]["error"])) from None
    return found


def _tls(options: ExporterOptions, said: _Variables) -> dict[str, Path]:
    found: dict[str, Path] = {}
    authority = said.text("CERTIFICATE")
    if options.tls.ca_file is None and authority is not None:
        found["ca_file"] = Path(authority.value)
    if options.tls.cert_file is None:
        certificate, key = said.text("CLIENT_CERTIFICATE"), said.text("CLIENT_KEY")
        if certificate is not None:
            found["cert_file"] = Path(certificate.value)
        if key is not None:
            if certificate is None:
                raise _wrong(key, "needs OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE, which is not set")
            found["key_file"] = Path(key.value)
    return found
